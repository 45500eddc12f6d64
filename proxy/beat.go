package proxy

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/zerokeeper/zero/transport/api"
	"github.com/zerokeeper/zero/transport/host"
	"github.com/zerokeeper/zero/transport/lease"
)

const (
	// defaultBeat is the pause between heartbeats until a keeper names one, and
	// the bounds of what it may name.
	defaultBeat = 400 * time.Millisecond
	minBeat     = 50 * time.Millisecond
	maxBeat     = 10 * time.Second
	// firstRetry is the pause after a heartbeat that failed; it doubles up to
	// lastRetry. A lost leader is most often replaced soon, and leases run out.
	firstRetry = 20 * time.Millisecond
	lastRetry  = 80 * time.Millisecond
	// silence is how long nobody answers until it is worth a word: an election, and the
	// first moments of a process, are over by then.
	silence = time.Second
)

// beat registers, and then sends heartbeats until ctx ends; each answer says
// what holds. Trouble is told once, not at every beat.
func (p *Proxy) beat(ctx context.Context, link Link) {
	interval, retry := defaultBeat, firstRetry
	told, disobeyed, heard := false, false, time.Now()
	for seq := uint64(1); ctx.Err() == nil; seq++ {
		sent := p.now() // R10: whatever redirects and waits the heartbeat meets on its way
		answer, life, err := p.ask(ctx, link, seq)
		if ctx.Err() != nil {
			return
		}
		pause := interval
		if err != nil {
			if !told && time.Since(heard) >= silence {
				told = true
				p.log.Warn("no keeper answers; going on with what holds", "error", err)
			}
			pause, retry = min(retry, interval), min(2*retry, lastRetry)
		} else {
			if told {
				p.log.Info("keepers answer again", "after", time.Since(heard).Round(time.Millisecond))
			}
			told, heard, retry = false, time.Now(), firstRetry
			p.answered.Store(int64(time.Since(p.started)))
			if answer.IntervalMS > 0 {
				interval = min(max(time.Duration(min(answer.IntervalMS, maxBeat.Milliseconds()))*time.Millisecond, minBeat), maxBeat)
			}
			err = p.obey(ctx, link, life, sent, answer)
			// An answer that took long leaves little of the lease: the next one is due sooner.
			pause = min(max(interval-p.now().Sub(sent), minBeat), interval)
			switch {
			case ctx.Err() != nil:
				return
			case err != nil && !disobeyed:
				p.log.Error("what the keepers answer cannot be done here", "error", err)
			case err == nil && disobeyed:
				p.log.Info("what the keepers answer can be done again")
			}
			disobeyed = err != nil
		}
		select {
		case <-ctx.Done():
		case <-p.wake:
		case <-time.After(pause):
		}
	}
}

// ask registers, if that is still to be done, and sends one heartbeat.
func (p *Proxy) ask(ctx context.Context, link Link, seq uint64) (api.HeartbeatAnswer, uint64, error) {
	var answer api.HeartbeatAnswer
	s := p.stand()
	if err := connected(link); err != nil {
		return answer, s.life, err
	}
	if s.status == api.StatusReady && !s.registered && !s.leaving {
		if err := p.call(ctx, link, api.ProxyRegister, api.ProxyRegisterRequest{Version: p.cfg.Version}, nil); err != nil {
			return answer, s.life, err
		}
		p.registered(s.life)
	}
	ctx, cancel := context.WithTimeout(ctx, patience(p.cfg.CallTimeout, time.Duration(p.leaseMS.Load())*time.Millisecond))
	defer cancel()
	if err := p.call(ctx, link, api.ProxyHeartbeat, p.heartbeat(seq, s.status), &answer); err != nil {
		return answer, s.life, err
	}
	if answer.Seq != seq {
		return answer, s.life, fmt.Errorf("heartbeat %d was answered as %d", seq, answer.Seq)
	}
	p.leaseMS.Store(min(max(answer.LeaseMS, 0), lease.Longest.Milliseconds()))
	return answer, s.life, nil
}

// leaseUntil is the end of the lease that an answer grants: counted from the
// sending of its heartbeat (R10). 0: it grants none.
func leaseUntil(sent lease.Instant, answer api.HeartbeatAnswer) lease.Instant {
	if answer.LeaseMS <= 0 {
		return 0
	}
	return sent.Add(time.Duration(min(answer.LeaseMS, lease.Longest.Milliseconds())) * time.Millisecond)
}

// obey does what the answer to a heartbeat that was sent then says. What is
// wrong with one host group does not keep the others from it.
func (p *Proxy) obey(ctx context.Context, link Link, life uint64, sent lease.Instant, answer api.HeartbeatAnswer) error {
	if !p.counted(life, answer.Status) {
		return nil
	}
	err := p.take(sent, answer) // before the configuration: a lease must not wait for it
	if answer.ConfVersion != "" && p.wants(answer.ConfVersion) {
		fetched := p.fetch(ctx, link)
		err = errors.Join(fetched, p.take(sent, answer)) // of groups that are new
	}
	p.becomeUp(life)
	return err
}

// take takes over the grants of an answer.
func (p *Proxy) take(sent lease.Instant, answer api.HeartbeatAnswer) error {
	var errs []error
	for _, grant := range answer.Grants {
		g, err := p.group(grant.HostGroup)
		if err != nil {
			continue // of a configuration that is on its way
		}
		errs = append(errs, g.grant(grant, leaseUntil(sent, answer)))
	}
	return errors.Join(errs...)
}

// wants reports whether the live version is one that should be fetched: not the
// applied one, and not one that was refused here a moment ago.
func (p *Proxy) wants(version string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.live.Load()
	if now.conf != nil && version == now.ConfigID {
		return false
	}
	return version != p.refused || time.Since(p.refusedAt) >= p.cfg.RetryRefused
}

// fetch gets the live configuration and applies it.
func (p *Proxy) fetch(ctx context.Context, link Link) error {
	ctx, cancel := context.WithTimeout(ctx, p.cfg.CallTimeout)
	defer cancel()
	resp, err := link.Call(ctx, api.ConfigFetch, nil, []byte("{}"))
	if err != nil {
		return fmt.Errorf("%s: %w", api.ConfigFetch, err)
	}
	v := version{resp.Meta.Get(api.MetaConfigID), string(resp.Data)}
	p.applying.Lock()
	defer p.applying.Unlock()
	if err := p.apply(v); err != nil {
		return fmt.Errorf("configuration %s is not applied, the one before stays: %w", clip(v.ConfigID, 64), err)
	}
	return nil
}

// heartbeat is what this proxy says of itself.
func (p *Proxy) heartbeat(seq uint64, status string) api.ProxyHeartbeatRequest {
	now := p.live.Load()
	beat := api.ProxyHeartbeatRequest{
		ClusterName: p.cfg.Cluster, Address: p.cfg.Address, Status: status, SystemInfo: host.SystemInfo(), ConfVersion: now.ConfigID,
		Seq: seq, Incarnation: p.incarnation, Stamps: map[string]api.Stamp{},
	}
	for name, g := range now.groups {
		beat.Stamps[name] = g.snapshot().Stamp
		if g.gate.Until() <= lease.Now() {
			beat.Leaseless = append(beat.Leaseless, name)
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	beat.Probes = p.findings()
	beat.ConfError = p.confError
	return beat
}

// call asks the keepers' leader.
func (p *Proxy) call(ctx context.Context, link Link, name string, body, answer any) error {
	data, err := json.Marshal(body)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	ctx, cancel := context.WithTimeout(ctx, p.cfg.CallTimeout)
	defer cancel()
	resp, err := link.Call(ctx, name, nil, data)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	if answer == nil {
		return nil
	}
	if err := json.Unmarshal(resp.Data, answer); err != nil {
		return fmt.Errorf("%s: the answer cannot be read: %w", name, err)
	}
	return nil
}

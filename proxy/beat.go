package proxy

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/zerokeeper/zero/transport/api"
	"github.com/zerokeeper/zero/transport/conf"
	"github.com/zerokeeper/zero/transport/host"
	"github.com/zerokeeper/zero/transport/wire"
)

// defaultBeat is the pause between heartbeats until a keeper names one.
const defaultBeat = 400 * time.Millisecond

// beat registers, and then sends heartbeats until ctx ends; each answer says
// what holds. Errors are told once, not at every beat.
func (p *Proxy) beat(ctx context.Context, link Link) {
	pause := defaultBeat
	failing := false
	for seq := uint64(1); ctx.Err() == nil; seq++ {
		answer, err := p.beatOnce(ctx, link, seq)
		switch {
		case err == nil:
			if failing {
				p.log.Info("keepers answer again")
			}
			failing = false
			if answer.IntervalMS > 0 {
				pause = min(max(time.Duration(answer.IntervalMS)*time.Millisecond, 50*time.Millisecond), 10*time.Second)
			}
		case ctx.Err() == nil && !failing:
			failing = true
			p.log.Warn("no keeper answers; going on with what holds", "error", err)
		}
		select {
		case <-ctx.Done():
		case <-p.wake:
		case <-time.After(pause):
		}
	}
}

// beatOnce registers, if that is still to be done, sends one heartbeat and
// obeys the answer.
func (p *Proxy) beatOnce(ctx context.Context, link Link, seq uint64) (api.HeartbeatAnswer, error) {
	var answer api.HeartbeatAnswer
	if p.Status() == api.StatusReady && !p.registered.Load() {
		if err := p.call(ctx, link, api.ProxyRegister, api.ProxyRegisterRequest{Version: p.cfg.Version}, nil); err != nil {
			return answer, err
		}
		p.registered.Store(true)
	}
	if err := p.call(ctx, link, api.ProxyHeartbeat, p.heartbeat(seq), &answer); err != nil {
		return answer, err
	}
	if answer.Seq != seq {
		return answer, fmt.Errorf("heartbeat %d was answered as %d", seq, answer.Seq)
	}
	if p.Status() == api.StatusUnreg {
		return answer, nil
	}
	if answer.ConfVersion != "" && p.wants(answer.ConfVersion) {
		if err := p.fetch(ctx, link); err != nil {
			return answer, err
		}
	}
	for _, grant := range answer.Grants {
		g, err := p.group(grant.HostGroup)
		if err != nil {
			continue // of a configuration that is on its way
		}
		if err := g.grant(grant); err != nil && !errors.Is(err, &api.Error{Code: api.IdentityMismatch}) {
			return answer, err
		}
	}
	p.becomeUp(answer)
	return answer, nil
}

// becomeUp: a proxy with the live configuration, on the list, is up.
func (p *Proxy) becomeUp(answer api.HeartbeatAnswer) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.status == api.StatusReady && p.live != nil && answer.Status != "" && answer.Status != api.StatusUnreg {
		p.status = api.StatusUp
		p.log.Info("up", "config", p.confID)
		p.poke() // the keepers should know at once
	}
}

// wants reports whether the live version is one that should be fetched: not the
// applied one, and not one that was refused here already.
func (p *Proxy) wants(version string) bool {
	p.mu.RLock()
	defer p.mu.RUnlock()
	return version != p.confID && version != p.refused
}

// fetch gets the live configuration and applies it.
func (p *Proxy) fetch(ctx context.Context, link Link) error {
	ctx, cancel := context.WithTimeout(ctx, p.cfg.CallTimeout)
	defer cancel()
	resp, err := link.Call(ctx, api.ConfigFetch, nil, []byte("{}"))
	if err != nil {
		return fmt.Errorf("fetch the configuration: %w", err)
	}
	id := resp.Meta.Get(api.MetaConfigID)
	if _, err := conf.ParseVersion(id); err != nil {
		return fmt.Errorf("fetch the configuration: %w", err)
	}
	if err := p.apply(version{id, string(resp.Data)}); err != nil {
		p.log.Error("the live configuration cannot be used here; going on with the one before", "config", id, "error", err)
	}
	return nil
}

// heartbeat is what this proxy says of itself.
func (p *Proxy) heartbeat(seq uint64) api.ProxyHeartbeatRequest {
	p.mu.RLock()
	defer p.mu.RUnlock()
	beat := api.ProxyHeartbeatRequest{
		ClusterName: p.cfg.Cluster, Address: p.cfg.Address, Status: p.status, SystemInfo: host.SystemInfo(), ConfVersion: p.confID,
		Seq: seq, Incarnation: p.incarnation, ConfError: p.confError, Stamps: map[string]api.Stamp{},
	}
	for name, g := range p.groups {
		beat.Stamps[name] = g.snapshot().Stamp
	}
	return beat
}

// call asks the keepers' leader.
func (p *Proxy) call(ctx context.Context, link Link, name string, body, answer any) error {
	data, err := json.Marshal(body)
	if err != nil {
		return err
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

// Leave unregisters the proxy for good, before it stops. The keepers refuse it
// to the last one that is up, unless force is set.
func (p *Proxy) Leave(ctx context.Context, link Link, reason string, force bool) error {
	return p.call(ctx, link, api.ProxyUnregister, api.ProxyUnregisterRequest{Reason: reason, Force: force}, nil)
}

// UnregisterProxyProcessor takes this proxy out of service: writes are held,
// and it stays so until it is activated.
func (p *Proxy) UnregisterProxyProcessor(_ context.Context, _ *wire.Request, body api.UnregisterProxyRequest) (any, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.status = api.StatusUnreg
	for _, g := range p.groups {
		g.gate.Hold()
	}
	p.log.Warn("unregistered: writes are held", "reason", body.Reason)
	return nil, nil
}

// ActivateProxyProcessor makes this proxy start over: ready, fetch the
// configuration, up.
func (p *Proxy) ActivateProxyProcessor(context.Context, *wire.Request, api.ActivateProxyRequest) (any, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.status = api.StatusReady
	p.refused, p.confError = "", ""
	p.registered.Store(false)
	p.log.Info("activated")
	p.poke()
	return nil, nil
}

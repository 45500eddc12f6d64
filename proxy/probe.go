package proxy

import (
	"context"
	"sync"
	"time"

	"github.com/zerokeeper/zero/proxy/mysql"
	"github.com/zerokeeper/zero/transport/api"
	"github.com/zerokeeper/zero/transport/conf"
	"github.com/zerokeeper/zero/transport/wire"
)

const (
	probeFloor = time.Second     // the least time that a probe has
	voteProbe  = 2 * time.Second // the time that the probe of a candidate has
)

// probeResult is what the last probes of a datasource found.
type probeResult struct {
	Address     string
	LastSuccess time.Time // zero: never
	Failures    int       // in a row
	Error       string    // of the last probe, empty when it succeeded
}

// prober logs in to the writable datasource of one host group again and again.
// What it found is the evidence of this proxy's vote.
type prober struct {
	group *group
	probe func(ctx context.Context, address string) error // logs in
	stop  context.CancelFunc
	done  chan struct{} // closed when run has returned

	mu       sync.Mutex
	interval time.Duration
	needed   int // failures in a row for a vote
	result   probeResult
}

// configure takes over the rules of a configuration.
func (pr *prober) configure(s conf.Switch) {
	pr.mu.Lock()
	defer pr.mu.Unlock()
	pr.interval, pr.needed = s.PingInterval, s.PingCount
}

// record takes down one probe. Results of an address that is not the writable
// one any more are forgotten.
func (pr *prober) record(address string, err error) {
	pr.mu.Lock()
	defer pr.mu.Unlock()
	if pr.result.Address != address {
		pr.result = probeResult{Address: address}
	}
	if err == nil {
		pr.result.LastSuccess, pr.result.Failures, pr.result.Error = time.Now(), 0, ""
		return
	}
	pr.result.Failures++
	pr.result.Error = clip(err.Error(), maxConfError)
}

// evidence is what the last probes of that address found, and whether it is
// enough for a vote.
func (pr *prober) evidence(address string) (found probeResult, enough bool) {
	pr.mu.Lock()
	defer pr.mu.Unlock()
	if pr.result.Address != address {
		return probeResult{Address: address}, false
	}
	return pr.result, pr.result.Failures > 0 && pr.result.Failures >= pr.needed
}

func (pr *prober) pause() time.Duration {
	pr.mu.Lock()
	defer pr.mu.Unlock()
	return pr.interval
}

// run probes what the gate names until ctx ends. A probe takes at most as long
// as the pause between two, but never less than probeFloor.
func (pr *prober) run(ctx context.Context) {
	defer close(pr.done)
	for {
		if current, _, known := pr.group.gate.Current(); known {
			attempt, cancel := context.WithTimeout(ctx, max(pr.pause(), probeFloor))
			err := pr.probe(attempt, current.Address)
			cancel()
			if ctx.Err() != nil {
				return
			}
			pr.record(current.Address, err)
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(pr.pause()):
		}
	}
}

// reprobe makes the probers those of the live configuration, while Run runs.
func (p *Proxy) reprobe() {
	p.mu.Lock()
	now := p.live.Load()
	if p.run == nil || p.run.Err() != nil || now.conf == nil {
		p.mu.Unlock()
		return
	}
	var over []*prober
	for name, pr := range p.probers {
		if now.groups[name] != pr.group {
			over = append(over, pr)
			delete(p.probers, name)
		}
	}
	for i := range now.conf.HostGroups {
		hg := &now.conf.HostGroups[i]
		pr := p.probers[hg.Name]
		if pr == nil {
			pr = p.newProber(hg.Name, now.groups[hg.Name])
		}
		pr.configure(hg.Switch)
	}
	p.mu.Unlock()
	end(over)
}

// newProber starts to probe a host group. mu is held.
func (p *Proxy) newProber(name string, g *group) *prober {
	ctx, cancel := context.WithCancel(p.run)
	pr := &prober{
		group: g, stop: cancel, done: make(chan struct{}), interval: probeFloor,
		probe: func(ctx context.Context, address string) error { return p.probe(ctx, name, address) },
	}
	p.probers[name] = pr
	go pr.run(ctx)
	return pr
}

func (p *Proxy) stopProbers() {
	p.mu.Lock()
	var over []*prober
	for _, pr := range p.probers {
		over = append(over, pr)
	}
	clear(p.probers)
	p.mu.Unlock()
	end(over)
}

// end stops probers and waits for them.
func end(probers []*prober) {
	for _, pr := range probers {
		pr.stop()
	}
	for _, pr := range probers {
		<-pr.done
	}
}

// probe logs in to a datasource with the account of its host group.
func (p *Proxy) probe(ctx context.Context, hostGroup, address string) error {
	a := p.live.Load().accounts[hostGroup]
	return mysql.Probe(ctx, address, a.user, a.password)
}

// ProxyVoteFetchProcessor votes: yes if this proxy's own last probes of the
// writable datasource failed and it can log in to the candidate. The evidence
// comes with the vote.
func (p *Proxy) ProxyVoteFetchProcessor(ctx context.Context, _ *wire.Request, body api.ProxyVoteFetchRequest) (any, error) {
	g, err := p.group(body.HostGroup)
	if err != nil {
		return nil, err
	}
	candidate, err := g.addressOf(body.ToIndex)
	if err != nil {
		return nil, err
	}
	current := g.snapshot().Current.Address
	if current == "" {
		return nil, api.Errorf(api.NotReady, "host group %s has no datasource here yet", body.HostGroup)
	}
	vote := api.ProxyVote{HostGroup: body.HostGroup, FromIndex: g.indexOf(current), ToIndex: body.ToIndex}
	p.mu.Lock()
	pr := p.probers[body.HostGroup]
	p.mu.Unlock()
	enough := false
	if pr != nil {
		var found probeResult
		found, enough = pr.evidence(current)
		vote.Failures, vote.Error = found.Failures, found.Error
		if !found.LastSuccess.IsZero() {
			at := found.LastSuccess.UTC()
			vote.LastSuccess = &at
		}
	}
	ctx, cancel := context.WithTimeout(ctx, voteProbe)
	defer cancel()
	vote.TargetReachable = p.probe(ctx, body.HostGroup, candidate) == nil
	vote.Vote = enough && vote.TargetReachable
	return vote, nil
}

package proxy

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/zerokeeper/zero/proxy/mysql"
	"github.com/zerokeeper/zero/transport/api"
	"github.com/zerokeeper/zero/transport/conf"
	"github.com/zerokeeper/zero/transport/lease"
	"github.com/zerokeeper/zero/transport/wire"
)

// codeServerShutdown is the error of a MySQL server that is on its way out.
const codeServerShutdown = 1053

const (
	probeFloor = time.Second     // the least time that a probe has
	probeAgain = time.Second / 2 // and one that follows a failure
	voteProbe  = 2 * time.Second // the time that the probe of a candidate has
)

// probeResult is what the last probes of a datasource found.
type probeResult struct {
	Address     string
	LastSuccess time.Time // when it was sent; zero: never
	Failures    int       // in a row
	Error       string    // of the last probe, empty when it succeeded
}

// prober logs in to the writable datasource of one host group again and again.
// What it found is the evidence of this proxy's vote.
type prober struct {
	group *group
	probe func(ctx context.Context, address string) error // logs in
	// request asks the keepers for a failover.
	request func(ctx context.Context, found probeResult)
	stop    context.CancelFunc
	done    chan struct{} // closed when run has returned

	mu       sync.Mutex
	requests requests
	asking   bool // a request is outstanding
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

// record takes down one probe, sent then. Results of an address that is not the
// writable one any more are forgotten. A server that answers with an error is
// alive: it may be full, or know another password.
func (pr *prober) record(address string, sent time.Time, err error) {
	pr.mu.Lock()
	defer pr.mu.Unlock()
	if pr.result.Address != address {
		pr.result, pr.requests = probeResult{Address: address}, requests{}
	}
	pr.result.Error = ""
	if err != nil {
		pr.result.Error = clip(err.Error(), maxConfError)
	}
	if answered(err) {
		pr.result.LastSuccess, pr.result.Failures, pr.requests = sent, 0, requests{}
		return
	}
	pr.result.Failures++
}

// answered reports whether a probe found a server that runs.
func answered(err error) bool {
	if err == nil {
		return true
	}
	e, ok := errors.AsType[*mysql.MySQLError](err)
	return ok && e.Code != codeServerShutdown
}

// last is what the last probes found.
func (pr *prober) last() probeResult {
	pr.mu.Lock()
	defer pr.mu.Unlock()
	return pr.result
}

// failed reports whether so many probes in a row have failed that a failover is
// to be asked for, and counts the request.
func (pr *prober) failed() (found probeResult, ask bool) {
	pr.mu.Lock()
	defer pr.mu.Unlock()
	r := pr.result
	if pr.asking || r.Failures == 0 || r.Failures < pr.needed || !pr.requests.due(lease.Now()) {
		return r, false
	}
	pr.asking = true
	return r, true
}

// justFailed reports whether the last probe is the one with which the datasource
// counts as failed.
func (pr *prober) justFailed() bool {
	pr.mu.Lock()
	defer pr.mu.Unlock()
	return pr.result.Failures == max(pr.needed, 1)
}

func (pr *prober) asked() {
	pr.mu.Lock()
	defer pr.mu.Unlock()
	pr.asking = false
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

// times are the pause between two probes and the time that the next one has. A
// server that has just failed to answer in a long time gets a shorter one: what
// is silent should not be waited for three times.
func (pr *prober) times() (pause, limit time.Duration) {
	pr.mu.Lock()
	defer pr.mu.Unlock()
	if pr.result.Failures > 0 {
		return pr.interval, max(pr.interval, probeAgain)
	}
	return pr.interval, max(pr.interval, probeFloor)
}

// run probes what the gate names, from one beginning to the next as long as the
// pause between two, until ctx ends.
func (pr *prober) run(ctx context.Context) {
	defer close(pr.done)
	var asking sync.WaitGroup
	defer asking.Wait()
	for {
		sent := time.Now()
		if current, _, known := pr.group.gate.Current(); known {
			_, limit := pr.times()
			attempt, cancel := context.WithTimeout(ctx, limit)
			err := pr.probe(attempt, current.Address)
			cancel()
			if ctx.Err() != nil {
				return
			}
			pr.record(current.Address, sent, err)
			if pr.justFailed() { // the keepers count it from this heartbeat on, and not from the one that is due
				pr.group.poke()
			}
			if found, ask := pr.failed(); ask {
				asking.Go(func() { defer pr.asked(); pr.request(ctx, found) })
			}
		}
		pause, _ := pr.times()
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause - time.Since(sent)):
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
		probe:   func(ctx context.Context, address string) error { return p.probe(ctx, name, address) },
		request: func(ctx context.Context, found probeResult) { p.request(ctx, g, found) },
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

// failing reports whether this proxy's own probes say that the writable
// datasource of the group has failed.
func (p *Proxy) failing(g *group) bool {
	p.mu.Lock()
	pr := p.probers[g.name]
	p.mu.Unlock()
	if pr == nil {
		return false
	}
	_, enough := pr.evidence(g.snapshot().Current.Address)
	return enough
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

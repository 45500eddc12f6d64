package proxy

import (
	"context"
	"fmt"
	"time"

	"github.com/zerokeeper/zero/transport/api"
	"github.com/zerokeeper/zero/transport/lease"
)

// Requests for a failover: at least firstRequest apart, and twice as far after
// each, up to lastRequest, until a probe succeeds.
const (
	firstRequest = 500 * time.Millisecond
	lastRequest  = 8 * time.Second
)

// requests limits the requests for a failover of one host group.
type requests struct {
	next  lease.Instant // not before
	pause time.Duration // after the next one
}

// due reports whether a request may be made now, and counts it.
func (r *requests) due(now lease.Instant) bool {
	if now < r.next {
		return false
	}
	r.pause = min(max(2*r.pause, firstRequest), lastRequest)
	r.next = now.Add(r.pause)
	return true
}

// request asks the keepers for a failover when this proxy's own probes say that
// the writable datasource has failed. What they think of it comes with votes of
// all; a refusal is no error of the proxy's. At most one is outstanding: the
// prober waits for it.
func (p *Proxy) request(ctx context.Context, g *group, found probeResult) {
	p.mu.Lock()
	link := p.link
	p.mu.Unlock()
	from := g.requestable(found.Address)
	if link == nil || from < 0 || !p.serving.Load() {
		return
	}
	wait := false
	err := p.call(ctx, link, api.ClusterDatasourcesSwitch, api.ClusterDatasourcesSwitchRequest{
		HostGroup: g.name, FromIndex: from, ToIndex: api.AnyIndex, Kind: api.KindFailover, Wait: &wait,
		Reason: fmt.Sprintf("%d probes of %s failed in a row: %s", found.Failures, found.Address, found.Error),
	}, nil)
	switch code, _ := api.CodeOf(err); {
	case code == api.SwitchInProgress: // of another proxy's asking, or the keepers' own: what was wanted
		p.log.Debug("a switch is under way", "group", g.name, "datasource", found.Address, "failures", found.Failures)
		return
	case err != nil:
		p.log.Warn("no failover for now", "group", g.name, "datasource", found.Address, "failures", found.Failures, "reason", err)
		return
	}
	p.log.Warn("failover requested", "group", g.name, "datasource", found.Address, "failures", found.Failures, "error", found.Error)
}

// requestable is the index of the writable datasource if a failover away from it
// may be asked for: the configuration allows it, it is known, no switch is under way as far as is known here,
// and there is another one. Else -1.
func (g *group) requestable(address string) int {
	g.mu.Lock()
	defer g.mu.Unlock()
	step := g.state.Stamp.Step
	if !g.autoFailover || g.state.Current.Address != address || len(g.write) < 2 || step != api.StepIdle && step != api.StepRequested {
		return -1
	}
	for i, a := range g.write {
		if a == address {
			return i
		}
	}
	return -1
}

// findings are what probes found of the writable datasources, for a heartbeat.
// mu is held.
func (p *Proxy) findings() map[string]api.Probe {
	if len(p.probers) == 0 {
		return nil
	}
	found := make(map[string]api.Probe, len(p.probers))
	for name, pr := range p.probers {
		r := pr.last()
		if r.Address == "" {
			continue
		}
		probe := api.Probe{Address: r.Address, Failures: r.Failures, LastSuccessMS: -1, Error: r.Error}
		if !r.LastSuccess.IsZero() {
			probe.LastSuccessMS = time.Since(r.LastSuccess).Milliseconds()
		}
		found[name] = probe
	}
	return found
}

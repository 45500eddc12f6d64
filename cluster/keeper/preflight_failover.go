package keeper

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/zerokeeper/zero/fsm"
)

const (
	ruleGone     = "the primary is gone"
	ruleReplicas = "every recorded replica can be asked"
	ruleMember   = "the candidate is a recorded replica"
	ruleDegraded = "commits were acknowledged by a replica"
)

// examineFailover is the preflight of a failover: what can be known without the
// old primary.
func (d *driver) examineFailover(ctx context.Context, s *fsm.Switch) []fsm.Check {
	d.settleIn(ctx, s)
	state := d.cfg.Store.State()
	checks := []fsm.Check{
		d.checkGone(state, s),
		checkFenceable(state, s),
		d.checkReachable(state, s),
		identityCheck("candidate identity", d.candidate(s), state),
		d.checkMember(s),
		checkDistinct(state, s),
		d.checkReplicas(s),
		d.checkDegraded(s),
		d.checkLoad(ctx, s),
		{Rule: ruleBinlog, OK: true, Input: "skipped: in a failover everything that was received is applied before the commit"},
	}
	if g := state.Group(s.Group); s.Any && g != nil {
		checks = append(checks, d.choiceSoFar(g))
	}
	return checks
}

// settleIn waits for the connections that a new leader does not have yet. Later
// nobody is waited for: whoever is not connected may be as gone as the primary.
func (d *driver) settleIn(ctx context.Context, s *fsm.Switch) {
	ctx, cancel := context.WithTimeout(ctx, d.waits.grace)
	defer cancel()
	for ctx.Err() == nil && d.presence.age() < d.times.Lease && !d.connected(s) {
		pause(ctx, orderPauseMin)
	}
}

// connected reports whether replicas and proxies that should be are connected.
func (d *driver) connected(s *fsm.Switch) bool {
	for _, p := range d.cfg.Store.State().Proxies(s.Cluster) {
		if _, ok := d.proxies.Get(proxyKey(p.Cluster, p.ID)); p.Status == fsm.StatusUp && !ok {
			return false
		}
	}
	for _, address := range d.recorded(s) {
		if _, ok := d.agents.Get(address); !ok {
			return false
		}
	}
	return true
}

// checkGone: nobody may take an overloaded primary for a dead one, but an
// operator may.
func (d *driver) checkGone(state *fsm.State, s *fsm.Switch) fsm.Check {
	g := state.Group(s.Group)
	if g == nil {
		return fsm.Check{Rule: ruleGone, Input: "the host group is gone"}
	}
	e := d.evidenceOf(state, g)
	e.unused = d.unused(s)
	ok, why := e.gone()
	check := fsm.Check{Rule: ruleGone, OK: ok, Input: why}
	if s.ByOperator {
		check.OK, check.Detail = true, "an operator asked for it"
	}
	return check
}

// checkFenceable: a server that no agent ever watched may stay writable for ever.
func checkFenceable(state *fsm.State, s *fsm.Switch) fsm.Check {
	check := fsm.Check{Rule: "the primary has an agent", Input: s.FromAddress}
	if a := state.Agent(s.FromAddress); a != nil {
		check.OK, check.Input = true, fmt.Sprintf("%s: agent %s is %s", s.FromAddress, a.ID, a.Status)
		return check
	}
	check.Detail = "nobody fences a server without an agent: it may go on to write"
	return check
}

// checkReachable says who is missing; a proxy that cannot be reached is waited
// for until its lease is over.
func (d *driver) checkReachable(state *fsm.State, s *fsm.Switch) fsm.Check {
	count := 0
	var missing []string
	for _, p := range state.Proxies(s.Cluster) {
		if p.Status == fsm.StatusUnreg {
			continue
		}
		count++
		if _, ok := d.proxies.Get(proxyKey(p.Cluster, p.ID)); !ok {
			missing = append(missing, p.ID)
		}
	}
	check := fsm.Check{Rule: "proxies", OK: true, Input: fmt.Sprintf("%d proxies in cluster %s", count, s.Cluster)}
	if len(missing) > 0 {
		check.Detail = "not connected, their leases will be waited for: " + strings.Join(missing, ", ")
	}
	return check
}

// checkReplicas: R19 needs every recorded replica under PolicyLossless, and one at
// least. One that is not recorded acknowledged nothing, and does not count.
func (d *driver) checkReplicas(s *fsm.Switch) fsm.Check {
	var missing []string
	recorded := d.recorded(s)
	for _, address := range recorded {
		if _, ok := d.agents.Get(address); !ok {
			missing = append(missing, address)
		}
	}
	check := fsm.Check{Rule: ruleReplicas, OK: len(missing) == 0, Input: fmt.Sprintf("%d of %d recorded replicas, policy %s", len(recorded)-len(missing), len(recorded), s.Policy)}
	switch {
	case len(recorded) == 0:
		check.OK, check.Detail = false, "no replica is recorded: nobody but the primary is known to have what it acknowledged"
	case len(missing) > 0:
		check.Detail = "what only these have received would be lost: " + strings.Join(missing, ", ")
		check.OK = s.Policy == fsm.PolicyAvailable && len(missing) < len(recorded)
	}
	return check
}

// age is how long the term lasts.
func (p *presence) age() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	return time.Since(p.since)
}

package keeper

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/zerokeeper/zero/fsm"
)

// evidence is what the fleet says of a primary.
type evidence struct {
	lease   time.Duration
	probes  int           // that must fail in a row
	dead    int           // heartbeats in a row in which its agent said that mysqld's process is gone
	silent  time.Duration // since its agent's last heartbeat
	proxies int           // that are up and heard
	failing int           // of these, whose probes of it failed often enough
	hearing []string      // replicas that still receive from it
	hung    time.Duration // for which its server, whose process is there, has answered its agent nothing at all; 0: it answers
	patient time.Duration // hung_after: for which it may; 0: for ever
	stuck   int           // proxies whose probes of it failed for that long
	unused  bool          // it was committed and never opened: no proxy probes it yet
}

// gone reports whether the primary is gone, and why or why not. One that is
// overloaded is not: its agent, its replicas or most proxies still reach it.
func (e evidence) gone() (bool, string) {
	switch {
	case e.dead >= max(e.probes, 1):
		return true, fmt.Sprintf("its agent says that mysqld is dead (%d heartbeats in a row)", e.dead)
	case e.dead > 0:
		return false, fmt.Sprintf("its agent says that mysqld is dead, in %d of %d heartbeats so far", e.dead, e.probes)
	case e.silent <= e.lease && e.hangs():
		return true, fmt.Sprintf("its agent says that mysqld runs, and has answered nothing for %v; the probes of %d of %d proxies fail as long, and no replica hears it", e.hung.Round(time.Millisecond), e.stuck, e.proxies)
	case e.silent <= e.lease && e.hung > 0:
		return false, fmt.Sprintf("its agent says that mysqld runs, and has answered nothing for %v (hung_after is %v); %d of %d proxies have not reached it for that long, it is heard by %s", e.hung.Round(time.Millisecond), e.patient, e.stuck, e.proxies, cmp.Or(strings.Join(e.hearing, ", "), "no replica"))
	case e.silent <= e.lease:
		return false, fmt.Sprintf("its agent was heard %v ago and does not say that mysqld is dead", e.silent.Round(time.Millisecond))
	case len(e.hearing) > 0:
		return false, fmt.Sprintf("its agent is silent for %v, but it is heard by %s", e.silent.Round(time.Millisecond), strings.Join(e.hearing, ", "))
	case e.unused:
		return true, fmt.Sprintf("it was to be promoted, its agent is silent for %v, and no replica hears it", e.silent.Round(time.Millisecond))
	case e.failing*2 <= e.proxies || e.proxies == 0:
		return false, fmt.Sprintf("its agent is silent for %v, but the probes of only %d of %d proxies fail", e.silent.Round(time.Millisecond), e.failing, e.proxies)
	}
	return true, fmt.Sprintf("its agent is silent for %v, the probes of %d of %d proxies fail, and no replica hears it", e.silent.Round(time.Millisecond), e.failing, e.proxies)
}

// hangs reports whether the primary is alive in name only: its process is there, and
// for hung_after it has answered nothing to its agent, beside it, nor to most
// proxies, and its replicas hear nothing. Any single answer refutes it: one that is
// overloaded is slow, and is let be. It is killed before another takes its place.
func (e evidence) hangs() bool {
	return e.patient > 0 && e.hung >= e.patient && len(e.hearing) == 0 && e.proxies > 0 && e.stuck*2 > e.proxies
}

// evidenceOf gathers what was heard of a group's writable datasource.
func (k *Keeper) evidenceOf(state *fsm.State, g *fsm.HostGroup) evidence {
	primary := g.Datasources[g.Writable]
	e := evidence{lease: k.times.Lease, probes: g.Settings.Probes, unused: g.Step == fsm.StepPromoting, patient: time.Duration(g.Settings.HungAfter)}
	e.dead, e.silent = k.presence.deadBeats(primary)
	if beat, _, heard := k.presence.agent(primary); heard {
		e.hung = time.Duration(max(0, beat.HungMS)) * time.Millisecond
	}
	for _, p := range state.Proxies(g.Cluster) {
		beat, age, heard := k.presence.proxy(proxyKey(p.Cluster, p.ID))
		if p.Status != fsm.StatusUp || !heard || age > k.times.Lease {
			continue
		}
		e.proxies++
		if probe, ok := beat.Probes[g.Name]; ok && probe.Address == primary && probe.Failures >= max(g.Settings.Probes, 1) {
			e.failing++
			if probe.LastSuccessMS < 0 || time.Duration(probe.LastSuccessMS)*time.Millisecond+age >= e.patient {
				e.stuck++
			}
		}
	}
	for _, address := range g.Datasources {
		beat, age, heard := k.presence.agent(address)
		if address == primary || !heard || age > k.times.Lease || !beat.Receiving || beat.Source != primary {
			continue
		}
		// A connection that brings nothing is no life sign: TCP does not notice a host
		// that is gone.
		if beat.HeardMS < 0 || time.Duration(beat.HeardMS)*time.Millisecond+age <= k.times.Lease {
			e.hearing = append(e.hearing, address)
		}
	}
	return e
}

// contenders are the replicas of a group, as their agents' heartbeats have them.
func (k *Keeper) contenders(g *fsm.HostGroup) []contender {
	var list []contender
	state, primary := k.cfg.Store.State(), g.Datasources[g.Writable]
	for _, address := range g.Datasources {
		if address == primary || g.Replica(address) != fsm.ReplicaMember { // R17
			continue
		}
		beat, age, heard := k.presence.agent(address)
		c := contender{address: address, stopped: true, received: beat.Received, applied: beat.Applied}
		k.rank(&c, state, g.Settings, primary)
		switch {
		case !heard || age > k.times.Lease:
			c.stopped, c.excluded = false, "its agent is silent"
		case beat.Dead || beat.MySQL.Status == 0 && beat.Received == "":
			c.excluded = "its server does not answer"
		case slices.Contains(g.Settings.Never, address):
			c.excluded = "it is in never"
		case beat.Unfit != "": // not any alarm: that it does not receive is why it is asked
			c.excluded = beat.Unfit
		}
		list = append(list, c)
	}
	return list
}

// preferred is the place of an address in the list of the preferred.
func preferred(s fsm.Settings, address string) int {
	if i := slices.Index(s.Prefer, address); i >= 0 {
		return i
	}
	return len(s.Prefer)
}

// provisional is where the choice of a new primary stands before anything was
// stopped. The final one is made when all replicas have stopped to receive.
func (k *Keeper) provisional(g *fsm.HostGroup) (int, error) {
	found, err := choose(k.contenders(g), fsm.PolicyAvailable)
	if err != nil {
		return 0, err
	}
	return slices.Index(g.Datasources, found.address), nil
}

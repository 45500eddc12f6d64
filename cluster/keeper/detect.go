package keeper

import (
	"context"
	"time"

	"github.com/zerokeeper/zero/fsm"
)

// Pauses between two requests of the detector for one group that came to nothing.
const (
	detectPauseMin = time.Second
	detectPauseMax = 30 * time.Second
)

// attempt is what the detector remembers of a group whose primary is gone.
type attempt struct {
	next  time.Time
	pause time.Duration
}

// detect requests a failover when a primary is gone, for groups whose
// configuration lets it (auto_failover).
func (k *Keeper) detect(ctx context.Context, term uint64) {
	interval := max(k.cfg.HeartbeatInterval/8, time.Millisecond)
	tick := time.NewTicker(interval)
	defer tick.Stop()
	round, paused := rounds{interval: interval}, false
	tried := map[string]attempt{}
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		// One that was paused was deaf: it must not take that for silence.
		if paused = round.late(time.Now()) || paused; paused && !k.resume(ctx) {
			continue
		}
		paused = false
		state := k.cfg.Store.State()
		for _, g := range state.Groups() {
			k.watchPrimary(ctx, term, state, g, tried)
		}
	}
}

// watchPrimary requests a failover of one group if its primary is gone.
func (k *Keeper) watchPrimary(ctx context.Context, term uint64, state *fsm.State, g *fsm.HostGroup, tried map[string]attempt) {
	planned := inItsWay(state, g)
	if !g.Settings.AutoFailover || !g.Settings.EnableSwitch || planned == nil && !replaceable(state, g) {
		return
	}
	if state.Agent(g.Datasources[g.Writable]) == nil {
		return // nothing can fence it: said in the status (unfenceable)
	}
	gone, why := k.evidenceOf(state, g).gone()
	if !gone {
		delete(tried, g.Name)
		return
	}
	last := tried[g.Name]
	if time.Now().Before(last.next) {
		return
	}
	last.pause = min(max(2*last.pause, detectPauseMin), detectPauseMax)
	last.next = time.Now().Add(last.pause)
	tried[g.Name] = last
	log := k.log.With("group", g.Name, "primary", g.Datasources[g.Writable], "why", why)
	if planned != nil {
		log.Warn("the primary is gone: a planned switch gives way", "switch", planned.ID)
		if _, err := refused(k.cfg.Store.ProposeInTerm(ctx, term, fsm.Header{}, &fsm.AbortSwitch{ID: planned.ID, Reason: "the primary is gone: " + why})); err != nil && ctx.Err() == nil {
			log.Warn("the planned switch goes on", "switch", planned.ID, "error", err)
		}
		delete(tried, g.Name) // the failover is due as soon as it is rolled back
		return
	}
	to, err := k.provisional(g)
	if err != nil {
		log.Error("the primary is gone, and there is nobody to take its place", "error", err)
		k.refusals.note(state, k.cfg.Now(), &fsm.RequestSwitch{Group: g.Name, RequestedBy: "detector", Reason: why}, err)
		return
	}
	request := &fsm.RequestSwitch{Group: g.Name, From: g.Writable, To: to, Any: true, Kind: fsm.KindFailover, Reason: why, RequestedBy: "detector"}
	result, err := refused(k.cfg.Store.ProposeInTerm(ctx, term, fsm.Header{}, request))
	if err != nil {
		k.refusals.note(state, k.cfg.Now(), request, err)
		if ctx.Err() == nil {
			log.Warn("the primary is gone, and a failover was refused", "error", err)
		}
		return
	}
	log.Warn("the primary is gone: failing over", "switch", string(result.Data))
	k.startDriver(string(result.Data))
}

// inItsWay is the open planned switch of a group that would keep a failover waiting
// for what a dead primary cannot answer; nil when there is none. From the fence on it is
// not: a primary that dies then has given its place up already.
func inItsWay(state *fsm.State, g *fsm.HostGroup) *fsm.Switch {
	s := state.Switch(g.OpenSwitch)
	if s == nil || s.Kind != fsm.KindPlanned || s.Abort != "" {
		return nil
	}
	switch s.State {
	case fsm.StateRequested, fsm.StatePreflight, fsm.StateVoting, fsm.StateStopping:
		return s
	}
	return nil
}

// replaceable reports whether no switch of the group is open, or one that has
// passed its commit point without a new primary that writes (R23).
func replaceable(state *fsm.State, g *fsm.HostGroup) bool {
	if g.OpenSwitch == "" {
		return !g.IsFrozen()
	}
	s := state.Switch(g.OpenSwitch)
	return s != nil && s.Committed()
}

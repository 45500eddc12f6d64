package sim

import (
	"context"
	"math/rand/v2"

	"github.com/zerokeeper/zero/fsm"
)

// fleet and group are what the leader's duties work on.
const (
	fleet = "fleet"
	group = "g"
)

// forward is the way of a switch that succeeds.
var forward = []string{
	fsm.StateRequested, fsm.StatePreflight, fsm.StateVoting, fsm.StateStopping, fsm.StateFencing, fsm.StateCatchingUp,
	fsm.StatePromoting, fsm.StateSwitching, fsm.StateRecovering, fsm.StateRepointing, fsm.StateDone,
}

// lead is what the leader does in its term: switches, step after step, each
// proposed in the term that it was decided in.
func (l *life) lead(ctx context.Context, term uint64) error {
	l.member.world.rec.leads(term, l.who)
	rng := rand.New(rand.NewPCG(l.member.world.seed, 1000+term))
	for ctx.Err() == nil {
		if c := l.decide(rng); c != nil {
			result, err := l.node.ProposeInTerm(ctx, term, fsm.Header{}, c)
			if err == nil && result.Code == 0 && l.heard() {
				l.member.world.rec.acknowledged(l.who, term, result.Index)
			}
		}
		_ = sleep(ctx, between(rng, 20, 150)) // the loop looks at ctx
	}
	return nil
}

// decide is the next step of the open switch, or the next switch.
func (l *life) decide(rng *rand.Rand) fsm.Command {
	state := l.node.State()
	g := state.Group(group)
	if g == nil {
		return &fsm.PublishConfig{Cluster: fleet, ConfigID: "1", Groups: []fsm.GroupSpec{{Name: group, Datasources: []string{"a:1", "b:1", "c:1"}}}}
	}
	if g.OpenSwitch == "" {
		if l.member.world.calm.Load() {
			return nil
		}
		return &fsm.RequestSwitch{Group: group, From: g.Writable, To: (g.Writable + 1 + rng.IntN(2)) % 3, Kind: fsm.KindPlanned, ByOperator: true}
	}
	s := state.Switch(g.OpenSwitch)
	return &fsm.AdvanceSwitch{ID: s.ID, Generation: s.Generation, From: s.State, To: next(s.State, rng.IntN(12) == 0)}
}

// next is the state after one; giveUp rolls back where that is still possible.
func next(state string, giveUp bool) string {
	switch state {
	case fsm.StateRollingBack:
		return fsm.StateRolledBack
	case fsm.StateStopping, fsm.StateFencing, fsm.StateCatchingUp:
		if giveUp {
			return fsm.StateRollingBack
		}
	case fsm.StateRequested, fsm.StatePreflight, fsm.StateVoting:
		if giveUp {
			return fsm.StateRolledBack
		}
	}
	for i, s := range forward {
		if s == state {
			return forward[i+1]
		}
	}
	return fsm.StateRolledBack
}

// checkSwitches holds the switches against what must be true of them in any
// state: terms never go down, at most one is open, and the writable is where
// the last one that was committed put it (I8).
func (w *world) checkSwitches(state *fsm.State) {
	g := state.Group(group)
	if g == nil {
		return
	}
	open, committed := 0, uint64(0)
	for _, s := range state.Switches() {
		if s.IsOpen() {
			open++
		}
		for i, step := range s.Steps {
			if i > 0 && step.Term < s.Steps[i-1].Term {
				w.violate("I8", "switch %s: step %s of term %d came after one of term %d", s.ID, step.State, step.Term, s.Steps[i-1].Term)
			}
		}
		if s.Committed() && s.Generation > committed {
			committed = s.Generation
			if s.Generation == g.Committed && g.Writable != s.To {
				w.violate("I8", "group %s: %d is writable, the last committed switch %s made it %d", g.Name, g.Writable, s.ID, s.To)
			}
		}
	}
	if open > 1 || committed > g.Committed {
		w.violate("I8", "group %s: %d switches are open, generation %d is committed, one of %d was", g.Name, open, g.Committed, committed)
	}
	if w.calm.Load() && open > 0 {
		w.violate("I8", "group %s: switch %s never ended", g.Name, g.OpenSwitch)
	}
}

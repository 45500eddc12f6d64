package keeper

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/zerokeeper/zero/fsm"
	"github.com/zerokeeper/zero/transport/api"
)

// An agent that says that its server is the primary, and is writable, is not believed: the record says who is.
func TestBadInputAgentThatLiesAboutItsRole(t *testing.T) {
	t.Parallel()
	f := world(t, 1, autoDocument(""), short)
	f.beating()
	f.agents[1].set(func(a *actor) {
		a.readOnly = false
		a.says = func(b *api.AgentHeartbeatRequest) { b.Role, b.ReadOnly, b.Dead = "primary", false, true }
	})
	var view api.ClusterViewAnswer
	eventually(t, "it is said", func() bool {
		f.must(api.ClusterView, struct{}{}, &view)
		return slices.ContainsFunc(view.Problems, func(p string) bool {
			return strings.Contains(p, db1) && strings.Contains(p, "is not the writable one, but not read-only")
		})
	})
	f.agents[1].set(func(a *actor) {
		for _, g := range a.told.Grants {
			if g.Primary.Address != db0 {
				t.Errorf("it was granted %+v", g)
			}
		}
	})
	if g := f.state().Group("orders"); g.Writable != 0 || g.Generation != 0 || len(f.state().Switches()) != 0 {
		t.Errorf("the group: %+v", g)
	}
}

// Who claims to have received more than anybody is chosen, and has to show it: what it says after it receives no more counts.
func TestBadInputAgentThatLiesAboutItsPosition(t *testing.T) {
	t.Parallel()
	f := world(t, 1, autoDocument(""), short)
	f.beating()
	f.agents[2].set(func(a *actor) {
		a.says = func(b *api.AgentHeartbeatRequest) { b.Received, b.Applied = "0-1-999999", "0-1-999999" }
	})
	f.probesFail()
	f.agents[0].set(func(a *actor) { a.dead = true })
	var s *fsm.Switch
	eventually(t, "a failover", func() bool {
		for _, s = range f.state().Switches() {
			if s.State == fsm.StateDone {
				return true
			}
		}
		return false
	})
	if s.To < 1 || len(s.Replicas) == 0 || slices.ContainsFunc(s.Replicas, func(r fsm.Replica) bool { return strings.Contains(r.Received, "999999") }) {
		t.Errorf("the record believes what a heartbeat claimed: %+v", s.Replicas)
	}
}

// Wall clocks decide nothing: leases run on another clock. A leader whose clock jumps back does not make the cooldown longer than it is.
func TestBadInputClockJumps(t *testing.T) {
	t.Parallel()
	for name, jump := range map[string]time.Duration{"a day ahead": 24 * time.Hour, "a day back": -24 * time.Hour} {
		t.Run(name, func(t *testing.T) {
			f := world(t, 1, plainDocument, tuning{})
			wantStates(t, f.ended(f.startSwitch(1)), wayDone...)
			f.clock.advance(jump)
			f.cooldown()
			wantStates(t, f.ended(f.startSwitch(0)), wayDone...)
			if g := f.state().Group("orders"); g.Writable != 0 || !g.Open() {
				t.Errorf("the group: %+v", g)
			}
		})
	}
}

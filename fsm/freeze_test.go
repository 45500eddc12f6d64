package fsm

import (
	"math"
	"strings"
	"testing"
)

// TestRecoveryFreezes: whatever raises the epoch freezes every group, ends what
// was open, and nothing begins before the group is thawed (R25).
func TestRecoveryFreezes(t *testing.T) {
	r := newRig(t)
	r.publish(0, group("g1", "a:1", "b:1"), group("g2", "c:1"))
	r.do(0, &RequestSwitch{Group: "g1", To: 1, Kind: KindPlanned})
	r.advance(0, StateRequested, StatePreflight)
	r.do(0, &RaiseClusterEpoch{Epoch: 1})
	for _, name := range []string{"g1", "g2"} {
		if g := r.m.State().Group(name); !g.IsFrozen() || g.Open() || g.OpenSwitch != "" {
			t.Errorf("%s after a recovery: %+v", name, g)
		}
	}
	if s := r.m.State().Switch("g1-1"); s.State != StateRolledBack || s.Code != CodeGroupFrozen {
		t.Errorf("the open switch is %s, code %d", s.State, s.Code)
	}
	r.do(CodeStaleGeneration, &AdvanceSwitch{ID: "g1-1", Generation: 1, From: StatePreflight, To: StateVoting})
	r.do(CodeGroupFrozen, &RequestSwitch{Group: "g1", To: 1, Kind: KindFailover, ByOperator: true})

	at := r.m.State().Group("g1").FrozenAt
	thaw := ThawGroup{Group: "g1", FrozenAt: at, Primary: "b:1", Committed: 5, Generation: 6, By: "the keepers"}
	for _, test := range []struct {
		name   string
		code   uint16
		change func(c *ThawGroup)
	}{
		{"another freeze", CodeStaleGeneration, func(c *ThawGroup) { c.FrozenAt-- }},
		{"a stranger", CodeBadRequest, func(c *ThawGroup) { c.Primary = "z:1" }},
		{"no such group", CodeKeyMissing, func(c *ThawGroup) { c.Group = "g3" }},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := thaw
			test.change(&c)
			r.do(test.code, &c)
		})
	}
	if result := r.with(Header{}, &thaw); result.Code != CodeBadRequest {
		t.Errorf("a thaw that names no term: code %d", result.Code)
	}
	r.do(0, &thaw)
	g := r.m.State().Group("g1")
	if g.IsFrozen() || !g.Open() || g.Generation != 7 || g.Committed != 5 || g.Writable != 1 || g.Decided != 1 {
		t.Errorf("thawed: %+v", g)
	}
	if g.Replica("a:1") != ReplicaJoining || len(g.Recorded) != 1 || g.RecordVersion == 0 {
		t.Errorf("recorded: %+v: an old primary that the restored record does not name may have acknowledged since", g.Recorded)
	}
	r.do(CodeNotFrozen, &thaw)
	if ahead, _ := g.Ahead(1, 0, 9, StepIdle); ahead {
		t.Error("one who was not asked comes back with a stamp from before the decision, and counts as ahead")
	}
}

// TestOperatorsThawIsACommit: what an operator names is the primary from a new
// generation on.
func TestOperatorsThawIsACommit(t *testing.T) {
	r := newRig(t)
	r.publish(0, group("g1", "a:1", "b:1"))
	r.do(0, &RaiseClusterEpoch{Epoch: 1})
	r.do(0, &FreezeGroup{Group: "g1", Epoch: 0, Generation: 8, Step: StepIdle, By: "agent b:1"})
	r.do(0, &ThawGroup{Group: "g1", FrozenAt: r.m.State().Group("g1").FrozenAt, Primary: "b:1", By: "operator", ByOperator: true})
	if g := r.m.State().Group("g1"); g.Generation != 9 || g.Committed != 9 || g.Writable != 1 {
		t.Errorf("thawed: %+v", g)
	}
}

// TestHeardStamps: which stamps freeze a group that no recovery has frozen.
func TestHeardStamps(t *testing.T) {
	for _, test := range []struct {
		name              string
		epoch, generation uint64
		step              uint8
		code              uint16
		frozen            bool
	}{
		{"its own", 1, 1, StepIdle, 0, false},
		{"an older generation", 1, 0, StepIdle, 0, false},
		{"an older step", 1, 1, StepStopping, 0, false},
		{"a higher generation", 1, 4, StepStopping, 0, true},
		{"a higher epoch", 2, 0, StepRequested, 0, true},
		{"an older epoch that was decided", 0, 9, StepIdle, 0, false},
		{"a generation from nowhere", 1, math.MaxUint64, StepIdle, CodeBadRequest, false},
		{"an epoch from nowhere", math.MaxUint64, 1, StepIdle, CodeBadRequest, false},
		{"no step at all", 1, 2, 77, CodeBadRequest, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := newRig(t)
			r.publish(0, group("g1", "a:1", "b:1"))
			r.do(0, &RaiseClusterEpoch{Epoch: 1})
			r.do(0, &ThawGroup{Group: "g1", FrozenAt: r.m.State().Group("g1").FrozenAt, Primary: "a:1"})
			r.do(test.code, &FreezeGroup{Group: "g1", Epoch: test.epoch, Generation: test.generation, Step: test.step, By: "agent b:1"})
			g := r.m.State().Group("g1")
			if g.IsFrozen() != test.frozen || test.frozen && !strings.Contains(g.Frozen, "agent b:1") {
				t.Errorf("frozen: %q", g.Frozen)
			}
			if epoch := r.m.State().Epoch(); test.frozen && epoch <= max(1, test.epoch)-1 || !test.frozen && epoch != 1 {
				t.Errorf("the epoch is %d", epoch)
			}
		})
	}
}

// TestGroupOfBeforeTheRestore: a group that the restored state did not know, and
// that is configured again, is frozen by who has seen a generation of it.
func TestGroupOfBeforeTheRestore(t *testing.T) {
	r := newRig(t)
	r.do(0, &RaiseClusterEpoch{Epoch: 1})
	r.publish(0, group("g1", "a:1", "b:1"))
	r.do(0, &FreezeGroup{Group: "g1", Epoch: 0, Generation: 7, Step: StepIdle, By: "agent b:1"})
	if !r.m.State().Group("g1").IsFrozen() {
		t.Error("a:1 would be granted, by a configuration, what b:1 has since generation 7")
	}
	// Nobody leaves who may know better; the primary that is missing may come in.
	r.publish(CodeGroupFrozen, group("g1", "a:1"))
	r.publish(CodeGroupFrozen)
	r.publish(0, group("g1", "a:1", "b:1", "d:1"))
	if !r.m.State().Group("g1").IsFrozen() {
		t.Error("a configuration has thawed it")
	}
}

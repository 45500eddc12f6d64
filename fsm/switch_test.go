package fsm

import (
	"testing"
	"time"
)

var forward = []string{StateRequested, StatePreflight, StateVoting, StateStopping, StateFencing, StateCatchingUp,
	StatePromoting, StateSwitching, StateRecovering, StateRepointing, StateDone}

func switchRig(t *testing.T) *rig {
	r := newRig(t)
	r.publish(0, group("g1", "a:1", "b:1", "c:1"))
	r.members("g1")
	r.do(0, &RequestSwitch{Group: "g1", From: 0, To: 1, Kind: KindPlanned, Reason: "r", ByOperator: true})
	return r
}

func TestSwitchForward(t *testing.T) {
	r := switchRig(t)
	for i, state := range forward[1:] {
		before := r.m.State().Group("g1")
		r.advance(0, forward[i], state)
		g := r.m.State().Group("g1")
		if g.Step < before.Step && state != StateRequested {
			t.Errorf("%s: the step fell from %d to %d", state, before.Step, g.Step)
		}
		committed := i+1 >= 6
		if (g.Writable == 1) != committed || (g.Committed == 1) != committed {
			t.Errorf("%s: writable %d, committed %d", state, g.Writable, g.Committed)
		}
		held := state != StatePreflight && state != StateVoting && i+1 < 8
		if g.Open() == held {
			t.Errorf("%s: open is %v", state, g.Open())
		}
	}
	g := r.m.State().Group("g1")
	if g.OpenSwitch != "" || g.LastSwitch != "g1-1" || g.Step != StepIdle || g.LastEnd != r.now {
		t.Errorf("%+v", g)
	}
}

func TestSwitchRollsBackOnlyBeforeTheCommit(t *testing.T) {
	for i, state := range forward {
		r := switchRig(t)
		for j := range i {
			r.advance(0, forward[j], forward[j+1])
		}
		undo, again := StateRollingBack, StateRolledBack
		if i < 3 {
			undo, again = again, undo
		}
		code := uint16(0)
		if i >= 6 {
			code = CodeInvalidSwitch
		}
		r.advance(CodeInvalidSwitch, state, again)
		r.advance(code, state, undo)
		if g := r.m.State().Group("g1"); code == 0 && g.Writable != 0 {
			t.Errorf("%s: rolled back, but writable is %d", state, g.Writable)
		}
		abort := r.with(Header{}, &AbortSwitch{ID: "g1-1", Reason: "r"})
		if over := state == StateDone || undo == StateRolledBack; (abort.Code != 0) != (over || i >= 6) {
			t.Errorf("abort in %s: code %d", r.m.State().Switch("g1-1").State, abort.Code)
		}
	}
}

// What a planned switch that was undone leaves keeps no failover waiting: the primary
// may have died in the middle of it.
func TestNoCooldownBeforeAFailover(t *testing.T) {
	r := switchRig(t)
	r.advance(0, StateRequested, StateRolledBack)
	r.do(CodeTooFrequent, &RequestSwitch{Group: "g1", To: 1, Kind: KindPlanned})
	r.do(0, &RequestSwitch{Group: "g1", To: 1, Kind: KindFailover, ByOperator: true})
	for _, undo := range []AdvanceSwitch{{From: StateRequested, To: StatePreflight}, {From: StatePreflight, To: StateVoting}, {From: StateVoting, To: StateStopping}, {From: StateStopping, To: StateRollingBack}, {From: StateRollingBack, To: StateRolledBack}} {
		undo.ID, undo.Generation = "g1-2", 2
		r.do(0, &undo)
	}
	r.do(CodeTooFrequent, &RequestSwitch{Group: "g1", To: 1, Kind: KindFailover, ByOperator: true}) // of a failover it does count
}

func TestGenerationsAreSpent(t *testing.T) {
	r := switchRig(t)
	r.advance(0, StateRequested, StateRolledBack)
	r.do(CodeTooFrequent, &RequestSwitch{Group: "g1", To: 1, Kind: KindPlanned})
	r.now += int64(10 * time.Second)
	r.do(0, &RequestSwitch{Group: "g1", To: 1, Kind: KindPlanned})
	if s := r.m.State().Switch("g1-2"); s == nil || s.Generation != 2 {
		t.Fatalf("the second switch: %+v", s)
	}
	got := r.with(Header{Term: r.term}, &AdvanceSwitch{ID: "g1-1", Generation: 1, From: StateRequested, To: StatePreflight})
	if got.Code != CodeStaleGeneration {
		t.Errorf("a late step of the first switch: code %d", got.Code)
	}
}

func TestAbortedSwitchIsNotCommitted(t *testing.T) {
	r := switchRig(t)
	for i := range 5 {
		r.advance(0, forward[i], forward[i+1])
	}
	r.do(0, &AbortSwitch{ID: "g1-1", Reason: "r"})
	r.advance(CodeInvalidSwitch, StateCatchingUp, StatePromoting)
	r.advance(0, StateCatchingUp, StateRollingBack)
}

func TestRequestSwitchRefusals(t *testing.T) {
	r := newRig(t)
	closed := group("closed", "x:1", "y:1")
	closed.Settings.EnableSwitch = false
	r.publish(0, group("g1", "a:1", "b:1"), closed)
	for _, test := range []struct {
		name string
		c    RequestSwitch
		code uint16
	}{
		{"no group", RequestSwitch{Group: "nope", To: 1, Kind: KindPlanned}, CodeKeyMissing},
		{"from = to", RequestSwitch{Group: "g1", Kind: KindPlanned}, CodeInvalidSwitch},
		{"to too high", RequestSwitch{Group: "g1", To: 2, Kind: KindPlanned}, CodeInvalidSwitch},
		{"to negative", RequestSwitch{Group: "g1", To: -1, Kind: KindPlanned}, CodeInvalidSwitch},
		{"from not writable", RequestSwitch{Group: "g1", From: 1, To: 0, Kind: KindPlanned}, CodeInvalidSwitch},
		{"no kind", RequestSwitch{Group: "g1", To: 1}, CodeInvalidSwitch},
		{"enable_switch false", RequestSwitch{Group: "closed", To: 1, Kind: KindPlanned}, CodeInvalidSwitch},
		{"but an operator may", RequestSwitch{Group: "closed", To: 1, Kind: KindPlanned, ByOperator: true}, 0},
		{"good", RequestSwitch{Group: "g1", To: 1, Kind: KindPlanned}, 0},
		{"one runs", RequestSwitch{Group: "g1", To: 1, Kind: KindPlanned}, CodeSwitchInProgress},
	} {
		if got := r.with(Header{}, &test.c); got.Code != test.code {
			t.Errorf("%s: code %d (%s), want %d", test.name, got.Code, got.Msg, test.code)
		}
	}
}

func TestVotesOnlyWhileVoting(t *testing.T) {
	r := switchRig(t)
	vote := &CastVote{Generation: 1, Vote: Vote{Switch: "g1-1", Proxy: "p1", Vote: true}}
	r.do(CodeStaleGeneration, vote)
	r.advance(0, StateRequested, StatePreflight)
	r.advance(0, StatePreflight, StateVoting)
	r.do(0, vote)
	r.do(CodeStaleGeneration, &CastVote{Generation: 0, Vote: vote.Vote})
	if votes := r.m.State().Votes("g1-1"); len(votes) != 1 || !votes[0].Vote {
		t.Errorf("%+v", votes)
	}
}

func TestConfigRemapsTheWritableByAddress(t *testing.T) {
	r := newRig(t)
	r.publish(0, group("g1", "a:1", "b:1"))
	generation := r.m.State().Group("g1").Generation
	moved := group("g1", "new:1", "b:1", "a:1")
	moved.ActiveWrite = 1 // differs: ignored
	r.publish(0, moved)
	if g := r.m.State().Group("g1"); g.Writable != 2 || g.Generation != generation+1 || g.Step != StepIdle {
		t.Errorf("%+v", g)
	}
	r.publish(CodeConfigCheck, group("g1", "new:1", "b:1"))
	r.publish(CodeConfigCheck, group("g1", "a:1"), group("g2", "a:1"))
	r.do(0, &RequestSwitch{Group: "g1", From: 2, To: 1, Kind: KindPlanned})
	r.publish(CodeSwitchInProgress, group("g1", "a:1", "b:1"))
	r.publish(CodeSwitchInProgress)
	r.publish(0, moved) // the same datasources
	r.advance(0, StateRequested, StateRolledBack)
	r.publish(0)
	if r.m.State().Group("g1").Removed != true || len(r.m.State().Groups()) != 0 {
		t.Error("the group is still there")
	}
	spent := r.m.State().Group("g1").Generation
	r.publish(0, group("g1", "z:1"))
	if g := r.m.State().Group("g1"); g.Generation <= spent || g.Writable != 0 || g.Removed {
		t.Errorf("a group that came back: %+v", g)
	}
}

func TestLastProxyStays(t *testing.T) {
	r := newRig(t)
	for _, id := range []string{"p1", "p2"} {
		r.do(0, &RegisterProxy{Cluster: "c", ID: id, Address: id})
		r.do(0, &SetProxyStatus{Cluster: "c", ID: id, To: StatusUp})
	}
	r.do(0, &SetProxyStatus{Cluster: "c", ID: "p1", To: StatusUnreg})
	r.do(CodeLastProxy, &SetProxyStatus{Cluster: "c", ID: "p2", To: StatusUnreg})
	r.do(0, &SetProxyStatus{Cluster: "c", ID: "p2", To: StatusUnreg, Force: true})
	r.do(CodeStaleGeneration, &SetProxyStatus{Cluster: "c", ID: "p2", From: StatusUp, To: StatusLost})
}

func TestTimestampNeverGoesBack(t *testing.T) {
	r := newRig(t)
	r.do(0, &PutSection{ID: "i", Data: []byte("1")})
	at := r.m.State().Section("i", "").Timestamp
	r.now -= int64(time.Hour)
	r.do(0, &PutSection{ID: "i", Data: []byte("2")})
	if s := r.m.State().Section("i", ""); s.Timestamp != at || string(s.Data) != "2" {
		t.Errorf("%+v, the first was at %d", s, at)
	}
}

func TestFailoverRequests(t *testing.T) {
	r := newRig(t)
	auto, off := group("g1", "a:1", "b:1", "c:1"), group("off", "x:1", "y:1")
	auto.Settings.AutoFailover = true
	r.publish(0, auto, off)
	for _, test := range []struct {
		name string
		c    RequestSwitch
		code uint16
	}{
		{"not allowed", RequestSwitch{Group: "off", To: 1, Kind: KindFailover}, CodeInvalidSwitch},
		{"but to an operator", RequestSwitch{Group: "off", To: 1, Kind: KindFailover, ByOperator: true}, 0},
		{"a choice in a planned switch", RequestSwitch{Group: "g1", To: 1, Kind: KindPlanned, Any: true}, CodeInvalidSwitch},
		{"no such policy", RequestSwitch{Group: "g1", To: 1, Kind: KindFailover, Policy: "brave"}, CodeInvalidSwitch},
		{"good", RequestSwitch{Group: "g1", To: 1, Kind: KindFailover, Any: true}, 0},
		{"one runs", RequestSwitch{Group: "g1", To: 1, Kind: KindFailover}, CodeSwitchInProgress},
	} {
		if got := r.with(Header{}, &test.c); got.Code != test.code {
			t.Errorf("%s: code %d (%s), want %d", test.name, got.Code, got.Msg, test.code)
		}
	}
	if s := r.m.State().Switch("g1-1"); s.Policy != PolicyLossless || !s.Any {
		t.Errorf("%+v", s)
	}
	r.advance(0, StateRequested, StateRolledBack)
	r.do(0, &RequestSwitch{Group: "g1", To: 1, Kind: KindFailover}) // nothing was touched: no cooldown
}

// R13: only one that was prepared can be chosen, and only with the commit.
func TestChosenWithTheCommit(t *testing.T) {
	r := newRig(t)
	r.publish(0, group("g1", "a:1", "b:1", "c:1", "d:1"))
	r.members("g1")
	r.do(0, &RequestSwitch{Group: "g1", To: 1, Kind: KindFailover, Any: true, ByOperator: true})
	step := func(code uint16, c AdvanceSwitch) {
		t.Helper()
		c.ID, c.Generation = "g1-1", 1
		r.do(code, &c)
	}
	for i := range 3 {
		step(0, AdvanceSwitch{From: forward[i], To: forward[i+1]})
	}
	step(0, AdvanceSwitch{From: StateStopping, To: StateFencing, Prepared: []Prepared{{"b:1", "i"}, {"c:1", "i"}}})
	step(CodeInvalidSwitch, AdvanceSwitch{From: StateFencing, To: StateCatchingUp, Chosen: "c:1"})
	step(0, AdvanceSwitch{From: StateFencing, To: StateCatchingUp})
	step(CodeInvalidSwitch, AdvanceSwitch{From: StateCatchingUp, To: StatePromoting, Chosen: "d:1"})
	step(0, AdvanceSwitch{From: StateCatchingUp, To: StatePromoting, Chosen: "c:1"})
	if g, s := r.m.State().Group("g1"), r.m.State().Switch("g1-1"); g.Writable != 2 || s.To != 2 || s.ToAddress != "c:1" {
		t.Errorf("%+v, %+v", g, s)
	}
}

// R23: a committed switch is superseded by a failover of what it committed,
// never before the commit, and the group stays held.
func TestSupersede(t *testing.T) {
	for i, state := range forward {
		r := switchRig(t)
		for j := range i {
			r.advance(0, forward[j], forward[j+1])
		}
		next := &RequestSwitch{Group: "g1", From: 1, To: 2, Kind: KindFailover, ByOperator: true}
		if i == len(forward)-1 {
			r.do(CodeTooFrequent, next) // it is over, and not superseded
			continue
		}
		if i < 6 {
			next.From = 0
			r.do(CodeSwitchInProgress, next)
			continue
		}
		planned := *next
		planned.Kind = KindPlanned
		r.do(CodeSwitchInProgress, &planned)
		r.do(0, next)
		old, s, g := r.m.State().Switch("g1-1"), r.m.State().Switch("g1-2"), r.m.State().Group("g1")
		if old.State != StateSuperseded || old.IsOpen() || s.Supersedes != "g1-1" || g.Generation != 2 || g.Step != StepStopping || g.Open() || g.OpenSwitch != "g1-2" {
			t.Errorf("%s: %+v, %+v, %+v", state, old, s, g)
		}
		if got := r.with(Header{Term: r.term}, &AdvanceSwitch{ID: "g1-1", Generation: 1, From: state, To: forward[i+1]}); got.Code != CodeStaleGeneration {
			t.Errorf("%s: a late step of the superseded switch: code %d", state, got.Code)
		}
		for j := range 6 {
			r.advance(0, forward[j], forward[j+1])
			if g := r.m.State().Group("g1"); g.Open() {
				t.Errorf("%s: open in %s", state, forward[j+1])
			}
		}
		if g := r.m.State().Group("g1"); g.Writable != 2 {
			t.Errorf("%s: the writable is %d", state, g.Writable)
		}
	}
}

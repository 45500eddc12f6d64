package fsm

import (
	"strings"
	"testing"
	"time"
)

const hour = int64(time.Hour)

// auto is a group that fails over by itself.
func auto(name string, addresses ...string) GroupSpec {
	g := group(name, addresses...)
	g.Settings.AutoFailover, g.Settings.AckAfter = true, hour
	return g
}

func (r *rig) wantRefusal(code uint16, says string, c Command) {
	r.t.Helper()
	if got := r.do(code, c); !strings.Contains(got.Msg, says) {
		r.t.Errorf("%T: %q, want it to say %q", c, got.Msg, says)
	}
}

// failOver takes a failover of g1 from the request to its end.
func (r *rig) failOver(from, to int, byOperator bool) string {
	r.t.Helper()
	r.members("g1")
	id := string(r.do(0, &RequestSwitch{Group: "g1", From: from, To: to, Kind: KindFailover, Reason: "gone", RequestedBy: "detector", ByOperator: byOperator}).Data)
	states := []string{StateRequested, StatePreflight, StateVoting, StateStopping, StateFencing, StateCatchingUp, StatePromoting, StateSwitching, StateRecovering, StateRepointing, StateDone}
	for i := range len(states) - 1 {
		r.advance(0, states[i], states[i+1])
	}
	r.now += 20 * int64(time.Second) // the cooldown
	return id
}

func TestMaintenance(t *testing.T) {
	r := newRig(t)
	r.publish(0, auto("g1", "a:1", "b:1"), auto("g2", "c:1", "d:1"))
	request := func(group string, kind string, byOperator bool) *RequestSwitch {
		return &RequestSwitch{Group: group, From: 0, To: 1, Kind: kind, Reason: "r", RequestedBy: "x", ByOperator: byOperator}
	}
	r.do(CodeBadRequest, &SetMaintenance{Group: "g1", On: true, By: "ada"})
	r.do(CodeBadRequest, &SetMaintenance{Group: "g1", On: true, Reason: "r"})
	r.do(CodeBadRequest, &SetMaintenance{Group: "g1", On: true, By: "ada", Reason: "r", For: -1})
	r.do(CodeKeyMissing, &SetMaintenance{Group: "g9", On: true, By: "ada", Reason: "r"})
	r.do(0, &SetMaintenance{Group: "g1", On: true, By: "ada", Reason: "new disks", For: 2 * hour})
	if h := r.m.State().Group("g1").Maintenance; h.Since != r.now || h.Until != r.now+2*hour {
		t.Errorf("since %d until %d, the leader's time is %d", h.Since, h.Until, r.now)
	}
	for _, kind := range []string{KindPlanned, KindFailover} {
		r.wantRefusal(CodeMaintenance, "new disks", request("g1", kind, false))
		r.wantRefusal(CodeMaintenance, "by ada", request("g1", kind, false))
	}
	if r.m.State().Group("g1").Generation != 0 {
		t.Error("a refusal spent a generation")
	}
	r.do(0, request("g2", KindPlanned, false)) // another group
	id := string(r.do(0, request("g1", KindPlanned, true)).Data)
	if w := r.m.State().Switch(id).Warnings; len(w) != 1 || !strings.Contains(w[0], "new disks") {
		t.Errorf("the operator's record: %q", w)
	}
	r.advance(0, StateRequested, StateRolledBack)
	r.now += 2*hour - 1
	r.do(CodeMaintenance, request("g1", KindFailover, false))
	r.now++ // its end by the header's time: nobody has to take it off
	r.do(0, request("g1", KindFailover, false))
	r.advance(0, StateRequested, StateRolledBack)
	r.do(0, &SetMaintenance{Group: "g1", On: true, By: "ada", Reason: "again"})
	r.now += 1000 * hour
	r.do(CodeMaintenance, request("g1", KindFailover, false))
	r.do(0, &SetMaintenance{Group: "g1", By: "bob"})
	r.do(0, request("g1", KindFailover, false))
}

func TestBrake(t *testing.T) {
	r := newRig(t)
	r.publish(0, auto("g1", "a:1", "b:1"), auto("g2", "c:1", "d:1"))
	r.do(CodeBadRequest, &SetBrake{On: true, By: "ada"})
	r.do(0, &SetBrake{On: true, By: "ada", Reason: "a switch upgrade"})
	for _, g := range []string{"g1", "g2"} {
		r.wantRefusal(CodeBraked, "a switch upgrade", &RequestSwitch{Group: g, From: 0, To: 1, Kind: KindFailover, Reason: "r"})
	}
	id := string(r.do(0, &RequestSwitch{Group: "g1", From: 0, To: 1, Kind: KindFailover, Reason: "r", ByOperator: true}).Data)
	if w := r.m.State().Switch(id).Warnings; len(w) != 1 || !strings.Contains(w[0], "brake") {
		t.Errorf("the operator's record: %q", w)
	}
	r.do(0, &SetBrake{By: "ada"})
	r.do(0, &RequestSwitch{Group: "g2", From: 0, To: 1, Kind: KindFailover, Reason: "r"})
}

func TestAcknowledgement(t *testing.T) {
	r := newRig(t)
	r.publish(0, auto("g1", "a:1", "b:1"))
	next := func(from int) *RequestSwitch {
		return &RequestSwitch{Group: "g1", From: from, To: 1 - from, Kind: KindFailover, Reason: "gone", RequestedBy: "detector"}
	}
	id := r.failOver(0, 1, false)
	r.wantRefusal(CodeAckPending, "zeroctl switch ack "+id, next(1))
	r.do(CodeBadRequest, &AckSwitch{ID: id})
	r.do(CodeKeyMissing, &AckSwitch{ID: "g1-99", By: "ada"})
	r.do(0, &AckSwitch{ID: id, By: "ada", Reason: "disk of a"})
	if a := r.m.State().Switch(id).Acked; a.By != "ada" || a.Reason != "disk of a" || a.Time != r.now {
		t.Errorf("acknowledged: %+v", a)
	}
	r.wantRefusal(CodeConflict, "by ada", &AckSwitch{ID: id, By: "bob"})

	id = r.failOver(1, 0, false) // acknowledged: the next one goes
	r.do(CodeAckPending, next(0))
	open := string(r.do(0, &RequestSwitch{Group: "g1", From: 0, To: 1, Kind: KindPlanned, Reason: "r", ByOperator: true}).Data)
	r.do(CodeSwitchInProgress, &AckSwitch{ID: open, By: "ada"})
	r.advance(0, StateRequested, StateRolledBack)
	g := r.m.State().Group("g1")
	if pending, until := g.AckPending(r.now); pending != id || until <= r.now {
		t.Errorf("pending %q until %d; an operator's switch is no acknowledgement", pending, until)
	}
	r.now = g.Pending.Since + hour - 1
	r.do(CodeAckPending, next(0))
	r.now++ // auto_ack_after
	r.do(0, next(0))
	r.advance(0, StateRequested, StateRolledBack)

	r.failOver(0, 1, true) // an operator knows of his own
	r.do(0, next(1))
	r.advance(0, StateRequested, StateRolledBack)
	none := auto("g1", "a:1", "b:1")
	none.Settings.AckAfter = 0
	r.publish(0, none)
	r.failOver(1, 0, false)
	r.do(0, next(0))
}

// R23: a failover that is stuck behind its commit is superseded, whoever
// acknowledged what; the brake stops that as well.
func TestAcknowledgementDoesNotStopSuperseding(t *testing.T) {
	r := newRig(t)
	r.publish(0, auto("g1", "a:1", "b:1"))
	r.failOver(0, 1, false)
	id := r.m.State().Group("g1").Pending.Switch
	r.members("g1")
	r.do(0, &RequestSwitch{Group: "g1", From: 1, To: 0, Kind: KindPlanned, Reason: "r", ByOperator: true})
	for _, s := range [][2]string{{StateRequested, StatePreflight}, {StatePreflight, StateVoting}, {StateVoting, StateStopping}, {StateStopping, StateFencing}, {StateFencing, StateCatchingUp}, {StateCatchingUp, StatePromoting}} {
		r.advance(0, s[0], s[1])
	}
	if pending, _ := r.m.State().Group("g1").AckPending(r.now); pending != id {
		t.Fatalf("%q is pending, want %q", pending, id)
	}
	again := &RequestSwitch{Group: "g1", From: 0, To: 1, Kind: KindFailover, Reason: "gone", RequestedBy: "detector"}
	r.do(0, &SetBrake{On: true, By: "ada", Reason: "stop"})
	r.do(CodeBraked, again)
	r.do(0, &SetBrake{By: "ada"})
	r.do(0, again)
}

func TestRecordHook(t *testing.T) {
	r := newRig(t)
	r.publish(0, auto("g1", "a:1", "b:1"))
	id := string(r.do(0, &RequestSwitch{Group: "g1", From: 0, To: 1, Kind: KindPlanned, Reason: "r", ByOperator: true}).Data)
	result := HookResult{Hook: "pager", Event: "switch/before", Note: strings.Repeat("x", 5000)}
	r.do(CodeStaleGeneration, &RecordHook{ID: id, Generation: 7, Result: result})
	r.do(CodeSwitchInProgress, &RecordHook{ID: id, Generation: 1, Closed: true})
	r.do(0, &RecordHook{ID: id, Generation: 1, Result: result})
	result.OK = true
	r.do(0, &RecordHook{ID: id, Generation: 1, Result: result})
	if s := r.m.State().Switch(id); len(s.Hooks) != 1 || !s.Hooks[0].OK || len(s.Hooks[0].Note) != maxHookNote || s.Hooks[0].Time != r.now || !s.HooksOpen {
		t.Errorf("recorded: %+v", s.Hooks)
	}
	for i := range maxHookResults - 1 {
		r.do(0, &RecordHook{ID: id, Generation: 1, Result: HookResult{Hook: "h" + string(rune(200+i)), Event: "e"}})
	}
	r.do(CodeTooLarge, &RecordHook{ID: id, Generation: 1, Result: HookResult{Hook: "one more", Event: "e"}})
	r.advance(0, StateRequested, StateRolledBack)
	r.do(0, &RecordHook{ID: id, Generation: 1, Closed: true})
	if r.m.State().Switch(id).HooksOpen {
		t.Error("its hooks are still open")
	}
}

func TestPreviewChangesNothing(t *testing.T) {
	r := newRig(t)
	r.publish(0, auto("g1", "a:1", "b:1"))
	state := r.m.State()
	before := state.Hash()
	c := &RequestSwitch{Group: "g1", From: 0, To: 1, Kind: KindPlanned, Reason: "r", ByOperator: true}
	s, refusal := state.Preview(c, r.now)
	if refusal != nil || s.ID != "g1-1" || s.ToAddress != "b:1" {
		t.Errorf("%+v, %+v", s, refusal)
	}
	c.From = 1
	if _, refusal = state.Preview(c, r.now); refusal == nil || refusal.Code != CodeInvalidSwitch {
		t.Errorf("a wrong one: %+v", refusal)
	}
	if r.m.State() != state || state.Hash() != before || state.Group("g1").Generation != 0 || len(state.Switches()) != 0 {
		t.Error("the state changed")
	}
}

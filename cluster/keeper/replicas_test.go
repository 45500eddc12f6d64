package keeper

import (
	"slices"
	"strings"
	"testing"

	"github.com/zerokeeper/zero/fsm"
	"github.com/zerokeeper/zero/transport/api"
)

// replicaIs waits until a replica is in that state of the record.
func (f *fleet) replicaIs(address, state string) {
	f.t.Helper()
	eventually(f.t, address+" is "+state+" in the record", func() bool { return f.state().Group("orders").Replica(address) == state })
}

func (f *fleet) problems() string {
	f.t.Helper()
	var view api.ClusterViewAnswer
	f.must(api.ClusterView, struct{}{}, &view)
	return strings.Join(view.Problems, "\n")
}

// TestReplicaJoins (R17, R20): it is recorded, then told that it may acknowledge;
// it is a member when the primary's agent has stored the set with it.
func TestReplicaJoins(t *testing.T) {
	f := newFleet(t, 1, tuning{})
	f.must(api.ConfigPush, api.ConfigPushRequest{Content: plainDocument}, nil)
	a0, a1 := f.agent("a0", db0, "server-0"), f.agent("a1", db1, "server-1")
	f.agents = []*actor{a0, a1}
	a0.set(func(a *actor) { a.readOnly = false })
	if got := only(t, a1.beat()); got.Acknowledge && f.state().Group("orders").Replica(db1) == "" {
		t.Error("it may acknowledge before it is recorded")
	}
	a0.set(func(a *actor) { a.deaf = true }) // its agent stores nothing
	a0.beat()
	f.replicaIs(db1, fsm.ReplicaJoining)
	if got := only(t, a1.beat()); !got.Acknowledge || !slices.Equal(got.ReplicaSet, []string{db1}) {
		t.Errorf("a recorded replica is told %+v", got)
	}
	f.proxy("p1")
	a0.beat()
	a1.beat()
	if text := f.problems(); !strings.Contains(text, db1+" of host group orders cannot take over: it is joining") {
		t.Errorf("problems:\n%s", text)
	}
	s := f.ended(f.startSwitch(1))
	if wantStates(t, s, undoneFrom(fsm.StatePreflight)...); s.Code != api.NotRecorded {
		t.Errorf("a switch to one that joins: %d %s", s.Code, s.Error)
	}
	f.cooldown()
	a0.set(func(a *actor) { a.deaf = false })
	eventually(t, "it is a member", func() bool {
		a0.beat()
		a1.beat()
		return f.state().Group("orders").Replica(db1) == fsm.ReplicaMember
	})
}

// TestReplicaLeaves (R17, R20): not promotable first, out of the record when its
// agent has confirmed that it acknowledges nothing, and only then.
func TestReplicaLeaves(t *testing.T) {
	f := world(t, 1, plainDocument, tuning{})
	a := f.agents[2]
	a.set(func(a *actor) { a.deaf, a.receiving = true, false })
	f.must(api.ConfigPush, api.ConfigPushRequest{Content: document(db0+", "+db1, "", "")}, nil)
	f.replicaIs(db2, fsm.ReplicaLeaving)
	a.beat() // what it says is older than that
	f.agents[0].beat()
	if state := f.state().Group("orders").Replica(db2); state != fsm.ReplicaLeaving {
		t.Errorf("one that did not confirm is %q", state)
	}
	if got := only(t, f.agents[0].beat()); !slices.Contains(got.ReplicaSet, db2) {
		t.Errorf("the primary's agent is told the set %v without one that may acknowledge", got.ReplicaSet)
	}
	a.set(func(a *actor) { a.deaf = false })
	eventually(t, "it has left", func() bool { a.beat(); return f.state().Group("orders").Replica(db2) == "" })
	if got := only(t, f.agents[0].beat()); slices.Contains(got.ReplicaSet, db2) {
		t.Errorf("the primary's agent is told the set %v", got.ReplicaSet)
	}
}

// TestErrantReplicaLeaves: one that cannot be the primary must not acknowledge.
func TestErrantReplicaLeaves(t *testing.T) {
	f := world(t, 1, plainDocument, tuning{})
	a := f.agents[2]
	a.set(func(a *actor) { a.unfit = "it is errant" })
	eventually(t, "it has left", func() bool { a.beat(); return f.state().Group("orders").Replica(db2) == "" })
	if got := only(t, a.beat()); got.Acknowledge {
		t.Error("it may acknowledge")
	}
	a.set(func(a *actor) { a.unfit = "" })
	f.recorded()
}

// TestReplicaDrop: an operator drops one that is gone, not one that would come back.
func TestReplicaDrop(t *testing.T) {
	f := world(t, 1, plainDocument, short)
	drop := func() error {
		return f.ask(api.ReplicaDrop, api.ReplicaDropRequest{HostGroup: "orders", Address: db2, Reason: "burnt down"}, nil)
	}
	wantCode(t, "one that follows", drop(), api.InvalidSwitch)
	a := f.agents[2]
	a.set(func(a *actor) { a.receiving = false })
	a.beat()
	a.stop()
	a.disconnected()
	f.agents[0].set(func(a *actor) { a.dead = true })
	s := f.ended(f.failOver(1, ""))
	if wantStates(t, s, undoneFrom(fsm.StatePreflight)...); s.Code != api.MayLoseWrites || !strings.Contains(s.Error, db2) {
		t.Errorf("with a recorded replica away: %d %s", s.Code, s.Error)
	}
	if err := drop(); err != nil {
		t.Fatal(err)
	}
	f.replicaIs(db2, "")
	wantCode(t, "again", drop(), api.KeyMissing)
	s = f.ended(f.failOver(api.AnyIndex, ""))
	if wantStates(t, s, wayDone...); s.To != db1 || s.MayBeLost != "" {
		t.Errorf("with an unrecorded replica away: %+v", s)
	}
	if got := f.state().Group("orders"); len(got.Recorded) != 0 {
		t.Errorf("recorded for the new primary, whose old one is dead: %+v", got.Recorded)
	}
}

// TestNobodyRecorded: without a recorded replica no failover is lossless.
func TestNobodyRecorded(t *testing.T) {
	f := world(t, 1, plainDocument, short)
	for _, a := range f.agents[1:] {
		a.set(func(a *actor) { a.unfit = "it is errant" })
	}
	eventually(t, "nobody is recorded", func() bool {
		for _, a := range f.agents[1:] {
			a.beat()
		}
		return len(f.state().Group("orders").Recorded) == 0
	})
	f.agents[0].set(func(a *actor) { a.dead = true })
	s := f.ended(f.failOver(1, ""))
	if wantStates(t, s, undoneFrom(fsm.StatePreflight)...); s.Code != api.NotRecorded {
		t.Errorf("%d %s", s.Code, s.Error)
	}
	wantCode(t, "any", f.ask(api.SwitchStart, api.SwitchStartRequest{HostGroup: "orders", ToIndex: api.AnyIndex, Reason: "r", Kind: api.KindFailover}, nil), api.NoCandidate)
}

// TestDegrades (R20): recorded before the agent is told, cleared after it is on
// again; a failover in between says what it may lose, or is refused.
func TestDegrades(t *testing.T) {
	f := world(t, 1, autoDocument("  policy: available\n"), short)
	a0, a1 := f.agents[0], f.agents[1]
	for _, a := range f.agents[1:] { // the replicas are gone
		a.set(func(a *actor) { a.receiving = false })
		a.beat()
	}
	a0.set(func(a *actor) { a.waiting = 500 })
	a0.beat()
	a0.beat()
	if d := f.state().Group("orders").Degraded; d.On() {
		t.Errorf("degraded by commits that wait for half a second: %+v", d)
	}
	a0.set(func(a *actor) { a.waiting, a.deaf = 1200, true })
	eventually(t, "it is recorded", func() bool { a0.beat(); return f.state().Group("orders").Degraded.On() })
	if got := only(t, a0.beat()); !got.Degraded {
		t.Errorf("the agent is told %+v", got)
	}
	a0.set(func(a *actor) { a.deaf = false })
	a0.beat()
	if g := f.group(); g.Degraded == nil || !strings.Contains(g.Degraded.Why, "1 commits wait") || !strings.Contains(g.Degraded.By, "keeper") {
		t.Errorf("the operator is shown %+v", g.Degraded)
	}
	if text := f.problems(); !strings.Contains(text, "host group orders is degraded since") {
		t.Errorf("problems:\n%s", text)
	}

	s := f.ended(f.failOver(1, api.PolicyLossless))
	if wantStates(t, s, undoneFrom(fsm.StatePreflight)...); s.Code != api.MayLoseWrites || !strings.Contains(s.Error, "degraded since") {
		t.Errorf("a lossless failover of a degraded group: %d %s", s.Code, s.Error)
	}

	// A replica is back: semi-sync is on before the record says so.
	a0.set(func(a *actor) { a.deaf = true })
	a1.set(func(a *actor) { a.receiving = true })
	eventually(t, "it is to be restored", func() bool { a0.beat(); a1.beat(); return f.state().Group("orders").Degraded.Restoring })
	for range 3 {
		a0.beat()
		a1.beat()
	}
	if d := f.state().Group("orders").Degraded; !d.On() {
		t.Error("cleared before the agent has confirmed")
	}
	a0.set(func(a *actor) { a.deaf = false })
	eventually(t, "it is cleared", func() bool { a0.beat(); a1.beat(); return !f.state().Group("orders").Degraded.On() })
	a0.set(func(a *actor) {
		if !a.synced {
			t.Error("cleared, and semi-sync is off")
		}
	})

	// The same again, with a failover that the policy allows.
	a1.set(func(a *actor) { a.receiving = false })
	a1.beat()
	a0.set(func(a *actor) { a.waiting = 1200 })
	eventually(t, "it is recorded", func() bool { a0.beat(); return f.state().Group("orders").Degraded.On() })
	a0.set(func(a *actor) { a.dead = true })
	s = f.ended(f.failOver(1, ""))
	if wantStates(t, s, wayDone...); !strings.Contains(s.MayBeLost, "degraded since") {
		t.Errorf("what may be lost: %q", s.MayBeLost)
	}
	if f.group().Degraded != nil {
		t.Error("the new primary, promoted with semi-sync on, is degraded")
	}
}

// TestLosslessWaits: no record, no degrading; an operator is told why writes wait.
func TestLosslessWaits(t *testing.T) {
	f := world(t, 1, plainDocument, short)
	a0 := f.agents[0]
	a0.set(func(a *actor) { a.waiting = 5000 })
	for range 5 {
		if got := only(t, a0.beat()); got.Degraded {
			t.Fatal("the agent is told to go on without an acknowledgement")
		}
	}
	if text := f.problems(); !strings.Contains(text, "1 commits wait for an acknowledgement: none of") || !strings.Contains(text, "policy lossless") {
		t.Errorf("problems:\n%s", text)
	}
	if d := f.state().Group("orders").Degraded; d.On() {
		t.Errorf("%+v", d)
	}
}

package fsm

import (
	"testing"
)

// replica moves a replica of the record on, from the state that it is in.
func (r *rig) replica(code uint16, group, address, to string) {
	r.t.Helper()
	g := r.m.State().Group(group)
	r.do(code, &SetReplica{Group: group, Address: address, From: g.Replica(address), To: to, Version: g.RecordVersion, Why: "test"})
}

// members makes every replica of a group a member of its record.
func (r *rig) members(group string) {
	r.t.Helper()
	g := r.m.State().Group(group)
	for i, address := range g.Datasources {
		if i == g.Writable {
			continue
		}
		if g.Replica(address) == "" {
			r.replica(0, group, address, ReplicaJoining)
		}
		if r.m.State().Group(group).Replica(address) == ReplicaJoining {
			r.replica(0, group, address, ReplicaMember)
		}
	}
}

func (r *rig) degrade(code uint16, group, to string) {
	r.t.Helper()
	r.do(code, &SetDegraded{Group: group, To: to, Version: r.m.State().Group(group).RecordVersion, Why: "w", By: "b"})
}

func (r *rig) wantRecord(want map[string]string) {
	r.t.Helper()
	g := r.m.State().Group("g1")
	for _, row := range g.Recorded {
		if row.State != want[row.Address] {
			r.t.Errorf("%s is %q, want %q", row.Address, row.State, want[row.Address])
		}
	}
	if len(g.Recorded) != len(want) {
		r.t.Errorf("recorded are %v, want %v", g.Recorded, want)
	}
}

// TestReplicaTransitions: who may acknowledge leaves the record only through
// leaving, or by an operator's force.
func TestReplicaTransitions(t *testing.T) {
	all := []string{"", ReplicaJoining, ReplicaMember, ReplicaLeaving}
	way := map[string][]string{"": nil, ReplicaJoining: {ReplicaJoining}, ReplicaMember: {ReplicaJoining, ReplicaMember}, ReplicaLeaving: {ReplicaJoining, ReplicaMember, ReplicaLeaving}}
	allowed := map[[2]string]bool{
		{"", ReplicaJoining}: true, {ReplicaJoining, ReplicaMember}: true, {ReplicaJoining, ReplicaLeaving}: true,
		{ReplicaMember, ReplicaLeaving}: true, {ReplicaLeaving, ReplicaJoining}: true, {ReplicaLeaving, ""}: true,
	}
	for _, from := range all {
		for _, to := range all {
			r := newRig(t)
			r.publish(0, group("g1", "a:1", "b:1"))
			for _, state := range way[from] {
				r.replica(0, "g1", "b:1", state)
			}
			code := uint16(CodeBadRequest)
			if allowed[[2]string{from, to}] {
				code = 0
			}
			before := r.m.State().Group("g1")
			r.replica(code, "g1", "b:1", to)
			g := r.m.State().Group("g1")
			if want := map[bool]string{true: to, false: from}[code == 0]; g.Replica("b:1") != want {
				t.Errorf("%q to %q: it is %q", from, to, g.Replica("b:1"))
			}
			if changed := g.RecordVersion != before.RecordVersion; changed != (code == 0) {
				t.Errorf("%q to %q: the version changed: %v", from, to, changed)
			}
		}
	}
}

func TestReplicaRefusals(t *testing.T) {
	r := newRig(t)
	r.publish(0, group("g1", "a:1", "b:1", "c:1"), group("g2", "d:1", "e:1"))
	r.members("g1")
	version := r.m.State().Group("g1").RecordVersion
	set := func(code uint16, c SetReplica) { t.Helper(); r.do(code, &c) }
	set(CodeKeyMissing, SetReplica{Group: "none", Address: "b:1", To: ReplicaJoining})
	set(CodeNotRecorded, SetReplica{Group: "g1", Address: "a:1", To: ReplicaJoining, Version: version}) // the primary
	set(CodeNotRecorded, SetReplica{Group: "g1", Address: "e:1", To: ReplicaJoining, Version: version}) // of another group
	set(CodeStaleGeneration, SetReplica{Group: "g1", Address: "b:1", From: ReplicaMember, To: ReplicaLeaving, Version: version - 1})
	set(CodeStaleGeneration, SetReplica{Group: "g1", Address: "b:1", From: ReplicaJoining, To: ReplicaLeaving, Version: version})
	if got := r.with(Header{}, &SetReplica{Group: "g1", Address: "b:1", From: ReplicaMember, To: ReplicaLeaving, Version: version}); got.Code != CodeBadRequest {
		t.Errorf("without a term: %d", got.Code)
	}
	set(CodeKeyMissing, SetReplica{Group: "g2", Address: "e:1", Force: true})
	set(CodeBadRequest, SetReplica{Group: "g1", Address: "b:1", To: ReplicaMember, Force: true})

	// One that moves to another group is counted on until it confirmed.
	r.publish(0, group("g1", "a:1", "b:1"), group("g2", "d:1", "e:1", "c:1"))
	r.wantRecord(map[string]string{"b:1": ReplicaMember, "c:1": ReplicaLeaving})
	r.replica(CodeConflict, "g2", "c:1", ReplicaJoining)
	r.replica(0, "g1", "c:1", "")
	r.replica(0, "g2", "c:1", ReplicaJoining)

	// R17: frozen while a switch is open.
	r.do(0, &RequestSwitch{Group: "g1", To: 1, Kind: KindPlanned, ByOperator: true})
	r.replica(CodeSwitchInProgress, "g1", "b:1", ReplicaLeaving)
	set(CodeSwitchInProgress, SetReplica{Group: "g1", Address: "b:1", Force: true})
	r.advance(0, StateRequested, StateRolledBack)
	if got := r.with(Header{}, &SetReplica{Group: "g1", Address: "b:1", Force: true}); got.Code != 0 {
		t.Errorf("an operator drops it: %d %s", got.Code, got.Msg)
	}
	r.wantRecord(map[string]string{})
}

// TestCommitRecords: who is recorded for the new primary.
func TestCommitRecords(t *testing.T) {
	for _, test := range []struct {
		name     string
		position bool
		policy   string
		drop     bool // c left the record before
		want     map[string]string
		degraded bool
	}{
		{"planned", true, PolicyLossless, false, map[string]string{"a:1": ReplicaMember, "c:1": ReplicaMember}, false},
		{"the old primary is gone", false, PolicyAvailable, false, map[string]string{"c:1": ReplicaMember}, false},
		{"nobody is left, available", false, PolicyAvailable, true, map[string]string{}, true},
		{"nobody is left, lossless", false, PolicyLossless, true, map[string]string{}, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := newRig(t)
			spec := group("g1", "a:1", "b:1", "c:1")
			spec.Settings.Policy = test.policy
			r.publish(0, spec)
			r.members("g1")
			if test.drop {
				r.do(0, &SetReplica{Group: "g1", Address: "c:1", Force: true})
			}
			r.do(0, &RequestSwitch{Group: "g1", To: 1, Kind: KindFailover, ByOperator: true})
			for i := range 4 {
				r.advance(0, forward[i], forward[i+1])
			}
			step := AdvanceSwitch{ID: "g1-1", Generation: 1, From: StateFencing, To: StateCatchingUp}
			if test.position {
				step.Position = Position{GTIDPos: "0-1-5"}
			}
			r.do(0, &step)
			r.advance(0, StateCatchingUp, StatePromoting)
			r.wantRecord(test.want)
			if d := r.m.State().Group("g1").Degraded; d.On() != test.degraded || d.Restoring {
				t.Errorf("degraded: %+v", d)
			}
		})
	}
}

// TestOnlyMembersArePromoted (R17).
func TestOnlyMembersArePromoted(t *testing.T) {
	for _, state := range []string{"", ReplicaJoining, ReplicaLeaving} {
		r := newRig(t)
		r.publish(0, group("g1", "a:1", "b:1"))
		if state != "" {
			r.replica(0, "g1", "b:1", ReplicaJoining)
		}
		if state == ReplicaLeaving {
			r.replica(0, "g1", "b:1", ReplicaLeaving)
		}
		r.do(0, &RequestSwitch{Group: "g1", To: 1, Kind: KindPlanned, ByOperator: true})
		for i := range 5 {
			r.advance(0, forward[i], forward[i+1])
		}
		r.advance(CodeNotRecorded, StateCatchingUp, StatePromoting)
		r.advance(0, StateCatchingUp, StateRollingBack)
	}
}

// TestDegraded: it is recorded, restored and cleared in this order only.
func TestDegraded(t *testing.T) {
	r := newRig(t)
	spec := group("g1", "a:1", "b:1", "c:1")
	r.publish(0, spec)
	r.members("g1")
	r.degrade(CodeInvalidSwitch, "g1", SemiSyncOff) // lossless
	spec.Settings.Policy = PolicyAvailable
	r.publish(0, spec)
	r.degrade(CodeBadRequest, "g1", SemiSyncRestoring)
	r.degrade(CodeBadRequest, "g1", SemiSyncOn)
	r.do(CodeStaleGeneration, &SetDegraded{Group: "g1", To: SemiSyncOff, Version: 1})
	r.degrade(0, "g1", SemiSyncOff)
	if d := r.m.State().Group("g1").Degraded; !d.On() || d.Restoring || d.Since != r.now || d.Why != "w" || d.By != "b" || d.Index != r.index {
		t.Errorf("%+v", d)
	}
	r.degrade(CodeBadRequest, "g1", SemiSyncOff)
	r.degrade(CodeBadRequest, "g1", SemiSyncOn) // R20: cleared only after it is on
	r.degrade(0, "g1", SemiSyncRestoring)
	r.degrade(0, "g1", SemiSyncOff) // it did not work
	r.degrade(0, "g1", SemiSyncRestoring)
	r.degrade(0, "g1", SemiSyncOn)
	if d := r.m.State().Group("g1").Degraded; d != (Degraded{}) {
		t.Errorf("%+v", d)
	}
	r.do(0, &RequestSwitch{Group: "g1", To: 1, Kind: KindFailover, ByOperator: true})
	r.degrade(CodeSwitchInProgress, "g1", SemiSyncOff)
	for i := range 8 {
		r.advance(0, forward[i], forward[i+1])
	}
	r.degrade(0, "g1", SemiSyncOff) // the new primary is open, and whom it waits for may be gone
}

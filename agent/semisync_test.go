package agent

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/zerokeeper/zero/agent/mysql"
	"github.com/zerokeeper/zero/transport/api"
)

// replicaSays is a grant to a replica of the primary.
func replicaSays(acknowledge bool) api.Grant {
	g := grant(stamp(1, api.StepIdle), 1, primary, true)
	g.Acknowledge = acknowledge
	return g
}

// keep is one look at what the record says of semi-sync, at that moment.
func (r *rig) keep(index uint64, grants ...api.Grant) {
	r.t.Helper()
	r.mu.Lock()
	r.heard = index > 0
	r.mu.Unlock()
	if _, err := r.ask(r.t.Context()); err != nil {
		r.t.Log(err)
	}
	for _, g := range grants {
		if _, _, err := r.adopt(r.t.Context(), g); err != nil {
			r.t.Log(err)
		}
	}
	r.keepSemiSync(r.t.Context(), grants, api.Moment{Index: index}, new(backoff))
}

func (r *rig) says() api.SemiSync {
	r.t.Helper()
	return r.heartbeat(1).SemiSync
}

// TestReplicaAcknowledgesAsRecorded (R20).
func TestReplicaAcknowledgesAsRecorded(t *testing.T) {
	r := newLeased(t, replica())
	r.keep(1, replicaSays(false))
	if s := r.says(); s.Replica || s.Acted.Index != 1 || !s.Known || !s.Managed {
		t.Errorf("one that is not named says %+v", s)
	}
	r.did()
	r.keep(2, replicaSays(true))
	r.did("SemiSyncReplica true")
	if s := r.says(); !s.Replica || s.Acted.Index != 2 {
		t.Errorf("one that is named says %+v", s)
	}
	r.keep(3, replicaSays(true))
	r.did("SemiSyncReplica true")

	// Off is confirmed, or it is not said.
	r.db.set(func() { r.db.fail["SemiSyncReplica false"] = errors.New("it hangs") })
	r.keep(4, replicaSays(false))
	if s := r.says(); !s.Replica || s.Acted.Index != 3 {
		t.Errorf("one that could not be turned off says %+v", s)
	}
	r.db.set(func() { delete(r.db.fail, "SemiSyncReplica false") })
	r.keep(5, replicaSays(false))
	if s := r.says(); s.Replica || s.Acted.Index != 5 {
		t.Errorf("one that was turned off says %+v", s)
	}
	// What is older than what was acted on is not acted on any more.
	before := r.db.called("SemiSyncReplica true")
	r.keep(4, replicaSays(true))
	if r.db.called("SemiSyncReplica true") != before {
		t.Error("an old answer turned it on")
	}
}

// TestAcknowledgesAcrossARestart: named once, it goes on; a server that this agent
// does not know to be named is turned off before a keeper was heard.
func TestAcknowledgesAcrossARestart(t *testing.T) {
	for _, named := range []bool{true, false} {
		state := replica()
		state.SemiSync.ReplicaEnabled, state.SemiSync.ReplicaActive = true, true
		r := newLeased(t, state)
		if named {
			r.keep(1, replicaSays(true))
		}
		r = r.restart()
		r.keep(0)
		if off := r.db.called("SemiSyncReplica false") == 1; off == named {
			t.Errorf("named %v: turned off %v", named, off)
		}
	}
}

// TestFrozenGroupGoesOnAcknowledging (R25): while the keepers say nothing of the group
// its commits must not begin to wait for nobody.
func TestFrozenGroupGoesOnAcknowledging(t *testing.T) {
	r := newLeased(t, replica())
	r.keep(1, replicaSays(true))
	r.did("SemiSyncReplica true")
	r.keepSemiSync(r.t.Context(), nil, api.Moment{}, new(backoff))
	r.did("SemiSyncReplica true")
	if s := r.says(); !s.Replica {
		t.Errorf("it says %+v", s)
	}
}

// TestStoppedReplicaIsLeftAlone (R19): nothing restarts the IO thread of one that was
// told to receive nothing more, nor in the middle of a switch.
func TestStoppedReplicaIsLeftAlone(t *testing.T) {
	for _, step := range []uint8{api.StepStopping, api.StepFencing, api.StepCatchingUp, api.StepRollingBack} {
		r := newLeased(t, replica())
		g := replicaSays(true)
		g.Stamp = stamp(2, step)
		r.keep(1, g)
		r.did()
		if s := r.says(); s.Acted.Index != 0 {
			t.Errorf("step %d: acted on %+v", step, s.Acted)
		}
	}
}

// TestPrimaryWaitsAsRecorded (R20): semi-sync is turned off only by a grant that
// says degraded, and on again by one that does not.
func TestPrimaryWaitsAsRecorded(t *testing.T) {
	mine := func(degraded bool) api.Grant {
		g := grant(stamp(1, api.StepIdle), 1, own, true)
		g.Degraded, g.ReplicaSet, g.ReplicaVersion = degraded, []string{primary, other}, 7
		return g
	}
	r := newLeased(t, writable())
	r.keep(1, mine(false))
	r.did()
	if beat := r.heartbeat(1); !beat.SemiSync.Source || !slices.Equal(beat.ReplicaSet, []string{primary, other}) || beat.ReplicaVersion != 7 {
		t.Errorf("a primary says %+v", beat)
	}
	r.keep(2, mine(true))
	r.did("SemiSyncSource false")
	if s := r.says(); s.Source || s.Acted.Index != 2 {
		t.Errorf("degraded, it says %+v", s)
	}
	r.keep(3, mine(false))
	r.did("SemiSyncSource false", "SemiSyncSource true")
	if s := r.says(); s.Acted.Index != 3 {
		t.Errorf("restored, it says %+v", s)
	}

	// What would end it in silence is put right.
	for _, wrong := range []func(*mysql.SemiSync){
		func(s *mysql.SemiSync) { s.TimeoutMS = 10_000 },
		func(s *mysql.SemiSync) { s.WaitNoReplica = false },
		func(s *mysql.SemiSync) { s.WaitPoint = "AFTER_COMMIT" },
		func(s *mysql.SemiSync) { s.SourceEnabled = false },
	} {
		before := r.db.called("SemiSyncSource true")
		r.db.set(func() { wrong(&r.db.state.SemiSync) })
		r.keep(4, mine(false))
		if r.db.called("SemiSyncSource true") != before+1 {
			t.Error("it was left as it is")
		}
	}
	// Whether it is on now the server has not said yet: no alarm.
	r.db.set(func() { r.db.state.SemiSync.SourceEnabled, r.db.state.SemiSync.SourceActive = false, false })
	r.keep(5, mine(false))
	r.keepSemiSync(t.Context(), []api.Grant{mine(false)}, api.Moment{Index: 5}, new(backoff))
	if text := r.View().Alarm; text != "" {
		t.Errorf("it was just turned on, and the alarm is %q", text)
	}
	// One that turned itself off all the same is an alarm.
	r.db.set(func() { r.db.state.SemiSync.SourceActive = false })
	r.keep(5, mine(false))
	if text := r.View().Alarm; text == "" {
		t.Error("no alarm")
	}
}

// TestPrimarySetIsDurable (R16, R17): what is said to be stored is on the disk.
func TestPrimarySetIsDurable(t *testing.T) {
	g := grant(stamp(1, api.StepIdle), 1, own, true)
	g.ReplicaSet, g.ReplicaVersion = []string{primary}, 7
	r := newLeased(t, writable())
	r.keep(1, g)
	g.ReplicaSet, g.ReplicaVersion = []string{primary, other}, 9
	mend := r.broken()
	r.keep(2, g)
	if beat := r.heartbeat(1); beat.ReplicaVersion != 7 || len(beat.ReplicaSet) != 1 {
		t.Errorf("it says %v of version %d, which is not on the disk", beat.ReplicaSet, beat.ReplicaVersion)
	}
	mend()
	r.keep(3, g)
	r = r.restart()
	if beat := r.heartbeat(1); beat.ReplicaVersion != 9 || len(beat.ReplicaSet) != 2 {
		t.Errorf("after a restart: %v of version %d", beat.ReplicaSet, beat.ReplicaVersion)
	}
}

// TestUnacked: commits that wait are stuck only if none is acknowledged meanwhile.
func TestUnacked(t *testing.T) {
	var u unacked
	now := time.Now()
	at := func(ago time.Duration, waiting, acknowledged uint64) {
		u.look(mysql.SemiSync{SourceActive: true, WaitSessions: waiting, Acknowledged: acknowledged}, now.Add(-ago))
	}
	at(5*time.Second, 3, 10)
	at(3*time.Second, 3, 11) // under load some always wait
	if w := u.waited(); w < 3*time.Second || w > 5*time.Second {
		t.Errorf("waited %v", w)
	}
	at(time.Second, 0, 11)
	if w := u.waited(); w != 0 {
		t.Errorf("none waits, for %v", w)
	}
	at(0, 1, 11)
	u.look(mysql.SemiSync{WaitSessions: 1, Acknowledged: 11}, now)
	if w := u.waited(); w != 0 {
		t.Errorf("semi-sync is off, and they wait for %v", w)
	}
}

// TestStuckCommitsAreAnAlarm, which is taken back.
func TestStuckCommitsAreAnAlarm(t *testing.T) {
	r := newLeased(t, writable())
	r.sayStuck(2*time.Second, mysql.SemiSync{})
	if text := r.View().Alarm; text != "commits wait for an acknowledgement: no replica that acknowledges is connected" {
		t.Errorf("alarm %q", text)
	}
	r.sayStuck(0, mysql.SemiSync{})
	if text := r.View().Alarm; text != "" {
		t.Errorf("alarm %q", text)
	}
}

// TestOldPrimaryWaitsForTheRecord: it follows only over a connection that
// acknowledges, so not before the record names it.
func TestOldPrimaryWaitsForTheRecord(t *testing.T) {
	r := newLeased(t, fenced())
	g := replicaSays(false)
	ok(t, r.hear(g))
	r.did()
	_, err := r.give(stamp(1, api.StepIdle), api.FollowDatasource, api.FollowDatasourceRequest{HostGroup: "orders", Replica: me(), Primary: api.Datasource{Address: primary}})
	refused(t, err, api.NotRecorded)
	ok(t, r.hear(replicaSays(true)))
	r.did("Follow")
}

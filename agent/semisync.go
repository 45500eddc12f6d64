package agent

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/zerokeeper/zero/agent/mysql"
	"github.com/zerokeeper/zero/transport/api"
)

const (
	// ackLook is the pause between looks at a server whose commits wait.
	ackLook = 100 * time.Millisecond
	// ackStuck is how long commits wait, with none acknowledged, until the keepers are
	// told at once; ackUrgent ends that: by then they know.
	ackStuck  = time.Second
	ackUrgent = 10 * time.Second
)

// unacked watches commits that wait for an acknowledgement. Under load some always
// do: they are stuck when none is acknowledged meanwhile.
type unacked struct {
	since        time.Time // zero: none waits, or they go on
	acknowledged uint64
}

func (u *unacked) look(s mysql.SemiSync, now time.Time) {
	switch {
	case s.WaitSessions == 0 || !s.SourceActive:
		u.since = time.Time{}
	case u.since.IsZero() || s.Acknowledged != u.acknowledged:
		u.since = now
	}
	u.acknowledged = s.Acknowledged
}

// waited is for how long they wait: 0 when none does.
func (u *unacked) waited() time.Duration {
	if u.since.IsZero() {
		return 0
	}
	return max(time.Since(u.since), 1)
}

// semiSyncNow is what a heartbeat says of semi-sync. mu is held.
func (a *Agent) semiSyncNow() api.SemiSync {
	s := a.state.SemiSync
	now := api.SemiSync{Managed: a.db.ManagesSemiSync(), Known: a.state.Reachable, Acted: a.done, Replica: true}
	switch {
	case a.dead: // what it will be when it is started is off: my.cnf, and keepSemiSync before anything else
		now.Known, now.Replica = true, a.notes.Acks
	case a.state.Reachable:
		now.Source, now.Clients, now.Waiting = s.SourceEnabled && s.SourceActive, int(s.Clients), int(s.WaitSessions)
		now.WaitMS = a.unacked.waited().Milliseconds()
		now.Replica = a.notes.Acks || s.ReplicaEnabled || s.ReplicaActive
	}
	return now
}

// set are the addresses of the replica set.
func (m memory) set() []string {
	if m.ReplicaSet == "" {
		return nil
	}
	return strings.Split(m.ReplicaSet, ",")
}

// takeSet takes the recorded replica set into the memory of the primary's agent,
// which is written before anything is said of it (R16, R17); a primary acknowledges
// nothing itself.
func (a *Agent) takeSet(m *memory, set []string, version uint64) {
	m.Acks = false
	if slices.Equal(m.set(), set) && m.ReplicaVersion == version || !a.setIsQuiet() {
		return
	}
	m.ReplicaSet, m.ReplicaVersion = strings.Join(set, ","), version
}

// setIsQuiet reports whether the replica set that is stored may be replaced (R17):
// no round, failsafe lease or lent lease that rests on it is alive.
func (a *Agent) setIsQuiet() bool { return a.failsafe.quiet() == 0 }

// keepSemiSync makes the server's part in semi-sync what the record says (R20), as
// the newest answer has it: a replica acknowledges only when it is named, and a primary
// waits for acknowledgements unless its group is recorded as degraded. When all of that is so, the
// answer counts as acted on.
//
// A replica that this agent does not know to have been named is turned off also
// before a keeper was heard: it may have been set by hand, or by a my.cnf.
func (a *Agent) keepSemiSync(ctx context.Context, grants []api.Grant, moment api.Moment, wait *backoff) {
	a.mu.Lock()
	state, heard, done, dead := a.state, a.heard, a.done, a.dead
	looked := a.seen
	stuck := a.unacked.waited()
	a.mu.Unlock()
	a.sayStuck(stuck, state.SemiSync)
	a.acknowledgeAgain(ctx, grants, state)
	told := heard && moment != api.Moment{} && moment.Compare(done) >= 0
	if !state.Reachable && !(dead && told) || !a.db.ManagesSemiSync() && !told {
		return
	}
	taken, release, busy := a.turn.try(ctx, rankLevel)
	if busy != nil {
		return
	}
	defer release()
	var stamp api.Stamp
	if len(grants) > 0 {
		stamp = grants[0].Stamp
	}
	m := a.notes.memory
	if !wait.over(stamp) || stamp.Compare(m.Stamp) < 0 && len(grants) > 0 {
		return
	}
	ok, err := false, error(nil)
	ctx, cancel := context.WithTimeout(taken, a.cfg.RoleTimeout)
	defer cancel()
	switch {
	case !a.db.ManagesSemiSync():
		ok = true
	case len(grants) == 0 && told: // it is in no group
		ok, err = a.acknowledge(ctx, false, state, dead)
	case len(grants) == 0:
		if !m.Acks {
			_, err = a.acknowledge(ctx, false, state, dead)
		}
	case !told || m.stopped(stamp) || stamp.Step != api.StepRequested && stamp.Step != api.StepIdle:
		return // the orders' (R19)
	case grants[0].Primary.Address == a.db.Address():
		if id := grants[0].Primary.ServerID; id != "" && id != state.Identity {
			return // R24: another server at this address; the level says so
		}
		ok, err = a.await(ctx, grants[0], state, looked)
	default:
		ok, err = a.acknowledge(ctx, grants[0].Acknowledge, a.replicating(grants[0], state), dead)
	}
	if context.Cause(taken) == errGaveWay {
		return // an order goes first
	}
	wait.ended(err)
	if err != nil {
		if taken.Err() == nil {
			a.log.Warn("semi-sync is not what the record says", "datasource", a.db.Address(), "error", err, "again_in", wait.pause)
		}
		return
	}
	if ok && told {
		a.mu.Lock()
		a.done = moment
		a.mu.Unlock()
		if len(grants) > 0 && grants[0].ReplicaVersion > done.Index {
			poke(a.hurry) // somebody waits for it
		}
	}
}

// replicating is the state without the replication that the grant does not want:
// what is to be changed there comes first.
func (a *Agent) replicating(grant api.Grant, s mysql.State) mysql.State {
	if r := s.Replication; r != nil && r.Source() != grant.Primary.Address {
		s.Replication = nil
	}
	return s
}

// acknowledge turns the acknowledgements of a replica on or off. It is off when the
// server confirmed it and the memory does not have it any more.
func (a *Agent) acknowledge(ctx context.Context, want bool, s mysql.State, dead bool) (bool, error) {
	on := s.SemiSync.ReplicaEnabled || s.SemiSync.ReplicaActive
	m := a.notes.memory
	if want {
		if !m.Acks { // R16: on the disk before it is turned on
			m.Acks = true
			if err := a.remember(m); err != nil {
				return false, err
			}
		}
		r := s.Replication
		if dead || r == nil || r.IORunning != "Yes" || r.SQLRunning != "Yes" || s.SemiSync.ReplicaEnabled && s.SemiSync.ReplicaActive {
			return true, nil // it is, or will be when it receives
		}
		if err := a.db.SemiSyncReplica(ctx, true); err != nil {
			return false, err
		}
		a.acted(func(s *mysql.State) { s.SemiSync.ReplicaEnabled, s.SemiSync.ReplicaActive = true, true })
		a.log.Info("acknowledges what it receives", "datasource", a.db.Address())
		return true, nil
	}
	if on && !dead {
		if err := a.db.SemiSyncReplica(ctx, false); err != nil {
			return false, err
		}
		a.acted(func(s *mysql.State) { s.SemiSync.ReplicaEnabled, s.SemiSync.ReplicaActive = false, false })
		a.log.Info("acknowledges nothing: the record does not name it", "datasource", a.db.Address())
	}
	if !m.Acks {
		return true, nil
	}
	m.Acks = false
	err := a.remember(m)
	return err == nil, err
}

// await makes a primary's commits wait for an acknowledgement, or not, as recorded.
// With looked, s is what the server said, not what an action left it as: that one
// cannot know whether commits do wait.
func (a *Agent) await(ctx context.Context, grant api.Grant, s mysql.State, looked bool) (bool, error) {
	if !grant.Open || s.ReadOnly || s.Replication != nil || !s.Reachable {
		return false, nil // it is promoted first, with semi-sync on
	}
	sound, why := s.SemiSync.Sound()
	switch {
	case grant.Degraded && s.SemiSync.SourceEnabled: // R20: it is recorded
		a.log.Warn("semi-sync is turned off: the group is recorded as degraded", "group", grant.HostGroup, "waiting", s.SemiSync.WaitSessions)
		if err := a.db.SemiSyncSource(ctx, false); err != nil {
			return false, err
		}
		a.acted(func(s *mysql.State) {
			s.SemiSync.SourceEnabled, s.SemiSync.SourceActive, s.SemiSync.WaitSessions = false, false, 0
			a.unacked.since = time.Time{}
		})
	case !grant.Degraded && (!s.SemiSync.SourceEnabled || !sound):
		if err := a.db.SemiSyncSource(ctx, true); err != nil {
			return false, err
		}
		a.acted(func(s *mysql.State) { s.SemiSync = s.SemiSync.SourceOn() })
		a.log.Info("semi-sync is on", "group", grant.HostGroup, "was_on", s.SemiSync.SourceEnabled, "why", why)
		poke(a.look) // whether commits do wait, the server says
	}
	if !looked {
		return true, nil // an alarm is raised, and taken back, on the server's word
	}
	text := ""
	if !grant.Degraded && s.SemiSync.SourceEnabled && sound && !s.SemiSync.SourceActive {
		text = "semi-sync has turned itself off: writes are acknowledged that nobody else has; look at rpl_semi_sync_master_timeout and rpl_semi_sync_master_wait_no_slave"
	}
	a.warn(warnUnsynced, text)
	return true, nil
}

// sayStuck raises, and takes back, the alarm that commits wait in vain, and tells the
// keepers at once.
func (a *Agent) sayStuck(waited time.Duration, s mysql.SemiSync) {
	if waited < ackStuck {
		a.warn(warnUnacked, "")
		return
	}
	why := fmt.Sprintf("%d replicas that acknowledge are connected, and none answers", s.Clients)
	if s.Clients == 0 {
		why = "no replica that acknowledges is connected"
	}
	a.warn(warnUnacked, "commits wait for an acknowledgement: "+why)
	if waited < ackUrgent {
		poke(a.hurry)
	}
}

// notYet reports whether a server waits for the record to name it before it follows.
// One that was the primary, and lost the end of its binary log in a crash, has to get
// back transactions of its own server_id; MariaDB takes those only over a connection that
// acknowledges (in GTID strict mode), and skips them in silence over any other.
func (a *Agent) notYet(named bool, s mysql.State) bool {
	return !named && s.Replication == nil && a.db.ManagesSemiSync()
}

package agent

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/zerokeeper/zero/agent/mysql"
	"github.com/zerokeeper/zero/transport/api"
)

// Pauses after a change of the server that failed; they double.
const (
	firstPause = 400 * time.Millisecond
	lastPause  = 5 * time.Second
)

// deed is what a grant asks to be done to the server.
type deed int

const (
	nothing deed = iota
	promote
	setReadOnly
	follow
)

// verdict is what a grant means for a server as it is.
type verdict struct {
	do    deed
	alarm string // what needs a person; empty when nothing does
	unfit bool   // the alarm keeps this server from becoming the primary
	quiet bool   // the alarm stays what it was: nothing can be said now
}

// compareWith is the level of R14: what the newest grant asks of a server in
// that state. Orders make it so earlier, and in the middle of a switch they
// alone do; only a second writable server is never left alone.
func (m memory) compareWith(grant api.Grant, s mysql.State) verdict {
	r := s.Replication
	if grant.Primary.Address != m.Address {
		return m.asReplica(grant, s)
	}
	switch {
	case !grant.Open || inSwitch(grant.Stamp.Step):
		return verdict{quiet: true}
	case r == nil && !s.ReadOnly:
		return verdict{}
	case r == nil, grant.Committed != 0 && m.Prepared == grant.Committed:
		return verdict{do: promote}
	}
	return verdict{alarm: fmt.Sprintf("the configuration names this server as writable, but it replicates from %s: correct active_write, or switch to it", r.Source())}
}

func (m memory) asReplica(grant api.Grant, s mysql.State) verdict {
	r := s.Replication
	primary := grant.Primary.Address
	switch {
	case !s.ReadOnly:
		return verdict{do: setReadOnly, quiet: true}
	case inSwitch(grant.Stamp.Step) || grant.Stamp.Step == api.StepRollingBack || m.stopped(grant.Stamp):
		return verdict{quiet: true} // R19: what an order stopped is not started again
	case r != nil && r.Source() == primary && r.IORunning != "No" && r.SQLRunning == "Yes":
		if err := r.Err(); err != nil { // the server itself goes on trying
			return verdict{alarm: fmt.Sprintf("this server does not receive from %s: %v", primary, err)}
		}
		return verdict{}
	case r == nil && (grant.Committed == 0 || s.GTIDBinlogState == "" && s.GTIDSlavePos == ""):
		return verdict{unfit: true, alarm: fmt.Sprintf("this server does not replicate from %s, and nothing shows that it ever had the group's data: clone it, or set replication up", primary)}
	case r != nil && r.Source() != primary && grant.Committed == 0:
		return verdict{unfit: true, alarm: fmt.Sprintf("this server replicates from %s, but %s is writable", r.Source(), primary)}
	}
	return verdict{do: follow}
}

// inSwitch reports whether a step belongs to the orders alone.
func inSwitch(step uint8) bool {
	return step == api.StepStopping || step == api.StepFencing || step == api.StepCatchingUp
}

// enforce makes the server what the newest grants say, again and again, until
// ctx ends.
func (a *Agent) enforce(ctx context.Context) {
	var wait, ackWait backoff
	for {
		select {
		case <-ctx.Done():
			return
		case <-a.act:
		}
		a.mu.Lock()
		grants, moment, reachable := a.grants, a.moment, a.state.Reachable
		a.mu.Unlock()
		if len(grants) == 0 {
			a.setAlarm("") // no host group: nothing is asked of this server
		}
		for _, grant := range grants {
			if err := a.obey(ctx, grant, reachable, &wait); err != nil && ctx.Err() == nil {
				a.log.Warn("what the keepers answer cannot be done now", "group", grant.HostGroup, "stamp", grant.Stamp, "error", err, "again_in", wait.pause)
			}
		}
		a.keepSemiSync(ctx, grants, moment, &ackWait)
	}
}

// backoff spaces out what fails. Another grant starts it afresh.
type backoff struct {
	of    api.Stamp
	until time.Time
	pause time.Duration
}

func (b *backoff) over(stamp api.Stamp) bool {
	if b.of != stamp {
		*b = backoff{of: stamp}
	}
	return !time.Now().Before(b.until)
}

func (b *backoff) ended(err error) {
	if err == nil {
		b.pause, b.until = 0, time.Time{}
		return
	}
	b.pause = min(max(2*b.pause, firstPause), lastPause)
	b.until = time.Now().Add(b.pause)
}

// obey remembers a grant and makes the server what it says. It does nothing
// while an order is carried out, and gives way to one.
func (a *Agent) obey(ctx context.Context, grant api.Grant, reachable bool, wait *backoff) error {
	if !wait.over(grant.Stamp) {
		return nil
	}
	taken, release, busy := a.turn.try(ctx, rankLevel)
	if busy != nil {
		return nil // an order: look again at the next answer
	}
	defer release()
	m, ok, err := a.adopt(taken, grant)
	if err != nil || !ok || !reachable {
		wait.ended(err)
		return err
	}
	seen := a.lastState()
	v := m.compareWith(grant, seen)
	if v.do != nothing { // it may be old by now
		if seen, err = a.ask(taken); err != nil {
			return err
		}
		v = m.compareWith(grant, seen)
	}
	if v.do == follow && a.notYet(grant.Acknowledge, seen) {
		a.lookAgain(taken, grant.Primary, seen)
		return nil // R20: the keepers record it first
	}
	if v.do == promote && a.lease.Holds() != nil {
		return nil // R14: the grant names it, and only a lease makes it writable
	}
	if v.do == nothing {
		wait.ended(nil)
		if !v.quiet {
			if v.unfit {
				a.setUnfit(v.alarm)
			} else {
				a.setAlarm(v.alarm)
			}
			if seen.Replication != nil {
				a.lookAgain(taken, grant.Primary, seen) // it was built anew, and replication set up by hand
			}
		}
		return nil
	}
	err = a.do(ctx, taken, v.do, grant)
	if context.Cause(taken) == errGaveWay {
		return nil // the order does what is to be done
	}
	wait.ended(err)
	return err
}

// adopt takes a grant into the memory. ok is false for one that is older than
// what was seen, or that names another server at this address.
func (a *Agent) adopt(ctx context.Context, grant api.Grant) (m memory, ok bool, err error) {
	m = a.notes.in(grant.HostGroup)
	if grant.Stamp.Compare(m.Stamp) < 0 && !ignoreStamps { // R8
		return m, false, nil
	}
	mine := grant.Primary.Address == a.db.Address()
	if mine {
		if err := a.isMe(ctx, grant.Primary); errors.Is(err, &api.Error{Code: api.IdentityMismatch}) {
			a.setAlarm(err.Error())
			return m, false, nil
		}
	}
	defer a.failsafe.settle()()
	m = a.failsafe.adopt(m, grant)
	m.Stamp, m.Committed, m.Primary = grant.Stamp, grant.Committed, grant.Primary.Address
	switch {
	case mine && grant.Open:
		m.Role = rolePrimary
		a.takeSet(&m, grant.ReplicaSet, grant.ReplicaVersion)
	case !mine:
		m.Role, m.Lent, m.Acks = roleNotPrimary, 0, m.Acks || grant.Acknowledge && a.db.ManagesSemiSync() // R20: on the disk before it is turned on
	}
	a.mu.Lock()
	m.ServerID, m.DataDir = cmp.Or(a.identity, m.ServerID), cmp.Or(a.state.DataDir, m.DataDir)
	a.mu.Unlock()
	if !m.stopped(grant.Stamp) {
		m.Stopped = 0
	}
	return m, true, a.remember(m) // R16
}

// stopped reports whether a replica that was told to receive nothing more stays
// so at that stamp (R19): to the end of the switch that told it.
func (m memory) stopped(s api.Stamp) bool {
	return m.Stopped != 0 && m.Stopped == s.Generation && s.Step != api.StepPromoting && s.Step != api.StepIdle
}

// do changes the server's role. What makes it writable is short, and is not
// interrupted: half of it would be the worst of all.
func (a *Agent) do(ctx, yielding context.Context, d deed, grant api.Grant) error {
	if d == promote {
		yielding = ctx
	}
	ctx, cancel := context.WithTimeout(yielding, a.cfg.RoleTimeout)
	defer cancel()
	var (
		err   error
		now   func(*mysql.State)
		wrong string
	)
	primary := grant.Primary.Address
	switch d {
	case promote:
		a.log.Info("this server is the primary: making it writable", "stamp", grant.Stamp)
		_, err = a.db.Promote(ctx, a.lease)
		now, wrong = promoted, "this server should be writable and is not"
	case setReadOnly:
		a.log.Warn("this server is not the primary, but writable: making it read-only", "primary", primary, "stamp", grant.Stamp)
		err = a.db.SetReadOnly(ctx)
		now, wrong = func(s *mysql.State) { s.ReadOnly = true }, "this server is writable and should not be"
	case follow:
		var source mysql.Source
		var result mysql.Following
		if source, err = sourceOf(grant.Primary); err == nil {
			source.Async = !grant.Acknowledge // R20
			result, err = a.followSafely(ctx, source)
		}
		now, wrong = a.followed(result, source), "this server does not follow "+primary
		if errors.Is(err, mysql.ErrWaitingForAck) {
			// R22: another is the primary, and nothing will acknowledge what waits
			// here. Only the end of the process does not tell those clients OK.
			err = errors.Join(err, a.kill(ctx, "sessions wait for an acknowledgement that never comes"))
		}
	}
	switch {
	case context.Cause(yielding) == errGaveWay:
	case err != nil:
		if alarm := wrong + ": " + because(err) + remedy(err); errors.Is(err, mysql.ErrErrant) || errors.Is(err, mysql.ErrPurged) {
			a.setUnfit(alarm)
		} else {
			a.setAlarm(alarm)
		}
	default:
		a.acted(now)
		a.setAlarm("")
		a.log.Info("the server is what the keepers say", "role", roleOf(a.lastState()), "primary", primary, "stamp", grant.Stamp)
		poke(a.look) // more may be to do
		if d == promote {
			poke(a.hurry) // proxies without a lease wait for it
		}
	}
	return databaseError(err)
}

// followSafely follows a source that has all that this server has. What it lacks is
// saved to files first, and the server is left as it is for a rebuild.
func (a *Agent) followSafely(ctx context.Context, source mysql.Source) (mysql.Following, error) {
	if a.lastState().Replication == nil { // else what it receives meanwhile would look errant
		state, err := a.db.SourceState(ctx, source)
		if err != nil {
			a.log.Debug("the source does not say what it has; it will refuse what it lacks", "error", err)
		} else {
			source.GTIDState = state
		}
	}
	result, err := a.db.Follow(ctx, source)
	if errors.Is(err, mysql.ErrErrant) || errors.Is(err, mysql.ErrPurged) {
		a.condemn(a.lastState(), source)
	}
	switch {
	case err == nil:
		a.acquit()
	case errors.Is(err, mysql.ErrErrant) && source.GTIDState != "":
		path, serr := a.db.SaveErrant(ctx, source.GTIDState, filepath.Join(a.cfg.DataDir, "errant"))
		if serr != nil {
			a.warn(warnErrants, "its errant transactions could not be saved: "+serr.Error())
		} else {
			a.warn(warnErrants, "the binary logs with its errant transactions were saved in "+path)
		}
	}
	return result, err
}

// because is an error as a person reads it, who knows already what failed.
func because(err error) string {
	if errant, ok := errors.AsType[*mysql.ErrantError](err); ok {
		return errant.Error()
	}
	return err.Error()
}

// remedy is what a person can do about an error that does not go away.
func remedy(err error) string {
	switch {
	case errors.Is(err, mysql.ErrErrant), errors.Is(err, mysql.ErrPurged):
		return "; stop this agent, build the server anew from the primary, start the agent"
	case errors.Is(err, mysql.ErrWaitingForAck):
		return "; its commits wait for replicas: see to those, or kill the server"
	}
	return ""
}

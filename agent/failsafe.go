package agent

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/zerokeeper/zero/transport/api"
	"github.com/zerokeeper/zero/transport/lease"
)

// failsafeLook is the pause between looks whether a round is due.
const failsafeLook = 50 * time.Millisecond

// minLent is the least that is worth lending.
const minLent = 50 * time.Millisecond

// failsafe is what the agent of a primary knows of failsafe (R18): how long no
// keeper has answered, the lease that the replicas' promises made, and what was
// lent from it. Nothing of it survives the process, so whatever the process before
// had counts for Q after a start.
type failsafe struct {
	set sync.Mutex // the replica set is being replaced, or a round begun; taken before mu

	mu      sync.Mutex
	heard   lease.Instant // when the last heartbeat that was answered was sent; first the start
	leaseMS int64         // as the keepers said last, 0: not yet
	group   string
	stamp   api.Stamp     // the newest that was said of the group, before it is in the memory
	asking  lease.Instant // end of what the round under way may become; 0: none is
	until   lease.Instant // end of the failsafe lease
	lent    lease.Instant // latest end of what was lent
	before  lease.Instant // end of what the process before may have had
	rounds  uint64

	since    time.Time // when it began to hold; zero: it does not
	told     bool      // that it cannot be had, in this silence
	trouble  string    // why the last round failed
	ended    string    // why it does not hold any more
	endedAt  time.Time
	counts   FailsafeCounts
	promisAt lease.Instant // of the last promise to another
}

// FailsafeCounts count since the start.
type FailsafeCounts struct{ Rounds, Failed, Lent, Promised, Begun uint64 }

// FailsafeView is how failsafe stands, for metrics.
type FailsafeView struct {
	On      bool          // the group uses it
	Holds   bool          // the server is writable by the promises of its replicas' agents
	Since   time.Time     // of that
	Left    time.Duration // of the failsafe lease
	Ended   string        // why it does not hold any more, empty when it never did
	EndedAt time.Time
	Promise time.Duration // left of the promise that this agent gave
	FailsafeCounts
}

func newFailsafe(m memory) *failsafe {
	f := &failsafe{heard: lease.Now()}
	if m.ReplicaSet != "" { // R17: after a start, Q later
		f.before = f.heard.Add(timesOf(m.LeaseMS).Promise)
	}
	return f
}

// answered takes over what the answer to a heartbeat says; with it asking and
// lending stop (R18f).
func (f *failsafe) answered(sent lease.Instant, answer api.HeartbeatAnswer) {
	f.mu.Lock()
	f.heard, f.told = max(f.heard, sent), false
	if answer.LeaseMS > 0 {
		f.leaseMS = answer.LeaseMS
	}
	f.mu.Unlock()
	for _, g := range answer.Grants {
		f.learn(g.HostGroup, g.Stamp)
	}
}

// learn notes a stamp before it is in the memory.
func (f *failsafe) learn(group string, stamp api.Stamp) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.group != group {
		f.group, f.stamp = group, api.Stamp{}
	}
	if stamp.Compare(f.stamp) > 0 {
		f.stamp = stamp
	}
}

// newest is the newest stamp that was heard of the group.
func (f *failsafe) newest(group string) api.Stamp {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.newestOf(group)
}

func (f *failsafe) newestOf(group string) api.Stamp {
	if f.group != group {
		return api.Stamp{}
	}
	return f.stamp
}

// settle keeps rounds from beginning until the memory that is about to be written
// is there (R17).
func (f *failsafe) settle() (done func()) {
	f.set.Lock()
	return f.set.Unlock
}

// adopt takes over what a grant says about failsafe.
func (f *failsafe) adopt(m memory, grant api.Grant) memory {
	f.mu.Lock()
	defer f.mu.Unlock()
	m.Failsafe, m.Peers = grant.Failsafe, api.JoinPeers(grant.Peers)
	if f.leaseMS > 0 {
		m.LeaseMS = f.leaseMS
	}
	return m
}

// quiet is the time until nothing of failsafe is alive that the replica set of
// before stands behind: a round, a lease, a lent lease, or what the process before
// may have had. 0: the set may be replaced (R17).
func (f *failsafe) quiet() time.Duration {
	f.mu.Lock()
	defer f.mu.Unlock()
	return max(0, lease.Until(max(f.asking, f.until, f.lent, f.before)))
}

// promised counts a promise to another, and reports whether it begins a series.
func (f *failsafe) promised() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	first := f.promisAt == 0 || lease.Since(f.promisAt) > lease.Default
	f.promisAt = lease.Now()
	f.counts.Promised++
	return first
}

// silent reports whether no keeper has answered for so long that promises are
// asked for.
func (f *failsafe) silent(times lease.Times) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return lease.Since(f.heard) >= times.Silence()
}

// stepOnDisk is what of a step survives the process: nothing, but in a group with
// failsafe whether a switch is open, for who asks and who promises without a keeper.
func (m memory) stepOnDisk() uint8 {
	switch {
	case !m.Failsafe || m.Stamp.Step == api.StepRequested:
		return 0
	case m.Stamp.Step == api.StepIdle:
		return api.StepIdle
	}
	return api.StepStopping
}

// Why failsafe does not hold any more.
const (
	endedByKeeper   = "keeper answers"   // it is not needed
	endedByRole     = "not the primary"  // or not used any more
	endedUnpromised = "promises missing" // the server is read-only until a keeper answers, or all promise
)

// errNotNow: failsafe is not for this server, or not now.
var errNotNow = errors.New("failsafe cannot be used")

// mayAsk is the stamp under which this agent asks and lends, or why it must not
// (R18a): only the primary, by what is on the disk, that knows of no open switch (R18f).
func (a *Agent) mayAsk(m memory) (api.Stamp, error) {
	newest := a.failsafe.newest(m.HostGroup)
	switch {
	case !m.Failsafe || a.peers == nil:
		return m.Stamp, fmt.Errorf("%w: it is off", errNotNow)
	case m.Role != rolePrimary || m.ReplicaSet == "": // R18a
		return m.Stamp, fmt.Errorf("%w: this server is not the primary, or its replicas are not known", errNotNow)
	case newest.Compare(m.Stamp) > 0:
		return m.Stamp, fmt.Errorf("%w: stamp %s was heard of, and is not on the disk yet", errNotNow, newest)
	case inSwitch(m.Stamp.Step): // R18f
		return m.Stamp, fmt.Errorf("%w: a switch is open (stamp %s)", errNotNow, m.Stamp)
	case a.isDead():
		return m.Stamp, fmt.Errorf("%w: the database server is dead", errNotNow)
	}
	return m.Stamp, nil
}

// keepFailsafe asks the replicas' agents for promises while no keeper answers,
// until ctx ends.
func (a *Agent) keepFailsafe(ctx context.Context) {
	select {
	case <-ctx.Done():
	case <-a.secured: // R14: a start is read-only first
	}
	for ctx.Err() == nil {
		timer := time.NewTimer(a.failsafeOnce(ctx))
		select {
		case <-ctx.Done():
		case <-timer.C:
		}
		timer.Stop()
	}
}

// failsafeOnce runs one round if one is due, and returns the pause until the next
// look.
func (a *Agent) failsafeOnce(ctx context.Context) time.Duration {
	f := a.failsafe
	m := a.remembered()
	times := timesOf(m.LeaseMS)
	if !f.silent(times) {
		a.endFailsafe(endedByKeeper, nil)
		return failsafeLook
	}
	_, err := a.mayAsk(m)
	began := lease.Now()
	if err == nil {
		err = a.round(ctx)
	} else if !m.Failsafe || m.Role != rolePrimary {
		a.endFailsafe(endedByRole, err)
		return failsafeLook
	}
	if ctx.Err() != nil {
		return 0
	}
	if err == nil {
		return max(times.Again-lease.Since(began), failsafeLook)
	}
	f.mu.Lock()
	f.trouble = err.Error()
	out, tell := lease.Until(f.until) <= times.Fence, !f.told && f.since.IsZero()
	f.told = f.told || tell
	f.mu.Unlock()
	if tell {
		a.log.Error("no keeper answers, and failsafe does not hold: the server becomes read-only when its lease ends", "datasource", a.db.Address(), "reason", err)
	}
	if out {
		a.endFailsafe(endedUnpromised, err)
	}
	return failsafeLook
}

// wantWritable makes the level look at once at a server that is read-only. For an
// agent that was started when no keeper could be heard, what it remembers stands in
// for the grant.
func (a *Agent) wantWritable(m memory) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.state.ReadOnly {
		poke(a.act)
	}
	if a.heard {
		return
	}
	a.grants = []api.Grant{{
		HostGroup: m.HostGroup, Stamp: m.Stamp, Committed: m.Committed, Primary: api.Datasource{Address: m.Address, ServerID: m.ServerID}, Open: true,
		ReplicaSet: strings.Split(m.ReplicaSet, ","), Failsafe: m.Failsafe, Peers: api.SplitPeers(m.Peers),
	}}
}

// endFailsafe notes why failsafe does not hold any more, if it did.
func (a *Agent) endFailsafe(why string, reason error) {
	f := a.failsafe
	f.mu.Lock()
	since := f.since
	if !since.IsZero() {
		f.since, f.ended, f.endedAt = time.Time{}, why, time.Now()
	}
	f.mu.Unlock()
	if !since.IsZero() {
		log := a.log
		if reason != nil {
			log = log.With("reason", reason)
		}
		log.Warn("failsafe does not hold any more", "datasource", a.db.Address(), "why", why, "held", time.Since(since).Round(time.Millisecond))
	}
}

func (a *Agent) viewFailsafe() FailsafeView {
	m, promise := a.remembered(), a.promises.alive()
	f := a.failsafe
	f.mu.Lock()
	defer f.mu.Unlock()
	return FailsafeView{
		On: m.Failsafe, Holds: !f.since.IsZero(), Since: f.since, Left: max(0, lease.Until(f.until)), Ended: f.ended, EndedAt: f.endedAt,
		Promise: promise, FailsafeCounts: f.counts,
	}
}

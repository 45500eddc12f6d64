package agent

import (
	"errors"
	"testing"
	"time"

	"github.com/zerokeeper/zero/agent/mysql"
	"github.com/zerokeeper/zero/transport/api"
	"github.com/zerokeeper/zero/transport/lease"
)

// brief is the shortest lease that the tests use: a loaded machine must keep it.
const brief = 1500 * time.Millisecond

func (d *database) readOnly() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.state.ReadOnly
}

// TestLeaseEnds: a server is read-only before the lease ends that made it
// writable, and writable again with the next one (R14, R15).
func TestLeaseEnds(t *testing.T) {
	k := &keeper{grants: []api.Grant{grant(stamp(1, api.StepIdle), 1, own, true)}, length: brief}
	r := newRig(t, fenced())
	r.run(k)
	eventually(t, "it is writable", func() bool { return !r.db.readOnly() })
	k.set(func() { k.down = true })
	end := r.lease.moment()
	eventually(t, "it is read-only", r.db.readOnly)
	if left := lease.Until(end); left < lease.For(brief).Kill {
		t.Errorf("read-only %v before the end of the lease", left)
	}
	k.set(func() { k.down = false })
	eventually(t, "it is writable again", func() bool { return !r.db.readOnly() })

	// Granted without a lease, then not open: both end it.
	k.set(func() { k.length = -1 })
	eventually(t, "without a lease it is read-only", r.db.readOnly)
	k.set(func() { k.length = 0 })
	eventually(t, "it is writable again", func() bool { return !r.db.readOnly() })
	if r.db.called("Kill") != 0 {
		t.Error("it was killed")
	}
}

func (h *holding) moment() lease.Instant {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.end
}

// TestHangsAtTheEnd: a server that does not become read-only is dead before the
// lease ends, and the keepers hear of it.
func TestHangsAtTheEnd(t *testing.T) {
	k := &keeper{grants: []api.Grant{grant(stamp(1, api.StepIdle), 1, own, true)}, length: brief}
	r := newRig(t, fenced())
	r.run(k)
	eventually(t, "it is writable", func() bool { return !r.db.readOnly() })
	r.db.set(func() { r.db.hang["SetReadOnly"], r.db.hang["State"] = true, true })
	k.set(func() { k.length = -1 }) // it goes on to answer, and grants nothing
	eventually(t, "it is killed", func() bool { return r.db.called("Kill") > 0 })
	if left := lease.Until(r.lease.moment()); left < 0 {
		t.Errorf("killed %v after the end of the lease", -left)
	}
	eventually(t, "the keepers are told", func() bool { b := k.last(); return b.Dead && b.MySQL.Status == 0 })
}

// TestRenewedInBetween: a lease that comes while the server is being fenced
// leaves it alive, and writable in the end.
func TestRenewedInBetween(t *testing.T) {
	k := &keeper{grants: []api.Grant{grant(stamp(1, api.StepIdle), 1, own, true)}, length: brief}
	r := newRig(t, fenced())
	r.run(k)
	eventually(t, "it is writable", func() bool { return !r.db.readOnly() })
	before := r.db.called("SetReadOnly")
	r.db.set(func() { r.db.hang["SetReadOnly"] = true })
	k.set(func() { k.down = true })
	eventually(t, "it is being fenced", func() bool { return r.db.called("SetReadOnly") > before })
	k.set(func() { k.down = false })
	r.db.set(func() { r.db.hang["SetReadOnly"] = false })
	n := k.count()
	eventually(t, "heartbeats go on", func() bool { return k.count() > n+8 })
	if r.db.called("Kill") != 0 || r.db.readOnly() {
		t.Error("it was killed, or is not writable")
	}
}

// TestStarts: an agent that starts has no lease, unless it takes one up.
func TestStarts(t *testing.T) {
	k := &keeper{grants: []api.Grant{grant(stamp(1, api.StepIdle), 1, own, true)}}
	r := newRig(t, fenced())
	stop := r.runUntil(k)
	eventually(t, "it is writable", func() bool { return !r.db.readOnly() })
	eventually(t, "the lease is on the disk", func() bool { n := k.count(); return n > 3 })
	stop()
	fences := r.db.called("SetReadOnly")
	ok(t, r.Close())

	next := reopen(t, r.dir, r.db) // at once, the lease is alive
	next.call = r.call
	if err := next.lease.Holds(); err != nil {
		t.Fatal("the lease was not taken up:", err)
	}
	n := k.count()
	stop = next.runUntil(k)
	eventually(t, "heartbeats", func() bool { return k.count() > n+2 })
	stop()
	if r.db.called("SetReadOnly") != fences || r.db.readOnly() {
		t.Error("a restart within the lease made it read-only")
	}
	ok(t, next.Close())

	// After a fence, durable before its answer, nothing is taken up.
	next = reopen(t, r.dir, r.db)
	_, err := next.fence(2)
	ok(t, err)
	ok(t, next.Close())
	r.db.set(func() { r.db.state.ReadOnly = false })
	next = reopen(t, r.dir, r.db)
	if next.lease.Holds() == nil {
		t.Error("a lease was taken up that was given back")
	}
	n = k.count()
	k.set(func() { k.grants = nil })
	stop = next.runUntil(k)
	eventually(t, "heartbeats", func() bool { return k.count() > n })
	if !r.db.readOnly() {
		t.Error("it beat before the server was read-only")
	}
	stop()
	ok(t, next.Close())

	// Nor of another boot.
	next = reopen(t, r.dir, r.db)
	next.lease.grant(lease.Now(), lease.For(lease.Longest), stamp(2, 0))
	ok(t, next.lease.save(r.dir, "another boot", "7", 42))
	m := next.remembered()
	m.Role = rolePrimary
	ok(t, next.remember(m))
	if _, resumed := newHolding(nil).resume(r.dir, next.boot, m); resumed {
		t.Error("a lease of another boot was taken up")
	}
	ok(t, next.lease.save(r.dir, next.boot, "7", 42))
	if _, resumed := newHolding(nil).resume(r.dir, next.boot, m); !resumed {
		t.Error("a lease of this boot was not taken up")
	}
}

// TestStartOfAHungPrimary: what may be writable and cannot be made read-only is
// killed at a start; a server that only refuses the agent is not.
func TestStartOfAHungPrimary(t *testing.T) {
	for _, test := range []struct {
		name   string
		role   string
		fail   error
		killed bool
	}{{"it was the primary", rolePrimary, nil, true}, {"it was not", roleNotPrimary, nil, false}} {
		t.Run(test.name, func(t *testing.T) {
			r := newRig(t, writable())
			m := r.remembered()
			m.Role, m.HostGroup, m.ServerID = test.role, "orders", "7"
			ok(t, r.remember(m))
			ok(t, r.Close())
			r.db.set(func() { r.db.hang["SetReadOnly"], r.db.hang["State"] = true, true })
			next := reopen(t, r.dir, r.db, func(c *Config) { c.StateTimeout = 300 * time.Millisecond })
			k := &keeper{length: -1}
			next.run(k)
			eventually(t, "it beats", func() bool { return k.count() > 0 })
			if killed := r.db.called("Kill") > 0; killed != test.killed {
				t.Errorf("killed: %v", killed)
			}
			if test.killed && !k.last().Dead {
				t.Errorf("%+v", k.last())
			}
		})
	}
}

// TestDeath: a dead server is told of at once, its fence is confirmed, and it is
// read-only before anything when it comes back writable (R21).
func TestDeath(t *testing.T) {
	k := &keeper{grants: []api.Grant{grant(stamp(1, api.StepIdle), 1, own, true)}}
	r := newRig(t, fenced())
	r.run(k)
	eventually(t, "it is writable", func() bool { return k.last().Role == "primary" })
	r.db.set(r.db.die)
	eventually(t, "the keepers hear of it", func() bool { return k.last().Dead })
	answer, err := r.fence(2)
	ok(t, err)
	if !answer.Dead || answer.Alive || r.remembered().Role != roleNotPrimary {
		t.Errorf("%+v", answer)
	}
	k.set(func() { k.grants = []api.Grant{grant(stamp(2, api.StepFencing), 1, own, false)} })
	r.db.set(func() {
		r.db.dead, r.db.gone, r.db.state = false, make(chan struct{}), writable()
		delete(r.db.fail, "State")
		delete(r.db.fail, "SetReadOnly")
	})
	eventually(t, "it is read-only", r.db.readOnly)
	eventually(t, "it is an alarm", func() bool { return k.last().Alarm != "" && !k.last().Dead })
}

// TestFailoverOrders: the replica's part of a failover.
func TestFailoverOrders(t *testing.T) {
	r := newLeased(t, replica())
	stopped, err := r.give(stamp(2, api.StepFencing), api.StopReceivingDatasource, api.StopReceivingDatasourceRequest{HostGroup: "orders", Primary: api.Datasource{Address: primary}})
	ok(t, err)
	if stopped.Receiving || stopped.Received != "0-1-7" || stopped.Applied != "0-1-5" || stopped.Binlog == nil {
		t.Errorf("%+v", stopped)
	}
	// R19: neither the level nor a restart starts it again.
	for _, s := range []uint8{api.StepFencing, api.StepCatchingUp, api.StepRollingBack} {
		ok(t, r.hear(grant(stamp(2, s), 1, primary, false)))
	}
	r = r.restart()
	ok(t, r.hear(grant(stamp(2, api.StepRollingBack), 1, primary, true)))
	if n := r.db.called("Follow"); n != 0 || r.remembered().Stopped != 2 {
		t.Errorf("followed %d times, %+v", n, r.remembered())
	}
	resumed, err := r.give(stamp(2, api.StepRollingBack), api.ResumeDatasource, api.ResumeDatasourceRequest{HostGroup: "orders", Primary: api.Datasource{Address: primary}})
	ok(t, err)
	if !resumed.Receiving || r.remembered().Stopped != 0 {
		t.Errorf("%+v", resumed)
	}
	// The next one goes through.
	_, err = r.prepare(3)
	ok(t, err)
	_, err = r.give(stamp(3, api.StepFencing), api.DrainDatasource, api.DrainDatasourceRequest{HostGroup: "orders", Candidate: me(), TimeoutMS: 100})
	ok(t, err)
	_, err = r.promote(3)
	ok(t, err)
	if m := r.remembered(); m.Stopped != 0 || m.Role != rolePrimary {
		t.Errorf("%+v", m)
	}
	_, err = r.give(stamp(4, api.StepFencing), api.DrainDatasource, api.DrainDatasourceRequest{HostGroup: "orders", Candidate: me(), TimeoutMS: 100})
	refused(t, err, api.NotPrepared)
}

// TestKilledForAFailover: a fence that may kill does so when sessions wait for
// an acknowledgement (R22); a planned one never does.
func TestKilledForAFailover(t *testing.T) {
	for _, kill := range []bool{false, true} {
		r := newLeased(t, writable())
		r.db.fail["Fence"] = errors.Join(mysql.ErrWaitingForAck)
		answer, err := r.give(stamp(2, api.StepFencing), api.FenceDatasource, api.FenceDatasourceRequest{HostGroup: "orders", Primary: me(), BoundMS: 100, Kill: kill})
		if !kill {
			refused(t, err, api.WaitingForAck)
			r.did("Fence")
			continue
		}
		ok(t, err)
		if r.did("Fence", "Kill"); !answer.Dead {
			t.Errorf("%+v", answer)
		}
	}
	// Another is the primary: nothing will acknowledge what waits here.
	r := newLeased(t, fenced())
	r.db.fail["Follow"] = mysql.ErrWaitingForAck
	if err := r.hear(grant(stamp(1, api.StepIdle), 1, primary, true)); err == nil {
		t.Error("no error")
	}
	r.did("Follow", "Kill")
}

// TestWritableByALeaseOnly: an order to promote is a hint.
func TestWritableByALeaseOnly(t *testing.T) {
	r := newLeased(t, replica())
	_, err := r.prepare(2)
	ok(t, err)
	_, err = r.give(stamp(2, api.StepPromoting), api.PromoteDatasource, api.PromoteDatasourceRequest{HostGroup: "orders", Primary: me()})
	refused(t, err, api.NotReady)
	if !r.db.readOnly() {
		t.Error("writable without a lease")
	}
	_, err = r.promote(2)
	ok(t, err)
}

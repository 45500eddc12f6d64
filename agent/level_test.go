package agent

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/zerokeeper/zero/agent/mysql"
	"github.com/zerokeeper/zero/transport/api"
)

// TestCompareWith is the level of R14: what a grant asks of a server as it is.
func TestCompareWith(t *testing.T) {
	with := func(s mysql.State, change func(*mysql.State)) mysql.State {
		change(&s)
		return s
	}
	source := func(address, io, sql string) func(*mysql.State) {
		return func(s *mysql.State) {
			s.Replication = replicating(address)
			s.Replication.IORunning, s.Replication.SQLRunning = io, sql
		}
	}
	idle := func(committed uint64, address string) api.Grant {
		return grant(stamp(5, api.StepIdle), committed, address, true)
	}
	for _, test := range []struct {
		name     string
		grant    api.Grant
		state    mysql.State
		prepared uint64
		do       deed
		alarm    string // part of it
		quiet    bool
	}{
		{name: "the primary, as it is to be", grant: idle(3, own), state: writable()},
		{name: "the primary, after a start", grant: idle(3, own), state: fenced(), do: promote},
		{name: "the primary of a new group", grant: idle(0, own), state: fenced(), do: promote},
		{name: "committed and prepared", grant: grant(stamp(5, api.StepPromoting), 5, own, true), state: replica(), prepared: 5, do: promote},
		{name: "committed, prepared for another", grant: idle(5, own), state: replica(), prepared: 4, alarm: "it replicates from " + primary},
		{name: "a replica named by active_write", grant: idle(0, own), state: replica(), alarm: "correct active_write"},
		{name: "the primary while it is held", grant: grant(stamp(5, api.StepFencing), 3, own, false), state: fenced(), quiet: true},
		{name: "the primary in stopping", grant: grant(stamp(5, api.StepStopping), 3, own, true), state: fenced(), quiet: true},
		{name: "the primary in catching-up", grant: grant(stamp(5, api.StepCatchingUp), 3, own, true), state: fenced(), quiet: true},
		{name: "the primary of a switch that is rolled back", grant: grant(stamp(5, api.StepRollingBack), 3, own, true), state: fenced(), do: promote},

		{name: "a replica, as it is to be", grant: idle(3, primary), state: replica()},
		{name: "not the primary, writable", grant: idle(3, primary), state: writable(), do: setReadOnly, quiet: true},
		{name: "not the primary, writable in a switch", grant: grant(stamp(5, api.StepCatchingUp), 3, primary, false), state: writable(), do: setReadOnly, quiet: true},
		{name: "the old primary", grant: idle(3, primary), state: fenced(), do: follow},
		{name: "the old primary, right after the commit", grant: grant(stamp(5, api.StepPromoting), 5, primary, true), state: fenced(), do: follow},
		{name: "a replica of another", grant: idle(3, primary), state: with(replica(), source(other, "Yes", "Yes")), do: follow},
		{name: "a replica that was stopped", grant: idle(3, primary), state: with(replica(), source(primary, "No", "No")), do: follow},
		{name: "a replica that has stopped applying", grant: idle(3, primary), state: with(replica(), source(primary, "Yes", "No")), do: follow},
		{name: "a replica that cannot connect", grant: idle(3, primary), state: with(replica(), source(primary, "Connecting", "Yes"))},
		{name: "a replica that says why it cannot connect", grant: idle(3, primary), state: with(replica(), func(s *mysql.State) {
			source(primary, "Connecting", "Yes")(s)
			s.Replication.IOErrno, s.Replication.IOError = 2003, "refused"
		}), alarm: "does not receive from " + primary},
		{name: "no replica of a new group", grant: idle(0, primary), state: fenced(), alarm: "does not replicate from " + primary},
		{name: "a replica of another in a new group", grant: idle(0, primary), state: with(replica(), source(other, "Yes", "Yes")), alarm: "replicates from " + other},
		{name: "an empty server", grant: idle(3, primary), state: with(fenced(), func(s *mysql.State) { s.GTIDBinlogState = "" }), alarm: "clone it"},
		{name: "the old primary, before the commit", grant: grant(stamp(5, api.StepFencing), 3, primary, false), state: fenced(), quiet: true},
		{name: "a broken replica in a rollback", grant: grant(stamp(5, api.StepRollingBack), 3, primary, true), state: with(replica(), source(primary, "No", "No")), quiet: true},
	} {
		m := memory{Address: own, HostGroup: "orders", Prepared: test.prepared}
		v := m.compareWith(test.grant, test.state)
		if v.do != test.do || v.quiet != test.quiet || (v.alarm == "") != (test.alarm == "") || !strings.Contains(v.alarm, test.alarm) {
			t.Errorf("%s: %+v, want deed %d, quiet %v, alarm %q", test.name, v, test.do, test.quiet, test.alarm)
		}
	}
}

func TestObey(t *testing.T) {
	for _, test := range []struct {
		name  string
		state mysql.State
		grant api.Grant
		did   []string
	}{
		{"nothing to do", writable(), grant(stamp(1, api.StepIdle), 1, own, true), nil},
		{"made writable", fenced(), grant(stamp(1, api.StepIdle), 1, own, true), []string{"Promote"}},
		{"made read-only, then a replica", writable(), grant(stamp(1, api.StepIdle), 1, primary, true), []string{"SetReadOnly", "Follow"}},
		{"left alone in a switch", fenced(), grant(stamp(1, api.StepFencing), 0, own, false), nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := newLeased(t, test.state)
			for range 3 {
				ok(t, r.hear(test.grant))
			}
			r.did(test.did...)
			if m := r.remembered(); m.Stamp != test.grant.Stamp || m.HostGroup != "orders" {
				t.Errorf("remembered: %+v", m)
			}
		})
	}
}

// TestLateGrants: one that is older than what was seen is passed over.
func TestLateGrants(t *testing.T) {
	r := newLeased(t, replica())
	_, err := r.prepare(2)
	ok(t, err)
	r.db.set(func() { r.db.state = fenced() })
	ok(t, r.hear(grant(stamp(1, api.StepIdle), 1, own, true)))
	r.did()
	if m := r.remembered(); m.Prepared != 2 || m.Stamp != stamp(2, api.StepStopping) {
		t.Errorf("%+v", m)
	}
}

// TestAnotherGroup: generations of the group before mean nothing in this one.
func TestAnotherGroup(t *testing.T) {
	r := newLeased(t, replica())
	_, err := r.prepare(5)
	ok(t, err)
	moved := grant(stamp(2, api.StepIdle), 2, own, true)
	moved.HostGroup, moved.Committed = "users", 5
	ok(t, r.hear(moved))
	r.did() // prepared for generation 5 of orders, not of users
	if m := r.remembered(); m.HostGroup != "users" || m.Prepared != 0 || m.Stamp != stamp(2, api.StepIdle) {
		t.Errorf("%+v", m)
	}
	_, err = r.prepare(6)
	refused(t, err, api.IdentityMismatch)
}

func (r *rig) alarmed(part string) {
	r.t.Helper()
	alarm := r.View().Alarm
	if (alarm == "") != (part == "") || !strings.Contains(alarm, part) {
		r.t.Errorf("alarm %q, want one with %q", alarm, part)
	}
	if said := r.heartbeat(1).Alarm; said != alarm {
		r.t.Errorf("the heartbeat says %q", said)
	}
}

func TestAlarms(t *testing.T) {
	r := newLeased(t, replica())
	named := grant(stamp(1, api.StepIdle), 0, own, true)
	ok(t, r.hear(named))
	r.alarmed("correct active_write")
	ok(t, r.hear(grant(stamp(1, api.StepIdle), 0, primary, true)))
	r.alarmed("")
	named.Primary.ServerID = "8"
	ok(t, r.hear(named))
	r.alarmed("not 8")
	r.did()

	r = newLeased(t, fenced())
	r.db.fail["Promote"] = fmt.Errorf("promotion: %w", mysql.ErrMultiSource)
	refused(t, r.hear(grant(stamp(1, api.StepIdle), 1, own, true)), api.SetDatabase)
	r.alarmed("should be writable and is not")
	delete(r.db.fail, "Promote")
	ok(t, r.hear(grant(stamp(1, api.StepIdle), 1, own, true)))
	r.alarmed("")

	r = newLeased(t, fenced())
	for err, want := range map[error]string{
		&mysql.ErrantError{GTIDs: []mysql.GTID{{Domain: 0, Server: 1, Seq: 9}}}: "errant transactions",
		mysql.ErrPurged: "; stop this agent, build the server anew",
	} {
		r.db.fail["Follow"] = err
		if err := r.hear(grant(stamp(1, api.StepIdle), 1, primary, true)); err == nil {
			t.Error("no error")
		}
		r.alarmed(want)
	}
	r.db.fail["Follow"] = nil
	ok(t, r.hear(grant(stamp(1, api.StepIdle), 1, primary, true)))
	r.alarmed("")
}

// TestBackoff: what fails is tried less and less often, until the keepers say
// something else.
func TestBackoff(t *testing.T) {
	r := newLeased(t, fenced())
	r.db.fail["Follow"] = errors.New("no")
	_, err := r.ask(t.Context())
	ok(t, err)
	wait := new(backoff)
	for range 5 {
		_ = r.obey(t.Context(), grant(stamp(1, api.StepIdle), 1, primary, true), true, wait) // what it says is counted
	}
	if n := r.db.called("Follow"); n != 1 {
		t.Errorf("tried %d times at once", n)
	}
	if err := r.obey(t.Context(), grant(stamp(2, api.StepIdle), 1, primary, true), true, wait); err == nil {
		t.Error("another grant was not tried at once")
	}
	for range 10 {
		wait.ended(err)
		wait.ended(errors.New("no"))
	}
	if wait.pause != firstPause {
		t.Errorf("a success did not start it afresh: %v", wait.pause)
	}
	for range 10 {
		wait.ended(errors.New("no"))
	}
	if wait.pause != lastPause {
		t.Errorf("it grew to %v", wait.pause)
	}
}

// TestOrderInterruptsTheLevel: an order does not wait for a server that is made
// to follow by the way.
func TestOrderInterruptsTheLevel(t *testing.T) {
	for _, hangs := range []string{"Follow", "SetReadOnly"} {
		t.Run(hangs, func(t *testing.T) {
			state := fenced()
			if hangs == "SetReadOnly" {
				state = writable()
			}
			r := newLeased(t, state)
			r.db.hang[hangs] = true
			level := make(chan error, 1)
			go func() { level <- r.hear(grant(stamp(1, api.StepIdle), 1, primary, true)) }()
			eventually(t, "the level is at it", func() bool { return r.db.called(hangs) == 1 })
			began := time.Now()
			_, err := r.fence(2)
			ok(t, err)
			if took := time.Since(began); took > 2*time.Second {
				t.Errorf("the order waited for %v", took)
			}
			if err := <-level; err != nil {
				t.Errorf("that is not the level's failure: %v", err)
			}
			r.alarmed("")
		})
	}
}

// TestOrderWaitsForAPromotion: half of one would be the worst of all.
func TestOrderWaitsForAPromotion(t *testing.T) {
	r := newLeased(t, fenced())
	r.db.hang["Promote"] = true
	ctx, stop := context.WithCancel(t.Context())
	level := make(chan error, 1)
	go func() { level <- r.obey(ctx, grant(stamp(1, api.StepIdle), 1, own, true), true, new(backoff)) }()
	eventually(t, "the level is at it", func() bool { return r.db.called("Promote") == 1 })
	hurry, cancel := context.WithTimeout(r.call, 20*time.Millisecond)
	defer cancel()
	_, err := r.giveWithin(hurry, stamp(2, api.StepFencing), api.FenceDatasource, api.FenceDatasourceRequest{HostGroup: "orders", Primary: me(), BoundMS: 1000})
	refused(t, err, api.Busy)
	if r.db.called("Fence") != 0 {
		t.Error("fenced in the middle of a promotion")
	}
	stop()
	<-level
	_, err = r.fence(2)
	ok(t, err)
}

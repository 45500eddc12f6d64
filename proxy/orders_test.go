package proxy

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/zerokeeper/zero/transport/api"
	"github.com/zerokeeper/zero/transport/wire"
)

// TestSwitch is the way of a planned switch through one proxy.
func TestSwitch(t *testing.T) {
	r := up(t)
	ok(t, r.stopWriting(2, 0, addrA))
	r.is(addrA, false)
	ok(t, r.stopWriting(2, 0, addrA)) // asked again, answered again
	ok(t, r.switchTo(2, 1, addrB))
	r.is(addrB, false)
	ok(t, r.switchTo(2, 1, addrB))
	ok(t, r.recover(2, 1, addrB))
	r.is(addrB, true)
	ok(t, r.recover(2, 1, addrB))
	r.is(addrB, true)
	ok(t, r.hear(grant(stamp(2, api.StepIdle), 2, 1, addrB, true))) // says the same
	r.is(addrB, true)

	for name, err := range map[string]error{
		"StopWriting of a finished switch": r.stopWriting(2, 0, addrA),
		"its Switch":                       r.switchTo(2, 1, addrB),
		"Recover of the switch before":     r.recover(1, 0, addrA),
		"Rollback of the switch before":    r.rollback(1),
	} {
		if code, _ := api.CodeOf(err); code != api.StaleGeneration {
			t.Errorf("%s, late: %v, want code %d", name, err, api.StaleGeneration)
		}
	}
	r.is(addrB, true)
	if err := r.rollback(1); err == nil || !strings.Contains(err.Error(), "0.2.6") {
		t.Errorf("the refusal does not say which stamp was seen: %v", err)
	}
}

func TestOrdersAreRefused(t *testing.T) {
	r := up(t)
	ok(t, r.stopWriting(2, 0, addrA))
	before := r.state()
	for _, test := range []struct {
		name string
		err  error
		code api.Code
	}{
		{"another server at the index", r.stopWriting(3, 0, addrC), api.IdentityMismatch},
		{"an index that is not there", r.stopWriting(3, 7, addrA), api.IdentityMismatch},
		{"a negative index", r.stopWriting(3, -1, ""), api.IdentityMismatch},
		{"not what is written to", r.stopWriting(3, 1, addrB), api.IdentityMismatch},
		{"switch to another server at the index", r.switchTo(3, 1, addrC), api.IdentityMismatch},
		{"recover where it does not point", r.recover(3, 1, addrB), api.IdentityMismatch},
		{"recover another server at the index", r.recover(3, 0, addrB), api.IdentityMismatch},
		{"recover before the commit", r.give(stamp(3, api.StepFencing), api.RecoverWritingProxyDatasource, api.RecoverWritingProxyDatasourceRequest{HostGroup: "orders"}), api.BadRequest},
		{"stop after the commit", r.give(stamp(3, api.StepPromoting), api.StopWritingProxyDatasource, api.StopWritingProxyDatasourceRequest{HostGroup: "orders"}), api.BadRequest},
		{"switch before the commit", r.give(stamp(3, api.StepCatchingUp), api.SwitchProxyDatasource, api.SwitchProxyDatasourceRequest{HostGroup: "orders", ToIndex: 1}), api.BadRequest},
		{"a lower generation", r.give(api.Stamp{Generation: 1, Step: api.StepIdle}, api.RecoverWritingProxyDatasource, api.RecoverWritingProxyDatasourceRequest{HostGroup: "orders"}), api.StaleGeneration},
		{"unknown group", r.give(stamp(9, api.StepStopping), api.StopWritingProxyDatasource, api.StopWritingProxyDatasourceRequest{HostGroup: "nope"}), api.NoSuchGroup},
	} {
		if code, _ := api.CodeOf(test.err); code != test.code {
			t.Errorf("%s: %v, want code %d", test.name, test.err, test.code)
		}
	}
	if after := r.state(); after != before {
		t.Errorf("a refused order changed something: %+v, was %+v", after, before)
	}
	r.is(addrA, false)
}

func TestRequestsAreChecked(t *testing.T) {
	r := up(t)
	for _, test := range []struct {
		name string
		role string
		req  wire.Request
		code api.Code
	}{
		{"not a keeper", api.RoleOperator, wire.Request{Name: api.ActivateProxy}, api.Forbidden},
		{"unknown name", api.RoleKeeper, wire.Request{Name: "Nope"}, api.UnknownRequest},
		{"no stamp", api.RoleKeeper, wire.Request{Name: api.RollbackProxyDatasource, Body: []byte(`{"hostGroup":"orders"}`)}, api.BadRequest},
		{"bad stamp", api.RoleKeeper, wire.Request{Name: api.RollbackProxyDatasource, Body: []byte(`{"hostGroup":"orders"}`), Meta: wire.Meta{{Key: api.MetaStamp, Value: "x"}}}, api.BadRequest},
		{"not JSON", api.RoleKeeper, wire.Request{Name: api.PushConfig, Body: []byte(`{`)}, api.BadRequest},
		{"misses a member", api.RoleKeeper, wire.Request{Name: api.PushConfig, Body: []byte(`{"configId":"1.0.0"}`)}, api.BadRequest},
		{"wrong type", api.RoleKeeper, wire.Request{Name: api.StopWritingProxyDatasource, Body: []byte(`{"hostGroup":"orders","index":"0"}`)}, api.BadRequest},
	} {
		_, err := r.Handler()(asRole(t, test.role), &test.req)
		if code, _ := api.CodeOf(err); code != test.code {
			t.Errorf("%s: %v, want code %d", test.name, err, test.code)
		}
	}
}

// TestStopWritingDrains: it answers when nothing is in flight, and holds whoever
// comes meanwhile.
func TestStopWritingDrains(t *testing.T) {
	r := up(t)
	g, _ := r.LookupGroup("orders")
	ticket, admitted := g.Gate.TryAcquire()
	if !admitted {
		t.Fatal("not admitted")
	}
	err := r.stopWriting(2, 0, addrA)
	refused(t, err, api.DrainTimeout)
	if !strings.Contains(err.Error(), "1 still in flight") || !strings.Contains(err.Error(), "drain_timeout") {
		t.Errorf("the refusal does not say how many are left, and of what: %v", err)
	}
	r.is(addrA, false)

	stopped := make(chan error, 1)
	ctx, cancel := context.WithTimeout(r.call, 10*time.Second)
	defer cancel()
	grp, err := r.group("orders")
	ok(t, err)
	grp.mu.Lock()
	grp.drainTimeout = 10 * time.Second
	grp.mu.Unlock()
	go func() {
		stopped <- r.giveWithin(ctx, stamp(3, api.StepStopping), api.StopWritingProxyDatasource, api.StopWritingProxyDatasourceRequest{HostGroup: "orders"})
	}()
	eventually(t, "the order is seen", func() bool { return r.state().Stamp.Generation == 3 })
	if _, admitted := g.Gate.TryAcquire(); admitted {
		t.Error("a write was admitted while it drains")
	}
	select {
	case err := <-stopped:
		t.Fatalf("answered with one in flight: %v", err)
	default:
	}
	ticket.Release()
	ok(t, <-stopped)
}

// TestStopWritingGivesWay: a switch that is rolled back meanwhile ends the wait.
func TestStopWritingGivesWay(t *testing.T) {
	r := up(t)
	g, _ := r.LookupGroup("orders")
	ticket, _ := g.Gate.TryAcquire()
	defer ticket.Release()
	grp, err := r.group("orders")
	ok(t, err)
	grp.mu.Lock()
	grp.drainTimeout = time.Minute
	grp.mu.Unlock()
	stopped := make(chan error, 1)
	go func() { stopped <- r.stopWriting(2, 0, addrA) }()
	eventually(t, "the order is seen", func() bool { return r.state().Stamp.Generation == 2 })
	ok(t, r.rollback(2))
	ok(t, r.recover(2, 0, addrA))
	refused(t, <-stopped, api.DrainTimeout)
	r.is(addrA, true)
}

func TestRollback(t *testing.T) {
	for _, test := range []struct {
		name    string
		restart bool
		before  func(r *rig) error
		rolled  string
	}{
		{"after StopWriting", false, func(r *rig) error { return r.stopWriting(2, 0, addrA) }, addrA},
		{"after StopWriting and a restart", true, func(r *rig) error { return r.stopWriting(2, 0, addrA) }, addrA},
		{"of what was switched", false, func(r *rig) error { return first(r.stopWriting(2, 0, addrA), r.switchTo(2, 1, addrB)) }, addrA},
		{"of what was switched, after a restart", true, func(r *rig) error { return first(r.stopWriting(2, 0, addrA), r.switchTo(2, 1, addrB)) }, addrA},
		{"of a switch that was missed", false, func(*rig) error { return nil }, addrA},
		{"of a Switch without StopWriting", true, func(r *rig) error { return r.switchTo(2, 1, addrB) }, addrA},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := up(t)
			ok(t, test.before(r))
			if test.restart {
				r = r.restart()
			}
			ok(t, r.rollback(2))
			ok(t, r.rollback(2)) // again
			r.is(test.rolled, false)
			if !test.restart {
				ok(t, r.recover(2, 0, addrA))
				r.is(test.rolled, true)
			}
		})
	}
	t.Run("with nothing known", func(t *testing.T) {
		r := newRig(t)
		ok(t, r.push("1.0.0", docAB))
		refused(t, r.rollback(2), api.NothingToUndo)
		if s := r.state(); s != (groupState{}) {
			t.Errorf("it left %+v", s)
		}
	})
}

func first(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// TestDiskBeforeTheAnswer: what cannot be remembered is not promised.
func TestDiskBeforeTheAnswer(t *testing.T) {
	r := up(t)
	mend := r.broken()
	before := r.state()
	if err := r.stopWriting(2, 0, addrA); err == nil || !strings.Contains(err.Error(), "remember host group orders") {
		t.Errorf("stopped without memory: %v", err)
	}
	if r.state() != before {
		t.Errorf("promised %+v, remembered %+v", r.state(), before)
	}
	r.is(addrA, true) // clients were not held for it
	if err := r.switchTo(2, 1, addrB); err == nil {
		t.Error("switched without memory")
	}
	r.is(addrA, false)
	if err := r.hear(grant(stamp(2, api.StepIdle), 2, 1, addrB, true)); err == nil {
		t.Error("took over a grant without memory")
	}
	r.is(addrA, false)
	mend()
	ok(t, r.stopWriting(2, 0, addrA))
	ok(t, r.switchTo(2, 1, addrB))

	unmend := r.broken()
	ok(t, r.recover(2, 1, addrB)) // there is nothing to remember: the disk has the generation
	r.is(addrB, true)
	unmend()
	next := r.restart()
	if s := next.state(); s.Stamp.Generation != 2 || s.Current != (target{addrB, 2}) || s.Previous.Address != addrA || s.PreviousOf != 2 {
		t.Errorf("the next process remembers %+v", s)
	}
	next.is(addrB, false)
}

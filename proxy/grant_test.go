package proxy

import (
	"testing"

	"github.com/zerokeeper/zero/transport/api"
)

func TestGrants(t *testing.T) {
	type want struct {
		address string
		open    bool
		code    api.Code
	}
	for _, test := range []struct {
		name  string
		grant api.Grant
		want  want
	}{
		{"the same again", grant(stamp(1, api.StepIdle), 0, 0, addrA, true), want{addrA, true, 0}},
		{"held", grant(stamp(2, api.StepStopping), 0, 0, addrA, false), want{addrA, false, 0}},
		{"a switch is only requested", grant(stamp(2, api.StepRequested), 0, 0, addrA, true), want{addrA, true, 0}},
		{"late", grant(stamp(0, api.StepIdle), 0, 1, addrB, true), want{addrA, true, 0}},
		{"late and held", grant(stamp(0, api.StepStopping), 0, 0, addrA, false), want{addrA, true, 0}},
		{"a whole switch was missed", grant(stamp(2, api.StepIdle), 2, 1, addrB, true), want{addrB, true, 0}},
		{"committed, not over", grant(stamp(2, api.StepPromoting), 2, 1, addrB, false), want{addrB, false, 0}},
		{"the same server in a list of another order", grant(stamp(2, api.StepIdle), 0, 1, addrA, true), want{addrA, true, 0}},
		{"another server in a list of another order", grant(stamp(2, api.StepIdle), 2, 0, addrB, true), want{addrB, true, 0}},
		{"a server of another configuration", grant(stamp(2, api.StepIdle), 2, 1, addrC, true), want{addrA, false, api.IdentityMismatch}},
		{"no server named", grant(stamp(2, api.StepIdle), 0, 0, "", true), want{addrA, false, api.IdentityMismatch}},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := up(t)
			refused(t, r.hear(test.grant), test.want.code)
			r.is(test.want.address, test.want.open)
		})
	}
}

// TestForeignGrantIsRemembered: what is late by then does not open the group.
func TestForeignGrantIsRemembered(t *testing.T) {
	r := up(t)
	refused(t, r.hear(grant(stamp(3, api.StepIdle), 3, 1, addrC, true)), api.IdentityMismatch)
	refused(t, r.recover(2, 0, addrA), api.StaleGeneration)
	r.is(addrA, false)
	ok(t, r.push("2.0.0", document("", "orders "+addrA+" "+addrC)))
	r.is(addrA, false)
	ok(t, r.hear(grant(stamp(3, api.StepIdle), 3, 1, addrC, true)))
	r.is(addrC, true)
}

// TestOtherGroupsAreServed: one bad grant does not keep the others from theirs.
func TestOtherGroupsAreServed(t *testing.T) {
	r := newRig(t)
	ok(t, r.push("1.0.0", document("", "other "+addrC, "orders "+addrA+" "+addrB)))
	bad := grant(stamp(1, api.StepIdle), 0, 0, "127.0.0.1:9", true)
	bad.HostGroup = "other"
	unknown := bad
	unknown.HostGroup = "not here yet"
	refused(t, r.hear(bad, unknown, grant(stamp(1, api.StepIdle), 0, 0, addrA, true)), api.IdentityMismatch)
	r.is(addrA, true)
}

// TestGrantKeepsWhatIsInFlight: a grant that says what the orders said before,
// or only a commit's generation, must not end transactions.
func TestGrantKeepsWhatIsInFlight(t *testing.T) {
	r := up(t)
	ok(t, r.stopWriting(2, 0, addrA))
	ok(t, r.switchTo(2, 1, addrB))
	ok(t, r.recover(2, 1, addrB))
	g, _ := r.LookupGroup("orders")
	ticket, _ := g.Gate.TryAcquire()
	defer ticket.Release()
	ok(t, r.hear(grant(stamp(2, api.StepIdle), 2, 1, addrB, true)))
	ok(t, r.hear(grant(stamp(3, api.StepRequested), 2, 1, addrB, true)))
	ok(t, r.hear(grant(stamp(3, api.StepStopping), 2, 1, addrB, false)))
	if !ticket.Valid() {
		t.Error("a transaction was cut off by grants that move nothing")
	}
	ok(t, r.hear(grant(stamp(4, api.StepIdle), 4, 0, addrA, true)))
	if ticket.Valid() {
		t.Error("a ticket outlived the primary that it was for")
	}
	if n := g.Gate.InFlight(); n != 1 {
		t.Errorf("%d in flight", n)
	}
	// There and back again while nobody looked: another reign of the same server.
	again, _ := g.Gate.TryAcquire()
	defer again.Release()
	ok(t, r.hear(grant(stamp(6, api.StepIdle), 6, 0, addrA, true)))
	if again.Valid() {
		t.Error("a ticket outlived a reign")
	}
}

// TestGenerationOfAnOrder: one that a proxy learned from an order may be above
// the commit's; the grant that tells better ends nothing.
func TestGenerationOfAnOrder(t *testing.T) {
	r := newRig(t)
	ok(t, r.push("1.0.0", docAB))
	ok(t, r.hear(grant(stamp(4, api.StepIdle), 4, 1, addrB, true))) // and with it a lease
	back := api.SwitchProxyDatasourceRequest{HostGroup: "orders", Primary: api.Datasource{Address: addrA}}
	ok(t, r.give(stamp(5, api.StepIdle), api.SwitchProxyDatasource, back)) // switch 5 was rolled back
	ok(t, r.recover(5, 0, addrA))
	g, _ := r.LookupGroup("orders")
	ticket, _ := g.Gate.TryAcquire()
	defer ticket.Release()
	ok(t, r.hear(grant(stamp(5, api.StepIdle), 3, 0, addrA, true)))
	if !ticket.Valid() {
		t.Error("a transaction was cut off")
	}
}

// TestStartIsHeld (R11): the disk's configuration serves reads, nothing writes.
func TestStartIsHeld(t *testing.T) {
	r := up(t)
	ok(t, r.stopWriting(2, 0, addrA))
	ok(t, r.switchTo(2, 1, addrB))
	ok(t, r.recover(2, 1, addrB))
	r.is(addrB, true)
	r = r.restart()
	r.is(addrB, false)
	if err := r.Ready(); err == nil {
		t.Error("ready before a keeper answered")
	}
	if now := r.heartbeat(1, r.Status()); now.ConfVersion != "1.0.0" || now.Status != api.StatusReady || now.Stamps["orders"].Generation != 2 {
		t.Errorf("its first heartbeat: %+v", now)
	}
	refused(t, r.recover(2, 1, addrB), api.NotReady) // not on the list yet
	r.is(addrB, false)
	ok(t, r.hear(grant(stamp(2, api.StepIdle), 2, 1, addrB, true)))
	r.is(addrB, true)
	ok(t, r.Ready())
}

// TestFirstStartReadsFromActiveWrite, also when the disk remembers a server that
// the configuration has no more.
func TestFirstStartReadsFromActiveWrite(t *testing.T) {
	r := newRig(t)
	ok(t, r.push("1.0.0", docAB))
	r.is(addrA, false)
	if s := r.state(); s.known() {
		t.Errorf("a group that was told nothing remembers %+v", s)
	}
	ok(t, r.hear(grant(stamp(2, api.StepIdle), 2, 1, addrB, true)))
	ok(t, r.push("2.0.0", document("", "orders "+addrA+" "+addrC)))
	r.is(addrB, false) // a keeper would not have taken that away
	r = r.restart()
	r.is(addrA, false)
}

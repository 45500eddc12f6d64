package proxy

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/zerokeeper/zero/transport/api"
	"github.com/zerokeeper/zero/transport/lease"
	"github.com/zerokeeper/zero/transport/wire"
)

// until is the end of the group's lease.
func (r *rig) until() lease.Instant {
	r.t.Helper()
	g, err := r.group("orders")
	ok(r.t, err)
	return g.gate.Until()
}

// hearAt is an answer to a heartbeat that was sent then.
func (r *rig) hearAt(sent lease.Instant, ms int64, grants ...api.Grant) {
	r.t.Helper()
	ok(r.t, r.obey(r.t.Context(), nil, r.stand().life, sent, api.HeartbeatAnswer{Status: api.StatusUp, Grants: grants, LeaseMS: ms}))
}

// TestWhatRenewsALease (R4, R10): an open grant with a lease, from the sending of
// its heartbeat, and nothing else.
func TestWhatRenewsALease(t *testing.T) {
	open, held := grant(stamp(1, api.StepIdle), 0, 0, addrA, true), grant(stamp(2, api.StepStopping), 0, 0, addrA, false)
	late := grant(stamp(0, api.StepIdle), 0, 0, addrA, true)
	for _, test := range []struct {
		name   string
		ago    time.Duration // when the heartbeat was sent
		ms     int64
		grants []api.Grant
		want   time.Duration // from its sending; 0: nothing is renewed
	}{
		{"open", 0, 60_000, []api.Grant{open}, time.Minute / 2}, // the longest that is taken
		{"sent long ago", 10 * time.Second, 30_000, []api.Grant{open}, 0},
		{"no lease", 0, 0, []api.Grant{open}, 0},
		{"a negative one", 0, -5, []api.Grant{open}, 0},
		{"held", 0, 30_000, []api.Grant{held}, 0},
		{"not named", 0, 30_000, nil, 0},
		{"late", 0, 30_000, []api.Grant{late}, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := newRig(t)
			ok(t, r.push("1.0.0", docAB))
			first := lease.Now()
			r.hearAt(first, 25_000, open)
			r.is(addrA, true)
			before := r.until()
			if before != first.Add(25*time.Second) {
				t.Fatalf("the first lease is %v long", before.Sub(first))
			}
			sent := lease.Now().Add(-test.ago)
			r.hearAt(sent, test.ms, test.grants...)
			want := before
			if test.want > 0 {
				want = sent.Add(test.want)
			}
			if got := r.until(); got != want {
				t.Errorf("it ends %v after it should", got.Sub(want))
			}
		})
	}
}

// TestLeaseThatIsOver opens nothing: an answer that took too long, or an order.
func TestLeaseThatIsOver(t *testing.T) {
	open := grant(stamp(1, api.StepIdle), 0, 0, addrA, true)
	r := newRig(t)
	ok(t, r.push("1.0.0", docAB))
	r.hearAt(lease.Now().Add(-3*time.Second), 2000, open)
	r.is(addrA, false)
	ok(t, r.stopWriting(2, 0, addrA))
	ok(t, r.rollback(2))
	ok(t, r.recover(2, 0, addrA)) // taken: the next heartbeat, which is due now, opens
	r.is(addrA, false)
	select {
	case <-r.wake:
	default:
		t.Error("no heartbeat is due")
	}
	r.hearAt(lease.Now(), 2000, open) // late: of before the switch
	r.is(addrA, false)
	r.hearAt(lease.Now(), 2000, grant(stamp(2, api.StepIdle), 0, 0, addrA, true))
	r.is(addrA, true)
}

// TestOrderOpensOnWhatIsLeft of the lease, and makes it no longer.
func TestOrderOpensOnWhatIsLeft(t *testing.T) {
	r := up(t)
	before := r.until()
	ok(t, r.stopWriting(2, 0, addrA))
	ok(t, r.switchTo(2, 1, addrB))
	ok(t, r.recover(2, 1, addrB))
	r.is(addrB, true)
	if r.until() != before {
		t.Error("an order changed the lease")
	}
	if beat := r.heartbeat(1, api.StatusUp); len(beat.Leaseless) != 0 {
		t.Errorf("it says that it has no lease: %v", beat.Leaseless)
	}
	r = r.restart() // R11: nothing of it is left
	if beat := r.heartbeat(1, api.StatusUp); !slices.Equal(beat.Leaseless, []string{"orders"}) {
		t.Errorf("it says of %v that it has no lease", beat.Leaseless)
	}
	r.is(addrB, false)
	if r.until() != 0 {
		t.Error("a start has a lease")
	}
}

// TestLeaseRunsFromTheSending (R10), not from the answer.
func TestLeaseRunsFromTheSending(t *testing.T) {
	r := newRig(t)
	ok(t, r.push("1.0.0", docAB))
	const length = 20 * time.Second
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var came lease.Instant
	link := script(func(name string, body []byte) (*wire.Response, error) {
		if name != api.ProxyHeartbeat {
			return nil, nil
		}
		if came != 0 {
			cancel()
			return nil, errors.New("over")
		}
		came = lease.Now()
		<-time.After(100 * time.Millisecond) // the thing tested
		var beat api.ProxyHeartbeatRequest
		ok(t, json.Unmarshal(body, &beat))
		data, err := json.Marshal(api.HeartbeatAnswer{Seq: beat.Seq, Status: api.StatusUp, IntervalMS: 50, LeaseMS: length.Milliseconds(),
			Grants: []api.Grant{grant(stamp(1, api.StepIdle), 0, 0, addrA, true)}})
		return &wire.Response{Data: data}, err
	})
	r.Run(ctx, link)
	if until := r.until(); until == 0 || until > came.Add(length) {
		t.Errorf("it ends %v after the heartbeat was sent", until.Sub(came))
	}
}

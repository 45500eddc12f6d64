package proxy

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/zerokeeper/zero/transport/api"
	"github.com/zerokeeper/zero/transport/lease"
	"github.com/zerokeeper/zero/transport/wire"
)

func (r *rig) unregister(ctx context.Context) error {
	return r.giveWithin(ctx, api.Stamp{}, api.UnregisterProxy, api.UnregisterProxyRequest{Reason: "test"})
}

func (r *rig) activate() error {
	return r.give(api.Stamp{}, api.ActivateProxy, api.ActivateProxyRequest{})
}

func TestUnregisterAndActivate(t *testing.T) {
	r := up(t)
	open := grant(stamp(1, api.StepIdle), 0, 0, addrA, true)
	ok(t, r.unregister(r.call))
	ok(t, r.unregister(r.call)) // asked again
	r.is(addrA, false)
	if err := r.Ready(); err == nil || r.Status() != api.StatusUnreg {
		t.Errorf("status %s, ready: %v", r.Status(), err)
	}
	// Nothing that comes now opens it: no switch waits for this proxy.
	ok(t, r.hear(open))
	refused(t, r.recover(1, 0, addrA), api.NotReady)
	g, err := r.group("orders")
	ok(t, err)
	ok(t, g.grant(open, lease.Now().Add(time.Minute))) // of an answer that was being obeyed when the order came
	ok(t, r.push("2.0.0", document("", "orders "+addrA, "more "+addrC)))
	r.is(addrA, false)

	r = r.restart() // a start registers anew
	if r.Status() != api.StatusReady {
		t.Errorf("a start is %s", r.Status())
	}
	ok(t, r.hear(open))
	r.is(addrA, true)
	ok(t, r.unregister(r.call))
	r.registered(r.stand().life)
	ok(t, r.activate())
	if s := r.stand(); s.status != api.StatusReady || s.registered {
		t.Errorf("activated: %+v", s)
	}
	r.is(addrA, false) // until a keeper has it on the list
	ok(t, r.hear(open))
	r.is(addrA, true)
	if r.Status() != api.StatusUp {
		t.Errorf("status %s", r.Status())
	}
	ok(t, r.activate()) // one that works goes on meanwhile
	r.is(addrA, true)
}

// TestUnregisterWaits: it is answered when nothing is in flight, or not at all.
func TestUnregisterWaits(t *testing.T) {
	r := up(t)
	g, _ := r.LookupGroup("orders")
	ticket, _ := g.Gate.TryAcquire()
	refused(t, r.unregister(r.call), api.DrainTimeout)
	if r.Status() != api.StatusUp {
		t.Errorf("status %s with one in flight", r.Status())
	}
	ok(t, r.hear(grant(stamp(1, api.StepIdle), 0, 0, addrA, true)))
	r.is(addrA, true) // it goes on

	grp, err := r.group("orders")
	ok(t, err)
	grp.mu.Lock()
	grp.drainTimeout = time.Minute
	grp.mu.Unlock()
	life := r.stand().life
	done := make(chan error, 1)
	go func() { done <- r.unregister(r.call) }()
	eventually(t, "it is leaving", func() bool { return r.stand().leaving })
	// Neither an answer from before nor one that comes meanwhile opens it.
	open := api.HeartbeatAnswer{Status: api.StatusUp, Grants: []api.Grant{grant(stamp(1, api.StepIdle), 0, 0, addrA, true)}, LeaseMS: 30_000}
	ok(t, r.obey(t.Context(), nil, life, lease.Now(), open))
	ok(t, r.obey(t.Context(), nil, r.stand().life, lease.Now(), open))
	r.is(addrA, false)
	ticket.Release()
	ok(t, <-done)
	ok(t, r.obey(t.Context(), nil, r.stand().life, lease.Now(), open))
	r.is(addrA, false)
}

// TestNotOnTheList: who is not counted does not write.
func TestNotOnTheList(t *testing.T) {
	open := grant(stamp(1, api.StepIdle), 0, 0, addrA, true)
	for _, test := range []struct {
		name, answered, status string
	}{
		{"forgotten", "", api.StatusReady}, // registers again at once
		{"unregistered without being told", api.StatusUnreg, api.StatusUnreg},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := up(t)
			life := r.stand().life
			r.registered(life)
			ok(t, r.obey(t.Context(), nil, life, lease.Now(), api.HeartbeatAnswer{Status: test.answered, Grants: []api.Grant{open}, LeaseMS: 30_000}))
			r.is(addrA, false)
			if s := r.stand(); s.status != test.status || (test.status == api.StatusReady && s.registered) {
				t.Errorf("%+v", s)
			}
			ok(t, r.obey(t.Context(), nil, life, lease.Now(), api.HeartbeatAnswer{Status: api.StatusUp, Grants: []api.Grant{open}, LeaseMS: 30_000}))
			r.is(addrA, false) // the answer to an earlier heartbeat
			refused(t, r.recover(1, 0, addrA), api.NotReady)
			select {
			case <-r.wake:
			default:
				t.Error("the next heartbeat is not due at once")
			}
			ok(t, r.activate())
			ok(t, r.hear(open))
			r.is(addrA, true)
		})
	}
}

// script answers requests to the keepers.
type script func(name string, body []byte) (*wire.Response, error)

func (s script) Call(_ context.Context, name string, _ wire.Meta, body []byte) (*wire.Response, error) {
	return s(name, body)
}

// TestLeave: what is answered after the farewell does not open anything.
func TestLeave(t *testing.T) {
	r := up(t)
	var asked []string
	link := script(func(name string, body []byte) (*wire.Response, error) {
		asked = append(asked, name+" "+string(body))
		return nil, api.Errorf(api.LastProxy, "the last one")
	})
	if err := r.Leave(t.Context(), link, "stopped"); !errors.Is(err, &api.Error{Code: api.LastProxy}) {
		t.Errorf("%v", err)
	}
	if len(asked) != 1 || asked[0] != `ProxyUnregister {"reason":"stopped","released":true}` {
		t.Errorf("asked %q", asked)
	}
	ok(t, r.stopWriting(2, 0, addrA))
	ok(t, r.hear(grant(stamp(2, api.StepIdle), 2, 1, addrB, true)))
	r.is(addrA, false)
}

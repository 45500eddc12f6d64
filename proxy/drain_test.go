package proxy

import (
	"testing"
	"time"

	"github.com/zerokeeper/zero/transport/api"
	"github.com/zerokeeper/zero/transport/lease"
)

// draining is what a heartbeat's answer says while a planned switch waits for what
// is in flight.
func draining(generation uint64) api.Grant {
	g := grant(stamp(generation, api.StepStopping), 0, 0, addrA, false)
	g.Drain = true
	return g
}

// TestDrainingProlongs (R4, R12): the lease of a held group, for what is in flight; it
// opens nothing, and a lease that is over is not revived.
func TestDrainingProlongs(t *testing.T) {
	r := up(t)
	before := r.until()
	g, _ := r.LookupGroup("orders")
	ticket, err := g.Gate.Acquire(t.Context(), 1)
	ok(t, err)
	defer ticket.Release()
	sent := lease.Now().Add(time.Second)
	r.hearAt(sent, 30_000, draining(2))
	r.is(addrA, false)
	if want := sent.Add(30 * time.Second); r.until() != want || want <= before || !ticket.Valid() {
		t.Errorf("the lease ends at %v, valid %v, want %v", r.until(), ticket.Valid(), want)
	}
	late := draining(1)
	r.hearAt(sent.Add(time.Second), 30_000, late) // R8
	held := draining(2)
	held.Drain = false
	r.hearAt(sent.Add(time.Second), 30_000, held)
	if want := sent.Add(30 * time.Second); r.until() != want {
		t.Errorf("renewed until %v, want %v", r.until(), want)
	}

	r = newRig(t)
	ok(t, r.push("1.0.0", docAB))
	r.hearAt(lease.Now(), 2000, draining(2))
	r.is(addrA, false)
	if r.until() != 0 {
		t.Error("a proxy without a lease was given one for what is in flight")
	}
}

// TestDrainOutlivesALease: it is given up when the lease is not prolonged, and goes on
// when it is.
func TestDrainOutlivesALease(t *testing.T) {
	r := newRig(t)
	ok(t, r.push("1.0.0", docAB))
	r.hearAt(lease.Now(), (wayBack + 200*time.Millisecond).Milliseconds(), grant(stamp(1, api.StepIdle), 0, 0, addrA, true))
	group := r.live.Load().groups["orders"]
	group.mu.Lock()
	group.drainTimeout = 10 * time.Second
	group.mu.Unlock()
	ticket, err := group.gate.Acquire(t.Context(), 1)
	ok(t, err)
	defer ticket.Release()
	refused(t, r.stopWriting(2, 0, addrA), api.DrainTimeout) // nobody prolongs it
	if !ticket.Valid() {
		t.Error("given up too late: the lease is over")
	}
	r.hearAt(lease.Now(), 30_000, draining(2))
	stopped := make(chan error, 1)
	go func() { stopped <- r.stopWriting(2, 0, addrA) }()
	select {
	case err := <-stopped:
		t.Fatalf("it did not wait: %v", err)
	case <-time.After(100 * time.Millisecond): // longer than a drain that is given up at once
	}
	ticket.Release()
	ok(t, <-stopped)
}

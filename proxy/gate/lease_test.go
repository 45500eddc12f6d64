//go:build !nohold

package gate

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/zerokeeper/zero/transport/lease"
)

// leased is a gate in fake time that is open for a second.
func leased(t *testing.T) *Gate {
	t.Helper()
	g := newGate(t, Config{})
	g.clock.now = fakeNow
	if err := g.Open(alpha, fakeNow().Add(time.Second)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(g.Close)
	return g
}

func fakeNow() lease.Instant { return lease.Instant(time.Now().UnixNano()) }

func pass(d time.Duration) {
	time.Sleep(d) // in fake time
	synctest.Wait()
}

// holder takes down what it is told.
type holder struct {
	mu   sync.Mutex
	told []error
	then func(*Ticket)
}

func (h *holder) TicketEnded(t *Ticket, why error) {
	h.mu.Lock()
	h.told = append(h.told, why)
	h.mu.Unlock()
	if h.then != nil {
		h.then(t)
	}
}

func (h *holder) was(t *testing.T, want ...error) {
	t.Helper()
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.told) != len(want) {
		t.Fatalf("told %v, want %v", h.told, want)
	}
	for i := range want {
		if !errors.Is(h.told[i], want[i]) {
			t.Errorf("told %v, want %v", h.told[i], want[i])
		}
	}
}

// TestLeaseEnds (R12a, b, d): at its end nobody enters, nothing may be sent, and who has something in flight is told.
func TestLeaseEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := leased(t)
		h, released := new(holder), new(holder)
		ticket, gone := acquire(t, g), acquire(t, g)
		ticket.Tell(h)
		gone.Tell(released)
		gone.Release()
		pass(time.Second - 1)
		if _, open, _ := g.Current(); !open || !ticket.Valid() {
			t.Fatalf("a moment before the end: open %v, valid %v", open, ticket.Valid())
		}
		h.was(t)
		pass(1)
		if _, open, known := g.Current(); open || !known || ticket.Valid() || !ticket.Current() {
			t.Fatalf("at the end: open %v, known %v, valid %v, current %v", open, known, ticket.Valid(), ticket.Current())
		}
		h.was(t, ErrLeaseOver)
		released.was(t)
		if _, ok := g.TryAcquire(); ok {
			t.Fatal("entered without a lease")
		}
		if err := g.Open(alpha, fakeNow()); !errors.Is(err, ErrLeaseOver) {
			t.Errorf("opened with a lease that is over: %v", err)
		}
		ticket.Release()
		if err := g.Drain(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// TestLeaseIsRenewed: the same primary goes on, and those who waited meanwhile pass. The end moves only onwards.
func TestLeaseIsRenewed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := leased(t)
		h := new(holder)
		ticket := acquire(t, g)
		defer ticket.Release()
		ticket.Tell(h)
		for range 5 {
			pass(600 * time.Millisecond)
			if err := g.Open(alpha, fakeNow().Add(time.Second)); err != nil || !ticket.Valid() {
				t.Fatalf("renewed: %v, valid %v", err, ticket.Valid())
			}
		}
		until := g.Until()
		if err := g.Open(alpha, until-1); err != nil || g.Until() != until {
			t.Errorf("made shorter: %v", err)
		}
		h.was(t)
		pass(1500 * time.Millisecond)
		h.was(t, ErrLeaseOver)
		var late *Ticket
		var waiting sync.WaitGroup
		waiting.Go(func() { late = acquire(t, g) })
		synctest.Wait()
		if n, _ := g.Held(); n != 1 {
			t.Fatalf("%d held", n)
		}
		if err := g.Open(alpha, fakeNow().Add(time.Second)); err != nil {
			t.Fatal(err)
		}
		waiting.Wait()
		if !late.Valid() || !ticket.Valid() {
			t.Errorf("after a new lease: late %v, kept %v", late.Valid(), ticket.Valid())
		}
		late.Release()
	})
}

// TestHeldGateKeepsItsLease: what is in flight when a switch begins has what is left of the lease, no more (R4).
func TestHeldGateKeepsItsLease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := leased(t)
		h := &holder{then: (*Ticket).Release}
		acquire(t, g).Tell(h)
		g.Hold()
		begin := time.Now()
		if err := g.Drain(t.Context()); err != nil {
			t.Fatal(err)
		}
		if d := time.Since(begin); d != time.Second {
			t.Errorf("drained after %v", d)
		}
		h.was(t, ErrLeaseOver)
	})
}

// TestTimerIsLate: the check does not rely on the timer (a process that was paused, a machine that was suspended).
func TestTimerIsLate(t *testing.T) {
	g := newGate(t, Config{})
	now := lease.Instant(1)
	g.clock = clock{now: func() lease.Instant { return now }, after: func(time.Duration, func()) *time.Timer { return time.NewTimer(0) }}
	if err := g.Open(alpha, 10); err != nil {
		t.Fatal(err)
	}
	ticket := acquire(t, g)
	now = 10
	if _, ok := g.TryAcquire(); ok || ticket.Valid() {
		t.Errorf("entered %v, valid %v", ok, ticket.Valid())
	}
	g.lapse()
	if _, open, _ := g.Current(); open {
		t.Error("open")
	}
	ticket.Release()
}

// TestAwait (R12c): what waits for a lease ends with a new one, another primary, the hold timeout or its context.
func TestAwait(t *testing.T) {
	for _, test := range []struct {
		name  string
		after time.Duration
		do    func(*Gate, context.CancelCauseFunc) error
		want  error
	}{
		{"renewed", time.Second, func(g *Gate, _ context.CancelCauseFunc) error { return g.Open(alpha, fakeNow().Add(time.Second)) }, nil},
		{"renewed at another index", time.Second, func(g *Gate, _ context.CancelCauseFunc) error {
			return g.Open(Primary{Index: 7, Address: alpha.Address, Generation: alpha.Generation}, fakeNow().Add(time.Second))
		}, nil},
		{"another primary", time.Second, func(g *Gate, _ context.CancelCauseFunc) error { return g.Open(beta, fakeNow().Add(time.Second)) }, ErrReplaced},
		{"another primary, held", time.Second, func(g *Gate, _ context.CancelCauseFunc) error { return g.SetPrimary(beta) }, ErrReplaced},
		{"another reign", time.Second, func(g *Gate, _ context.CancelCauseFunc) error {
			return g.Open(Primary{Address: alpha.Address, Generation: 9}, fakeNow().Add(time.Second))
		}, ErrReplaced},
		{"nothing", DefaultHoldTimeout, func(*Gate, context.CancelCauseFunc) error { return nil }, ErrHoldTimeout},
		{"given up", time.Second, func(_ *Gate, cancel context.CancelCauseFunc) error { cancel(ErrSevered); return nil }, ErrSevered},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := leased(t)
				ticket := acquire(t, g)
				defer ticket.Release()
				pass(time.Second)
				ctx, cancel := context.WithCancelCause(t.Context())
				defer cancel(nil)
				done := make(chan error, 1)
				go func() { done <- ticket.Await(ctx) }()
				synctest.Wait()
				begin := time.Now()
				if test.want != ErrHoldTimeout {
					pass(test.after)
				}
				if err := test.do(g, cancel); err != nil {
					t.Fatal(err)
				}
				if err := <-done; !errors.Is(err, test.want) {
					t.Errorf("%v, want %v", err, test.want)
				}
				if d := time.Since(begin); d != test.after {
					t.Errorf("after %v", d)
				}
			})
		})
	}
}

// TestHoldersAreTold of what ends their tickets besides the lease.
func TestHoldersAreTold(t *testing.T) {
	g := openGate(t, Config{})
	a, b := new(holder), new(holder)
	first, second := acquire(t, g), acquire(t, g)
	first.Tell(a)
	second.Tell(b)
	g.Hold()
	a.was(t)
	first.Release()
	if n := g.Sever(); n != 1 {
		t.Errorf("severed %d", n)
	}
	a.was(t)
	b.was(t, ErrSevered)
	if err := g.SetPrimary(beta); err != nil {
		t.Fatal(err)
	}
	b.was(t, ErrSevered, ErrReplaced)
	second.Release()
	if n := g.Sever(); n != 0 || g.flight != nil {
		t.Errorf("severed %d, %v left", n, g.flight)
	}
}

func BenchmarkValid(b *testing.B) {
	g, err := New("g", Config{})
	if err != nil {
		b.Fatal(err)
	}
	if err := g.Open(alpha, forever); err != nil {
		b.Fatal(err)
	}
	ticket, _ := g.TryAcquire()
	for b.Loop() {
		if !ticket.Valid() {
			b.Fatal("not valid")
		}
	}
}

func BenchmarkAcquire(b *testing.B) {
	g, err := New("g", Config{})
	if err != nil {
		b.Fatal(err)
	}
	if err := g.Open(alpha, forever); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		ticket, _ := g.TryAcquire()
		ticket.Release()
	}
}

//go:build !nohold

package gate

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

var (
	alpha = Primary{Index: 0, Address: "10.0.0.1:3306", Generation: 1}
	beta  = Primary{Index: 1, Address: "10.0.0.2:3306", Generation: 2}
)

func newGate(t *testing.T, cfg Config) *Gate {
	t.Helper()
	g, err := New("g", cfg)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func openGate(t *testing.T, cfg Config) *Gate {
	t.Helper()
	g := newGate(t, cfg)
	if err := g.Open(alpha, forever); err != nil {
		t.Fatal(err)
	}
	return g
}

func acquire(t *testing.T, g *Gate) *Ticket {
	t.Helper()
	ticket, err := g.Acquire(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	return ticket
}

func TestStartsHeldWithoutPrimary(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate(t, Config{})
		if _, open, known := g.Current(); open || known {
			t.Fatalf("Current: open %v, known %v, want neither", open, known)
		}
		if _, ok := g.TryAcquire(); ok {
			t.Fatal("TryAcquire passed a gate that was never opened")
		}
		start := time.Now()
		_, err := g.Acquire(t.Context(), 1)
		if !errors.Is(err, ErrHoldTimeout) {
			t.Fatalf("Acquire: %v, want ErrHoldTimeout", err)
		}
		if waited := time.Since(start); waited != DefaultHoldTimeout {
			t.Fatalf("waited %v, want %v", waited, DefaultHoldTimeout)
		}
		if n, bytes := g.Held(); n != 0 || bytes != 0 {
			t.Fatalf("after the timeout %d statements and %d bytes are still held", n, bytes)
		}
		if n := g.InFlight(); n != 0 {
			t.Fatalf("%d in flight after a refused Acquire", n)
		}
	})
}

func TestHeldAreAdmittedInOrderOnTheNewPrimary(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := openGate(t, Config{})
		g.Hold()
		const n = 50
		tickets := make([]*Ticket, n)
		var wg sync.WaitGroup
		for i := range n {
			wg.Go(func() {
				ticket, err := g.Acquire(t.Context(), 10)
				if err != nil {
					t.Error(err)
					return
				}
				tickets[i] = ticket
			})
			synctest.Wait()
		}
		if held, bytes := g.Held(); held != n || bytes != 10*n {
			t.Fatalf("held %d statements, %d bytes, want %d and %d", held, bytes, n, 10*n)
		}
		if err := g.Drain(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := g.Open(beta, forever); err != nil {
			t.Fatal(err)
		}
		late := acquire(t, g)
		wg.Wait()
		if t.Failed() {
			t.FailNow()
		}
		if late.Order() != n+1 {
			t.Errorf("a newcomer got place %d, want %d: after all who waited", late.Order(), n+1)
		}
		for i, ticket := range tickets {
			if ticket.Order() != uint64(i+1) {
				t.Errorf("arrival %d was admitted as number %d", i+1, ticket.Order())
			}
			if ticket.Primary() != beta || !ticket.Valid() {
				t.Errorf("arrival %d got primary %+v, valid %v", i+1, ticket.Primary(), ticket.Valid())
			}
			ticket.Release()
			ticket.Release()
		}
		if n := g.InFlight(); n != 1 {
			t.Fatalf("%d in flight, want 1: Release must count once", n)
		}
	})
}

func TestDrainWaitsForTheLast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := openGate(t, Config{})
		a, b := acquire(t, g), acquire(t, g)
		g.Hold()
		done := make(chan error, 1)
		go func() { done <- g.Drain(t.Context()) }()
		a.Release()
		synctest.Wait()
		select {
		case err := <-done:
			t.Fatalf("Drain returned (%v) with one in flight", err)
		default:
		}
		b.Release()
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	})
}

func TestDrainFailures(t *testing.T) {
	tests := []struct {
		name string
		act  func(g *Gate)
		want error
	}{
		{"context ends", func(*Gate) {}, context.DeadlineExceeded},
		{"gate is opened", func(g *Gate) { _ = g.Open(alpha, forever) }, ErrOpen},
		{"gate is closed", func(g *Gate) { g.Close() }, ErrClosed},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := openGate(t, Config{})
				ticket := acquire(t, g)
				g.Hold()
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				done := make(chan error, 1)
				go func() { done <- g.Drain(ctx) }()
				synctest.Wait()
				tt.act(g)
				err := <-done
				var drain *DrainError
				if !errors.As(err, &drain) || drain.Left != 1 || drain.Group != "g" || !errors.Is(err, tt.want) {
					t.Fatalf("Drain: %v, want a DrainError of 1 left with %v", err, tt.want)
				}
				ticket.Release()
			})
		})
	}
	g := openGate(t, Config{})
	if err := g.Drain(t.Context()); !errors.Is(err, ErrOpen) {
		t.Fatalf("Drain of an open gate: %v, want ErrOpen", err)
	}
}

func TestHeldBounds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate(t, Config{MaxHeld: 2, MaxHeldBytes: 100})
		ctx, cancel := context.WithCancelCause(t.Context())
		var wg sync.WaitGroup
		wait := func(size int) {
			wg.Go(func() {
				if _, err := g.Acquire(ctx, size); !errors.Is(err, context.Canceled) {
					t.Errorf("Acquire: %v, want the context's cause", err)
				}
			})
			synctest.Wait()
		}
		wait(90)
		if _, err := g.Acquire(ctx, 11); !errors.Is(err, ErrHoldFull) {
			t.Errorf("11 bytes above the limit: %v, want ErrHoldFull", err)
		}
		wait(10)
		if _, err := g.Acquire(ctx, 0); !errors.Is(err, ErrHoldFull) {
			t.Errorf("third waiter of two: %v, want ErrHoldFull", err)
		}
		cancel(context.Canceled)
		wg.Wait()
		if n, bytes := g.Held(); n != 0 || bytes != 0 {
			t.Errorf("%d statements, %d bytes held after all gave up", n, bytes)
		}
	})
}

func TestGivingUpInTheMiddleKeepsTheOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate(t, Config{})
		var wg sync.WaitGroup
		orders := make([]uint64, 5)
		cancels := make([]context.CancelFunc, 5)
		for i := range 5 {
			ctx, cancel := context.WithCancel(t.Context())
			cancels[i] = cancel
			wg.Go(func() {
				if ticket, err := g.Acquire(ctx, 1); err == nil {
					orders[i] = ticket.Order()
				}
			})
			synctest.Wait()
		}
		cancels[0]()
		cancels[2]()
		cancels[4]()
		synctest.Wait()
		if err := g.Open(alpha, forever); err != nil {
			t.Fatal(err)
		}
		wg.Wait()
		if want := []uint64{0, 1, 0, 2, 0}; !slices.Equal(orders, want) {
			t.Fatalf("orders %v, want %v", orders, want)
		}
		for _, cancel := range cancels {
			cancel()
		}
	})
}

func TestTicketEndsWithItsPrimary(t *testing.T) {
	g := openGate(t, Config{})
	ticket := acquire(t, g)
	if err := g.SetPrimary(beta); !errors.Is(err, ErrOpen) {
		t.Fatalf("SetPrimary on an open gate: %v, want ErrOpen", err)
	}
	if err := g.Open(beta, forever); !errors.Is(err, ErrOpen) {
		t.Fatalf("Open with another primary on an open gate: %v, want ErrOpen", err)
	}
	g.Hold()
	if err := g.SetPrimary(alpha); err != nil || !ticket.Valid() {
		t.Fatalf("naming the same primary again: %v, ticket valid %v", err, ticket.Valid())
	}
	if err := g.SetPrimary(beta); err != nil {
		t.Fatal(err)
	}
	if ticket.Valid() {
		t.Fatal("the ticket outlived its primary")
	}
	p, open, known := g.Current()
	if p != beta || open || !known {
		t.Fatalf("Current: %+v open %v known %v", p, open, known)
	}
	if g.InFlight() != 1 {
		t.Fatal("an invalid ticket still counts until it is released")
	}
	ticket.Release()
	if err := g.Open(beta, forever); err != nil {
		t.Fatal(err)
	}
	if !acquire(t, g).Valid() {
		t.Fatal("a new ticket is not valid")
	}
}

func TestIndexMovesNobody(t *testing.T) {
	g := openGate(t, Config{})
	ticket := acquire(t, g)
	changed := g.Changed()
	moved := alpha
	moved.Index = 7
	if err := g.SetPrimary(moved); err != nil {
		t.Fatalf("the same primary at another index, on an open gate: %v", err)
	}
	if p, open, _ := g.Current(); p != moved || !open || !ticket.Valid() {
		t.Fatalf("Current %+v, open %v, ticket valid %v", p, open, ticket.Valid())
	}
	select {
	case <-changed:
	default:
		t.Error("the new index is not seen through Changed")
	}
	g.Hold()
	if err := g.Open(alpha, forever); err != nil || !ticket.Valid() {
		t.Fatalf("back again: %v, ticket valid %v", err, ticket.Valid())
	}
}

func TestReopenedWithTheSamePrimaryKeepsTickets(t *testing.T) {
	g := openGate(t, Config{})
	ticket := acquire(t, g)
	g.Hold()
	if err := g.Open(alpha, forever); err != nil {
		t.Fatal(err)
	}
	if !ticket.Valid() {
		t.Fatal("a rolled-back switch invalidated a ticket of the unchanged primary")
	}
}

func TestNotifyWhileWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := openGate(t, Config{})
		g.Hold()
		var seen []Primary
		done := make(chan *Ticket)
		go func() {
			ticket, err := g.AcquireNotify(t.Context(), 1, func(p Primary) { seen = append(seen, p) })
			if err != nil {
				t.Error(err)
			}
			done <- ticket
		}()
		synctest.Wait()
		if err := g.SetPrimary(beta); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if err := g.SetPrimary(alpha); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if err := g.Open(alpha, forever); err != nil {
			t.Fatal(err)
		}
		if ticket := <-done; ticket.Primary() != alpha {
			t.Errorf("ticket for %+v", ticket.Primary())
		}
		if want := []Primary{alpha, beta, alpha}; !slices.Equal(seen, want) {
			t.Errorf("told of %v, want %v", seen, want)
		}
	})
}

func TestCloseTurnsEveryoneAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate(t, Config{})
		done := make(chan error, 1)
		go func() {
			_, err := g.Acquire(t.Context(), 1)
			done <- err
		}()
		synctest.Wait()
		changed := g.Changed()
		g.Close()
		g.Close()
		if err := <-done; !errors.Is(err, ErrClosed) {
			t.Errorf("who waited got %v, want ErrClosed", err)
		}
		if _, err := g.Acquire(t.Context(), 1); !errors.Is(err, ErrClosed) {
			t.Errorf("who came later got %v, want ErrClosed", err)
		}
		if err := g.Open(alpha, forever); !errors.Is(err, ErrClosed) {
			t.Errorf("Open: %v, want ErrClosed", err)
		}
		if err := g.SetPrimary(alpha); !errors.Is(err, ErrClosed) {
			t.Errorf("SetPrimary: %v, want ErrClosed", err)
		}
		select {
		case <-changed:
		default:
			t.Error("Close is not seen through Changed")
		}
	})
}

func TestConfig(t *testing.T) {
	tests := []struct {
		name string
		cfg  Config
		ok   bool
	}{
		{"zero is defaults", Config{}, true},
		{"negative timeout", Config{HoldTimeout: -1}, false},
		{"negative count", Config{MaxHeld: -1}, false},
		{"negative bytes", Config{MaxHeldBytes: -1}, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := New("g", tt.cfg); (err == nil) != tt.ok {
				t.Errorf("New: %v, want ok %v", err, tt.ok)
			}
			g := newGate(t, Config{})
			if err := g.Configure(tt.cfg); (err == nil) != tt.ok {
				t.Errorf("Configure: %v, want ok %v", err, tt.ok)
			}
		})
	}
	g := newGate(t, Config{})
	if err := g.Configure(Config{HoldTimeout: time.Second}); err != nil || g.HoldTimeout() != time.Second {
		t.Errorf("Configure: %v, hold timeout %v", err, g.HoldTimeout())
	}
}

// TestNothingEntersAfterDrain hammers the gate: whenever Drain has returned nil and the gate has not been
// opened since, nobody may be between Acquire and Release.
func TestNothingEntersAfterDrain(t *testing.T) {
	g := openGate(t, Config{})
	stop := make(chan struct{})
	var wg sync.WaitGroup
	var mu sync.Mutex
	var inside int
	for range 8 {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				ticket, err := g.Acquire(t.Context(), 1)
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				inside++
				mu.Unlock()
				mu.Lock()
				inside--
				mu.Unlock()
				ticket.Release()
			}
		})
	}
	for i := range 300 {
		g.Hold()
		if err := g.Drain(t.Context()); err != nil {
			t.Error(err)
			break
		}
		mu.Lock()
		n := inside
		mu.Unlock()
		if n != 0 || g.InFlight() != 0 {
			t.Errorf("round %d: %d inside, %d in flight after Drain", i, n, g.InFlight())
			break
		}
		next := alpha
		next.Generation = uint64(i + 2)
		if err := g.Open(next, forever); err != nil {
			t.Error(err)
			break
		}
	}
	p, _, _ := g.Current()
	if err := g.Open(p, forever); err != nil { // a failed round may have left it held
		t.Error(err)
	}
	close(stop)
	wg.Wait()
}

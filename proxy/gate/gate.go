package gate

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/zerokeeper/zero/transport/lease"
)

// Primary names the writable datasource of a host group.
type Primary struct {
	Index      int    // position in the group's list of writable datasources
	Address    string // host:port
	Generation uint64 // of the commit that made it primary
}

// Same reports whether p and q are one server in one reign. The index is only where the configuration lists it
// now: re-ordering the list moves nobody.
func (p Primary) Same(q Primary) bool { return p.Address == q.Address && p.Generation == q.Generation }

// Gate is the gate of one host group. Its methods may be called from any goroutine.
type Gate struct {
	name string

	mu       sync.Mutex
	cfg      Config
	open     bool
	known    bool
	closed   bool
	primary  Primary
	inFlight int
	admitted uint64 // tickets issued ever; the last one's Order
	queue    queue
	empty    chan struct{} // closed when inFlight falls to 0; nil when nobody drains
	changed  chan struct{} // closed and replaced at every change of primary, open or closed
	flight   *Ticket       // the tickets in flight, a list
	timer    *time.Timer   // at the end of the lease, or before
	watched  bool          // the timer is set
	severed  severed

	clock clock
	reign atomic.Pointer[reign] // replaced under mu
	view  atomic.Pointer[view]
}

// view is what Current returns, readable without the lock.
type view struct {
	primary     Primary
	open, known bool
}

// New returns the gate of the named host group: held, with no primary.
func New(name string, cfg Config) (*Gate, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("host group [%s]: %w", name, err)
	}
	g := &Gate{name: name, cfg: cfg.withDefaults(), changed: make(chan struct{}), clock: realClock}
	g.view.Store(&view{})
	g.reign.Store(&reign{})
	return g, nil
}

// Name is the host group's name.
func (g *Gate) Name() string { return g.name }

// Configure replaces the bounds. Those who wait keep the timeout they came with.
func (g *Gate) Configure(cfg Config) error {
	if err := cfg.Validate(); err != nil {
		return fmt.Errorf("host group [%s]: %w", g.name, err)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.cfg = cfg.withDefaults()
	return nil
}

// Hold stops admitting: from its return on, whoever comes waits. What is in flight goes on.
func (g *Gate) Hold() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.open {
		g.open = false
		g.publish()
	}
}

// Drain waits until nothing is in flight. It returns nil only if at that moment the gate was held and the count
// was zero. Otherwise it returns a *DrainError: with ctx's error, with ErrOpen if the gate is or was opened
// meanwhile, or with ErrClosed.
func (g *Gate) Drain(ctx context.Context) error {
	for {
		g.mu.Lock()
		err := error(nil)
		switch {
		case g.closed:
			err = ErrClosed
		case g.open:
			err = ErrOpen
		case g.drained():
			g.mu.Unlock()
			return nil
		default:
			err = ctx.Err()
		}
		if err != nil {
			left := g.inFlight
			g.mu.Unlock()
			return &DrainError{Group: g.name, Left: left, Err: err}
		}
		if g.empty == nil {
			g.empty = make(chan struct{})
		}
		empty, changed := g.empty, g.changed
		g.mu.Unlock()
		select {
		case <-empty:
		case <-changed:
		case <-ctx.Done():
		}
	}
}

// SetPrimary names the primary of a held gate, without opening it. Tickets of another primary become invalid.
// It does not judge generations: the caller refuses orders with an old stamp. On an open gate it fails with
// ErrOpen, unless p is the primary already, at the same index or another.
func (g *Gate) SetPrimary(p Primary) error {
	ended, err := g.appoint(p)
	tell(ended, ErrReplaced)
	return err
}

func (g *Gate) appoint(p Primary) ([]*Ticket, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case g.closed:
		return nil, fmt.Errorf("set primary of host group [%s]: %w", g.name, ErrClosed)
	case g.known && g.primary == p:
		return nil, nil
	case g.open && !g.primary.Same(p):
		return nil, fmt.Errorf("set primary of host group [%s] to %s: %w: hold it first", g.name, p.Address, ErrOpen)
	}
	ended := g.setPrimary(p)
	g.publish()
	return ended, nil
}

// Open makes p the primary and admits again, as long as the lease lasts: first those who wait, in the order of their
// arrival, then whoever comes. Opening an open gate with the primary that it has only renews the lease, which never
// becomes shorter; with another primary it fails with ErrOpen. A lease that is over already opens nothing: ErrLeaseOver.
func (g *Gate) Open(p Primary, until lease.Instant) error {
	ended, err := g.reopen(p, until)
	tell(ended, ErrReplaced)
	return err
}

func (g *Gate) reopen(p Primary, until lease.Instant) (ended []*Ticket, err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case g.closed:
		return nil, fmt.Errorf("open host group [%s]: %w", g.name, ErrClosed)
	case g.open && !g.primary.Same(p):
		return nil, fmt.Errorf("open host group [%s] with %s: %w with %s: hold it first",
			g.name, p.Address, ErrOpen, g.primary.Address)
	case max(until, g.reign.Load().until) <= g.clock.now():
		return nil, fmt.Errorf("open host group [%s]: %w", g.name, ErrLeaseOver)
	}
	g.renew(until)
	if g.open && g.primary == p && g.queue.len == 0 {
		return nil, nil
	}
	ended = g.setPrimary(p)
	g.open = true
	g.restored()
	for w := g.queue.pop(); w != nil; w = g.queue.pop() {
		w.ticket = g.issue()
		close(w.done)
	}
	g.publish()
	return ended, nil
}

// Close turns away everyone who waits and everyone who comes, with ErrClosed. Tickets stay valid until they are
// released: closing a gate severs nothing.
func (g *Gate) Close() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		return
	}
	g.closed, g.open = true, false
	if g.inFlight == 0 && g.timer != nil {
		g.timer.Stop()
	}
	for w := g.queue.pop(); w != nil; w = g.queue.pop() {
		w.err = ErrClosed
		close(w.done)
	}
	g.publish()
}

// Current returns the primary, whether the gate is open, and whether there is a primary at all. Reads go to the
// primary whenever it is known.
func (g *Gate) Current() (p Primary, open, known bool) {
	v := g.view.Load()
	return v.primary, v.open, v.known
}

// Changed returns a channel that is closed at the next change of what Current returns, or at Close. Take the
// channel before reading Current, or a change in between is missed.
func (g *Gate) Changed() <-chan struct{} {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.changed
}

// InFlight returns the number of tickets not yet released.
func (g *Gate) InFlight() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.inFlight
}

// Held returns how many statements wait, and their bytes.
func (g *Gate) Held() (waiters int, bytes int64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.queue.len, g.queue.bytes
}

// HoldTimeout returns the time that one statement waits at most.
func (g *Gate) HoldTimeout() time.Duration {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.cfg.HoldTimeout
}

// setPrimary replaces the primary and, if it is another one, invalidates the tickets of the former, which it returns:
// their holders are to be told. The caller holds g.mu.
func (g *Gate) setPrimary(p Primary) (ended []*Ticket) {
	if !g.known || !g.primary.Same(p) {
		r := *g.reign.Load()
		r.epoch++
		g.reign.Store(&r)
		ended = g.holders()
	}
	g.primary, g.known = p, true
	return ended
}

// publish makes a change visible and wakes those who watch. The caller holds g.mu.
func (g *Gate) publish() {
	g.view.Store(&view{primary: g.primary, open: g.open, known: g.known && !g.closed})
	close(g.changed)
	g.changed = make(chan struct{})
}

// issue counts one more in flight. The caller holds g.mu and has checked that the gate admits.
func (g *Gate) issue() *Ticket {
	g.inFlight++
	g.admitted++
	t := &Ticket{gate: g, primary: g.primary, epoch: g.reign.Load().epoch, order: g.admitted, next: g.flight}
	if t.next != nil {
		t.next.prev = t
	}
	g.flight = t
	return t
}

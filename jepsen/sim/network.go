package sim

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

var (
	errRefused     = errors.New("sim: connection refused")
	errUnreachable = errors.New("sim: no route to host")
)

// baseDelay bounds the delay of a message on a healthy link.
const baseDelay = 2 * time.Millisecond

// network connects the nodes 0 … n-1 in memory. Each direction of each pair is
// a link of its own.
type network struct {
	links [][]*link // from, to

	mu        sync.Mutex
	listeners map[string]*listener
	conns     map[*conn]*conn // both ends
	cuts      map[int]cut     // in force, by number
	nextCut   int
	changed   chan struct{} // closed and replaced when cuts change
}

// link is one direction between two nodes.
type link struct {
	from, to int
	blocked  atomic.Bool  // what is sent waits, as in TCP, until the link heals
	refused  atomic.Bool  // new connections fail at once
	maxDelay atomic.Int64 // nanoseconds

	mu  sync.Mutex
	rng *rand.Rand
}

// cut says which links are dead: what is sent there waits until the cut ends,
// or, when it resets, breaks its connection.
type cut struct {
	dead  func(from, to int) bool
	reset bool
}

func newNetwork(n int, seed uint64) *network {
	w := &network{
		listeners: make(map[string]*listener), conns: make(map[*conn]*conn),
		cuts: make(map[int]cut), changed: make(chan struct{}),
	}
	for from := range n {
		row := make([]*link, n)
		for to := range n {
			row[to] = &link{from: from, to: to, rng: rand.New(rand.NewPCG(seed, uint64(from*n+to)))}
			row[to].maxDelay.Store(int64(baseDelay))
		}
		w.links = append(w.links, row)
	}
	return w
}

// delay is how long the next message takes.
func (l *link) delay() time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	limit := l.maxDelay.Load()
	return time.Duration(limit/10 + l.rng.Int64N(limit))
}

// slow bounds the delay on every link.
func (w *network) slow(limit time.Duration) {
	for _, row := range w.links {
		for _, l := range row {
			l.maxDelay.Store(int64(limit))
		}
	}
}

// cut begins a cut; the number ends it.
func (w *network) cut(c cut) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.nextCut++
	w.cuts[w.nextCut] = c
	w.settle()
	return w.nextCut
}

// heal ends a cut; 0 ends all.
func (w *network) heal(number int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if number == 0 {
		clear(w.cuts)
	}
	delete(w.cuts, number)
	w.settle()
}

// settle makes the links what the cuts say.
func (w *network) settle() {
	for from, row := range w.links {
		for to, l := range row {
			blocked, reset := false, false
			for _, c := range w.cuts {
				if c.dead(from, to) {
					blocked, reset = true, reset || c.reset
				}
			}
			l.blocked.Store(blocked)
			l.refused.Store(reset)
		}
	}
	for c, other := range w.conns {
		if c.in.ended() && c.out.ended() {
			delete(w.conns, c)
			continue
		}
		if c.out.link.refused.Load() || c.in.link.refused.Load() {
			c.in.reset()
			c.out.reset()
			delete(w.conns, c)
			delete(w.conns, other)
			continue
		}
		poke(c.in.readable)
		poke(c.out.writable)
	}
	close(w.changed)
	w.changed = make(chan struct{})
}

// breakSome resets each connection with the probability p.
func (w *network) breakSome(rng *rand.Rand, p float64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for c := range w.conns {
		if rng.Float64() < p {
			c.in.reset()
			c.out.reset()
		}
	}
}

// crashed breaks everything that a node had, and refuses what is dialed to it.
// Over a link that is cut the other end does not see it before the link heals.
func (w *network) crashed(node int, at string) {
	w.mu.Lock()
	l := w.listeners[at]
	for c := range w.conns {
		if c.out.link.from == node { // its own end
			c.in.reset()
			c.out.closeWrite()
		}
	}
	w.mu.Unlock()
	if l != nil {
		_ = l.Close() // of a listener: never fails
	}
}

// listen opens a node's address.
func (w *network) listen(node int, at string) (*listener, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.listeners[at] != nil {
		return nil, fmt.Errorf("listen at %s: it is in use", at)
	}
	l := &listener{net: w, node: node, at: address(at), incoming: make(chan *conn), closed: make(chan struct{})}
	w.listeners[at] = l
	return l, nil
}

// pass waits as long as a question and its answer take, or until ctx ends when
// there is no way through.
func (w *network) pass(ctx context.Context, from, to int) error {
	there, back := w.links[from][to], w.links[to][from]
	if err := sleep(ctx, there.delay()+back.delay()); err != nil {
		return err
	}
	for {
		w.mu.Lock()
		changed := w.changed
		w.mu.Unlock()
		switch {
		case there.refused.Load() || back.refused.Load():
			return errUnreachable
		case !there.blocked.Load() && !back.blocked.Load():
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// dial connects a node to an address.
func (w *network) dial(ctx context.Context, from int, at string) (net.Conn, error) {
	w.mu.Lock()
	l := w.listeners[at]
	w.mu.Unlock()
	if l == nil {
		return nil, errRefused
	}
	if err := w.pass(ctx, from, l.node); err != nil {
		return nil, fmt.Errorf("dial %s: %w", at, err)
	}
	there, back := newHalf(w.links[from][l.node]), newHalf(w.links[l.node][from])
	near := &conn{in: back, out: there, local: address(fmt.Sprint("node", from)), remote: l.at}
	far := &conn{in: there, out: back, local: l.at, remote: near.local}
	select {
	case l.incoming <- far:
	case <-l.closed:
		return nil, errRefused
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.conns[near], w.conns[far] = far, near
	return near, nil
}

// listener accepts what is dialed to one address.
type listener struct {
	net      *network
	node     int
	at       address
	incoming chan *conn
	closed   chan struct{}
	once     sync.Once
}

func (l *listener) Accept() (net.Conn, error) {
	select {
	case c := <-l.incoming:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *listener) Close() error {
	l.once.Do(func() {
		close(l.closed)
		l.net.mu.Lock()
		defer l.net.mu.Unlock()
		if l.net.listeners[string(l.at)] == l {
			delete(l.net.listeners, string(l.at))
		}
	})
	return nil
}

func (l *listener) Addr() net.Addr { return l.at }

// sleep waits for d or until ctx ends.
func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

package gate

import (
	"context"
	"fmt"
	"time"
)

// TryAcquire takes a ticket if the gate is open, without waiting.
func (g *Gate) TryAcquire() (*Ticket, bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed || !g.admits() {
		return nil, false
	}
	return g.issue(), true
}

// Acquire takes a ticket. While the gate is held it waits behind those who came before. size is the number of
// bytes that the caller keeps in memory meanwhile. It fails, with nothing counted in flight, with ErrHoldTimeout,
// ErrHoldFull, ErrClosed or the cause of ctx's end.
func (g *Gate) Acquire(ctx context.Context, size int) (*Ticket, error) {
	return g.AcquireNotify(ctx, size, nil)
}

// AcquireNotify is Acquire that also calls moved, in the caller's goroutine, with the primary when it begins to
// wait, if there is one, and with each that is named while it waits: time to open a connection to it before the gate
// opens. The wait goes on during the call, and the ticket may be issued during it; moved must bound itself in time.
func (g *Gate) AcquireNotify(ctx context.Context, size int, moved func(Primary)) (*Ticket, error) {
	g.mu.Lock()
	switch {
	case g.closed:
		g.mu.Unlock()
		return nil, g.refuse(ErrClosed)
	case g.admits():
		t := g.issue()
		g.mu.Unlock()
		return t, nil
	case g.queue.len >= g.cfg.MaxHeld || g.queue.bytes+int64(size) > g.cfg.MaxHeldBytes:
		n, bytes := g.queue.len, g.queue.bytes
		g.mu.Unlock()
		return nil, g.refuse(fmt.Errorf("%w: %d statements, %d bytes", ErrHoldFull, n, bytes))
	}
	w := &waiter{size: int64(size), done: make(chan struct{})}
	g.queue.push(w)
	timeout, epoch, primary, known := g.cfg.HoldTimeout, g.reign.Load().epoch, g.primary, g.known
	var changed <-chan struct{}
	if moved != nil {
		changed = g.changed
	}
	g.mu.Unlock()

	timer := time.NewTimer(timeout)
	defer timer.Stop()
	if moved != nil && known {
		moved(primary)
	}
	for {
		select {
		case <-w.done:
			if w.err != nil {
				return nil, g.refuse(w.err)
			}
			return w.ticket, nil
		case <-changed:
			changed = g.Changed()
			if e := g.reign.Load().epoch; e != epoch {
				epoch = e
				p, _, _ := g.Current()
				moved(p)
			}
		case <-timer.C:
			if g.leave(w) {
				return nil, g.refuse(fmt.Errorf("%w (%v)", ErrHoldTimeout, timeout))
			}
		case <-ctx.Done():
			if g.leave(w) {
				return nil, g.refuse(context.Cause(ctx))
			}
			<-w.done
			if w.ticket != nil {
				w.ticket.Release()
			}
			return nil, g.refuse(context.Cause(ctx))
		}
	}
}

// refuse wraps the reason for which a wait ended without a ticket.
func (g *Gate) refuse(err error) error {
	return fmt.Errorf("wait for host group [%s]: %w", g.name, err)
}

// leave takes w out of the queue and reports whether it was still in it; if not, w.done is closed.
func (g *Gate) leave(w *waiter) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.queue.remove(w)
}

// waiter is one statement that waits. ticket and err are written before done is closed.
type waiter struct {
	size       int64
	done       chan struct{}
	ticket     *Ticket
	err        error
	prev, next *waiter
	queued     bool
}

// queue is a doubly linked FIFO, so that whoever gives up leaves it in constant time.
type queue struct {
	head, tail *waiter
	len        int
	bytes      int64
}

// push appends w.
func (q *queue) push(w *waiter) {
	w.prev, w.queued = q.tail, true
	if q.tail != nil {
		q.tail.next = w
	} else {
		q.head = w
	}
	q.tail = w
	q.len++
	q.bytes += w.size
}

// pop removes and returns the oldest, nil when the queue is empty.
func (q *queue) pop() *waiter {
	w := q.head
	if w != nil {
		q.remove(w)
	}
	return w
}

// remove takes w out and reports whether it was in.
func (q *queue) remove(w *waiter) bool {
	if !w.queued {
		return false
	}
	if w.prev != nil {
		w.prev.next = w.next
	} else {
		q.head = w.next
	}
	if w.next != nil {
		w.next.prev = w.prev
	} else {
		q.tail = w.prev
	}
	w.prev, w.next, w.queued = nil, nil, false
	q.len--
	q.bytes -= w.size
	return true
}

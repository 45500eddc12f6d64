package gate

import "sync/atomic"

// Ticket is the right to have one statement, or one transaction, in flight towards the primary it names.
type Ticket struct {
	gate     *Gate
	primary  Primary
	epoch    uint64
	order    uint64
	released atomic.Bool
	holder   atomic.Pointer[Holder]

	prev, next *Ticket // in the gate's list, guarded by its mu
}

// Primary is where the ticket leads, fixed when it was issued.
func (t *Ticket) Primary() Primary { return t.primary }

// Order is the ticket's place among all that the gate ever issued, counted from 1.
func (t *Ticket) Order() uint64 { return t.order }

// Valid reports whether the gate still names the ticket's primary and the lease lives. It is to be asked before each
// packet that goes to the primary (R12b), and again between reading the OK of a write and relaying it (R12c). If it
// says no, nothing more may be sent. Then Current tells whether a new lease may still make it valid: see Await.
func (t *Ticket) Valid() bool {
	r := t.gate.reign.Load()
	return r.epoch == t.epoch && t.gate.clock.now() < r.until
}

// Current reports whether the gate still names the ticket's primary, with a lease or without.
func (t *Ticket) Current() bool { return t.gate.reign.Load().epoch == t.epoch }

// Tell makes h be told when the ticket ends before it was released. A ticket that has ended by then may be told of or
// not: Valid, asked after Tell, says so.
func (t *Ticket) Tell(h Holder) { t.holder.Store(&h) }

// Release counts the ticket out of flight. Further calls do nothing.
func (t *Ticket) Release() {
	if t.released.Swap(true) {
		return
	}
	g := t.gate
	g.mu.Lock()
	defer g.mu.Unlock()
	if t.prev != nil {
		t.prev.next = t.next
	} else {
		g.flight = t.next
	}
	if t.next != nil {
		t.next.prev = t.prev
	}
	t.prev, t.next = nil, nil
	g.inFlight--
	if g.inFlight == 0 && g.empty != nil {
		close(g.empty)
		g.empty = nil
	}
}

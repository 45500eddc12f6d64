package gate

import "sync/atomic"

// Ticket is the right to have one statement, or one transaction, in flight towards the primary it names.
type Ticket struct {
	gate     *Gate
	primary  Primary
	epoch    uint64
	order    uint64
	released atomic.Bool
}

// Primary is where the ticket leads, fixed when it was issued.
func (t *Ticket) Primary() Primary { return t.primary }

// Order is the ticket's place among all that the gate ever issued, counted from 1.
func (t *Ticket) Order() uint64 { return t.order }

// Valid reports whether the gate still names the ticket's primary. It is to be asked before each packet that
// goes to the primary, and again between reading the OK of a write and relaying it. If it says no, nothing more
// may be sent, and the outcome of what was sent is unknown.
func (t *Ticket) Valid() bool { return t.gate.epoch.Load() == t.epoch }

// Release counts the ticket out of flight. Further calls do nothing.
func (t *Ticket) Release() {
	if t.released.Swap(true) {
		return
	}
	g := t.gate
	g.mu.Lock()
	defer g.mu.Unlock()
	g.inFlight--
	if g.inFlight == 0 && g.empty != nil {
		close(g.empty)
		g.empty = nil
	}
}

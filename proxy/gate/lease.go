package gate

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/zerokeeper/zero/transport/lease"
)

// ErrReplaced: the ticket's primary is not the gate's any more. What was sent under the ticket has an unknown outcome.
var ErrReplaced = errors.New("the primary was replaced")

// reign is what makes tickets valid: the primary that they were issued for, and the lease. It does not change: another
// takes its place. So validity is one atomic load and one look at the clock.
type reign struct {
	epoch uint64        // raised whenever the primary becomes another one
	until lease.Instant // end of the lease
}

// clock is what time it is for leases, and how to be called later.
type clock struct {
	now   func() lease.Instant
	after func(time.Duration, func()) *time.Timer
}

var realClock = clock{lease.Now, time.AfterFunc}

// Holder of a ticket is told when it ends before it was released: when the lease ends (R12d), when another primary is
// named, or when the gate is severed. It must not wait.
type Holder interface{ TicketEnded(*Ticket, error) }

// ErrLeaseOver: no keeper has renewed the lease in time.
var ErrLeaseOver = errors.New("the proxy's lease ended")

// ErrSevered: what was in flight was given up.
var ErrSevered = errors.New("it was severed")

// alive reports whether the lease is. The caller holds g.mu.
func (g *Gate) alive() bool { return g.clock.now() < g.reign.Load().until }

// Until is the end of the lease; it may be over.
func (g *Gate) Until() lease.Instant { return g.reign.Load().until }

// renew makes the lease last until then, if it would end sooner, and sees to its end. The caller holds g.mu.
func (g *Gate) renew(until lease.Instant) {
	r := *g.reign.Load()
	if until <= r.until {
		return
	}
	r.until = until
	g.reign.Store(&r)
	if !g.watched {
		g.watched = true
		g.watch()
	}
}

// watch makes lapse run at the end of the lease as it is now. Renewals leave the timer as it is: it looks again when
// it fires. The caller holds g.mu.
func (g *Gate) watch() {
	g.timer = g.clock.after(min(g.reign.Load().until.Sub(g.clock.now()), lease.Longest), g.lapse)
}

// lapse holds the gate when its lease has ended, and tells all who have something in flight.
func (g *Gate) lapse() {
	g.mu.Lock()
	if g.closed && g.inFlight == 0 {
		g.watched = false
		g.mu.Unlock()
		return
	}
	if g.alive() {
		g.watch()
		g.mu.Unlock()
		return
	}
	g.watched = false
	if g.open {
		g.open = false
		g.publish()
	}
	ended := g.holders()
	g.mu.Unlock()
	tell(ended, ErrLeaseOver) // R12d: what is open or running ends
}

// Sever gives up what is in flight: its holders are told. It does not wait; Drain does.
func (g *Gate) Sever() int {
	g.mu.Lock()
	g.sever()
	ended := g.holders()
	g.mu.Unlock()
	tell(ended, ErrSevered)
	return len(ended)
}

// holders are the tickets in flight whose holders want to know. The caller holds g.mu.
func (g *Gate) holders() []*Ticket {
	var held []*Ticket
	for t := g.flight; t != nil; t = t.next {
		if t.holder.Load() != nil {
			held = append(held, t)
		}
	}
	return held
}

// tell is called without g.mu: holders release their tickets.
func tell(ended []*Ticket, why error) {
	for _, t := range ended {
		(*t.holder.Load()).TicketEnded(t, why)
	}
}

// Await waits until the ticket is valid again after the lease has ended (R12c): until a new lease of the same primary
// opens the gate. It fails with ErrReplaced when another primary is named, with ErrHoldTimeout after HoldTimeout, and
// with the cause of ctx's end.
func (t *Ticket) Await(ctx context.Context) error {
	g := t.gate
	timer := time.NewTimer(g.HoldTimeout())
	defer timer.Stop()
	for {
		changed := g.Changed()
		switch r := g.reign.Load(); {
		case r.epoch != t.epoch:
			return fmt.Errorf("host group [%s]: %w", g.name, ErrReplaced)
		case g.clock.now() < r.until:
			return nil
		}
		select {
		case <-changed:
		case <-timer.C:
			return g.refuse(ErrHoldTimeout)
		case <-ctx.Done():
			return g.refuse(context.Cause(ctx))
		}
	}
}

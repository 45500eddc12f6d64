package sim

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"
)

// torment does what the plan says, and returns when the last fault is over or
// ctx ends.
func (w *world) torment(ctx context.Context, faults []fault) {
	var running sync.WaitGroup
	start := time.Now()
	for _, f := range faults {
		if sleep(ctx, f.at-time.Since(start)) != nil {
			break
		}
		running.Go(func() { w.inflict(ctx, f) })
	}
	running.Wait()
}

// relief ends every fault.
func (w *world) relief() {
	w.net.heal(0)
	w.net.slow(baseDelay)
	for _, m := range w.members {
		m.disk.fail(false)
		m.disk.pace(0, diskDelay)
	}
	w.calm.Store(true)
	close(w.calmed)
	w.trace("the chaos is over")
}

// target is the place of the node that a fault is for.
func (w *world) target(f fault) int {
	if f.target != theLeader {
		return f.target
	}
	if l := w.leader(); l != nil {
		return l.member.place
	}
	return f.other % len(w.members)
}

// inflict does one fault from its beginning to its end.
func (w *world) inflict(ctx context.Context, f fault) {
	at := w.target(f)
	m := w.members[at]
	w.trace("NEMESIS %s: %s", f, m.name)
	switch f.kind {
	case isolate, halves, ring, bridge, deaf, mute, oneLink:
		number := w.net.cut(cut{f.shape(at, len(w.members)), f.reset})
		_ = sleep(ctx, f.length)
		w.net.heal(number)
	case lag:
		w.net.slow(time.Duration(10+f.other%190) * time.Millisecond)
		_ = sleep(ctx, f.length)
		w.net.slow(baseDelay)
	case flaky:
		w.flake(ctx, f)
	case crash:
		m.obey(order{down: f.length})
	case crashAll:
		for _, each := range w.members {
			each.obey(order{down: f.length})
		}
	case shutdown:
		m.obey(order{planned: true, down: f.length})
	case slowDisk:
		m.disk.pace(time.Millisecond, time.Duration(5+f.other%100)*time.Millisecond)
		_ = sleep(ctx, f.length)
		m.disk.pace(0, diskDelay)
	case hungDisk:
		resume := m.disk.stall()
		_ = sleep(ctx, f.length)
		resume()
	case diskError:
		m.disk.fail(true)
	case freeze:
		number := w.net.cut(cut{f.shape(at, len(w.members)), false})
		resume := m.disk.stall()
		_ = sleep(ctx, f.length)
		resume()
		w.net.heal(number)
	case transfer:
		w.transfer(ctx, f)
	case replace:
		w.replace(ctx, f, at)
	}
}

// flake breaks connections for a while.
func (w *world) flake(ctx context.Context, f fault) {
	rng := rand.New(rand.NewPCG(w.seed, uint64(f.other)))
	for end := time.Now().Add(f.length); time.Now().Before(end); {
		w.net.breakSome(rng, 0.3)
		if sleep(ctx, between(rng, 10, 200)) != nil {
			return
		}
	}
}

// transfer asks the leader to give leadership to another.
func (w *world) transfer(ctx context.Context, f fault) {
	l := w.leader()
	if l == nil {
		return
	}
	to := ""
	if f.reset {
		to = w.members[f.other%len(w.members)].name
	}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	w.trace("transfer from %s to %q: %v", l.who, to, l.node.TransferLeadership(ctx, to))
}

// replace removes a member that does not lead, wipes it and lets it join anew.
// It is wiped only when the group said that it is removed.
func (w *world) replace(ctx context.Context, f fault, at int) {
	l := w.leader()
	if l == nil {
		return
	}
	if l.member.place == at {
		at = (at + 1) % len(w.members)
	}
	m := w.members[at]
	gone := m.life.Load()
	if gone == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	w.changes.Add(1) // from now on a refusal is no wonder
	err := l.node.RemoveMember(ctx, gone.node.ID())
	w.trace("%s removes %s: %v", l.who, m.name, err)
	if err == nil && l.heard() {
		m.obey(order{wipe: gone.node.ID(), down: f.length})
	}
}

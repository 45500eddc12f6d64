package keeper

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/zerokeeper/zero/fsm"
	"github.com/zerokeeper/zero/transport/api"
)

// proofs shares one proof of leadership among all heartbeats that wait for one.
// Whoever comes while a proof is under way waits for the next one: an entry that
// was proposed before a heartbeat came in proves nothing for it (R1).
type proofs struct {
	mu     sync.Mutex
	next   *proof
	open   bool // a term runs that proves
	urgent bool // whoever waits for next cannot wait for others
	kick   chan struct{}
	rush   chan struct{} // as kick, for one that is urgent
}

type proof struct {
	done    chan struct{}
	err     error
	waiting int // heartbeats
}

func newProofs() *proofs {
	return &proofs{next: &proof{done: make(chan struct{})}, kick: make(chan struct{}, 1), rush: make(chan struct{}, 1)}
}

// await waits for a proof that begins after the call; one that is urgent begins
// at once.
func (p *proofs) await(ctx context.Context, urgent bool) error {
	for {
		p.mu.Lock()
		mine, open := p.next, p.open
		mine.waiting++
		p.urgent = p.urgent || urgent
		p.mu.Unlock()
		if !open {
			return errTermOver
		}
		if urgent {
			poke(p.rush)
		} else {
			poke(p.kick)
		}
		select {
		case <-mine.done:
		case <-ctx.Done():
			return api.Errorf(api.NotReady, "leadership was not proven in time: %v", ctx.Err())
		}
		if mine.err != errNothingProven {
			return mine.err
		}
	}
}

// errTermOver: a heartbeat that came in at the very end of a term is answered at
// once. Left to wait it would keep its sender from the next leader.
var errTermOver = api.Errorf(api.NoLeader, "this keeper does not lead any more")

// begins opens a term, in which proveLeadership proves.
func (p *proofs) begins() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.open = true
}

// ends answers those who wait, and those who come until the next term begins.
func (p *proofs) ends() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.open, p.urgent = false, false
	p.next.err = errTermOver
	close(p.next.done)
	p.next = &proof{done: make(chan struct{})}
}

// hurried reports whether somebody waits who cannot wait for others.
func (p *proofs) hurried() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.urgent
}

// gather waits for others that come at the same time, unless somebody cannot.
func (p *proofs) gather(ctx context.Context, wait time.Duration) {
	if p.hurried() {
		return
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	case <-p.rush:
	}
}

// begin takes the proof that those who wait now wait for.
func (p *proofs) begin() *proof {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.take()
}

// take is begin with the lock held.
func (p *proofs) take() *proof {
	mine := p.next
	p.urgent = false
	p.next = &proof{done: make(chan struct{})}
	return mine
}

// proveLeadership serves the heartbeats of one term. An entry is written only
// when one waits, and at most one per half of a heartbeat's interval: those that
// are answered together come again together, a moment apart, for which the first
// is made to wait. It is eight times as many while leases are about to end, at the
// start of a term, and while clients are held by a switch. The lease of a server that
// a switch makes writable waits for nobody.
func (k *Keeper) proveLeadership(ctx context.Context) {
	gap, gather := k.cfg.HeartbeatInterval/2, k.cfg.HeartbeatInterval/80
	began, last := time.Now(), time.Time{}
	for {
		select {
		case <-ctx.Done():
			k.proofs.ends()
			return
		case <-k.proofs.kick:
		case <-k.proofs.rush:
		}
		k.proofs.gather(ctx, gather)
		for ctx.Err() == nil && !k.proofs.hurried() { // in small steps: a switch may begin meanwhile
			apart := gap
			if time.Since(began) < k.times.Lease || k.switching() {
				apart = gap / 8
			}
			left := apart - time.Since(last)
			if left <= 0 {
				break
			}
			k.proofs.gather(ctx, min(left, gather))
		}
		if !k.proofs.wanted() {
			continue // an entry of a switch was their proof
		}
		last = time.Now()
		mine := k.proofs.begin()
		attempt, cancel := context.WithTimeout(ctx, k.times.Lease)
		_, mine.err = k.cfg.Store.Linearizable(attempt)
		cancel()
		close(mine.done)
	}
}

// switching reports whether a switch is open.
func (k *Keeper) switching() bool {
	return slices.ContainsFunc(k.cfg.Store.State().Groups(), func(g *fsm.HostGroup) bool { return g.OpenSwitch != "" })
}

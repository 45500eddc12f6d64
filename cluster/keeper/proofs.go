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
	mu   sync.Mutex
	next *proof
	open bool // a term runs that proves
	kick chan struct{}
}

type proof struct {
	done chan struct{}
	err  error
}

func newProofs() *proofs {
	return &proofs{next: &proof{done: make(chan struct{})}, kick: make(chan struct{}, 1)}
}

// await waits for a proof that begins after the call.
func (p *proofs) await(ctx context.Context) error {
	p.mu.Lock()
	mine, open := p.next, p.open
	p.mu.Unlock()
	if !open {
		return errTermOver
	}
	select {
	case p.kick <- struct{}{}:
	default:
	}
	select {
	case <-mine.done:
		return mine.err
	case <-ctx.Done():
		return api.Errorf(api.NotReady, "leadership was not proven in time: %v", ctx.Err())
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
	p.open = false
	p.next.err = errTermOver
	close(p.next.done)
	p.next = &proof{done: make(chan struct{})}
}

// begin takes the proof that those who wait now wait for.
func (p *proofs) begin() *proof {
	p.mu.Lock()
	defer p.mu.Unlock()
	mine := p.next
	p.next = &proof{done: make(chan struct{})}
	return mine
}

// proveLeadership serves the heartbeats of one term. An entry is written only
// when one waits, and at most one per half of a heartbeat's interval: those that
// are answered together come again together, a moment apart, for which the first
// is made to wait. It is eight times as many while leases are about to end, at the
// start of a term, and while clients are held by a switch.
func (k *Keeper) proveLeadership(ctx context.Context) {
	gap, gather := k.cfg.HeartbeatInterval/2, k.cfg.HeartbeatInterval/80
	began, last := time.Now(), time.Time{}
	for {
		select {
		case <-ctx.Done():
			k.proofs.ends()
			return
		case <-k.proofs.kick:
		}
		pause(ctx, gather)
		for ctx.Err() == nil { // in small steps: a switch may begin meanwhile
			apart := gap
			if time.Since(began) < k.times.Lease || k.switching() {
				apart = gap / 8
			}
			left := apart - time.Since(last)
			if left <= 0 {
				break
			}
			pause(ctx, min(left, gather))
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

package keeper

import (
	"context"
	"sync"
	"time"

	"github.com/zerokeeper/zero/transport/api"
	"github.com/zerokeeper/zero/transport/faultpoint"
)

// drivers are the goroutines of one term: those that drive switches, and what
// requests left to do. All end with the term, and the term waits for them.
type drivers struct {
	ctx  context.Context
	term uint64
	wg   sync.WaitGroup

	mu       sync.Mutex
	switches map[string]bool // that have a driver
}

// maxBackground bounds the background work of a term; more is left to the next
// heartbeat, which asks again.
const maxBackground = 256

// lead runs the duties of one term. It is called after the term's barrier was
// applied, so that the state is the newest.
func (k *Keeper) lead(ctx context.Context, term uint64) error {
	ctx, cancel := context.WithCancel(ctx)
	d := &drivers{ctx: ctx, term: term, switches: map[string]bool{}}
	k.presence.reset()
	k.frozen.reset()
	k.leases.reset() // R2: whatever was granted before counts from now
	k.mu.Lock()
	k.drivers = d
	k.mu.Unlock()
	k.proofs.begins()
	k.term.Store(term)
	k.log.Info("leading", "term", term)

	d.wg.Go(func() { k.watchPresence(ctx, term) })
	d.wg.Go(func() { k.expireSessions(ctx, term) })
	d.wg.Go(func() { k.proveLeadership(ctx) })
	d.wg.Go(func() { k.detect(ctx, term) })
	d.wg.Go(func() { k.watchFrozen(ctx, term) })
	d.wg.Go(func() { k.runHooks(ctx, term) })
	d.wg.Go(func() { k.keepRecord(ctx, term) })
	k.driveOpenSwitches(ctx)

	faultpoint.Reach(pointOver)
	k.term.Store(0)
	k.mu.Lock()
	k.drivers = nil
	k.mu.Unlock()
	cancel()
	d.wg.Wait()
	k.log.Info("not leading any more", "term", term)
	return nil
}

// driveOpenSwitches gives every open switch a driver, until the term ends: those
// that an earlier term left, and those whose request was given up before its
// outcome was known, and which nobody else would ever end.
func (k *Keeper) driveOpenSwitches(ctx context.Context) {
	sweep := time.NewTicker(k.waits.sweep)
	defer sweep.Stop()
	for {
		for _, g := range k.cfg.Store.State().Groups() {
			if g.OpenSwitch != "" && k.startDriver(g.OpenSwitch) {
				k.log.Info("taking over an open switch", "switch", g.OpenSwitch)
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-sweep.C:
		}
	}
}

// background runs f within the term that runs now; false when there is none, or
// too much runs already.
func (k *Keeper) background(f func(ctx context.Context, term uint64)) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	d := k.drivers
	if d == nil || k.backlog.Load() >= maxBackground {
		return false
	}
	k.backlog.Add(1)
	d.wg.Go(func() {
		defer k.backlog.Add(-1)
		f(d.ctx, d.term)
	})
	return true
}

// carryOn runs f to its end within the term, whatever becomes of the request
// that began it. When the request or the term ends first, what f would have
// answered is not known.
func carryOn[T any](ctx context.Context, k *Keeper, f func(ctx context.Context, term uint64) T) (T, error) {
	answer := make(chan T, 1)
	var none T
	if !k.background(func(ctx context.Context, term uint64) {
		if t := f(ctx, term); ctx.Err() == nil {
			answer <- t
		}
		close(answer)
	}) {
		return none, api.Errorf(api.OutcomeUnknown, "this keeper does not lead any more, or has too much to do")
	}
	select {
	case t, ok := <-answer:
		if !ok {
			return none, api.Errorf(api.OutcomeUnknown, "this keeper does not lead any more")
		}
		return t, nil
	case <-ctx.Done():
		return none, api.Errorf(api.OutcomeUnknown, "the request's time is over: %v", ctx.Err())
	}
}

// startDriver drives an open switch in this term; false when it is driven
// already, or no term runs: then the next leader finds it in the state.
func (k *Keeper) startDriver(id string) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	d := k.drivers
	if d == nil {
		return false
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.switches[id] {
		return false
	}
	d.switches[id] = true
	d.wg.Go(func() {
		k.drive(d.ctx, d.term, id)
		d.mu.Lock()
		delete(d.switches, id)
		d.mu.Unlock()
	})
	return true
}

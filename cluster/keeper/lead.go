package keeper

import (
	"context"
	"sync"
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
	k.mu.Lock()
	k.drivers = d
	k.mu.Unlock()
	k.term.Store(term)
	k.log.Info("leading", "term", term)

	d.wg.Go(func() { k.watchPresence(ctx, term) })
	d.wg.Go(func() { k.expireSessions(ctx, term) })
	for _, s := range k.cfg.Store.State().Switches() {
		if s.IsOpen() {
			k.log.Info("taking over an open switch", "switch", s.ID, "state", s.State, "term", term)
			k.startDriver(s.ID)
		}
	}
	<-ctx.Done()

	k.term.Store(0)
	k.mu.Lock()
	k.drivers = nil
	k.mu.Unlock()
	cancel()
	d.wg.Wait()
	k.log.Info("not leading any more", "term", term)
	return nil
}

// background runs f within the term that runs now; without one it does not.
func (k *Keeper) background(f func(ctx context.Context)) {
	k.mu.Lock()
	defer k.mu.Unlock()
	d := k.drivers
	if d == nil || k.backlog.Load() >= maxBackground {
		return
	}
	k.backlog.Add(1)
	d.wg.Go(func() {
		defer k.backlog.Add(-1)
		f(d.ctx)
	})
}

// startDriver drives an open switch in this term, unless it is driven already.
func (k *Keeper) startDriver(id string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	d := k.drivers
	if d == nil {
		return // the next leader finds it in the state
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.switches[id] {
		return
	}
	d.switches[id] = true
	d.wg.Go(func() {
		k.drive(d.ctx, d.term, id)
		d.mu.Lock()
		delete(d.switches, id)
		d.mu.Unlock()
	})
}

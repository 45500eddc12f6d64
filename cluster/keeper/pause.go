package keeper

import (
	"context"
	"time"
)

// pauseLimit is how much later than planned a loop may come round before the
// process counts as paused (SIGSTOP, a suspended machine): about the time in
// which the others elect another leader.
const pauseLimit = 500 * time.Millisecond

// rounds notices that a loop with this interval came round late.
type rounds struct {
	interval time.Duration
	last     time.Time
}

// late reports whether the process was paused before now.
func (r *rounds) late(now time.Time) bool {
	paused := !r.last.IsZero() && now.Sub(r.last) > r.interval+pauseLimit
	r.last = now
	return paused
}

// resume is called after a pause, before anything is done about who was silent:
// this keeper may be deposed, and it was deaf itself. It reports whether it
// still leads, proven by an entry; then everybody counts as heard of just now.
func (k *Keeper) resume(ctx context.Context) bool {
	attempt, cancel := context.WithTimeout(ctx, k.cfg.CallTimeout)
	defer cancel()
	if _, err := k.cfg.Store.Linearizable(attempt); err != nil {
		if ctx.Err() == nil {
			k.log.Warn("this keeper was paused, and cannot prove that it still leads", "error", err)
		}
		return false
	}
	k.log.Warn("this keeper was paused: silence is counted from now")
	k.presence.reset()
	return true
}

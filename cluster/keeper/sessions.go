package keeper

import (
	"context"
	"slices"
	"time"

	"github.com/zerokeeper/zero/fsm"
)

// maxExpired bounds how many sessions one command forgets.
const maxExpired = 1000

// sessionUse is when this leader saw a client session used last.
type sessionUse struct {
	used int64 // the state's stamp of it: the clock of whoever led then
	at   time.Time
}

// sessionWatch is what one term has seen of the client sessions.
type sessionWatch struct {
	round  rounds
	paused bool
	seen   map[string]sessionUse
}

// expireSessions forgets client sessions that were not used for SessionIdle on
// this leader's monotonic clock.
func (k *Keeper) expireSessions(ctx context.Context, term uint64) {
	interval := max(k.cfg.SessionIdle/10, 10*time.Millisecond)
	tick := time.NewTicker(interval)
	defer tick.Stop()
	w := sessionWatch{round: rounds{interval: interval}}
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		for batch := range slices.Chunk(k.idleSessions(ctx, &w, time.Now()), maxExpired) {
			if _, err := refused(k.cfg.Store.ProposeInTerm(ctx, term, fsm.Header{}, &fsm.ExpireSessions{Sessions: batch})); err != nil {
				if ctx.Err() == nil {
					k.log.Warn("cannot expire idle client sessions", "sessions", len(batch), "error", err)
				}
				break
			}
		}
	}
}

// idleSessions compares the sessions with what was seen of them before. After a
// pause their time begins anew, once this keeper has proven that it still leads:
// while it stood still nobody could use a session.
func (k *Keeper) idleSessions(ctx context.Context, w *sessionWatch, now time.Time) (idle []fsm.SessionUse) {
	if w.paused = w.round.late(now) || w.paused; w.paused {
		if !k.resume(ctx) {
			return nil
		}
		w.paused, w.seen = false, nil
	}
	before := w.seen
	w.seen = make(map[string]sessionUse, len(before))
	for _, s := range k.cfg.Store.State().Sessions() {
		use, ok := before[s.ID]
		if !ok || use.used != s.Used {
			use = sessionUse{s.Used, now}
		}
		w.seen[s.ID] = use
		if now.Sub(use.at) >= k.cfg.SessionIdle {
			idle = append(idle, fsm.SessionUse{ID: s.ID, Used: s.Used})
		}
	}
	return idle
}

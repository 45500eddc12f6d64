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

// expireSessions forgets client sessions that were not used for SessionIdle on
// this leader's monotonic clock.
func (k *Keeper) expireSessions(ctx context.Context, term uint64) {
	seen := map[string]sessionUse{}
	tick := time.NewTicker(max(k.cfg.SessionIdle/10, 10*time.Millisecond))
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		var idle []fsm.SessionUse
		seen, idle = k.idleSessions(seen, time.Now())
		for batch := range slices.Chunk(idle, maxExpired) {
			if _, err := refused(k.cfg.Store.ProposeInTerm(ctx, term, fsm.Header{}, &fsm.ExpireSessions{Sessions: batch})); err != nil {
				if ctx.Err() == nil {
					k.log.Warn("cannot expire idle client sessions", "sessions", len(idle), "error", err)
				}
				break
			}
		}
	}
}

// idleSessions compares the sessions with what was seen of them before.
func (k *Keeper) idleSessions(before map[string]sessionUse, now time.Time) (seen map[string]sessionUse, idle []fsm.SessionUse) {
	seen = make(map[string]sessionUse, len(before))
	for _, s := range k.cfg.Store.State().Sessions() {
		use, ok := before[s.ID]
		if !ok || use.used != s.Used {
			use = sessionUse{s.Used, now}
		}
		seen[s.ID] = use
		if now.Sub(use.at) >= k.cfg.SessionIdle {
			idle = append(idle, fsm.SessionUse{ID: s.ID, Used: s.Used})
		}
	}
	return seen, idle
}

package agent

import (
	"context"
	"strings"
	"time"
)

// bypassEvery is how often the accounts are looked at.
const bypassEvery = time.Minute

// maxBypass is how many accounts an alarm names.
const maxBypass = 5

// reportBypass finds the accounts that can write to a read-only server, and says so
// also when nobody wants to switch (R26): a fence does not stop them, and an old
// primary that they write to diverges.
func (a *Agent) reportBypass(ctx context.Context) {
	a.mu.Lock()
	due := a.bypassAt.IsZero() || time.Since(a.bypassAt) >= bypassEvery
	if due {
		a.bypassAt = time.Now()
	}
	a.mu.Unlock()
	if !due {
		return
	}
	bounded, cancel := context.WithTimeout(ctx, a.cfg.StateTimeout)
	defer cancel()
	accounts, err := a.db.Bypass(bounded) // R26
	switch {
	case err != nil && ctx.Err() == nil:
		a.log.Warn("cannot see which accounts read_only does not stop", "error", err)
	case err != nil:
	case len(accounts) == 0:
		a.warn(warnBypass, "")
	default:
		names := strings.Join(accounts[:min(len(accounts), maxBypass)], ", ")
		if len(accounts) > maxBypass {
			names += ", …"
		}
		a.warn(warnBypass, "read_only does not stop "+names+": revoke READ_ONLY ADMIN (and SUPER) from them, or name them with --admin-users; until then preflight refuses switches")
	}
}

package chaos

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/zerokeeper/zero/jepsen/fleet"
)

// rebuildTime bounds a server's way from an empty directory to all that the primary has.
const rebuildTime = 30 * time.Second

// mend does what a person does whom an alarm tells that a server has transactions of its own: it is built anew. Everything else
// has to come into order by itself. It says how many were built.
func (r *Run) mend(ctx context.Context) (int, error) {
	built := 0
	err := fleet.Eventually(ctx, 200*time.Millisecond, func(attempt context.Context) error {
		g, err := r.Data.Group(attempt)
		if err != nil {
			return err
		}
		for i, d := range g.Datasources {
			if i == g.Writable || !strings.Contains(d.Alarm, "does not follow") || !strings.Contains(d.Alarm, "errant") || g.OpenSwitch != "" {
				continue
			}
			if !d.ReadOnly {
				r.Violation("I4: %s has transactions of its own and is writable: %s", r.Data.Hosts[i].Name(), d.Alarm)
			}
			r.Timeline.Note("%s is built anew: %s", r.Data.Hosts[i].Name(), d.Alarm)
			if err := r.Data.Hosts[i].rebuild(ctx, r, r.Data.Hosts[g.Writable]); err != nil {
				return err
			}
			built++
		}
		verdict, err := r.Data.settled(attempt)
		if err == nil {
			err = verdict.Err()
		}
		if err == nil {
			err = r.Data.zeroctl(attempt, "status")
		}
		return err
	})
	return built, err
}

// rebuild stops the agent, empties the server, lets it replicate all that the primary ever logged, and starts the agent.
func (h *DBHost) rebuild(ctx context.Context, r *Run, primary *DBHost) error {
	ctx, cancel := context.WithTimeout(ctx, rebuildTime)
	defer cancel()
	r.sampler.excuseFor(slices.Index(r.Data.Hosts, h), rebuildTime)
	if err := h.Agent.Stop(ctx); err != nil {
		return err
	}
	if err := h.KillServer(); err != nil {
		return err
	}
	h.host.mu.Lock()
	defer h.host.mu.Unlock()
	h.host.down = false
	if err := h.Wipe(ctx); err != nil {
		return err
	}
	if err := h.Start(ctx); err != nil {
		return err
	}
	h.ExpectEnd()
	account := func(user string) fleet.Account { return fleet.Account{User: user, Password: dataSecret} }
	if err := r.Data.fleet.InitAccounts(ctx, h.Maria, account("zero_agent"), account("zero_repl")); err != nil {
		return err
	}
	if err := h.Follow(ctx, primary.Maria, account("zero_repl")); err != nil {
		return err
	}
	if err := h.WaitCaughtUp(ctx, primary.Maria); err != nil {
		return err
	}
	// As the host would start it: nothing of this must look like replication that began by itself.
	if err := errors.Join(h.Maria.Kill(), h.Start(ctx)); err != nil {
		return err
	}
	h.ExpectEnd()
	return h.Agent.Launch()
}

// mendedAfter is a disturbance after which servers may have to be built anew. Then all must be in order.
func mendedAfter(n nemesis) nemesis {
	return after(n, wholeAgain+rebuildTime, func(ctx context.Context, r *Run) error {
		built, err := r.mend(ctx)
		r.Data.rebuilt += built
		r.Stat("servers_built_anew", r.Data.rebuilt)
		return err
	})
}

// errantAlarms are what is said of a server that has transactions of its own, until a person has built it anew.
var errantAlarms = slices.Concat(fencing, []string{
	`\[ERROR\] zeroagent\.agent: this server needs a person: .*errant transactions`,
	fmt.Sprintf(`\[ERROR\] zerokeeper\.keeper: the primary is gone, and there is nobody to take its place: group=%s .*`, dataGroup),
})

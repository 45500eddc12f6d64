package keeper

import (
	"context"
	"time"

	"github.com/zerokeeper/zero/fsm"
)

// Whoever is silent for a lease is not waited for in what its next heartbeat tells it as
// well: it can do nothing meanwhile, and others wait.

// whileHeard ends with ctx, or when somebody has been silent for a lease; silent says
// for how long it has been. Call cancel.
func (d *driver) whileHeard(ctx context.Context, silent func() time.Duration) (_ context.Context, cancel context.CancelFunc) {
	ctx, cancel = context.WithCancel(ctx)
	d.work.Go(func() {
		for ctx.Err() == nil {
			age := silent()
			if age > d.times.Lease {
				cancel()
				return
			}
			pause(ctx, max(d.times.Lease-age, recheck))
		}
	})
	return ctx, cancel
}

// muteChance is what a proxy that is silent already gets: one whose heartbeats alone are
// lost answers at once.
const muteChance = 50 * time.Millisecond

// heardProxy ends with ctx, or when a proxy has been silent for a lease and had its
// chance. Its connection may still stand if its host is gone, or its process is stopped.
func (d *driver) heardProxy(ctx context.Context, p *fsm.Proxy) (context.Context, context.CancelFunc) {
	silent := func() time.Duration {
		_, age, _ := d.presence.proxy(proxyKey(p.Cluster, p.ID))
		return age
	}
	if silent() > d.times.Lease {
		return context.WithTimeout(ctx, muteChance)
	}
	return d.whileHeard(ctx, silent)
}

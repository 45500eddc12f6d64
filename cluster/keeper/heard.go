package keeper

import (
	"context"
	"fmt"
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

// mute is why a proxy is not told: it was not heard for a lease, and has none (R3).
// Its connection may still stand if its host is gone, or its process is stopped.
func (d *driver) mute(p *fsm.Proxy) error {
	if age := d.unheard(p); age > d.times.Lease {
		return fmt.Errorf("it is silent for %v", age.Round(time.Millisecond))
	}
	return nil
}

func (d *driver) unheard(p *fsm.Proxy) time.Duration {
	_, age, _ := d.presence.proxy(proxyKey(p.Cluster, p.ID))
	return age
}

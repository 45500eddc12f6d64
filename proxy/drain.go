package proxy

import (
	"context"
	"errors"
	"time"

	"github.com/zerokeeper/zero/transport/api"
	"github.com/zerokeeper/zero/transport/lease"
)

// stopWriting holds new writes and transactions and answers when none is in
// flight. When the drain's time is over it says how many are left; the group
// stays held, until the switch is rolled back or a grant opens it. sever: it is a
// failover, or the datasource does not answer this proxy's probes; then what is in
// flight is severed (R12a).
func (g *group) stopWriting(ctx context.Context, stamp api.Stamp, req api.StopWritingProxyDatasourceRequest, sever bool) error {
	timeout, err := g.beginStop(stamp, req)
	if err != nil {
		return err
	}
	began := lease.Now()
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	if sever {
		// Nothing that is in flight will end well; waiting for it would only make the failover late.
		if n := g.gate.Sever(); n > 0 {
			g.log.Warn("severed what was in flight to a datasource that failed", "group", g.name, "count", n)
		}
	}
	if err := g.drain(ctx); err != nil {
		return api.Errorf(api.DrainTimeout, "%v after %s (switch.drain_timeout is %s, and the lease must outlast the way back)", err, lease.Since(began).Round(time.Millisecond), timeout)
	}
	g.log.Info("writing stopped", "group", g.name, "stamp", stamp)
	return nil
}

// wayBack is what is left of a lease when a drain is given up: the switch is
// rolled back and the lease renewed before it ends, so that what did not end in
// time goes on unharmed.
const wayBack = 600 * time.Millisecond

// drain waits until nothing is in flight. Meanwhile the lease is prolonged by
// heartbeats, for what is in flight only (R4). When that does not happen, there may
// be no keeper: the drain is given up in time for the way back.
func (g *group) drain(ctx context.Context) error {
	for {
		left := max(lease.Until(g.gate.Until())-wayBack, 0)
		look, cancel := context.WithTimeout(ctx, left)
		err := g.gate.Drain(look)
		cancel()
		expired := err != nil && errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil
		if !expired || lease.Until(g.gate.Until()) <= wayBack {
			return err
		}
	}
}

func (g *group) beginStop(stamp api.Stamp, req api.StopWritingProxyDatasourceRequest) (time.Duration, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if err := g.admit(stamp, api.StepStopping); err != nil {
		return 0, err
	}
	address, err := g.named(req.Index, req.Primary)
	if err != nil {
		return 0, err
	}
	if g.state.known() && g.state.Current.Address != address {
		return 0, api.Errorf(api.IdentityMismatch, "host group %s writes to %s here, not to %s", g.name, g.state.Current.Address, address)
	}
	// The disk first: clients are not held meanwhile. When it fails nothing was
	// promised, and the switch is rolled back.
	next := g.state
	next.Stamp = stamp
	if err := g.keep(next); err != nil {
		return 0, err
	}
	g.gate.Hold()
	return g.drainTimeout, nil
}

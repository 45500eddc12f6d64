package keeper

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/zerokeeper/zero/fsm"
	"github.com/zerokeeper/zero/transport/api"
)

// rollingBack re-opens the old primary and points the proxies back at it. Only
// a primary that may have been fenced is waited for: the group stays held until
// it is writable.
func (d *driver) rollingBack(ctx context.Context, s *fsm.Switch) outcome {
	wait := d.waits.point
	fenced := went(s, fsm.StateFencing)
	if fenced {
		wait = d.waits.restore
	}
	if _, connected := d.agents.Get(s.FromAddress); s.Fenced == api.FencedDead || failover(s) && !connected {
		wait = d.waits.point // it is gone: there is nothing to wait for
	}
	var resumed sync.WaitGroup
	defer resumed.Wait()
	if went(s, fsm.StateCatchingUp) && s.Position.GTIDPos == "" {
		resumed.Go(func() { d.resume(ctx, s, wait) })
	}
	restored := make(chan error, 1)
	meta := d.meta()
	d.work.Go(func() { restored <- d.restore(ctx, s, wait) })
	n, errBack := d.everyProxy(ctx, s, d.waits.point, func(ctx context.Context, p *fsm.Proxy) error {
		return d.tell(ctx, p, api.RollbackProxyDatasource, meta, api.RollbackProxyDatasourceRequest{HostGroup: s.Group})
	})
	note := noteOf(fmt.Sprintf("%d proxies point at %s again", n, s.FromAddress), errBack)
	switch err := <-restored; {
	case err == nil:
		d.presence.confirm(s.FromAddress, d.stamp.Epoch, d.stamp.Generation)
		note += "; it is writable"
	case !fenced:
		note += "; it was not fenced, its agent did not confirm: " + oneLine(err)
	default:
		note += "; it is not writable yet, its agent goes on: " + oneLine(err)
		if ctx.Err() == nil {
			d.log.Error("the old primary is not writable after a rollback: see to its agent", "switch", s.ID, "datasource", s.FromAddress, "error", err)
		}
	}
	return next(fsm.StateRolledBack, note)
}

// restore asks the old primary's agent to re-open it, until it did or the wait
// is over.
func (d *driver) restore(ctx context.Context, s *fsm.Switch, wait time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	meta := d.meta()
	return d.retry(ctx, d.waits.role, cannotRestore, func(ctx context.Context) error {
		state, err := d.agent(ctx, s.FromAddress, api.RestoreDatasource, meta, api.RestoreDatasourceRequest{HostGroup: s.Group, Primary: d.source(s)})
		if err == nil && state.ReadOnly {
			err = api.Errorf(api.NotReady, "it is still read-only")
		}
		return err
	})
}

// cannotRestore reports whether the old primary cannot be re-opened by this order any
// more. If a dead server comes back its agent does it, by the grant.
func cannotRestore(err error) bool {
	code, _ := api.CodeOf(err)
	return stale(err) || code == api.ServerDead
}

package keeper

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/zerokeeper/zero/fsm"
	"github.com/zerokeeper/zero/transport/api"
)

// stopping prepares the candidate (R13) and then stops writing on every proxy:
// what can fail without harm comes first, so that hardly anybody is held for
// it. It is over when nothing is in flight anywhere (R12a).
func (d *driver) stopping(ctx context.Context, s *fsm.Switch) outcome {
	drain := time.Duration(s.Settings.DrainTimeout)
	ctx, cancel := context.WithTimeout(ctx, drain+d.waits.grace)
	defer cancel()
	meta := d.meta()
	var prepared api.AgentState
	err := d.retry(ctx, 0, lasting, func(ctx context.Context) (err error) {
		prepared, err = d.agent(ctx, s.ToAddress, api.PrepareDatasource, meta, api.PrepareDatasourceRequest{HostGroup: s.Group, Candidate: d.candidate(s)})
		return err
	})
	switch {
	case d.aborted() != nil:
		return undo(fsm.StateRollingBack, d.aborted())
	case err != nil:
		return undo(fsm.StateRollingBack, fmt.Errorf("prepare %s: %w", s.ToAddress, err))
	case prepared.Incarnation == "" || prepared.Prepared != s.Generation:
		return undo(fsm.StateRollingBack, api.Errorf(api.NotPrepared, "the agent of %s did not confirm that it is prepared for generation %d", s.ToAddress, s.Generation))
	}
	stopped, err := d.stopWriting(ctx, s, drain+d.waits.grace)
	switch {
	case d.aborted() != nil:
		return undo(fsm.StateRollingBack, d.aborted())
	case err != nil:
		code, _ := api.CodeOf(err)
		if code != api.DrainTimeout {
			code = api.ProxyNotStopped
		}
		return undo(fsm.StateRollingBack, api.Errorf(code, "stop writing: %s", oneLine(err)))
	}
	out := next(fsm.StateFencing, fmt.Sprintf("%d proxies stopped with nothing in flight, candidate prepared", stopped))
	out.Incarnation = prepared.Incarnation
	return out
}

// stopWriting stops every proxy. When one refuses, the others are not waited
// for: they would be held for nothing.
func (d *driver) stopWriting(ctx context.Context, s *fsm.Switch, wait time.Duration) (int, error) {
	ctx, giveUp := context.WithCancelCause(ctx)
	defer giveUp(nil)
	meta := d.meta()
	body := api.StopWritingProxyDatasourceRequest{HostGroup: s.Group, Index: s.From, Primary: d.source(s)}
	n, err := d.everyProxy(ctx, s, wait, func(ctx context.Context, p *fsm.Proxy) error {
		err := d.tell(ctx, p, api.StopWritingProxyDatasource, meta, body)
		if err != nil && lasting(err) && !errors.Is(err, api.ErrNoSuchGroup) {
			giveUp(fmt.Errorf("proxy %s: %w", p.ID, err))
		}
		return err
	})
	if refusal := context.Cause(ctx); err != nil && refusal != nil && !errors.Is(refusal, ctx.Err()) {
		err = refusal
	}
	return n, err
}

// fencing makes the old primary read-only, within its bound, and learns where
// it stands.
func (d *driver) fencing(ctx context.Context, s *fsm.Switch) outcome {
	bound := time.Duration(s.Settings.FenceTimeout)
	ctx, cancel := context.WithTimeout(ctx, bound+d.waits.grace)
	defer cancel()
	var fenced api.AgentState
	err := d.retry(ctx, bound, lasting, func(ctx context.Context) (err error) {
		fenced, err = d.agent(ctx, s.FromAddress, api.FenceDatasource, d.meta(), api.FenceDatasourceRequest{HostGroup: s.Group, Primary: d.source(s), BoundMS: bound.Milliseconds()})
		return err
	})
	switch {
	case d.aborted() != nil:
		return undo(fsm.StateRollingBack, d.aborted())
	case err != nil:
		return undo(fsm.StateRollingBack, api.Errorf(api.FenceFailed, "fence %s: %v", s.FromAddress, err))
	case !fenced.ReadOnly || fenced.Binlog == nil:
		return undo(fsm.StateRollingBack, api.Errorf(api.FenceFailed, "fence %s: its agent did not confirm read_only and a position", s.FromAddress))
	}
	b := fenced.Binlog
	out := next(fsm.StateCatchingUp, fmt.Sprintf("%s is read-only at %s:%d, GTID %s", s.FromAddress, b.File, b.Position, b.GTIDBinlogPos))
	out.Position = fsm.Position{File: b.File, Pos: b.Position, GTIDPos: b.GTIDBinlogPos, GTIDState: b.GTIDBinlogState}
	return out
}

// catchingUp waits until the candidate has applied all that the old primary
// has. The transition that it leads to is the commit point.
func (d *driver) catchingUp(ctx context.Context, s *fsm.Switch) outcome {
	wait := time.Duration(s.Settings.BinlogWait)
	ctx, cancel := context.WithTimeout(ctx, wait+d.waits.grace)
	defer cancel()
	body := api.WaitPositionRequest{
		HostGroup: s.Group, Candidate: d.candidate(s), GTID: s.Position.GTIDPos, State: s.Position.GTIDState, TimeoutMS: wait.Milliseconds(),
	}
	var reached api.AgentState
	err := d.retry(ctx, wait, lasting, func(ctx context.Context) (err error) {
		reached, err = d.agent(ctx, s.ToAddress, api.WaitPosition, d.meta(), body)
		return err
	})
	switch {
	case d.aborted() != nil:
		return undo(fsm.StateRollingBack, d.aborted())
	case err != nil:
		code, _ := api.CodeOf(err)
		if code != api.NotPrepared && code != api.IdentityMismatch {
			code = api.BinlogInconsistent
		}
		return undo(fsm.StateRollingBack, api.Errorf(code, "%s did not reach %s in %s: %v", s.ToAddress, s.Position.GTIDPos, wait, err))
	case reached.Incarnation != s.Incarnation:
		return undo(fsm.StateRollingBack, api.Errorf(api.NotPrepared, "the agent of %s was restarted since it was prepared", s.ToAddress))
	}
	note := s.ToAddress + " has applied all of it"
	if reached.Binlog != nil {
		note += fmt.Sprintf(", executed to %s:%d", reached.Binlog.File, reached.Binlog.Position)
	}
	return next(fsm.StatePromoting, note)
}

// rollingBack re-opens the old primary and points the proxies back at it. Only
// a primary that may have been fenced is waited for: the group stays held until
// it is writable.
func (d *driver) rollingBack(ctx context.Context, s *fsm.Switch) outcome {
	wait := d.waits.point
	fenced := went(s, fsm.StateFencing)
	if fenced {
		wait = d.waits.restore
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
	return d.retry(ctx, d.waits.role, stale, func(ctx context.Context) error {
		state, err := d.agent(ctx, s.FromAddress, api.RestoreDatasource, meta, api.RestoreDatasourceRequest{HostGroup: s.Group, Primary: d.source(s)})
		if err == nil && state.ReadOnly {
			err = api.Errorf(api.NotReady, "it is still read-only")
		}
		return err
	})
}

package keeper

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/zerokeeper/zero/fsm"
	"github.com/zerokeeper/zero/transport/api"
	"github.com/zerokeeper/zero/transport/wire"
)

// Waits beyond what an order itself waits for.
const (
	// orderGrace is for the way there and back.
	orderGrace = time.Second
	// informWait bounds how long proxies are told of something that their next
	// heartbeat tells them as well.
	informWait = 2 * time.Second
	// restoreWait bounds how long the old primary's agent is asked to re-open;
	// after it the agent's heartbeat does that.
	restoreWait = 30 * time.Second
	// repointWait bounds how long replicas are asked to follow; after it their
	// agents' heartbeats do that.
	repointWait = 60 * time.Second
)

// stopping prepares the candidate (R13) and stops writing on every proxy. It is
// over when nothing is in flight anywhere (R12a).
func (d *driver) stopping(ctx context.Context, s *fsm.Switch) outcome {
	drain := time.Duration(s.Settings.DrainTimeout)
	ctx, cancel := context.WithTimeout(ctx, drain+orderGrace)
	defer cancel()
	var (
		all      sync.WaitGroup
		prepared api.AgentState
		errPrep  error
		errStop  error
		stopped  int
	)
	all.Go(func() {
		errPrep = d.retry(ctx, lasting, func(ctx context.Context) (err error) {
			prepared, err = d.agent(ctx, s, s.ToAddress, api.PrepareDatasource, api.PrepareDatasourceRequest{HostGroup: s.Group, Candidate: d.candidate(s)})
			return err
		})
	})
	all.Go(func() {
		stopped, errStop = d.everyProxy(ctx, s, lasting, api.StopWritingProxyDatasource, drain+orderGrace, api.StopWritingProxyDatasourceRequest{HostGroup: s.Group, Index: s.From, Primary: d.source(s)})
	})
	all.Wait()
	switch {
	case d.aborted() != nil:
		return undo(fsm.StateRollingBack, d.aborted())
	case errPrep != nil:
		return undo(fsm.StateRollingBack, fmt.Errorf("prepare %s: %w", s.ToAddress, errPrep))
	case errStop != nil:
		code, _ := api.CodeOf(errStop)
		if code != api.DrainTimeout {
			code = api.ProxyNotStopped
		}
		return undo(fsm.StateRollingBack, api.Errorf(code, "stop writing: %v", errStop))
	case prepared.Incarnation == "":
		return undo(fsm.StateRollingBack, api.Errorf(api.DataRead, "the agent of %s did not say which incarnation of it was prepared", s.ToAddress))
	}
	out := next(fsm.StateFencing, fmt.Sprintf("%d proxies stopped with nothing in flight, candidate prepared", stopped))
	out.Incarnation = prepared.Incarnation
	return out
}

// everyProxy gives an order to all proxies on the cluster's list at once. All
// must obey.
func (d *driver) everyProxy(ctx context.Context, s *fsm.Switch, final func(error) bool, name string, wait time.Duration, body any) (int, error) {
	var (
		all  sync.WaitGroup
		mu   sync.Mutex
		errs []error
		done int
	)
	meta := stamped(d.stamp(s), s.ID)
	for _, p := range d.cfg.Store.State().Proxies(s.Cluster) {
		if p.Status == fsm.StatusUnreg {
			continue
		}
		all.Go(func() {
			err := d.tellProxy(ctx, p, final, name, meta, wait, body)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				errs = append(errs, fmt.Errorf("proxy %s: %w", p.ID, err))
				return
			}
			done++
		})
	}
	all.Wait()
	return done, errors.Join(errs...)
}

// tellProxy gives an order to one proxy, again until it answers.
func (d *driver) tellProxy(ctx context.Context, p *fsm.Proxy, final func(error) bool, name string, meta wire.Meta, wait time.Duration, body any) error {
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	pause := 10 * time.Millisecond
	for {
		err := order(ctx, &d.proxies, proxyKey(p.Cluster, p.ID), name, meta, body, nil)
		if err == nil || final(err) || stale(err) || ctx.Err() != nil {
			return err
		}
		d.pause(ctx, pause)
		pause = min(2*pause, 200*time.Millisecond)
	}
}

// fencing makes the old primary read-only, within its bound, and learns where
// it stands.
func (d *driver) fencing(ctx context.Context, s *fsm.Switch) outcome {
	bound := time.Duration(s.Settings.FenceTimeout)
	ctx, cancel := context.WithTimeout(ctx, bound+orderGrace)
	defer cancel()
	var fenced api.AgentState
	err := d.retry(ctx, lasting, func(ctx context.Context) (err error) {
		fenced, err = d.agent(ctx, s, s.FromAddress, api.FenceDatasource, api.FenceDatasourceRequest{HostGroup: s.Group, Primary: d.source(s), BoundMS: bound.Milliseconds()})
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
	ctx, cancel := context.WithTimeout(ctx, wait+orderGrace)
	defer cancel()
	var reached api.AgentState
	err := order(ctx, &d.agents, s.ToAddress, api.WaitPosition, stamped(d.stamp(s), s.ID), api.WaitPositionRequest{
		HostGroup: s.Group, Candidate: d.candidate(s), GTID: s.Position.GTIDPos, State: s.Position.GTIDState, TimeoutMS: wait.Milliseconds(),
	}, &reached)
	switch {
	case d.aborted() != nil:
		return undo(fsm.StateRollingBack, d.aborted())
	case err != nil:
		return undo(fsm.StateRollingBack, api.Errorf(api.BinlogInconsistent, "%s did not reach %s in %s: %v", s.ToAddress, s.Position.GTIDPos, wait, err))
	case reached.Incarnation != s.Incarnation:
		return undo(fsm.StateRollingBack, api.Errorf(api.NotPrepared, "the agent of %s was restarted since it was prepared", s.ToAddress))
	}
	note := s.ToAddress + " has applied all of it"
	if reached.Binlog != nil {
		note += fmt.Sprintf(", executed to %s:%d", reached.Binlog.File, reached.Binlog.Position)
	}
	return next(fsm.StatePromoting, note)
}

// promoting is behind the commit point: there is only forward. The new primary
// is promoted, the other replicas begin to follow it meanwhile: a first commit
// there may need one of them to acknowledge it.
func (d *driver) promoting(ctx context.Context, s *fsm.Switch) outcome {
	d.repointInBackground(ctx, s)
	var promoted api.AgentState
	err := d.retry(ctx, never, func(ctx context.Context) (err error) {
		promoted, err = d.agent(ctx, s, s.ToAddress, api.PromoteDatasource, api.PromoteDatasourceRequest{HostGroup: s.Group, Primary: d.candidate(s), ReplicaSet: s.Members})
		if err != nil {
			d.log.Warn("the new primary is not promoted yet, trying again", "switch", s.ID, "datasource", s.ToAddress, "error", err)
		} else if promoted.ReadOnly {
			err = api.Errorf(api.NotReady, "%s is still read-only", s.ToAddress)
		}
		return err
	})
	if err != nil { // only the term's end gets here
		return outcome{}
	}
	return next(fsm.StateSwitching, s.ToAddress+" is writable")
}

// switching points every proxy at the new primary; they hold still. One that
// does not answer holds as well, and learns from its heartbeat.
func (d *driver) switching(ctx context.Context, s *fsm.Switch) outcome {
	n, err := d.everyProxy(ctx, s, lasting, api.SwitchProxyDatasource, informWait, api.SwitchProxyDatasourceRequest{HostGroup: s.Group, ToIndex: s.To, Primary: d.candidate(s)})
	return next(fsm.StateRecovering, noteOf(fmt.Sprintf("%d proxies switched", n), err))
}

// recovering lets the held writes go on, on the new primary.
func (d *driver) recovering(ctx context.Context, s *fsm.Switch) outcome {
	n, err := d.everyProxy(ctx, s, lasting, api.RecoverWritingProxyDatasource, informWait, api.RecoverWritingProxyDatasourceRequest{HostGroup: s.Group, Index: s.To, Primary: d.candidate(s)})
	return next(fsm.StateRepointing, noteOf(fmt.Sprintf("%d proxies write again", n), err))
}

// repointing waits until the other servers follow the new primary.
func (d *driver) repointing(ctx context.Context, s *fsm.Switch) outcome {
	note := "every replica follows " + s.ToAddress
	if err := d.repoint(ctx, s, repointWait); err != nil {
		note = "not every replica follows yet, their agents go on: " + oneLine(err)
		d.log.Warn("not every replica follows the new primary", "switch", s.ID, "error", err)
	}
	return next(fsm.StateDone, note)
}

// repoint tells the other members to follow the new primary.
func (d *driver) repoint(ctx context.Context, s *fsm.Switch, wait time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	var (
		all  sync.WaitGroup
		mu   sync.Mutex
		errs []error
	)
	for _, address := range s.Members {
		if address == s.ToAddress {
			continue
		}
		all.Go(func() {
			body := api.FollowDatasourceRequest{HostGroup: s.Group, Replica: datasource(d.cfg.Store.State(), address), Primary: d.candidate(s)}
			err := d.retry(ctx, func(err error) bool { return stale(err) || address != s.FromAddress && notConnected(err) }, func(ctx context.Context) error {
				_, err := d.agent(ctx, s, address, api.FollowDatasource, body)
				return err
			})
			if err != nil {
				mu.Lock()
				defer mu.Unlock()
				errs = append(errs, fmt.Errorf("%s: %w", address, err))
			}
		})
	}
	all.Wait()
	return errors.Join(errs...)
}

// notConnected: a replica whose agent is away is not waited for; its heartbeat
// will make it follow.
func notConnected(err error) bool { return errors.Is(err, wire.ErrNotConnected) }

// repointInBackground begins to repoint while the new primary is promoted;
// repointing repeats it and sees what came of it.
func (d *driver) repointInBackground(ctx context.Context, s *fsm.Switch) {
	d.background(func(ctx context.Context) {
		if err := d.repoint(ctx, s, d.cfg.CallTimeout); err != nil && ctx.Err() == nil {
			d.log.Debug("replicas do not follow yet", "switch", s.ID, "error", err)
		}
	})
}

// rollingBack re-opens the old primary and points the proxies back at it.
func (d *driver) rollingBack(ctx context.Context, s *fsm.Switch) outcome {
	var (
		all     sync.WaitGroup
		errOpen error
		errBack error
		n       int
	)
	all.Go(func() {
		ctx, cancel := context.WithTimeout(ctx, restoreWait)
		defer cancel()
		errOpen = d.retry(ctx, stale, func(ctx context.Context) error {
			state, err := d.agent(ctx, s, s.FromAddress, api.RestoreDatasource, api.RestoreDatasourceRequest{HostGroup: s.Group, Primary: d.source(s)})
			if err == nil && state.ReadOnly {
				err = api.Errorf(api.NotReady, "it is still read-only")
			}
			return err
		})
	})
	all.Go(func() {
		n, errBack = d.everyProxy(ctx, s, lasting, api.RollbackProxyDatasource, informWait, api.RollbackProxyDatasourceRequest{HostGroup: s.Group})
	})
	all.Wait()
	note := noteOf(fmt.Sprintf("%d proxies point at %s again", n, s.FromAddress), errBack)
	if errOpen != nil {
		note += "; " + s.FromAddress + " is not writable yet, its agent goes on: " + oneLine(errOpen)
		d.log.Error("the old primary is not writable after a rollback: see to its agent", "switch", s.ID, "datasource", s.FromAddress, "error", errOpen)
	}
	return next(fsm.StateRolledBack, note)
}

// over is called when the switch has ended: proxies of one that was rolled back
// are told to write again, without waiting for their heartbeats.
func (d *driver) over(ctx context.Context, s *fsm.Switch) {
	if s.State == fsm.StateRolledBack {
		if _, err := d.everyProxy(ctx, s, lasting, api.RecoverWritingProxyDatasource, informWait, api.RecoverWritingProxyDatasourceRequest{HostGroup: s.Group, Index: s.From, Primary: d.source(s)}); err != nil && ctx.Err() == nil {
			d.log.Warn("a proxy was not told to write again; its heartbeat tells it", "switch", s.ID, "error", err)
		}
		d.log.Warn("switch rolled back", "switch", s.ID, "code", s.Code, "reason", s.Error)
		return
	}
	d.log.Info("switch done", "switch", s.ID, "group", s.Group, "primary", s.ToAddress)
}

func noteOf(text string, err error) string {
	if err == nil {
		return text
	}
	return text + "; not yet: " + oneLine(err)
}

// oneLine joins the lines of joined errors.
func oneLine(err error) string { return strings.ReplaceAll(err.Error(), "\n", "; ") }

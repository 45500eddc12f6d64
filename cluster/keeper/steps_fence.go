package keeper

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/zerokeeper/zero/fsm"
	"github.com/zerokeeper/zero/transport/api"
	"github.com/zerokeeper/zero/transport/wire"
)

// fencing makes the old primary read-only and learns where it stands, or waits
// until its agent has no lease to keep it writable.
func (d *driver) fencing(ctx context.Context, s *fsm.Switch) outcome {
	bound := time.Duration(s.Settings.FenceTimeout)
	ctx, cancel := context.WithTimeout(ctx, max(bound, d.times.Wait)+d.waits.grace)
	defer cancel()
	type result struct {
		state api.AgentState
		err   error
	}
	answered := make(chan result, 1)
	var asking sync.WaitGroup
	defer asking.Wait()
	defer cancel()
	meta := d.meta()
	asking.Go(func() {
		var r result
		r.err = d.retry(ctx, bound, lasting, func(ctx context.Context) error {
			r.state = api.AgentState{}
			return d.fenceOnce(ctx, s, meta, bound, &r.state)
		})
		answered <- r
	})
	tick := time.NewTicker(recheck)
	defer tick.Stop()
	var refusal error
	ended := ctx.Done()
	for {
		select {
		case r := <-answered:
			if d.aborted() != nil {
				return undo(fsm.StateRollingBack, d.aborted())
			}
			if r.err == nil {
				if out, ok := d.fenced(s, r.state); ok {
					return d.withPosition(ctx, s, out)
				}
				refusal = errors.New("its agent did not confirm read_only and a position")
			} else {
				refusal = r.err
			}
			if !failover(s) || ctx.Err() != nil {
				if out, ok := d.primaryOut(s, refusal); ok && (r.err != nil && !lasting(r.err)) {
					return out
				}
				return undo(fsm.StateRollingBack, api.Errorf(api.FenceFailed, "fence %s: %v", s.FromAddress, refusal))
			}
			answered = nil
		case <-tick.C:
			if out, ok := d.primaryOut(s, refusal); ok {
				return out
			}
		case <-ended:
			if answered == nil {
				return undo(fsm.StateRollingBack, api.Errorf(api.FenceFailed, "fence %s: %v", s.FromAddress, refusal))
			}
			ended = nil // asking ends as well, and its answer says more
		}
	}
}

func (d *driver) fenceOnce(ctx context.Context, s *fsm.Switch, meta wire.Meta, bound time.Duration, into *api.AgentState) (err error) {
	body := api.FenceDatasourceRequest{HostGroup: s.Group, Primary: d.source(s), BoundMS: bound.Milliseconds(), Kill: failover(s)}
	*into, err = d.agent(ctx, s.FromAddress, api.FenceDatasource, meta, body)
	return err
}

// fenced reads an agent's confirmation.
func (d *driver) fenced(s *fsm.Switch, state api.AgentState) (outcome, bool) {
	b := state.Binlog
	switch {
	case state.Dead && !state.Alive:
		out := next(fsm.StateCatchingUp, s.FromAddress+" is dead, says its agent: it comes up read-only")
		out.Fenced = api.FencedDead
		return out, true
	case state.ReadOnly && b != nil && b.GTIDBinlogPos != "":
		out := next(fsm.StateCatchingUp, fmt.Sprintf("%s is read-only at %s:%d, GTID %s", s.FromAddress, b.File, b.Position, b.GTIDBinlogPos))
		out.Position = fsm.Position{File: b.File, Pos: b.Position, GTIDPos: b.GTIDBinlogPos, GTIDState: b.GTIDBinlogState}
		out.Fenced = api.FencedConfirmed
		return out, true
	case state.ReadOnly && failover(s):
		out := next(fsm.StateCatchingUp, s.FromAddress+" is read-only, its position is not known")
		out.Fenced = api.FencedConfirmed
		return out, true
	}
	return outcome{}, false
}

// primaryOut reports whether the old primary's agent has no lease any more: it
// has made its server read-only, or killed it (R15), W ago at the latest. In a
// planned switch only one that is not heard counts: another may have refused.
func (d *driver) primaryOut(s *fsm.Switch, reason error) (outcome, bool) {
	_, age, _ := d.presence.agent(s.FromAddress)
	if _, connected := d.agents.Get(s.FromAddress); !failover(s) && connected && age < d.times.Lease {
		return outcome{}, false
	}
	if d.leases.out(agentHolder(s.FromAddress), s.Group, d.times.Wait) > 0 {
		return outcome{}, false
	}
	note := fmt.Sprintf("the agent of %s did not confirm, silent for %v: its lease is out", s.FromAddress, age.Round(time.Millisecond))
	if reason != nil {
		note += " (" + oneLine(reason) + ")"
	}
	out := next(fsm.StateCatchingUp, note)
	out.Fenced = api.LeaseOut
	return out, true
}

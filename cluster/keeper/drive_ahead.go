package keeper

import (
	"cmp"
	"context"
	"errors"
	"time"

	"github.com/zerokeeper/zero/fsm"
	"github.com/zerokeeper/zero/transport/api"
	"github.com/zerokeeper/zero/transport/faultpoint"
)

// What is done ahead of its step's entry, so that clients do not wait for the log:
// only what the step before allows as well. R6 stands: an order bears the stamp of an
// entry that is applied.

// propose writes what a step brought, and with it what the next one did, if that
// was done meanwhile: the second entry is compare-and-set on the first (R7), so
// that it does nothing when that one is refused.
func (d *driver) propose(ctx context.Context, s *fsm.Switch, out *outcome) error {
	row := []fsm.Command{out.command(s, s.State)}
	if out.then != nil {
		row = append(row, out.then.command(s, out.to))
	}
	heartbeats := d.proofs.byEntry() // R1: they came in before it
	results, err := d.cfg.Store.ProposeRowInTerm(ctx, d.term, row...)
	var refusal error // proves nothing: the entry may stand in a later term
	for _, result := range results {
		if _, refusal = refused(result, nil); refusal != nil {
			break
		}
	}
	heartbeats.proven(cmp.Or(err, refusal))
	if now := out.last(); now == fsm.StatePromoting || now == fsm.StateRollingBack {
		d.proofs.hurry() // the server that becomes writable may have come between
	}
	return cmp.Or(refusal, err)
}

// last is the state that the switch is in when all of it is applied.
func (o *outcome) last() string {
	if o.then != nil {
		return o.then.to
	}
	return o.to
}

func (o *outcome) command(s *fsm.Switch, from string) *fsm.AdvanceSwitch {
	o.ID, o.Generation, o.From, o.To = s.ID, s.Generation, from, o.to
	return &o.AdvanceSwitch
}

// reaching is a question to the candidate that is under way.
type reaching struct {
	done  chan struct{} // closed when state and err are set
	state api.AgentState
	err   error
}

// errNotAsked: the candidate was not asked in the step before.
var errNotAsked = errors.New("not asked yet")

// beginReaching asks the candidate whether it has what the fenced primary wrote,
// while the entry that says so is written. It changes nothing there, and the fence
// that it follows is this step's. What it answers stays true: nothing is written any
// more.
func (d *driver) beginReaching(ctx context.Context, s *fsm.Switch, position fsm.Position) {
	if position.GTIDPos == "" {
		return
	}
	meta, wait := d.meta(), min(d.waits.point, time.Duration(s.Settings.BinlogWait))
	r := &reaching{done: make(chan struct{})}
	d.reached = r
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), wait)
	d.work.Go(func() {
		defer cancel()
		defer close(r.done)
		r.state, r.err = d.agent(ctx, s.ToAddress, api.WaitPosition, meta, waitPosition(s, position, wait))
	})
}

// reachedEarly is what the candidate answered in the step before, or why it has to
// be asked again.
func (d *driver) reachedEarly() (api.AgentState, error) {
	if d.reached == nil {
		return api.AgentState{}, errNotAsked
	}
	<-d.reached.done
	return d.reached.state, d.reached.err
}

// withPosition adds the next step to a fence, the commit, if the candidate says soon
// enough that it has all that the fenced primary wrote: the two entries go into the log
// together. R6 and R7 stand: the question bears the stamp of the fence, which is applied;
// what the second entry says is compare-and-set on the first, an abort between them
// refuses it, and nobody is promoted before it is applied.
func (d *driver) withPosition(ctx context.Context, s *fsm.Switch, out outcome) outcome {
	d.beginReaching(ctx, s, out.Position)
	if d.reached == nil || faultpoint.Armed(point(fsm.StateCatchingUp, "before"), point(fsm.StateCatchingUp, "after")) {
		return out
	}
	soon, cancel := context.WithTimeout(ctx, d.waits.ahead)
	defer cancel()
	select {
	case <-d.reached.done:
	case <-soon.Done():
		return out
	}
	if d.reached.err != nil {
		return out // it is asked again
	}
	fenced := *s
	fenced.Position = out.Position
	if then := d.reachPosition(ctx, &fenced); then.to == fsm.StatePromoting {
		out.then = &then
	}
	return out
}

func waitPosition(s *fsm.Switch, position fsm.Position, wait time.Duration) api.WaitPositionRequest {
	return api.WaitPositionRequest{
		HostGroup: s.Group, Candidate: api.Datasource{Address: s.ToAddress, ServerID: s.ToServer},
		GTID: position.GTIDPos, State: position.GTIDState, TimeoutMS: wait.Milliseconds(),
	}
}

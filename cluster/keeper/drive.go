package keeper

import (
	"context"
	"errors"
	"time"

	"github.com/zerokeeper/zero/fsm"
	"github.com/zerokeeper/zero/transport/api"
)

// outcome is what a step brought: the state that comes next, and what the
// record is to keep of it.
type outcome struct {
	to string
	fsm.AdvanceSwitch
}

// next is the outcome that goes forward.
func next(to, note string) outcome {
	return outcome{to: to, AdvanceSwitch: fsm.AdvanceSwitch{Note: note}}
}

// undo is the outcome that goes back, with the reason.
func undo(to string, err error) outcome {
	code, msg := api.CodeOf(err)
	if code == api.OK {
		code = api.Common
	}
	return outcome{to: to, AdvanceSwitch: fsm.AdvanceSwitch{Note: msg, Code: uint16(code), Error: msg}}
}

// driver drives one switch in one term.
type driver struct {
	*Keeper
	term uint64
	id   string
}

// steps is what is done in each state of a switch. Each is begun only after its
// state's entry was applied (R6), may be begun again by another leader, and must
// be harmless then: orders carry the stamp, and one that was obeyed is answered
// again.
var steps = map[string]func(*driver, context.Context, *fsm.Switch) outcome{
	fsm.StateRequested:   (*driver).requested,
	fsm.StatePreflight:   (*driver).preflight,
	fsm.StateVoting:      (*driver).voting,
	fsm.StateStopping:    (*driver).stopping,
	fsm.StateFencing:     (*driver).fencing,
	fsm.StateCatchingUp:  (*driver).catchingUp,
	fsm.StatePromoting:   (*driver).promoting,
	fsm.StateSwitching:   (*driver).switching,
	fsm.StateRecovering:  (*driver).recovering,
	fsm.StateRepointing:  (*driver).repointing,
	fsm.StateRollingBack: (*driver).rollingBack,
}

// drive takes a switch from the state that it is in to its end, or until the
// term is over: the next leader goes on from the record.
func (k *Keeper) drive(ctx context.Context, term uint64, id string) {
	d := &driver{Keeper: k, term: term, id: id}
	log := k.log.With("switch", id)
	for ctx.Err() == nil {
		s := k.cfg.Store.State().Switch(id)
		if s == nil {
			return
		}
		step, ok := steps[s.State]
		if !ok {
			d.over(ctx, s)
			return
		}
		began := time.Now()
		out := step(d, ctx, s)
		if ctx.Err() != nil {
			return // another leader goes on: what this one did not finish is not failed
		}
		out.ID, out.Generation, out.From, out.To = s.ID, s.Generation, s.State, out.to
		_, err := refused(k.cfg.Store.ProposeInTerm(ctx, term, fsm.Header{}, &out.AdvanceSwitch))
		switch {
		case err == nil:
			log.Info("switch step", "from", s.State, "to", out.to, "took", time.Since(began).Round(10*time.Microsecond), "note", out.Note)
		case errors.Is(err, api.ErrStaleGeneration):
			// The record moved on: an unknown outcome turned out to have happened.
		case errors.Is(err, api.ErrOutcomeUnknown):
			log.Warn("the outcome of a step's entry is unknown, asking", "from", s.State, "to", out.to, "error", err)
			d.settle(ctx)
		case out.to == fsm.StatePromoting:
			// Refused at the commit point (it was aborted): the step looks again.
			log.Warn("the commit was refused", "error", err)
		default:
			log.Error("a step's entry was refused", "from", s.State, "to", out.to, "error", err)
			d.pause(ctx, 200*time.Millisecond)
		}
	}
}

// settle waits until the state shows every entry of this term that was in
// doubt (R9: ask, never guess).
func (d *driver) settle(ctx context.Context) {
	for ctx.Err() == nil {
		attempt, cancel := context.WithTimeout(ctx, d.cfg.CallTimeout)
		_, err := d.cfg.Store.Linearizable(attempt)
		cancel()
		if err == nil {
			return
		}
		d.pause(ctx, 50*time.Millisecond)
	}
}

func (d *driver) pause(ctx context.Context, wait time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(wait):
	}
}

// retry calls f until it succeeds, refuses for good (final) or ctx ends; the
// last error is returned. Pauses grow from 10 to 500 ms.
func (d *driver) retry(ctx context.Context, final func(error) bool, f func(ctx context.Context) error) error {
	wait := 10 * time.Millisecond
	for {
		attempt, cancel := context.WithTimeout(ctx, d.cfg.CallTimeout)
		err := f(attempt)
		cancel()
		if err == nil || ctx.Err() != nil || final(err) {
			return err
		}
		d.pause(ctx, wait)
		wait = min(2*wait, 500*time.Millisecond)
	}
}

// lasting reports whether asking again cannot help: the other side answered,
// and what it said does not change by itself. No connection, a deadline and an
// unknown outcome are worth another try.
func lasting(err error) bool {
	code, _ := api.CodeOf(err)
	switch code {
	case api.NetConnect, api.Deadline, api.OutcomeUnknown, api.Busy, api.NotReady, api.Cancelled:
		return false
	}
	return true
}

// never is for orders that must be obeyed in the end.
func never(error) bool { return false }

// stale reports whether the other side has seen a higher stamp: this order is
// late, and somebody else goes on.
func stale(err error) bool { return errors.Is(err, api.ErrStaleGeneration) }

// stamp is the stamp of the state that the record is in.
func (d *driver) stamp(s *fsm.Switch) api.Stamp {
	stamp := api.Stamp{Epoch: s.Epoch, Generation: s.Generation}
	if g := d.cfg.Store.State().Group(s.Group); g != nil && g.Generation == s.Generation {
		stamp.Step = g.Step
	}
	return stamp
}

// agent gives an order to the agent of a datasource.
func (d *driver) agent(ctx context.Context, s *fsm.Switch, address, name string, body any) (api.AgentState, error) {
	var state api.AgentState
	err := order(ctx, &d.agents, address, name, stamped(d.stamp(s), s.ID), body, &state)
	return state, err
}

// aborted is the operator's wish to undo, as an error; nil without one.
func (d *driver) aborted() error {
	if s := d.cfg.Store.State().Switch(d.id); s != nil && s.Abort != "" {
		return api.Errorf(api.SwitchAborted, "aborted: %s", s.Abort)
	}
	return nil
}

func (d *driver) requested(context.Context, *fsm.Switch) outcome {
	return next(fsm.StatePreflight, "")
}

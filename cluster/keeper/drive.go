package keeper

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/zerokeeper/zero/fsm"
	"github.com/zerokeeper/zero/transport/api"
	"github.com/zerokeeper/zero/transport/faultpoint"
)

// outcome is what a step brought: the state that comes next, and what the
// record is to keep of it.
type outcome struct {
	to string
	fsm.AdvanceSwitch
	then *outcome // of the next step, if that has been done already
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
	term     uint64
	id       string
	stamp    api.Stamp      // of the step that runs
	early    []string       // members that were told to follow while the new primary is promoted
	followed *underway      // FollowDatasource at those, once it was begun
	pointed  *underway      // SwitchProxyDatasource at every proxy, once it was begun
	reached  *reaching      // WaitPosition at the candidate, once it was begun
	work     sync.WaitGroup // what outlives a step
}

// underway is what one step begins and a later one waits for.
type underway struct {
	done chan struct{} // closed when n and err are set
	n    int           // how many obeyed
	err  error
}

// begin runs f beside the steps that follow. drive waits for it.
func (d *driver) begin(f func() (int, error)) *underway {
	u := &underway{done: make(chan struct{})}
	d.work.Go(func() {
		defer close(u.done)
		u.n, u.err = f()
	})
	return u
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

// point names the moment at which a test may end this keeper.
func point(state, when string) string { return "keeper/" + state + "/" + when }

// pointOver is where a test may keep this keeper from noticing that its term is over.
const pointOver = "keeper/lead/over"

// refusedPause is the wait before a step whose entry was refused is begun again.
const refusedPause = 50 * time.Millisecond

// drive takes a switch from the state that it is in to its end, or until the
// term is over: the next leader goes on from the record.
func (k *Keeper) drive(ctx context.Context, term uint64, id string) {
	ctx, superseded := context.WithCancel(ctx) // ends what outlives a step as well
	defer superseded()
	d := &driver{Keeper: k, term: term, id: id}
	defer d.work.Wait()
	defer k.hooks.poke(id)
	for ctx.Err() == nil {
		// Record and stamp are of one state: a leader that was deposed may apply
		// what its successor decided, and must not put that stamp on its own orders.
		state := k.cfg.Store.State()
		s := state.Switch(id)
		if s == nil {
			return
		}
		d.stamp = stampOfSwitch(state, s)
		k.hooks.poke(id)
		step, ok := steps[s.State] // R6: of the state that is applied
		if !ok {
			d.over(ctx, s)
			return
		}
		faultpoint.Reach(point(s.State, "before"))
		began := time.Now()
		out := d.run(ctx, superseded, s, step)
		faultpoint.Reach(point(s.State, "after"))
		if now := k.cfg.Store.State().Switch(id); now != nil && !now.IsOpen() {
			d.over(ctx, now)
			return
		}
		if ctx.Err() != nil {
			return // another leader goes on: what this one did not finish is not failed
		}
		d.advance(ctx, s, out, time.Since(began))
	}
}

// run takes one step. Before the commit an operator's abort cuts it short, after
// it a failover that supersedes the switch (R23).
func (d *driver) run(ctx context.Context, superseded func(), s *fsm.Switch, step func(*driver, context.Context, *fsm.Switch) outcome) outcome {
	watching, done := context.WithCancel(ctx)
	var watch sync.WaitGroup
	defer watch.Wait()
	defer done()
	undoable := !s.Committed() && s.State != fsm.StateRollingBack
	stepping := ctx
	if undoable {
		stepping = watching
	}
	watch.Go(func() {
		for {
			changed := d.cfg.Store.Changed()
			now := d.cfg.Store.State().Switch(d.id)
			switch {
			case undoable && d.aborted() != nil:
				done()
				return
			case now != nil && !now.IsOpen(): // superseded, or its group was frozen (R25)
				superseded()
				return
			}
			select {
			case <-watching.Done():
				return
			case <-changed:
			}
		}
	})
	return step(d, stepping, s)
}

// advance proposes what a step brought. Whatever becomes of that, the record
// says how to go on.
func (d *driver) advance(ctx context.Context, s *fsm.Switch, out outcome, took time.Duration) {
	log := d.log.With("switch", s.ID, "from", s.State, "to", out.to)
	err := d.propose(ctx, s, &out)
	switch {
	case err == nil:
		log.Info("switch step", "took", took.Round(10*time.Microsecond), "note", out.Note)
		return
	case ctx.Err() != nil:
		return
	case errors.Is(err, api.ErrOutcomeUnknown): // R9
		log.Warn("the outcome of a step's entry is unknown, asking", "error", err)
		d.settle(ctx)
		return
	}
	// Also refused: what an entry in doubt did already, what was aborted at the
	// commit point, and everything when this keeper does not lead any more.
	if now := d.cfg.Store.State().Switch(s.ID); now == nil || now.State != s.State {
		return
	}
	log.Warn("a step's entry was refused, beginning the step again", "error", err)
	pause(ctx, refusedPause)
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
		pause(ctx, refusedPause)
	}
}

func pause(ctx context.Context, wait time.Duration) {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}

// stampOfSwitch is the stamp of the state that the record of a switch is in.
func stampOfSwitch(state *fsm.State, s *fsm.Switch) api.Stamp {
	stamp := api.Stamp{Epoch: max(s.Epoch, state.Epoch()), Generation: s.Generation, Step: fsm.StepIdle}
	if g := state.Group(s.Group); s.IsOpen() && g != nil && g.Generation == s.Generation {
		stamp.Step = g.Step
	}
	return stamp
}

// aborted is the operator's wish to undo, as an error; nil without one.
func (d *driver) aborted() error {
	if s := d.cfg.Store.State().Switch(d.id); s != nil && s.Abort != "" {
		return api.Errorf(api.SwitchAborted, "aborted: %s", s.Abort)
	}
	return nil
}

// went reports whether a switch has been in that state.
func went(s *fsm.Switch, state string) bool {
	for _, step := range s.Steps {
		if step.State == state {
			return true
		}
	}
	return false
}

func (d *driver) requested(ctx context.Context, s *fsm.Switch) outcome {
	if err := d.mayBegin(ctx, s); err != nil {
		return undo(fsm.StateRolledBack, err)
	}
	return next(fsm.StatePreflight, "")
}

// over is called when the switch has ended: proxies of one that was rolled back
// are told to write again, without waiting for their heartbeats.
func (d *driver) over(ctx context.Context, s *fsm.Switch) {
	faultpoint.Reach(point(s.State, "before"))
	defer faultpoint.Reach(point(s.State, "after"))
	if s.State == fsm.StateSuperseded {
		d.log.Warn("switch superseded", "switch", s.ID, "group", s.Group, "reason", s.Error)
		return
	}
	if s.State != fsm.StateRolledBack {
		d.log.Info("switch done", "switch", s.ID, "group", s.Group, "primary", s.ToAddress)
		return
	}
	d.log.Warn("switch rolled back", "switch", s.ID, "code", s.Code, "reason", s.Error)
	if !went(s, fsm.StateStopping) || s.Code == fsm.CodeGroupFrozen {
		return // no proxy was told anything
	}
	if _, err := d.recoverProxies(ctx, s, s.From, d.source(s)); err != nil && ctx.Err() == nil {
		d.log.Warn("a proxy was not told to write again; its heartbeat tells it", "switch", s.ID, "error", err)
	}
}

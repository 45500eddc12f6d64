package keeper

import (
	"fmt"

	"github.com/zerokeeper/zero/cluster/keeper/hook"
	"github.com/zerokeeper/zero/fsm"
)

// HookSteps are the steps of a switch that hooks may be told of.
var HookSteps = []string{
	fsm.StatePreflight, fsm.StateVoting, fsm.StateStopping, fsm.StateFencing, fsm.StateCatchingUp, fsm.StatePromoting, fsm.StateSwitching,
	fsm.StateRecovering, fsm.StateRepointing, fsm.StateRollingBack,
}

const beforeSwitch = hook.Switch + "/" + hook.Before

// happening is one event of a switch.
type happening struct {
	subject string // hook.Switch or a step
	phase   string
	time    int64
}

func (h happening) event() string { return h.subject + "/" + h.phase }

// happenings are the events of a switch so far, in order. They are read off the
// record and nothing else: every leader finds the same.
func happenings(s *fsm.Switch) []happening {
	var list []happening
	add := func(subject, phase string, at int64) { list = append(list, happening{subject, phase, at}) }
	for i, step := range s.Steps {
		if i > 0 && s.Steps[i-1].State != fsm.StateRequested {
			add(s.Steps[i-1].State, ended(s.Steps[i-1].State, step.State), step.Time)
		}
		switch step.State {
		case fsm.StateRequested:
			add(hook.Switch, hook.Before, step.Time)
		case fsm.StateDone:
			add(hook.Switch, hook.After, step.Time)
		case fsm.StateRolledBack, fsm.StateSuperseded:
			add(hook.Switch, hook.Failure, step.Time)
		default:
			add(step.State, hook.Before, step.Time)
		}
	}
	return list
}

// ended is the phase in which a step ended, by what came next.
func ended(state, next string) string {
	switch next {
	case fsm.StateRollingBack, fsm.StateSuperseded:
		return hook.Failure
	case fsm.StateRolledBack:
		if state != fsm.StateRollingBack {
			return hook.Failure
		}
	}
	return hook.After
}

// eventOf is what a hook is told of it.
func (k *Keeper) eventOf(s *fsm.Switch, h happening) hook.Event {
	e := hook.Event{
		ID: fmt.Sprintf("%s/%d/%s", s.ID, s.Generation, h.event()), Event: h.event(), Switch: s.ID, Generation: s.Generation, Step: h.subject,
		Group: s.Group, Cluster: s.Cluster, Kind: s.Kind, From: s.FromAddress, To: s.ToAddress, FromIndex: s.From, ToIndex: s.To,
		Reason: s.Reason, RequestedBy: s.RequestedBy, Time: unixTime(h.time), Keeper: k.name(),
	}
	if h.phase == hook.Failure {
		e.Error = s.Error
	}
	return e
}

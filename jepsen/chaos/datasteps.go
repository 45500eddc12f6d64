package chaos

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/zerokeeper/zero/transport/api"
)

// LossSteps is where the time of one loss went: when, in milliseconds from the loss, the switch that ended it came into
// each of its states, as the record has it, and when another server first acknowledged a write.
type LossSteps struct {
	Switch  string   `json:"switch"`
	Steps   []StepAt `json:"steps"`
	AckedMS int64    `json:"ackedMs"`
}

// StepAt is a state of a switch and when it began.
type StepAt struct {
	State string `json:"state"`
	MS    int64  `json:"ms"`
}

// stepsOf reads the record of the switch that ended a loss.
func (r *Run) stepsOf(ctx context.Context, lost, acked time.Duration) (LossSteps, error) {
	g, err := r.Data.Group(ctx)
	if err != nil {
		return LossSteps{}, err
	}
	s, err := r.Data.Switch(ctx, cmp.Or(g.OpenSwitch, g.LastSwitch))
	if err != nil {
		return LossSteps{}, err
	}
	return stepsAt(s, r.Timeline.start.Add(lost), acked-lost), nil
}

// stepsAt is the record of a switch, counted from the loss. All run on one machine, with one wall clock.
func stepsAt(s api.Switch, lost time.Time, acked time.Duration) LossSteps {
	l := LossSteps{Switch: s.ID, AckedMS: acked.Milliseconds()}
	for _, step := range s.Steps {
		l.Steps = append(l.Steps, StepAt{step.State, step.Time.Sub(lost.Round(0)).Milliseconds()})
	}
	return l
}

// middleSteps is the median of when each state began, in their order, over all losses.
func middleSteps(all []LossSteps) string {
	var states []string
	times := map[string][]int64{}
	note := func(state string, ms int64) {
		if times[state] == nil {
			states = append(states, state)
		}
		times[state] = append(times[state], ms)
	}
	for _, l := range all {
		for _, s := range l.Steps {
			note(s.State, s.MS)
		}
	}
	for _, l := range all {
		note("first write", l.AckedMS)
	}
	var text []string
	for _, state := range states {
		slices.Sort(times[state])
		text = append(text, fmt.Sprintf("%s %d", state, times[state][(len(times[state])-1)/2]))
	}
	return strings.Join(text, ", ")
}

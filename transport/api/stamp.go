package api

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"
)

// The steps of a stamp (switch-safety rule R8). They order the orders of one
// generation: an order of a lower step is late and refused.
const (
	StepRequested   uint8 = 0 // requested, preflight, voting: nothing was changed yet
	StepStopping    uint8 = 1
	StepFencing     uint8 = 2
	StepCatchingUp  uint8 = 3
	StepPromoting   uint8 = 4 // from the commit point on
	StepRollingBack uint8 = 5
	StepIdle        uint8 = 6 // the group is open
)

// Stamp orders everything that is said about a host group: the cluster's
// epoch, the group's generation (one is spent by every requested switch) and
// the step within it. Receivers refuse a stamp lower than the highest they saw.
type Stamp struct {
	Epoch      uint64 `json:"epoch"`
	Generation uint64 `json:"generation"`
	Step       uint8  `json:"step"`
}

// Compare is -1, 0 or 1: epoch first, then generation, then step.
func (s Stamp) Compare(t Stamp) int {
	return cmp.Or(cmp.Compare(s.Epoch, t.Epoch), cmp.Compare(s.Generation, t.Generation), cmp.Compare(s.Step, t.Step))
}

// String is "epoch.generation.step", the form of the MetaStamp value.
func (s Stamp) String() string {
	return fmt.Sprintf("%d.%d.%d", s.Epoch, s.Generation, s.Step)
}

// ParseStamp reads what String wrote.
func ParseStamp(text string) (Stamp, error) {
	parts := strings.Split(text, ".")
	if len(parts) != 3 {
		return Stamp{}, Errorf(BadRequest, "stamp %q: want epoch.generation.step", text)
	}
	epoch, err1 := strconv.ParseUint(parts[0], 10, 64)
	generation, err2 := strconv.ParseUint(parts[1], 10, 64)
	step, err3 := strconv.ParseUint(parts[2], 10, 8)
	if err1 != nil || err2 != nil || err3 != nil || step > uint64(StepIdle) {
		return Stamp{}, Errorf(BadRequest, "stamp %q: want three numbers, the last at most %d", text, StepIdle)
	}
	return Stamp{Epoch: epoch, Generation: generation, Step: uint8(step)}, nil
}

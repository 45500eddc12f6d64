package chaos

import (
	"testing"
	"time"

	"github.com/zerokeeper/zero/transport/api"
)

// TestLossSteps: times are counted from the loss, and the middle one of each state is what is said.
func TestLossSteps(t *testing.T) {
	lost := time.Now()
	at := func(ms int) time.Time { return lost.Add(time.Duration(ms) * time.Millisecond).Round(0).UTC() }
	var all []LossSteps
	for _, late := range []int{40, 0, 700} {
		s := api.Switch{ID: "orders-2", Steps: []api.SwitchStep{{State: "requested", Time: at(2000 + late)}, {State: "recovering", Time: at(2200 + late)}}}
		all = append(all, stepsAt(s, lost, time.Duration(2500+late)*time.Millisecond))
	}
	if got := all[1]; got.Switch != "orders-2" || got.AckedMS != 2500 || got.Steps[0] != (StepAt{"requested", 2000}) {
		t.Errorf("%+v", got)
	}
	if got := middleSteps(all); got != "requested 2040, recovering 2240, first write 2540" {
		t.Error(got)
	}
}

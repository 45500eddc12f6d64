package check

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/zerokeeper/zero/fsm"
)

// ms is a time of a run.
func ms(n int) time.Duration { return time.Duration(n) * time.Millisecond }

// TestRegisterIsTheMachine runs random commands through one long-lived state machine and through the model, which
// makes a new machine for each step.
func TestRegisterIsTheMachine(t *testing.T) {
	for seed := range uint64(20) {
		rng := rand.New(rand.NewPCG(seed, 1))
		machine, model := fsm.New(), newMachineRegister()
		now, at := register{}, int64(0)
		for i := range 100 {
			c := change{value: fmt.Sprintf("v%d", rng.IntN(5)), compare: rng.IntN(2) == 0}
			if c.compare {
				c.version = uint64(max(0, int64(now.version)+rng.Int64N(3)-1))
			}
			at += rng.Int64N(int64(time.Hour)) - int64(time.Minute)
			entry, err := fsm.Encode(fsm.Header{Time: at, Session: "s", Seq: uint64(i + 1), Acked: uint64(i)},
				&fsm.PutSection{ID: modelSection, Section: modelSection, Data: []byte(c.value), Compare: c.compare, Version: c.version})
			if err != nil {
				t.Fatal(err)
			}
			result, err := machine.Apply(uint64(2*i+1), uint64(i/10+1), entry)
			if err != nil {
				t.Fatal(err)
			}
			step, err := model.apply(now, c)
			if err != nil {
				t.Fatal(err)
			}
			if step.code != result.Code || step.next != look(machine.State()) {
				t.Fatalf("seed %d, command %d: %+v of %v: the model says %+v, the machine code %d and %v",
					seed, i, c, now, step, result.Code, look(machine.State()))
			}
			now = step.next
		}
	}
}

func TestRegisterUnreached(t *testing.T) {
	if _, err := newMachineRegister().apply(register{found: true, value: "x", version: 3}, change{}); err == nil {
		t.Error("a step from a state that no command leads to")
	}
}

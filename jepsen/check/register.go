package check

import (
	"bytes"
	"fmt"
	"strconv"

	"github.com/zerokeeper/zero/fsm"
)

// register is what clients can see of a section. The zero value is one that does not exist.
type register struct {
	found   bool
	value   string
	version uint64
}

func (r register) String() string {
	if !r.found {
		return "none"
	}
	return fmt.Sprintf("%q version %d", r.value, r.version)
}

// change is a write or compare-and-set without its outcome.
type change struct {
	value   string
	compare bool
	version uint64
}

// step is what a change of a register leads to.
type step struct {
	next register
	code uint16 // of the refusal, 0 if it was done
}

// machineRegister is a section of a real state machine, as a function: each step restores a machine from the snapshot
// of a state in which the section is that register, applies the encoded command, and reads the section back. What a
// machine once answered is remembered. It serves one goroutine.
type machineRegister struct {
	states map[register][]byte // a snapshot for each register reached
	steps  map[from]step
}

type from struct {
	register
	change
}

func newMachineRegister() *machineRegister {
	return &machineRegister{states: make(map[register][]byte), steps: make(map[from]step)}
}

// modelSection is the section that the model writes. Each key has a machine of its own, so the name does not matter.
const modelSection = "s"

// apply is the step from r, which is the zero register or one that apply returned.
func (m *machineRegister) apply(r register, c change) (step, error) {
	key := from{r, c}
	if s, ok := m.steps[key]; ok {
		return s, nil
	}
	machine := fsm.New()
	if r.found {
		snapshot, ok := m.states[r]
		if !ok {
			return step{}, fmt.Errorf("model: no state with the register %v was reached", r)
		}
		if err := machine.Restore(bytes.NewReader(snapshot)); err != nil {
			return step{}, fmt.Errorf("model: %w", err)
		}
	}
	entry, err := fsm.Encode(fsm.Header{}, &fsm.PutSection{ID: modelSection, Section: modelSection, Data: []byte(c.value), Compare: c.compare, Version: c.version})
	if err != nil {
		return step{}, fmt.Errorf("model: %w", err)
	}
	result, err := machine.Apply(machine.State().Index()+1, 1, entry)
	if err != nil {
		return step{}, fmt.Errorf("model: %w", err)
	}
	s := step{next: look(machine.State()), code: result.Code}
	if result.Code == 0 {
		if version, err := strconv.ParseUint(string(result.Data), 10, 64); err != nil || version != s.next.version {
			return step{}, fmt.Errorf("model: the answer to a put is %q, and the section is at version %d", result.Data, s.next.version)
		}
	}
	if _, ok := m.states[s.next]; !ok && s.next.found {
		var buf bytes.Buffer
		if _, err := machine.State().WriteTo(&buf); err != nil {
			return step{}, fmt.Errorf("model: %w", err)
		}
		m.states[s.next] = buf.Bytes()
	}
	m.steps[key] = s
	return s, nil
}

// look reads the model's section.
func look(state *fsm.State) register {
	if s := state.Section(modelSection, modelSection); s != nil {
		return register{found: true, value: string(s.Data), version: s.Version}
	}
	return register{}
}

// explains reports whether op may have been answered as it was when the register was r, and what the register is then.
func (m *machineRegister) explains(r register, op Op) (bool, register, error) {
	if op.Kind == Read {
		ok := op.Found == r.found && op.GotValue == r.value && (op.GotVersion == 0 || op.GotVersion == r.version)
		return ok, r, nil
	}
	s, err := m.apply(r, change{value: op.Value, compare: op.Kind == CAS, version: op.Version})
	if err != nil {
		return false, r, err
	}
	switch op.Outcome {
	case OK:
		return s.code == 0 && (op.GotVersion == 0 || op.GotVersion == s.next.version), s.next, nil
	case Refused:
		return s.code == fsm.CodeConflict, s.next, nil
	case Unknown: // one that was never done stands at the end, where nobody sees what it did
		return true, s.next, nil
	}
	return false, r, nil
}

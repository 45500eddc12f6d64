package check

import (
	"hash/maphash"
	"math"
	"sync"
	"time"

	"github.com/anishathalye/porcupine"
)

// LinearizableOptions are the bounds of [Linearizable] and where it draws. The zero value means the defaults.
type LinearizableOptions struct {
	Timeout   time.Duration // for all keys together; 10 s
	MaxPerKey int           // operations; 300. A longer history of a key is undecided
	HTML      string        // path of the drawing of one key that was not linearizable, else not decided; empty: none
}

const (
	defaultTimeout = 10 * time.Second
	defaultPerKey  = 300
)

// Linearizable decides whether the operations on each key (kinds Read, Write and CAS; keys begin without a section) can
// be put in one order, each between its call and its return, in which the real state machine (package fsm) gives the
// answers that the clients got. Attempts are folded; failed operations and unanswered reads are left out. An
// unknown write may have been done at any time after its call, or not at all: [Resolve] first, or the search may take
// until the timeout. A timeout, a key with too many operations and an operation that is no register's are Unknown.
func Linearizable(ops []Op, opts LinearizableOptions) Verdict {
	if opts.Timeout <= 0 {
		opts.Timeout = defaultTimeout
	}
	if opts.MaxPerKey <= 0 {
		opts.MaxPerKey = defaultPerKey
	}
	f := newFinding()
	keys, unknown := registerOps(f, ops)
	results := checkKeys(f, keys, opts)
	checked, longest := 0, 0
	worst := "" // the key to draw
	for _, key := range sorted(keys) {
		checked += len(keys[key])
		longest = max(longest, len(keys[key]))
		d := results[key]
		switch {
		case d == nil:
		case d.model.err != nil:
			f.undecided("key %s: %v", key, d.model.err)
		case d.result == porcupine.Illegal:
			f.problem("key %s: %d operations are not linearizable", key, len(keys[key]))
			if worst == "" || results[worst].result != porcupine.Illegal {
				worst = key
			}
		case d.result == porcupine.Unknown:
			f.undecided("key %s: %d operations were not decided within %v", key, len(keys[key]), opts.Timeout)
			if worst == "" {
				worst = key
			}
		}
	}
	if opts.HTML != "" && worst != "" {
		d := results[worst]
		if err := porcupine.VisualizePath(d.model.porcupine(), d.info, opts.HTML); err != nil {
			f.undecided("draw key %s: %v", worst, err)
		}
		f.stat("drawn", worst)
	}
	f.stat("ops", checked)
	f.stat("keys", len(keys))
	f.stat("longestKey", longest)
	f.stat("unknown", unknown)
	if checked == 0 {
		f.undecided("no operation to check")
	}
	return f.verdict()
}

// registerOps is the operations that the model has to explain, by key, and how many of them have no known outcome.
func registerOps(f *finding, ops []Op) (keys map[string][]Op, unknown int) {
	var kept []Op
	for _, op := range Fold(ops) {
		switch {
		case op.Kind != Read && !op.Mutates():
			f.undecided("%v: no kind of a register", op)
		case op.Outcome == Failed, op.Kind == Read && op.Outcome != OK:
		default:
			if op.Outcome == Unknown {
				unknown++
			}
			kept = append(kept, op)
		}
	}
	return byKey(kept), unknown
}

// decided is what the search of one key found.
type decided struct {
	model  *model
	result porcupine.CheckResult
	info   porcupine.LinearizationInfo
}

// checkKeys decides all keys at once, so that a hard one does not take the time of the others. Keys that are too long
// are left out.
func checkKeys(f *finding, keys map[string][]Op, opts LinearizableOptions) map[string]*decided {
	results := make(map[string]*decided)
	var wg sync.WaitGroup
	for _, key := range sorted(keys) {
		ops := keys[key]
		if len(ops) > opts.MaxPerKey {
			f.undecided("key %s: %d operations, at most %d can be decided: use more keys", key, len(ops), opts.MaxPerKey)
			continue
		}
		d := &decided{model: newModel()}
		results[key] = d
		wg.Go(func() {
			// The verbose one waits for its search to end, also after a timeout.
			d.result, d.info = porcupine.CheckOperationsVerbose(d.model.porcupine(), operations(ops), opts.Timeout)
		})
	}
	wg.Wait()
	return results
}

// model is machineRegister for porcupine, which can be told no error.
type model struct {
	register *machineRegister
	err      error // the first one
	seed     maphash.Seed
}

func newModel() *model { return &model{register: newMachineRegister(), seed: maphash.MakeSeed()} }

// step takes the operation, its answer included, as input.
func (m *model) step(state, input, _ any) (bool, any) {
	ok, next, err := m.register.explains(state.(register), input.(Op))
	if err != nil && m.err == nil {
		m.err = err
	}
	return ok && err == nil, next
}

func (m *model) porcupine() porcupine.Model {
	return porcupine.Model{
		Init:              func() any { return register{} },
		Step:              m.step,
		Equal:             func(a, b any) bool { return a.(register) == b.(register) },
		Hash:              func(state any) uint64 { return maphash.Comparable(m.seed, state.(register)) },
		DescribeOperation: func(input, _ any) string { return input.(Op).String() },
		DescribeState:     func(state any) string { return state.(register).String() },
	}
}

// operations are ops as porcupine wants them. What nobody saw end does so after everything else.
func operations(ops []Op) []porcupine.Operation {
	var last time.Duration
	lanes := 0
	for _, op := range ops {
		last = max(last, op.Call)
		lanes = max(lanes, op.Client+1)
		if op.end() != Forever {
			last = max(last, op.Return)
		}
	}
	list := make([]porcupine.Operation, 0, len(ops))
	for _, op := range ops {
		o := porcupine.Operation{ClientId: max(op.Client, 0), Input: op, Call: int64(op.Call), Return: int64(op.end())}
		if o.Return == math.MaxInt64 {
			o.Return = int64(last) + 1
			o.ClientId = lanes // its client went on: draw it in a lane of its own
			lanes++
		}
		list = append(list, o)
	}
	return list
}

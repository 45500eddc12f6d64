package sim

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/anishathalye/porcupine"
)

// kind of an operation.
type kind uint8

const (
	readOp kind = iota
	writeOp
	swapOp // compare and set
)

// verdict is what a client knows of its operation.
type verdict uint8

const (
	failed  verdict = iota // it never happened
	done                   // it happened
	refused                // the state machine refused it: the comparison failed
	unknown
)

// operation is one thing that a client did to one register.
type operation struct {
	client   int
	kind     kind
	key      string
	expect   string // what a swap compares with
	value    string // what was written, or read
	call     int64  // logical times: one counter for all goroutines
	ret      int64
	verdict  verdict
	attempts int
	doubts   int    // attempts whose outcome the client was not told
	index    uint64 // of the entry that it was told
}

func (o operation) String() string {
	what := [...]string{"read", "write", "swap"}[o.kind]
	how := [...]string{"failed", "done", "refused", "unknown"}[o.verdict]
	return fmt.Sprintf("[%d,%d] client %d %s %s %q→%q: %s, %d attempts, entry %d", o.call, o.ret, o.client, what, o.key, o.expect, o.value, how, o.attempts, o.index)
}

// maxCheck bounds the search for an order of one key's operations.
const maxCheck = 20 * time.Second

// register is the sequential model of one key.
var register = porcupine.Model{
	Init: func() any { return "" },
	Step: func(state, input, _ any) (bool, any) {
		o := input.(operation)
		switch {
		case o.kind == readOp:
			return state == o.value, state
		case o.kind == writeOp:
			return true, o.value
		case o.verdict == refused:
			return state != o.expect, state
		}
		return state == o.expect, o.value
	},
	DescribeOperation: func(input, _ any) string { return input.(operation).String() },
}

// resolve says what happened in truth, as far as can be known: an operation
// whose outcome its client was not told is in the log, and happened before the
// first node applied it, or it is not and never happens.
func resolve(ops []operation, rec *recorder) []operation {
	out := make([]operation, 0, len(ops))
	for _, o := range ops {
		switch o.verdict {
		case failed:
			continue
		case unknown:
			e := rec.outcome(o.value)
			if e == nil {
				continue
			}
			o.ret = max(e.first, o.call+1)
		}
		out = append(out, o)
	}
	return out
}

// linearizable checks each register on its own (I1). It returns the keys whose
// operations have no order, with them, and those that could not be decided.
func linearizable(ops []operation) (illegal map[string][]operation, undecided []string) {
	byKey := make(map[string][]operation)
	for _, o := range ops {
		byKey[o.key] = append(byKey[o.key], o)
	}
	illegal = make(map[string][]operation)
	for key, list := range byKey {
		history := make([]porcupine.Operation, 0, len(list))
		for _, o := range list {
			if o.ret == 0 {
				o.ret = math.MaxInt64
			}
			history = append(history, porcupine.Operation{ClientId: o.client, Input: o, Call: o.call, Return: o.ret})
		}
		switch porcupine.CheckOperationsTimeout(register, history, maxCheck) {
		case porcupine.Illegal:
			slices.SortFunc(list, func(a, b operation) int { return cmp.Compare(a.call, b.call) })
			illegal[key] = list
		case porcupine.Unknown:
			undecided = append(undecided, key)
		}
	}
	return illegal, undecided
}

package check

import (
	"cmp"
	"maps"
	"slices"
)

// Fold makes one operation of all attempts of each write, which have the same session and sequence. It was in progress
// from the first call (of an attempt that did not fail) to the first answer; what it did is what that answer says.
// Without an answer it is Unknown if any attempt is, else Failed. Other operations stay as they are. The result is in the order of calls.
func Fold(ops []Op) []Op {
	first := make(map[opName]int) // in folded
	folded := make([]Op, 0, len(ops))
	in := slices.Clone(ops)
	slices.SortStableFunc(in, byCall)
	for _, op := range in {
		if op.Session == "" {
			folded = append(folded, op)
			continue
		}
		i, retried := first[op.name()]
		if !retried {
			first[op.name()] = len(folded)
			folded = append(folded, op)
			continue
		}
		if best := &folded[i]; better(op, *best) {
			call := best.Call
			if best.Outcome == Failed { // it never was in progress
				call = op.Call
			}
			*best = op
			best.Call = call
		}
	}
	return folded
}

// better reports whether attempt a says more about the write than b.
func better(a, b Op) bool {
	switch {
	case a.Acked() && b.Acked():
		return a.Return < b.Return
	case a.Acked() || b.Acked():
		return a.Acked()
	}
	return a.Outcome == Unknown && b.Outcome == Failed
}

// byKey groups operations by their key, in the order given.
func byKey(ops []Op) map[string][]Op {
	keys := make(map[string][]Op)
	for _, op := range ops {
		keys[op.Key] = append(keys[op.Key], op)
	}
	return keys
}

// sorted is the map's keys in order.
func sorted[K cmp.Ordered, V any](m map[K]V) []K { return slices.Sorted(maps.Keys(m)) }

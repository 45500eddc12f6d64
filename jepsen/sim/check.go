package sim

import (
	"strings"

	"github.com/zerokeeper/zero/fsm"
)

// checkDurable holds a node's last state against what clients were told is done
// (I2), and how often it was (I10).
func (w *world) checkDurable(who string, state *fsm.State) {
	swapped, possible := map[string]uint64{}, map[string]uint64{}
	for _, o := range w.ops {
		switch {
		case o.kind == swapOp && o.verdict == done:
			swapped[o.key]++
		case o.kind == swapOp && o.verdict == unknown:
			possible[o.key]++
		case o.verdict == done && strings.HasPrefix(o.key, elements+"/"):
			row := state.Section(elements, o.value)
			switch {
			case row == nil:
				w.violate("I2", "%s does not have what was acknowledged: %s", who, o)
			case row.Index != o.index:
				w.violate("I10", "%s was written by entry %d on %s, its client was told %d: %s", o.value, row.Index, who, o.index, o)
			}
		}
	}
	for key, n := range swapped {
		number := uint64(0)
		if live := state.LiveConfig(key); live != nil {
			number = live.Number
		}
		if number < n {
			w.violate("I2", "%s counts %d versions of %s, %d were acknowledged", who, number, key, n)
		}
		if number > n+possible[key] {
			w.violate("I10", "%s counts %d versions of %s, %d were acknowledged and %d are unknown", who, number, key, n, possible[key])
		}
	}
}

// checkHistory holds the clients' history against the models (I1), and against
// the log: what a client was told never happens is not in it, what it was told
// is done is.
func (w *world) checkHistory() {
	for _, o := range w.ops {
		if o.kind == readOp {
			continue
		}
		switch e := w.rec.outcome(o.value); {
		case o.verdict == failed && e != nil:
			w.violate("OUTCOME", "it happened, but its client was told that it never will: %s", o)
		case o.verdict == done && e == nil:
			w.violate("I2", "it is in nobody's log: %s", o)
		}
	}
	illegal, undecided := linearizable(resolve(w.ops, w.rec))
	for key, list := range illegal {
		w.violate("I1", "the operations on %s have no order", key)
		for _, o := range list {
			w.trace("%s", o)
		}
	}
	for _, key := range undecided {
		w.violate("I1", "no verdict on %s: the search took more than %v", key, maxCheck)
	}
}

// report is the run's numbers.
func (w *world) report() Report {
	r := Report{
		Nodes: len(w.members), Schedule: w.schedule, Settled: w.settled, FirstOK: w.firstOK,
		Ops: len(w.ops), Terms: w.rec.terms(), Restarts: int(w.restarts.Load()), Replaced: int(w.changes.Load()), Snapshots: w.rec.restores(),
	}
	for _, o := range w.ops {
		switch o.verdict {
		case unknown:
			r.Unknown++
		case failed:
			r.Failed++
		}
		if o.attempts > 1 {
			r.Retried++
		}
	}
	for _, m := range w.members {
		r.Lost += m.disk.losses()
	}
	return r
}

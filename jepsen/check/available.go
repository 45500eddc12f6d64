package check

import "time"

// MaxUnknownShare is the share of unknown outcomes above which a run proves nothing.
const MaxUnknownShare = 0.10

// Window is a span of a run that is looked at. Times are since the run's start.
type Window struct {
	Name     string        `json:"name"`
	From, To time.Duration // From included, To not
}

// Gap is the longest time in a window without an acknowledged write: between two, or at the window's ends.
type Gap struct {
	Window
	Longest time.Duration `json:"longest"`
	At      time.Duration `json:"at"`    // where it began
	Acked   int           `json:"acked"` // writes answered in the window
}

// Available finds for each window the longest time without an acknowledged write. A refused compare-and-set counts as
// acknowledged: a quorum decided it.
func Available(ops []Op, windows ...Window) []Gap {
	answers := answeredAt(ops)
	gaps := make([]Gap, 0, len(windows))
	for _, w := range windows {
		g := Gap{Window: w, At: w.From}
		last := w.From
		look := func(at time.Duration) {
			if at-last > g.Longest {
				g.Longest, g.At = at-last, last
			}
			last = at
		}
		for _, at := range answers {
			if at >= w.From && at < w.To {
				g.Acked++
				look(at)
			}
		}
		look(w.To)
		gaps = append(gaps, g)
	}
	return gaps
}

// Recovery is the time from a heal to the first write that was acknowledged after it (I12); false when there is none.
func Recovery(ops []Op, heal time.Duration) (time.Duration, bool) {
	for _, at := range answeredAt(ops) {
		if at >= heal {
			return at - heal, true
		}
	}
	return 0, false
}

// answeredAt is when writes were acknowledged, in order.
func answeredAt(ops []Op) []time.Duration {
	at := make(map[time.Duration]bool)
	for _, op := range ops {
		if op.Mutates() && op.Acked() {
			at[op.Return] = true
		}
	}
	return sorted(at)
}

// Enough decides whether so much was answered that the other verdicts mean something: there are acknowledged operations,
// and at most MaxUnknownShare of all are Unknown. A run that fails it is void. It looks at attempts as they were
// recorded, before Fold and Resolve.
func Enough(ops []Op) Verdict {
	f := newFinding()
	var count [Unknown + 1]int
	for _, op := range ops {
		if op.Outcome.valid() {
			count[op.Outcome]++
		}
	}
	for o := OK; o <= Unknown; o++ {
		f.stat(o.String(), count[o])
	}
	share := 0.0
	if len(ops) > 0 {
		share = float64(count[Unknown]) / float64(len(ops))
	}
	f.stat("ops", len(ops))
	f.stat("unknownShare", share)
	switch {
	case count[OK] == 0:
		f.undecided("void: of %d operations none was done", len(ops))
	case share > MaxUnknownShare:
		f.undecided("void: the outcome of %d of %d operations is unknown, %.0f %%; at most %.0f %% may be", count[Unknown], len(ops), 100*share, 100*MaxUnknownShare)
	}
	return f.verdict()
}

package check

import (
	"cmp"
	"slices"
	"time"
)

// Sight is what a process holds of something at a moment: a version, a stamp. Of is what it is, such as "stamp of orders".
type Sight struct {
	Who, Of string
	At      time.Duration
	Value   []uint64 // compared from the left
	Text    string   // for people
}

// Rising checks I6: what a process holds never goes down, whatever keeper it hears, and not by its own restart either.
func Rising(sights []Sight) Verdict {
	type thing struct{ who, of string }
	f := newFinding()
	last := make(map[thing]Sight)
	sights = slices.Clone(sights)
	slices.SortStableFunc(sights, func(a, b Sight) int { return cmp.Compare(a.At, b.At) })
	changes := 0
	for _, s := range sights {
		t := thing{s.Who, s.Of}
		before, ok := last[t]
		if ok {
			switch c := slices.Compare(s.Value, before.Value); {
			case c < 0:
				f.problem("%s: its %s is %s at %v, and was %s at %v", s.Who, s.Of, s.Text, s.At, before.Text, before.At)
			case c > 0:
				changes++
			}
		}
		last[t] = s
	}
	f.stat("sights", len(sights))
	f.stat("changes", changes)
	if changes == 0 {
		f.undecided("nothing that any process holds ever changed")
	}
	return f.verdict()
}

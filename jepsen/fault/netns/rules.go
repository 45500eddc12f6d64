package netns

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"time"

	"github.com/zerokeeper/zero/jepsen/fault"
)

// ErrRule is the base of what Set answers to a rule that no network could follow.
var ErrRule = errors.New("not a rule")

// maxDelay bounds a delay and its jitter: a packet that is later than a minute is lost to everybody.
const maxDelay = time.Minute

// validate checks rules for this network.
func (c Config) validate(rules map[fault.Pair]fault.Rule) error {
	for _, p := range sortedPairs(rules) {
		if !c.knows(p.From) || !c.knows(p.To) || p.From == p.To {
			return fmt.Errorf("%w: from %d to %d: want two of the nodes 0 to %d and the driver, %d", ErrRule, p.From, p.To, c.Nodes-1, fault.Driver)
		}
		if err := validateRule(rules[p]); err != nil {
			return fmt.Errorf("%w: from %d to %d: %w", ErrRule, p.From, p.To, err)
		}
	}
	return nil
}

func validateRule(r fault.Rule) error {
	for _, s := range []struct {
		name  string
		share float64
	}{{"loss", r.Loss}, {"duplicate", r.Duplicate}, {"corrupt", r.Corrupt}, {"reorder", r.Reorder}} {
		if math.IsNaN(s.share) || s.share < 0 || s.share > 1 {
			return fmt.Errorf("%s is %v: want a share, 0 to 1", s.name, s.share)
		}
	}
	for _, d := range []struct {
		name string
		d    time.Duration
	}{{"delay", r.Delay}, {"jitter", r.Jitter}} {
		if d.d < 0 || d.d > maxDelay {
			return fmt.Errorf("%s is %s: want 0 to %s", d.name, d.d, maxDelay)
		}
	}
	if r.Reorder > 0 && r.Delay == 0 && r.Jitter == 0 {
		return errors.New("reorder without a delay: there is nothing that a packet could overtake")
	}
	return nil
}

// sortedPairs makes what is done with rules, and errors about them, the same each time.
func sortedPairs(rules map[fault.Pair]fault.Rule) []fault.Pair {
	return slices.SortedFunc(maps.Keys(rules), func(a, b fault.Pair) int {
		if a.From != b.From {
			return a.From - b.From
		}
		return a.To - b.To
	})
}

package relay

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/zerokeeper/zero/jepsen/fault"
)

// rules are what holds now, and the random that it is drawn with.
type rules struct {
	now      atomic.Pointer[ruleSet]
	affected atomic.Uint64

	mu  sync.Mutex
	rng *rand.Rand
}

// ruleSet is never changed once it is set.
type ruleSet struct {
	of       map[fault.Pair]fault.Rule
	replaced chan struct{} // closed when another one holds
}

func newRules(seed uint64) *rules {
	r := &rules{rng: rand.New(rand.NewPCG(seed, seed))}
	r.now.Store(&ruleSet{replaced: make(chan struct{})})
	return r
}

func (r *rules) set(of map[fault.Pair]fault.Rule) {
	close(r.now.Swap(&ruleSet{of: maps.Clone(of), replaced: make(chan struct{})}).replaced)
}

// gate waits until no pair is cut.
func (r *rules) gate(ctx context.Context, pairs ...fault.Pair) error {
	held := false
	for {
		set := r.now.Load()
		cut := false
		for _, pair := range pairs {
			cut = cut || set.of[pair].Cut
		}
		if !cut {
			return nil
		}
		if !held {
			held = true
			r.affected.Add(1)
		}
		select {
		case <-set.replaced:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// treat changes the data of a piece as the pair's rule wants, and says how late it is to be.
func (r *rules) treat(pair fault.Pair, data []byte) (delay time.Duration) {
	rule := r.now.Load().of[pair]
	if rule.Delay == 0 && rule.Jitter == 0 && rule.Corrupt == 0 {
		return 0
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	delay = rule.Delay
	if rule.Jitter > 0 {
		delay += time.Duration(r.rng.Int64N(2*int64(rule.Jitter)+1)) - rule.Jitter
	}
	if delay = max(delay, 0); delay > 0 {
		r.affected.Add(1)
	}
	if len(data) > 0 && rule.Corrupt > 0 && r.rng.Float64() < rule.Corrupt {
		data[r.rng.IntN(len(data))] ^= byte(1 + r.rng.IntN(255))
		r.affected.Add(1)
	}
	return delay
}

// maxDelay bounds Delay and Jitter: what is later than this is a cut.
const maxDelay = time.Hour

// checkRule says what is wrong with a rule.
func checkRule(rule fault.Rule) error {
	for name, share := range map[string]float64{"Loss": rule.Loss, "Duplicate": rule.Duplicate, "Corrupt": rule.Corrupt, "Reorder": rule.Reorder} {
		if err := checkShare(share); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	if rule.Delay < 0 || rule.Jitter < 0 || rule.Delay > maxDelay || rule.Jitter > maxDelay {
		return fmt.Errorf("a delay of %v with a jitter of %v: want 0 to %v", rule.Delay, rule.Jitter, maxDelay)
	}
	if rule.Loss > 0 || rule.Duplicate > 0 || rule.Reorder > 0 {
		return fmt.Errorf("%w: above TCP nothing is lost, doubled or reordered", fault.ErrUnsupported)
	}
	return nil
}

func checkShare(share float64) error {
	if !(share >= 0 && share <= 1) {
		return errors.New("a share is 0 to 1")
	}
	return nil
}

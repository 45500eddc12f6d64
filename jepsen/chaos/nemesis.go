package chaos

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/zerokeeper/zero/jepsen/fault"
)

// nemesis is one kind of disturbance. run begins it, waits for on, and ends it;
// what it draws comes from rand, which belongs to the step alone, so that what
// one step needs to draw does not change the others.
type nemesis struct {
	name string
	run  func(ctx context.Context, r *Run, rand *rand.Rand, on time.Duration) error
}

// pace is how long disturbances last.
type pace struct{ on, off time.Duration }

// step is one entry of a schedule.
type step struct {
	nemesis nemesis
	on, off time.Duration
	draw    uint64
}

// schedule draws one pass over all nemeses from the seed.
func (r *Run) schedule(round uint64, all []nemesis, p pace) []step {
	draw := rand.New(rand.NewPCG(r.Seed, 0x5eed+round))
	var steps []step
	for _, i := range draw.Perm(len(all)) {
		vary := func(d time.Duration) time.Duration { return d*3/4 + time.Duration(draw.Int64N(int64(d)/2+1)) }
		steps = append(steps, step{nemesis: all[i], on: vary(p.on), off: vary(p.off), draw: draw.Uint64()})
	}
	return steps
}

// disturb plays passes over all nemeses, one at least, until the run's time is
// over.
func (r *Run) disturb(ctx context.Context, all []nemesis, p pace) error {
	wait(ctx, p.off)
	for round := uint64(0); round == 0 || r.Timeline.Since() < r.Duration; round++ {
		steps := r.schedule(round, all, p)
		var order []string
		for _, s := range steps {
			order = append(order, s.nemesis.name)
		}
		r.Timeline.Note("round %d: %s", round, strings.Join(order, ", "))
		for i, s := range steps {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			err := s.nemesis.run(ctx, r, rand.New(rand.NewPCG(s.draw, uint64(i))), s.on)
			switch {
			case errors.Is(err, fault.ErrUnsupported) && r.Tier < fault.TierA:
				r.Timeline.Withdraw(s.nemesis.name, err)
			case err != nil:
				return fmt.Errorf("%s: %w", s.nemesis.name, err)
			}
			wait(ctx, s.off)
		}
	}
	return nil
}

package chaos

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"time"
)

// seedStride keeps the seeds of a control's further tries apart from those of a
// series.
const seedStride = 1 << 20

// Series runs each scenario count times, each time with the next seed, and says
// how each run went.
func Series(ctx context.Context, out io.Writer, picked []*Scenario, opts Options, count int) []Result {
	var results []Result
	for _, s := range picked {
		for i := range count {
			if ctx.Err() != nil {
				return results
			}
			o := opts
			o.Seed += uint64(i)
			results = append(results, one(ctx, out, s, o))
		}
	}
	return results
}

// Soak runs scenarios in random order, with the numbers of keepers that they are
// for, until the time is over or one run is not green. A run of several passes
// over the faults is as likely as one of a single pass.
func Soak(ctx context.Context, out io.Writer, picked []*Scenario, opts Options, length time.Duration) []Result {
	var results []Result
	draw := rand.New(rand.NewPCG(opts.Seed, 0x50a4))
	end := time.Now().Add(length)
	for round := uint64(0); time.Now().Before(end) && ctx.Err() == nil; round++ {
		s := picked[draw.IntN(len(picked))]
		o := opts
		o.Seed += round
		sizes := append([]int{s.Nodes}, s.AlsoNodes...)
		o.Nodes = sizes[draw.IntN(len(sizes))]
		if opts.Duration == 0 && s.Control == "" {
			o.Duration = time.Duration(draw.IntN(3)) * 30 * time.Second
		}
		result := one(ctx, out, s, o)
		results = append(results, result)
		if result.Status != OK && result.Status != Skipped {
			break
		}
	}
	return results
}

// controlTries is how many schedules a control has until it must be found out. What
// it needs is a moment that a schedule aims at and, on a busy machine, may miss.
const controlTries = 3

func one(ctx context.Context, out io.Writer, s *Scenario, opts Options) Result {
	result := Execute(ctx, s, opts)
	for try := 2; result.Missed && try <= controlTries && ctx.Err() == nil; try++ {
		fmt.Fprintf(out, "%-18s missed with seed %d; try %d of %d\n", result.Scenario, result.Seed, try, controlTries)
		opts.Seed += seedStride
		result = Execute(ctx, s, opts)
	}
	fmt.Fprintf(out, "%-18s %-9s %5.1f s  %d keepers, seed %d: %s\n", result.Scenario, result.Status, result.Seconds, result.Nodes, result.Seed, result.line())
	for i, p := range result.Problems {
		if i == maxShown {
			fmt.Fprintf(out, "    … %d more\n", len(result.Problems)-i)
			break
		}
		fmt.Fprintf(out, "    %.600s\n", p)
	}
	if result.Kept != "" {
		fmt.Fprintf(out, "    kept in %s\n    the same again: make jepsen ONLY=%s SEED=%d\n", result.Kept, result.Scenario, result.Seed)
	}
	return result
}

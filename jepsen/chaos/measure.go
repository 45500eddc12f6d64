package chaos

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/zerokeeper/zero/jepsen/check"
	"github.com/zerokeeper/zero/jepsen/fleet"
)

// MeasureKills kills the leader of three keepers count times and writes how long
// it took from each kill to the first write that was sent after it and
// acknowledged.
func MeasureKills(ctx context.Context, out io.Writer, opts Options, count int, profile string) error {
	return measured(ctx, opts, profile, func(ctx context.Context, r *Run) error {
		c, err := r.newClient(r.Quorum.addrs()[:r.Quorum.expect])
		if err != nil {
			return err
		}
		defer c.conn.Close()
		var gaps []time.Duration
		for i := range count {
			gap, err := r.killOnce(ctx, c, i)
			if err != nil {
				return err
			}
			gaps = append(gaps, gap)
		}
		slices.Sort(gaps)
		at := func(share float64) time.Duration {
			return gaps[int(share*float64(len(gaps)-1))].Round(time.Millisecond)
		}
		fmt.Fprintf(out, "profile %s: leader killed %d times, first acknowledged write after p50 %v, p95 %v, most %v\n", profile, count, at(0.5), at(0.95), at(1))
		return nil
	})
}

// killOnce is the time from one kill to the first acknowledged write. The quorum
// is whole again when it returns.
func (r *Run) killOnce(ctx context.Context, c *client, i int) (time.Duration, error) {
	leader, err := r.leader(ctx)
	if err != nil {
		return 0, err
	}
	if op := c.put(ctx, setID, "before", "x", nil); op.Outcome != check.OK { // the client knows the leader
		return 0, fmt.Errorf("write before kill %d: %s", i, op.Error)
	}
	killed := time.Now()
	if err := leader.Kill(); err != nil {
		return 0, err
	}
	waiting, cancel := context.WithTimeout(ctx, 2*settleTime)
	defer cancel()
	err = fleet.Eventually(waiting, time.Millisecond, func(ctx context.Context) error {
		if op := c.put(ctx, setID, "after", fmt.Sprint(i), nil); op.Outcome != check.OK {
			return errors.New(op.Error)
		}
		return nil
	})
	gap := time.Since(killed)
	if err != nil {
		return 0, fmt.Errorf("kill %d: no write: %w", i, err)
	}
	if err := r.Quorum.revive(ctx); err != nil {
		return 0, err
	}
	whole, stop := context.WithTimeout(ctx, settleTime)
	defer stop()
	return gap, r.Quorum.allReady(whole)
}

// MeasureCalm loads every core and syncs to the keepers' disk as fast as it can
// for that long, and counts the elections.
func MeasureCalm(ctx context.Context, out io.Writer, opts Options, length time.Duration, profile string) error {
	return measured(ctx, opts, profile, func(ctx context.Context, r *Run) error {
		leader, err := r.leader(ctx)
		if err != nil {
			return err
		}
		before, err := r.Quorum.status(ctx, leader)
		if err != nil {
			return err
		}
		w, err := r.startWorkload(ctx, setClients, setPause, new(additions).step)
		if err != nil {
			return err
		}
		defer w.stop()
		syncs, err := burn(ctx, filepath.Dir(leader.mount), length)
		if err != nil {
			return err
		}
		w.stop()
		leader, err = r.leader(ctx)
		if err != nil {
			return err
		}
		after, err := r.Quorum.status(ctx, leader)
		if err != nil {
			return err
		}
		ops := r.History.Ops()
		slowest := time.Duration(0)
		for _, op := range ops {
			if op.Outcome == check.OK {
				slowest = max(slowest, op.Return-op.Call)
			}
		}
		fmt.Fprintf(out, "profile %s: %v of %d busy loops and %d fsyncs beside %d writes (slowest %v): %d elections\n",
			profile, length, 2*runtime.NumCPU(), syncs, len(ops), slowest.Round(time.Millisecond), after.Term-before.Term)
		return nil
	})
}

// burn keeps every core busy twice over and the disk of dir syncing, and counts
// the syncs.
func burn(ctx context.Context, dir string, length time.Duration) (syncs int, err error) {
	ctx, cancel := context.WithTimeout(ctx, length)
	defer cancel()
	var wg sync.WaitGroup
	defer wg.Wait()
	for range 2 * runtime.NumCPU() {
		wg.Go(func() {
			for x := rand.Uint64(); ctx.Err() == nil; {
				for range 1 << 16 {
					x = x*6364136223846793005 + 1442695040888963407
				}
			}
		})
	}
	f, err := os.CreateTemp(dir, "burn")
	if err != nil {
		return 0, err
	}
	defer f.Close()
	block := make([]byte, 64<<10)
	for ; ctx.Err() == nil; syncs++ {
		if _, err := f.WriteAt(block, int64(syncs%256)*int64(len(block))); err != nil {
			return syncs, err
		}
		if err := f.Sync(); err != nil {
			return syncs, err
		}
	}
	return syncs, nil
}

// measured runs f on three keepers of a profile that nothing disturbs.
func measured(ctx context.Context, opts Options, profile string, f func(ctx context.Context, r *Run) error) error {
	opts.Nodes = 3
	r := newRun(&Scenario{
		Name: "measure", Fabric: bridged, Args: []string{"--raft-profile", profile},
		Play: f,
	}, opts)
	r.measuring = true
	_, err := r.execute(ctx)
	if err != nil {
		return err
	}
	if r.status != OK {
		return fmt.Errorf("measure: %s: %v", r.status, r.problems)
	}
	return nil
}

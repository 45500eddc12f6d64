package chaos

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"sync"
	"time"

	"github.com/zerokeeper/zero/jepsen/fleet"
)

// Bounds of the data plane's way back after the last fault.
const (
	writeAgain = 10 * time.Second // to an acknowledged write through each proxy (I12)
	wholeAgain = 30 * time.Second // to a fleet of which zeroctl status has nothing to complain (I8)
	// wholeControl is the same for a fleet that is broken on purpose: most stay out of order, and what they are
	// found out by is there long before.
	wholeControl = 10 * time.Second
)

// playData is a run with a data plane, from its start to the last verdict: writers write and looks are taken all the time
// while the scenario plays.
func (r *Run) playData(ctx context.Context) error {
	if err := r.Data.start(ctx); err != nil {
		return fmt.Errorf("start the data plane: %w", err)
	}
	defer r.Data.superviseUntilDone(ctx)()
	r.Timeline.Note("%d proxies and %d databases are ready", len(r.Data.Proxies), len(r.Data.Hosts))
	r.sampler = r.Data.startSampler(ctx)
	defer r.sampler.stop()
	r.writers = r.Data.startWriters(ctx, dataWriters, dataPause)
	defer r.writers.stop()
	if err := r.Scenario.Play(ctx, r); err != nil {
		return err
	}
	if r.measuring {
		return r.writers.stop()
	}
	if err := r.settleData(ctx); err != nil {
		return err
	}
	return r.judgeData(ctx)
}

// superviseUntilDone lets the hosts look after their databases.
func (d *Data) superviseUntilDone(ctx context.Context) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	for _, h := range d.Hosts {
		wg.Go(func() { h.host.watch(ctx) })
	}
	return func() {
		cancel()
		wg.Wait()
	}
}

// settleData ends all faults while the writers still write, and waits until everything works again: through every proxy a
// write that was begun after the heal is acknowledged (I12), and nobody complains any more (I8).
func (r *Run) settleData(ctx context.Context) error {
	if err := r.healData(ctx); err != nil {
		return fmt.Errorf("heal: %w", err)
	}
	healed := r.Timeline.Since()
	r.Timeline.Note("everything is healed")
	settling, cancel := context.WithTimeout(ctx, writeAgain)
	defer cancel()
	if err := r.writesThrough(settling, healed); err != nil {
		r.Violation("I12: not every proxy had a write acknowledged within %v of the end of all faults: %v", writeAgain, err)
	} else {
		r.Stat("recovery_ms", (r.Timeline.Since() - healed).Milliseconds())
		r.Timeline.Note("writes are acknowledged through every proxy")
	}
	limit := wholeAgain
	if r.Scenario.Control != "" {
		limit = wholeControl
	}
	whole, stop := context.WithTimeout(ctx, limit)
	defer stop()
	if err := r.order(whole); err != nil {
		r.Violation("I8: not everything was in order within %v of the end of all faults: %v", limit, err)
		return nil
	}
	r.Stat("whole_ms", (r.Timeline.Since() - healed).Milliseconds())
	r.Timeline.Note("nobody complains")
	return nil
}

// order waits until the fleet is settled and nobody complains. The error is the last thing that was out of order.
func (r *Run) order(ctx context.Context) error {
	var last error
	err := fleet.Eventually(ctx, 100*time.Millisecond, func(attempt context.Context) error {
		verdict, err := r.Data.settled(attempt)
		if err == nil {
			err = verdict.Err()
		}
		if err == nil {
			err = r.Data.zeroctl(attempt, "status")
		}
		if err != nil && (last == nil || attempt.Err() == nil) {
			last = err
		}
		return err
	})
	if err != nil {
		return last
	}
	return nil
}

// inOrderAfter is a disturbance, and the wait until everything is in order again. What one fault alone did must be mended
// without a person.
func inOrderAfter(n nemesis) nemesis {
	return after(n, wholeAgain, func(ctx context.Context, r *Run) error { return r.order(ctx) })
}

// after is a disturbance, and what must be true within a time after it. Nobody asks for planned switches meanwhile.
func after(n nemesis, within time.Duration, order func(ctx context.Context, r *Run) error) nemesis {
	return nemesis{name: n.name, run: func(ctx context.Context, r *Run, rand *rand.Rand, on time.Duration) error {
		if r.Data.disorder { // what comes now would be nobody's fault alone
			return nil
		}
		if err := n.run(ctx, r, rand, on); err != nil {
			return err
		}
		over := r.Timeline.Since()
		r.Data.still.Add(1)
		defer r.Data.still.Add(-1)
		whole, cancel := context.WithTimeout(ctx, within)
		defer cancel()
		if err := order(whole, r); err != nil {
			r.Data.disorder = true
			r.Violation("I8: not everything was in order within %v of %q: %v", within, n.name, err)
			return nil
		}
		r.Timeline.Note("in order %v after %s", (r.Timeline.Since() - over).Round(time.Millisecond), n.name)
		return nil
	}}
}

// healData ends every fault that is known of.
func (r *Run) healData(ctx context.Context) error {
	if err := r.Quorum.heal(); err != nil {
		return err
	}
	return errors.Join(r.Quorum.revive(ctx), r.Data.revive())
}

// writesThrough waits until each proxy has had a write acknowledged that was begun after a moment of the run.
func (r *Run) writesThrough(ctx context.Context, since time.Duration) error {
	return fleet.Eventually(ctx, 20*time.Millisecond, func(context.Context) error {
		var silent []string
		for _, p := range r.Data.Proxies {
			if r.writers.lastAcked(p.Name()) <= since {
				silent = append(silent, p.Name())
			}
		}
		if len(silent) > 0 {
			return fmt.Errorf("none through %v", silent)
		}
		return nil
	})
}

// keep copies the logs of the data plane.
func (d *Data) keep(dir string) error {
	var errs []error
	for _, p := range d.processes() {
		errs = append(errs, copyFile(filepath.Join(dir, p.Name()+".log"), p.LogPath()))
	}
	return errors.Join(errs...)
}

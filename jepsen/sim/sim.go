package sim

import (
	"context"
	"fmt"
	"math/rand/v2"
	"runtime/pprof"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// Options are what a run is made with. The zero value is the product; each of
// the flags marked control spoils one thing that the checks must notice.
type Options struct {
	// Chaos is how long the nemesis works, in fake time; 0 is six seconds.
	Chaos time.Duration
	// Clients is how many work at once; 0 is four.
	Clients int
	// KeepMembers leaves out what the schedule says about replacing members.
	KeepMembers bool

	faults []fault // instead of the seed's, in tests

	NoSync        bool // control: disks answer before what they were given is durable
	UnprovenReads bool // control: who takes itself for the leader answers reads
	NoSessions    bool // control: a retry is a new command
}

func (o Options) withDefaults() Options {
	if o.Chaos == 0 {
		o.Chaos = 6 * time.Second
	}
	if o.Clients == 0 {
		o.Clients = 4
	}
	return o
}

// Report is what a run found.
type Report struct {
	Seed       uint64
	Violations []string // each begins with the id of its invariant; none is a pass
	Schedule   []string
	Trace      []string

	Nodes     int
	Fake      time.Duration // the length of the run by the simulated clock
	Settled   time.Duration // from the end of the chaos until all nodes agreed
	FirstOK   time.Duration // from the end of the chaos until the first new write
	Ops       int           // operations of clients
	Unknown   int           // whose outcome the client was not told
	Failed    int           // that never happened, as the client was told
	Retried   int           // that took more than one attempt
	Terms     int           // in which somebody led
	Restarts  int
	Lost      int // writes that crashes took from disks
	Replaced  int // members removed and joined again, tries included
	Snapshots int // states that were restored from a snapshot
}

// Void reports whether the faults did nothing that anybody could notice: such a
// run proves nothing.
func (r Report) Void() bool { return r.Terms < 2 && r.Unknown == 0 && r.Retried == 0 && r.Failed == 0 }

// String is everything that is needed to look into a failure.
func (r Report) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "seed %d: %d nodes, %v simulated, %d operations (%d unknown, %d failed, %d retried), %d terms, %d restarts\n",
		r.Seed, r.Nodes, r.Fake.Round(time.Millisecond), r.Ops, r.Unknown, r.Failed, r.Retried, r.Terms, r.Restarts)
	for _, part := range []struct {
		name  string
		lines []string
	}{{"violations", r.Violations}, {"schedule", r.Schedule}, {"trace", r.Trace}} {
		fmt.Fprintf(&b, "%s:\n  %s\n", part.name, strings.Join(part.lines, "\n  "))
	}
	return b.String()
}

// Run simulates one group under the faults of a seed and checks what it did. It
// fails t only when the simulation itself cannot go on: what the checks found
// is the caller's to judge.
func Run(t *testing.T, seed uint64, opt Options) Report {
	t.Helper()
	opt = opt.withDefaults()
	var w *world
	var report Report
	var left leftover
	pprof.Do(t.Context(), pprof.Labels("seed", strconv.FormatUint(seed, 10)), func(context.Context) {
		left = bubble(t, func() {
			w = newWorld(seed, opt)
			report = w.run()
		})
	})
	if w == nil {
		t.Fatalf("seed %d: the simulation did not begin: %s", seed, left.why)
	}
	if len(left.leaks) > 0 {
		w.violate("LEAK", "goroutines are left over: %s\n%s", left.why, strings.Join(left.leaks, "\n\n"))
	}
	w.checkHistory()
	report.Seed, report.Trace = seed, w.lines
	for _, v := range w.violations {
		report.Violations = append(report.Violations, v.String())
	}
	return report
}

// run is the whole course of a simulation, within its bubble.
func (w *world) run() Report {
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	var group sync.WaitGroup
	for _, m := range w.members {
		group.Go(func() { m.run(ctx) })
	}
	if w.await("the group forms", 20*time.Second, w.agreed) {
		w.live(ctx)
	}
	report := w.report()
	stop()
	group.Wait()
	report.Fake = time.Since(w.start)
	return report
}

// live is the time with clients: chaos, then peace, then the last look.
func (w *world) live(ctx context.Context) {
	working, finish := context.WithCancel(ctx)
	var clients sync.WaitGroup
	for i := range w.opt.Clients {
		c := newClient(w, i)
		clients.Go(func() { c.run(working) })
	}
	faults := plan(rand.New(rand.NewPCG(w.seed, 3)), len(w.members), w.opt.Chaos)
	if w.opt.faults != nil {
		faults = w.opt.faults
	}
	if w.opt.KeepMembers {
		faults = slices.DeleteFunc(faults, func(f fault) bool { return f.kind == replace })
	}
	for _, f := range faults {
		w.schedule = append(w.schedule, f.String())
	}
	chaos, end := context.WithTimeout(ctx, w.opt.Chaos)
	w.torment(chaos, faults)
	<-chaos.Done()
	end()
	w.relief()
	w.recover(ctx)
	finish()
	clients.Wait()
	w.lastLook(ctx)
}

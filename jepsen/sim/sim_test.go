package sim

import (
	"flag"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/zerokeeper/zero/cluster"
)

var (
	seeds    = flag.Uint64("sim.seeds", fromEnv("ZERO_SIM_SEEDS", 0), "how many seeds to simulate; 0: as many as fit into -sim.budget")
	seed     = flag.Uint64("sim.seed", fromEnv("ZERO_SIM_SEED", 1), "the first seed")
	budget   = flag.Duration("sim.budget", defaultBudget, "how long to go on with further seeds when -sim.seeds is 0")
	scenario = flag.Duration("sim.chaos", 0, "how long the nemesis works in each simulation, in simulated time; 0: the default")
)

func fromEnv(name string, preset uint64) uint64 {
	if n, err := strconv.ParseUint(os.Getenv(name), 10, 64); err == nil {
		return n
	}
	return preset
}

// TestMain lets stack traces name the seed of each goroutine: a panic of a
// simulated node ends the whole process.
func TestMain(m *testing.M) {
	settings := strings.TrimPrefix(os.Getenv("GODEBUG")+",tracebacklabels=1", ",")
	if err := os.Setenv("GODEBUG", settings); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// tally adds up what the runs of a test were.
type tally struct {
	mu                                  sync.Mutex
	runs, void, violated                int
	fake, slowest, firstOK              time.Duration
	ops, unknown, terms, restarts, lost int
	replaced, snapshots, fiveNodes      int
}

func (s *tally) add(r Report) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.runs++
	if r.Void() {
		s.void++
	}
	if len(r.Violations) > 0 {
		s.violated++
	}
	if r.Nodes == 5 {
		s.fiveNodes++
	}
	s.fake += r.Fake
	s.slowest, s.firstOK = max(s.slowest, r.Settled), max(s.firstOK, r.FirstOK)
	s.ops, s.unknown, s.terms, s.restarts, s.lost = s.ops+r.Ops, s.unknown+r.Unknown, s.terms+r.Terms, s.restarts+r.Restarts, s.lost+r.Lost
	s.replaced, s.snapshots = s.replaced+r.Replaced, s.snapshots+r.Snapshots
}

func (s *tally) String() string {
	return fmt.Sprintf("%d seeds (%d with five nodes, %d void, %d with violations), %v simulated, %d operations (%d unknown), %d terms, %d restarts, %d snapshots restored, %d replacements tried; after the chaos the first write took %v at most, to agree %v",
		s.runs, s.fiveNodes, s.void, s.violated, s.fake.Round(time.Second), s.ops, s.unknown, s.terms, s.restarts, s.snapshots, s.replaced,
		s.firstOK.Round(time.Millisecond), s.slowest.Round(time.Millisecond))
}

// simulate runs seed after seed on every core while more says so.
func simulate(t *testing.T, opt Options, first uint64, more func(done uint64) bool, each func(t *testing.T, r Report)) *tally {
	t.Helper()
	var sum tally
	var next atomic.Uint64
	var workers sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		workers.Go(func() {
			for {
				n := next.Add(1) - 1
				if !more(n) {
					return
				}
				t.Run(fmt.Sprint("seed=", first+n), func(t *testing.T) {
					r := Run(t, first+n, opt)
					sum.add(r)
					each(t, r)
				})
			}
		})
	}
	workers.Wait()
	return &sum
}

// TestSimulation is scenario G17: no fault of any seed may break an invariant.
func TestSimulation(t *testing.T) {
	start := time.Now()
	more := func(done uint64) bool {
		if *seeds > 0 {
			return done < *seeds
		}
		return done < 4 || time.Since(start) < *budget
	}
	// raft v1.7.3 itself races when the members change: startStopReplication
	// writes a follower's record while its replication goroutine reads it.
	opt := Options{Chaos: *scenario, KeepMembers: raceEnabled}
	sum := simulate(t, opt, *seed, more, func(t *testing.T, r Report) {
		if len(r.Violations) > 0 {
			t.Error(r)
		}
	})
	wall := time.Since(start)
	t.Logf("from seed %d: %v; %v of wall clock, %.1f seeds and %.0f simulated seconds per second",
		*seed, sum, wall.Round(time.Millisecond), float64(sum.runs)/wall.Seconds(), sum.fake.Seconds()/wall.Seconds())
	if sum.runs >= 20 && (sum.void*5 > sum.runs || sum.unknown == 0 || sum.restarts == 0 || sum.snapshots == 0 || sum.terms < 2*sum.runs) {
		t.Errorf("the nemesis does not bite: %v", sum)
	}
	if sum.ops > 1000 && sum.unknown*10 > sum.ops {
		t.Errorf("too many unknown outcomes to prove much: %v", sum)
	}
}

// The watchdog ends a leader whose disk hangs, and the others go on meanwhile.
func TestHungDisk(t *testing.T) {
	for n := range uint64(4) {
		r := Run(t, n, Options{faults: []fault{{at: time.Second, kind: hungDisk, target: theLeader, length: time.Minute}}})
		ended := slices.ContainsFunc(r.Trace, func(line string) bool {
			return strings.Contains(line, "ended itself") && strings.Contains(line, cluster.ErrStore.Error())
		})
		if len(r.Violations) > 0 || !ended || r.Restarts == 0 || r.Terms < 2 {
			t.Errorf("ended by itself: %v. %v", ended, r)
		}
	}
}

// TestControls spoils one thing at a time. A check that does not notice within
// some seeds would not notice it in the product either.
func TestControls(t *testing.T) {
	tests := []struct {
		name string
		opt  Options
		want []string // one of these invariants
	}{
		{"disks that lie about sync", Options{NoSync: true}, []string{"I2", "I3"}},
		{"reads without proof", Options{UnprovenReads: true}, []string{"I1"}},
		{"retries without sessions", Options{NoSessions: true}, []string{"I10"}},
	}
	const limit = 300 // seeds; a tenth of them is enough for each
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			test.opt.KeepMembers = raceEnabled
			var caught atomic.Uint64
			var example atomic.Pointer[string]
			more := func(done uint64) bool { return done < limit && caught.Load() == 0 }
			sum := simulate(t, test.opt, *seed, more, func(_ *testing.T, r Report) {
				for _, v := range r.Violations {
					for _, id := range test.want {
						if strings.HasPrefix(v, id+":") {
							caught.Add(1)
							example.Store(&v)
						}
					}
				}
			})
			if caught.Load() == 0 {
				t.Fatalf("nothing was noticed: %v", sum)
			}
			t.Logf("noticed within %d seeds: %s", sum.runs, *example.Load())
		})
	}
}

package chaos

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/zerokeeper/zero/fsm"
	"github.com/zerokeeper/zero/jepsen/check"
	"github.com/zerokeeper/zero/jepsen/fault"
	"github.com/zerokeeper/zero/jepsen/fleet"
)

// Status is what a run says.
type Status string

// The verdicts. Only OK is green; Skipped is no verdict.
const (
	OK        Status = "ok"
	Violation Status = "VIOLATION" // an invariant was broken
	Undecided Status = "UNDECIDED" // a checker could not decide
	Void      Status = "VOID"      // a fault did nothing, or too little is known: the run says nothing
	Failed    Status = "FAILED"    // the run itself could not be carried out
	Skipped   Status = "SKIPPED"   // the tier is too low for it, and nobody asked for more
)

// Result is one run's verdict.
type Result struct {
	Scenario string         `json:"scenario"`
	Title    string         `json:"title"`
	Checks   string         `json:"checks"`
	Control  string         `json:"control,omitempty"`
	Seed     uint64         `json:"seed"`
	Nodes    int            `json:"nodes"`
	Tier     string         `json:"tier"`
	Status   Status         `json:"status"`
	Problems []string       `json:"problems,omitempty"`
	Faults   []FaultCount   `json:"faults"`
	Stats    map[string]any `json:"stats"`
	Seconds  float64        `json:"seconds"`
	Kept     string         `json:"kept,omitempty"`   // directory with what a failed run left
	Missed   bool           `json:"missed,omitempty"` // what was broken on purpose went unnoticed
}

// Options are what runs have in common.
type Options struct {
	Tier     fault.Tier
	BinDir   string        // zerokeeper; zerokeeper-control, zerokeeper-clock for what needs them
	KeepDir  string        // where failed runs leave their remains
	Seed     uint64        // of the first run
	Duration time.Duration // of the disturbed part; 0: one pass over the faults
	Nodes    int           // instead of the scenario's; 0: as it says
	// Sound runs the controls of the switch with programs that are whole: what the
	// control is for must not be found then.
	Sound bool
}

// Run is one run of a scenario.
type Run struct {
	Scenario *Scenario
	Options
	Quorum   *Quorum
	History  *check.History
	Timeline *Timeline
	Data     *Data           // nil: the scenario has none
	Writes   check.DBHistory // of clients of the databases

	dial    func(ctx context.Context, network, address string) (net.Conn, error) // of clients; nil: TCP
	final   *fsm.State                                                           // of the first keeper, after the run
	log     *check.RaftLog                                                       // what the keepers agreed on, for a Judge
	rands   *rand.Rand                                                           // of clients, in the order in which they are made
	clients atomic.Int64
	leases  leases
	writers *Writers // of the data plane
	sampler *sampler

	measuring bool         // nothing is disturbed, and nothing judged
	hush      sync.RWMutex // held while clients must be silent

	mu       sync.Mutex
	status   Status
	missed   bool
	problems []string
	stats    map[string]any
}

// newRand is a generator for one client.
func (r *Run) newRand() *rand.Rand {
	r.mu.Lock()
	defer r.mu.Unlock()
	return rand.New(rand.NewPCG(r.rands.Uint64(), r.Seed))
}

// Violation records that an invariant was broken.
func (r *Run) Violation(format string, args ...any) { r.worse(Violation, format, args...) }

// worse records a problem; the gravest status stays.
func (r *Run) worse(s Status, format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.problems = append(r.problems, fmt.Sprintf(format, args...))
	grave := map[Status]int{OK: 0, Void: 1, Undecided: 2, Failed: 3, Violation: 4}
	if grave[s] > grave[r.status] {
		r.status = s
	}
}

// Stat records a number for the report.
func (r *Run) Stat(name string, value any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.stats[name] = value
}

// take turns a checker's verdict into the run's.
func (r *Run) take(invariant string, v check.Verdict) {
	for name, value := range v.Stats {
		r.Stat(invariant+" "+name, value)
	}
	status := Violation
	if v.Unknown {
		status = Undecided
	}
	if !v.OK {
		for _, p := range v.Problems {
			r.worse(status, "%s: %s", invariant, p)
		}
		if len(v.Problems) == 0 {
			r.worse(status, "%s: not ok, and no reason given", invariant)
		}
	}
}

// Execute runs a scenario once and gives its verdict.
func Execute(ctx context.Context, s *Scenario, opts Options) Result {
	began := time.Now()
	if opts.Nodes == 0 {
		opts.Nodes = s.Nodes
	}
	limit := s.Limit
	if limit == 0 {
		limit = 90 * time.Second
	}
	ctx, cancel := context.WithTimeout(ctx, limit+opts.Duration)
	defer cancel()
	r := newRun(s, opts)
	kept, err := r.execute(ctx)
	switch {
	case errors.Is(err, fault.ErrUnsupported) && opts.Tier < fault.TierA && r.status == OK:
		r.status, r.problems = Skipped, []string{err.Error()}
	case err != nil:
		r.worse(Failed, "%v", err)
	}
	return Result{
		Scenario: s.Name, Title: s.Title, Checks: s.Invariants, Control: s.Control, Seed: opts.Seed, Nodes: opts.Nodes, Tier: opts.Tier.String(),
		Status: r.status, Problems: r.problems, Faults: r.Timeline.Counts(), Stats: r.stats, Seconds: time.Since(began).Seconds(), Kept: kept, Missed: r.missed,
	}
}

func newRun(s *Scenario, opts Options) *Run {
	return &Run{
		Scenario: s, Options: opts, History: new(check.History), Timeline: newTimeline(),
		rands: rand.New(rand.NewPCG(opts.Seed, 0xc11e)), status: OK, stats: map[string]any{},
		leases: leases{lost: map[string]bool{}},
	}
}

// execute is the run; kept is where its remains are when it was not green.
func (r *Run) execute(ctx context.Context) (kept string, err error) {
	f, err := fleet.New(fleet.Options{BinDir: r.BinDir})
	if err != nil {
		return "", err
	}
	var closers []func() error
	defer func() {
		// What is broken is mended first: a process that waits for a frozen disk
		// cannot end.
		for i := len(closers) - 1; i >= 0; i-- {
			err = errors.Join(err, closers[i]())
		}
		if ended := f.Close(); ended != nil && r.Scenario.Control == "" {
			err = errors.Join(err, ended)
		}
	}()
	net, err := r.newNet()
	if err != nil {
		return "", err
	}
	closers = append(closers, net.Close)
	r.Quorum, err = newQuorum(ctx, r.quorumConfig(f, net))
	if err != nil {
		return "", err
	}
	closers = append(closers, r.Quorum.close)
	if r.Scenario.Data != nil {
		if r.Data, err = r.newData(ctx, f); err != nil {
			return "", err
		}
	}
	if err := r.play(ctx); err != nil {
		r.worse(Failed, "%v", err)
	}
	r.judgeControl()
	if r.status != OK {
		return r.keep(f)
	}
	if err := os.Remove(r.picture()); err != nil && !errors.Is(err, os.ErrNotExist) { // a control's that was found out
		return "", err
	}
	return "", nil
}

// play is the run from the first keeper's start to the last verdict.
func (r *Run) play(ctx context.Context) error {
	if err := r.Quorum.start(ctx); err != nil {
		return fmt.Errorf("start the quorum: %w", err)
	}
	r.Timeline.Note("%d keepers are ready", r.Nodes)
	if r.Data != nil {
		return r.playData(ctx)
	}
	if err := r.Scenario.Play(ctx, r); err != nil {
		return err
	}
	if r.measuring {
		return nil
	}
	return r.judge(ctx)
}

// keep copies what people need to find out what happened.
func (r *Run) keep(f *fleet.Fleet) (string, error) {
	name := fmt.Sprintf("%s-seed%d-%s", r.Scenario.Name, r.Seed, time.Now().Format("150405"))
	dir := filepath.Join(r.KeepDir, name)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	var errs []error
	write := func(file string, f func(*os.File) error) {
		out, err := os.Create(filepath.Join(dir, file))
		if err == nil {
			err = errors.Join(f(out), out.Close())
		}
		errs = append(errs, err)
	}
	write("timeline.jsonl", func(out *os.File) error { return r.Timeline.writeJSONL(out) })
	write("history.jsonl", func(out *os.File) error { return r.History.WriteJSONL(out) })
	write("writes.jsonl", func(out *os.File) error { return r.Writes.WriteJSONL(out) })
	write("problems.txt", func(out *os.File) error {
		for _, p := range r.problems {
			fmt.Fprintln(out, p)
		}
		return nil
	})
	if picture := r.picture(); picture != "" {
		if _, err := os.Stat(picture); err == nil {
			errs = append(errs, os.Rename(picture, filepath.Join(dir, "linearizability.html")))
		}
	}
	if r.Data != nil {
		errs = append(errs, r.Data.keep(dir))
	}
	for _, n := range r.Quorum.nodes {
		errs = append(errs, copyFile(filepath.Join(dir, n.Name()+".log"), n.LogPath()))
		if !n.Running() {
			if err := os.CopyFS(filepath.Join(dir, n.Name()), os.DirFS(n.stored())); err != nil {
				errs = append(errs, fmt.Errorf("keep the data of %s: %w", n.Name(), err))
			}
		}
	}
	return dir, errors.Join(errs...)
}

func copyFile(to, from string) error {
	data, err := os.ReadFile(from)
	if errors.Is(err, os.ErrNotExist) {
		return nil // never started
	}
	if err != nil {
		return err
	}
	return os.WriteFile(to, data, 0o644)
}

// picture is where the checker draws a history that is not linearizable.
func (r *Run) picture() string {
	return filepath.Join(os.TempDir(), fmt.Sprintf("zero-chaos-%d-%s.html", os.Getpid(), r.Scenario.Name))
}

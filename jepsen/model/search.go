package model

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

// Limits bound a search.
type Limits struct {
	Budget    time.Duration // most time
	MaxStates int           // most states; each costs 24 to 48 bytes, and 150 more while it is of the current depth
	Workers   int           // goroutines
	Settle    int           // S4 is checked from about every Settle-th state; 0: from none
}

// DefaultLimits suit a machine with 8 GB of memory.
func DefaultLimits() Limits {
	return Limits{Budget: 5 * time.Minute, MaxStates: 80_000_000, Workers: runtime.GOMAXPROCS(0)}
}

// Validate says what is wrong with the limits.
func (l Limits) Validate() error {
	var errs []error
	if l.Budget <= 0 {
		errs = append(errs, fmt.Errorf("budget is %v: it must be positive", l.Budget))
	}
	if l.MaxStates <= 0 {
		errs = append(errs, fmt.Errorf("max states is %d: it must be positive", l.MaxStates))
	}
	if l.Workers <= 0 {
		errs = append(errs, fmt.Errorf("workers is %d: it must be positive", l.Workers))
	}
	if l.Settle < 0 {
		errs = append(errs, fmt.Errorf("settle is %d: it must not be negative", l.Settle))
	}
	return errors.Join(errs...)
}

// Result is what a search found.
type Result struct {
	States   int  // visited; when something is broken, until it was found
	Depth    int  // steps to the states that are farthest
	Complete bool // no state within the scope was left out
	Broken   Violation
	Trace    []TraceStep // a shortest way to the broken state
	Settled  int         // states from which S4 was checked
	Took     time.Duration
}

// Holds says whether all states were visited and none was bad.
func (r Result) Holds() bool { return r.Complete && r.Broken == "" }

const (
	chunkStates = 1024 // of a level that a worker takes at a time
	batchStates = 64   // for a shard, before its lock is taken
)

// successor waits to be added to a shard.
type successor struct {
	print, parent fingerprint
	state         State
}

// search is one run: breadth first, level by level, each level shared among the workers.
type search struct {
	m       *Model
	limits  Limits
	seen    *visited
	settled *visited
	level   [][]State
	taken   atomic.Int64 // chunks of the level
	ended   atomic.Bool  // something is broken, or a limit was met
	limited atomic.Bool

	mu     sync.Mutex
	next   [][]State // chunks of the next level
	free   [][]State
	broken Violation
	at     fingerprint
}

// Search visits every state within the scope until a property breaks, a limit is met or ctx ends.
// The error is that of the limits.
func (m *Model) Search(ctx context.Context, limits Limits) (Result, error) {
	if err := limits.Validate(); err != nil {
		return Result{}, fmt.Errorf("search %s: %w", m.Scope.Name, err)
	}
	start := time.Now()
	ctx, cancel := context.WithTimeout(ctx, limits.Budget)
	defer cancel()
	r := &search{m: m, limits: limits, seen: newVisited(), settled: newVisited()}
	first := m.Scope.initial()
	m.normalize(&first)
	print := fingerprintOf(&first)
	r.seen.shards[shardOf(print)].add(print, 0)
	r.judge(&first, print)
	r.level = [][]State{{first}}
	depth := 0
	for len(r.level) > 0 && !r.ended.Load() {
		r.expandLevel(ctx)
		if len(r.next) > 0 {
			depth++
		}
		r.free = append(r.free, r.level...)
		r.level, r.next = r.next, nil
	}
	res := Result{States: r.seen.states(), Depth: depth, Broken: r.broken, Settled: r.settled.states()}
	if res.Broken != "" {
		res.Trace = m.trace(r.seen.path(r.at))
	} else {
		res.Complete = !r.limited.Load()
	}
	res.Took = time.Since(start)
	return res, nil
}

// expandLevel makes the next level from this one.
func (r *search) expandLevel(ctx context.Context) {
	r.taken.Store(0)
	var workers sync.WaitGroup
	for range min(r.limits.Workers, len(r.level)) {
		workers.Go(func() { r.work(ctx) })
	}
	workers.Wait()
}

// work takes chunks of the level until none is left.
func (r *search) work(ctx context.Context) {
	w := &worker{search: r}
	x := &expansion{m: r.m, emit: func(_ event, s *State) { w.add(s) }}
	for !r.ended.Load() {
		n := int(r.taken.Add(1)) - 1
		if n >= len(r.level) {
			break
		}
		if ctx.Err() != nil || n%64 == 0 && r.seen.states() > r.limits.MaxStates {
			r.limited.Store(true)
			r.ended.Store(true)
			break
		}
		for i := range r.level[n] {
			s := &r.level[n][i]
			w.parent = fingerprintOf(s)
			x.of(s)
		}
	}
	for i := range w.batches {
		w.flush(i)
	}
	w.handOver()
}

// worker gathers successors by shard, so that a lock is taken once for many, and new states by chunk.
type worker struct {
	*search
	parent  fingerprint
	batches [numShards][]successor
	chunk   []State
}

func (w *worker) add(s *State) {
	print := fingerprintOf(s)
	i := shardOf(print)
	if w.batches[i] == nil {
		w.batches[i] = make([]successor, 0, batchStates)
	}
	w.batches[i] = append(w.batches[i], successor{print: print, parent: w.parent, state: *s})
	if len(w.batches[i]) == batchStates {
		w.flush(i)
	}
}

func (w *worker) flush(i int) {
	fresh := w.batches[i][:0]
	s := &w.seen.shards[i]
	s.mu.Lock()
	for j := range w.batches[i] {
		if x := &w.batches[i][j]; s.add(x.print, x.parent) {
			if len(fresh) != j {
				fresh = append(fresh, *x)
			} else {
				fresh = fresh[:j+1]
			}
		}
	}
	s.mu.Unlock()
	w.batches[i] = w.batches[i][:0]
	for j := range fresh {
		w.judge(&fresh[j].state, fresh[j].print)
		if len(w.chunk) == cap(w.chunk) {
			w.handOver()
			w.chunk = w.newChunk()
		}
		w.chunk = append(w.chunk, fresh[j].state)
	}
}

func (r *search) newChunk() []State {
	r.mu.Lock()
	defer r.mu.Unlock()
	if n := len(r.free); n > 0 && cap(r.free[n-1]) == chunkStates {
		c := r.free[n-1][:0]
		r.free = r.free[:n-1]
		return c
	}
	return make([]State, 0, chunkStates)
}

func (w *worker) handOver() {
	if len(w.chunk) == 0 {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.next = append(w.next, w.chunk)
	w.chunk = nil
}

// judge looks at a new state. All states of a level are equally far, so the first bad one has a shortest trace.
func (r *search) judge(s *State, print fingerprint) {
	bad := r.m.check(s)
	if n := r.limits.Settle; bad == "" && n > 0 && uint64(print)%uint64(n) == 0 {
		bad = r.checkSettles(*s)
	}
	if bad == "" {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.broken == "" {
		r.broken, r.at = bad, print
	}
	r.ended.Store(true)
}

// checkSettles checks S4 once for all states that differ only in what may still happen to them.
func (r *search) checkSettles(s State) Violation {
	s.Budget = Budget{Writes: s.Budget.Writes}
	print := fingerprintOf(&s)
	t := &r.settled.shards[shardOf(print)]
	t.mu.Lock()
	fresh := t.add(print, 0)
	t.mu.Unlock()
	if !fresh {
		return ""
	}
	return r.m.settle(s)
}

package cluster

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/raft"

	"github.com/zerokeeper/zero/transport/api"
)

// hangingStore has calls that do not come back until it is released.
type hangingStore struct {
	logStore
	mu    sync.Mutex
	logs  bool
	votes bool
	gate  chan struct{}
}

func (s *hangingStore) hang(logs, votes bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.logs, s.votes = logs, votes
}

func (s *hangingStore) wait(logs bool) {
	s.mu.Lock()
	hangs := s.logs && logs || s.votes && !logs
	s.mu.Unlock()
	if hangs {
		<-s.gate
	}
}

func (s *hangingStore) StoreLogs(logs []*raft.Log) error {
	s.wait(true)
	return s.logStore.StoreLogs(logs)
}

func (s *hangingStore) SetUint64(key []byte, value uint64) error {
	s.wait(false)
	return s.logStore.SetUint64(key, value)
}

func hangingFleet(t *testing.T, limit time.Duration) (*fleet, map[string]*hangingStore) {
	f := newFleet(t)
	stores := make(map[string]*hangingStore)
	f.setup = func(name string, c *Config) {
		c.DiskTimeout = limit
		c.wrapStore = func(s logStore) logStore {
			h := &hangingStore{logStore: s, gate: make(chan struct{})}
			stores[name] = h
			f.t.Cleanup(func() { close(h.gate) }) // before the nodes are killed, which waits for raft
			return h
		}
	}
	return f, stores
}

const testDiskTimeout = 600 * time.Millisecond

// A leader whose disk hangs sends heartbeats from goroutines that do not need
// the disk. It ends, and the others elect one of them.
func TestLeaderDiskHangs(t *testing.T) {
	t.Parallel()
	f, stores := hangingFleet(t, testDiskTimeout)
	nodes := f.group(3)
	leader := f.leader(nodes...)
	f.mustPut("a", "1")
	stores[leader.cfg.Name].hang(true, false)
	start := time.Now()
	if _, err := put(t.Context(), leader, "b", "1"); !errors.Is(err, api.ErrOutcomeUnknown) {
		t.Errorf("a write that hangs in the store: %v", err)
	}
	err := wantFatal(t, leader, ErrDiskHung)
	if !errors.Is(err, ErrStore) || !strings.Contains(err.Error(), "store entries") {
		t.Errorf("the error does not say what hangs: %v", err)
	}
	if took := time.Since(start); took > testDiskTimeout+2*time.Second {
		t.Errorf("it took %v to notice", took)
	}
	rest := others(nodes, leader)
	f.leader(rest...)
	f.mustPut("c", "1")
	if took := time.Since(start); took > testDiskTimeout+3*time.Second {
		t.Errorf("no other leader for %v", took)
	}
	// What it never answered, it never answers, and its connections are gone.
	if _, err := put(t.Context(), leader, "d", "1"); !errors.Is(err, api.ErrNotReady) {
		t.Errorf("a write to a keeper whose disk hangs: %v", err)
	}
	f.eventually("its Raft connections are closed", func() bool {
		leader.stream.mu.Lock()
		defer leader.stream.mu.Unlock()
		return leader.stream.closed && len(leader.stream.conns) == 0
	})
	if s := scrape(t, rest[0]); !strings.Contains(s, "zero_cluster_store_running_seconds") || !strings.Contains(s, `zero_cluster_store_last_seconds{operation="store entries"}`) {
		t.Error("the durations of the store's calls are no metrics")
	}
}

// A follower whose disk hangs ends; the group goes on meanwhile.
func TestFollowerDiskHangs(t *testing.T) {
	t.Parallel()
	f, stores := hangingFleet(t, testDiskTimeout)
	nodes := f.group(3)
	follower := others(nodes, f.leader(nodes...))[0]
	stores[follower.cfg.Name].hang(true, false)
	f.mustPut("a", "1")
	wantFatal(t, follower, ErrDiskHung)
	f.mustPut("b", "1")
}

// A vote that cannot be stored hangs the voter, which ends; the last keeper does
// not win without it.
func TestVoteHangs(t *testing.T) {
	t.Parallel()
	f, stores := hangingFleet(t, testDiskTimeout)
	nodes := f.group(3)
	leader := f.leader(nodes...)
	rest := others(nodes, leader)
	for _, n := range rest {
		stores[n.cfg.Name].hang(false, true)
	}
	f.crash(leader)
	f.eventually("one ends", func() bool { return rest[0].usable() != nil || rest[1].usable() != nil })
	for _, n := range rest {
		if n.IsLeader() {
			t.Error("elected on votes that were not stored")
		}
	}
}

func TestWatchdogTimesCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reports := make(chan error, 2)
		w := newWatchdog(time.Second, func(err error) { reports <- err })
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		go w.run(ctx)

		id := w.begin("store entries", 0)
		pause(ctx, 900*time.Millisecond)
		if got := w.longest(); got != 900*time.Millisecond {
			t.Errorf("the longest call runs for %v", got)
		}
		w.end(id)
		slow := w.begin("finish a snapshot", 10*time.Second)
		pause(ctx, 5*time.Second)
		w.end(slow)
		synctest.Wait()
		if len(reports) != 0 {
			t.Fatalf("reported %v", <-reports)
		}
		w.begin("store entries", 0)
		start := time.Now()
		if err := <-reports; !errors.Is(err, ErrDiskHung) {
			t.Errorf("reported %v", err)
		}
		if took := time.Since(start); took < time.Second || took > 1200*time.Millisecond {
			t.Errorf("reported after %v", took)
		}
	})
}

// A process that was stopped in the middle of a call has no hung disk.
func TestWatchdogBearsAPause(t *testing.T) {
	w := newWatchdog(time.Second, nil)
	w.begin("store entries", 0)
	later := time.Now().Add(time.Hour)
	if err := w.look(later, 100*time.Millisecond); err != nil {
		t.Errorf("after a pause: %v", err)
	}
	if err := w.look(later, time.Second); !errors.Is(err, ErrDiskHung) {
		t.Errorf("a call that runs on: %v", err)
	}
}

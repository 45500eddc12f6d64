package cluster

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/hashicorp/raft"
	raftboltdb "github.com/hashicorp/raft-boltdb/v2"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/zerokeeper/zero/transport/api"
)

var errDisk = errors.New("input/output error")

// faultyStore fails what it is told to.
type faultyStore struct {
	logStore
	logs  atomic.Bool // StoreLogs
	votes atomic.Bool // Set, SetUint64
}

func (s *faultyStore) StoreLogs(logs []*raft.Log) error {
	if s.logs.Load() {
		return errDisk
	}
	return s.logStore.StoreLogs(logs)
}

func (s *faultyStore) Set(key, value []byte) error {
	if s.votes.Load() {
		return errDisk
	}
	return s.logStore.Set(key, value)
}

func (s *faultyStore) SetUint64(key []byte, value uint64) error {
	if s.votes.Load() {
		return errDisk
	}
	return s.logStore.SetUint64(key, value)
}

// faultyFleet gives every keeper a store that can fail.
func faultyFleet(t *testing.T) (*fleet, map[string]*faultyStore) {
	f := newFleet(t)
	stores := make(map[string]*faultyStore)
	f.setup = func(name string, c *Config) {
		c.wrapStore = func(s logStore) logStore {
			stores[name] = &faultyStore{logStore: s}
			return stores[name]
		}
	}
	return f, stores
}

// A store error on the leader ends it; its writes are unknown, the others go on.
func TestLeaderStoreFails(t *testing.T) {
	t.Parallel()
	f, stores := faultyFleet(t)
	nodes := f.group(3)
	leader := f.leader(nodes...)
	f.mustPut("a", "1")
	stores[leader.cfg.Name].logs.Store(true)
	if _, err := put(t.Context(), leader, "b", "1"); !errors.Is(err, api.ErrOutcomeUnknown) && leader.IsLeader() {
		t.Errorf("a write that could not be stored: %v", err)
	}
	err := wantFatal(t, leader, ErrStore)
	if !errors.Is(err, errDisk) {
		t.Errorf("the error does not say why: %v", err)
	}
	if _, err := put(t.Context(), leader, "c", "1"); !errors.Is(err, api.ErrNotReady) {
		t.Errorf("a write after the end: %v", err)
	}
	rest := others(nodes, leader)
	f.leader(rest...)
	f.mustPut("d", "1")
	f.crash(leader)
	stores[leader.cfg.Name].logs.Store(false)
	f.ready(f.restart(leader))
}

// raft v1.7.3 would log this one and go on with a log that may be lost.
func TestFollowerStoreFails(t *testing.T) {
	t.Parallel()
	f, stores := faultyFleet(t)
	nodes := f.group(3)
	follower := others(nodes, f.leader(nodes...))[0]
	stores[follower.cfg.Name].logs.Store(true)
	f.mustPut("a", "1")
	wantFatal(t, follower, ErrStore)
	f.mustPut("b", "1")
}

// raft v1.7.3 would panic on this one.
func TestVoteStoreFails(t *testing.T) {
	t.Parallel()
	f, stores := faultyFleet(t)
	nodes := f.group(3)
	leader := f.leader(nodes...)
	rest := others(nodes, leader)
	for _, n := range rest {
		stores[n.cfg.Name].votes.Store(true)
	}
	f.crash(leader)
	// The first to vote ends; the other cannot win without it.
	f.eventually("one ends", func() bool { return rest[0].usable() != nil || rest[1].usable() != nil })
	for _, n := range rest {
		if n.IsLeader() {
			t.Error("elected on votes that were not stored")
		}
	}
}

func TestGuard(t *testing.T) {
	reports := make(chan error, 4)
	inner := &faultyStore{logStore: raft.NewInmemStore()}
	g := &guard{store: inner, report: func(err error) { reports <- err }, writes: prometheus.NewHistogram(prometheus.HistogramOpts{Name: "x"})}

	// What is not there is no error of the store.
	if err := g.GetLog(7, new(raft.Log)); !errors.Is(err, raft.ErrLogNotFound) {
		t.Errorf("an entry that is not there: %v", err)
	}
	for _, err := range []error{raftboltdb.ErrKeyNotFound, fmt.Errorf("not found")} {
		if got := g.check("get", err); !errors.Is(got, err) {
			t.Errorf("%v became %v", err, got)
		}
	}
	// Before raft runs errors are returned to the opener.
	inner.logs.Store(true)
	if err := g.StoreLog(&raft.Log{Index: 1}); err != nil {
		t.Errorf("StoreLog is not StoreLogs: %v", err)
	}
	if err := g.StoreLogs([]*raft.Log{{Index: 2}}); !errors.Is(err, ErrStore) {
		t.Errorf("unarmed: %v", err)
	}
	// Then the goroutine ends, is reported once, and so is every later one's.
	g.arm()
	ended := func(f func()) bool {
		returned := false
		var wg sync.WaitGroup
		wg.Go(func() {
			f()
			returned = true
		})
		wg.Wait()
		return !returned
	}
	if !ended(func() { _ = g.StoreLogs([]*raft.Log{{Index: 2}}) }) {
		t.Error("a goroutine went on after a store error")
	}
	inner.logs.Store(false)
	for name, f := range map[string]func(){
		"StoreLog":    func() { _ = g.StoreLog(new(raft.Log)) },
		"StoreLogs":   func() { _ = g.StoreLogs(nil) },
		"GetLog":      func() { _ = g.GetLog(1, new(raft.Log)) },
		"FirstIndex":  func() { _, _ = g.FirstIndex() },
		"LastIndex":   func() { _, _ = g.LastIndex() },
		"DeleteRange": func() { _ = g.DeleteRange(1, 1) },
		"Set":         func() { _ = g.Set([]byte("k"), nil) },
		"SetUint64":   func() { _ = g.SetUint64([]byte("k"), 1) },
		"Get":         func() { _, _ = g.Get([]byte("k")) },
		"GetUint64":   func() { _, _ = g.GetUint64([]byte("k")) },
	} {
		if !ended(f) {
			t.Errorf("%s goes on after the store failed", name)
		}
	}
	if len(reports) != 1 {
		t.Errorf("%d reports, want 1", len(reports))
	}
}

// An entry that says that it is another was read from a damaged page.
func TestGuardChecksIndexes(t *testing.T) {
	inner := raft.NewInmemStore()
	g := &guard{store: misplaced{inner}, report: func(error) {}, writes: prometheus.NewHistogram(prometheus.HistogramOpts{Name: "x"})}
	if err := g.StoreLogs([]*raft.Log{{Index: 1}}); err != nil {
		t.Fatal(err)
	}
	if err := g.GetLog(1, new(raft.Log)); !errors.Is(err, ErrStore) {
		t.Errorf("a misplaced entry: %v", err)
	}
}

type misplaced struct{ logStore }

func (s misplaced) GetLog(index uint64, log *raft.Log) error {
	err := s.logStore.GetLog(index, log)
	log.Index++
	return err
}

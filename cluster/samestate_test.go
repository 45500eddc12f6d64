package cluster

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/zerokeeper/zero/fsm"
)

// spoiltMachine applies something else than was committed, once, as a bit that
// flips in memory would.
type spoiltMachine struct {
	inner *fsm.Machine
	spoil func() bool
}

func (m *spoiltMachine) State() *fsm.State         { return m.inner.State() }
func (m *spoiltMachine) Restore(r io.Reader) error { return m.inner.Restore(r) }

func (m *spoiltMachine) Apply(index, term uint64, entry []byte) (fsm.Result, error) {
	h, c, err := fsm.Decode(entry)
	if put, ok := c.(*fsm.PutSection); err == nil && ok && m.spoil() {
		put.Data = append(put.Data, '!')
		if entry, err = fsm.Encode(h, put); err != nil {
			return fsm.Result{}, err
		}
	}
	return m.inner.Apply(index, term, entry)
}

// spoilt is the names of keepers whose next write is applied wrongly.
type spoilt struct {
	mu    sync.Mutex
	names map[string]bool
}

func (s *spoilt) set(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.names[name] = true
}

func (s *spoilt) take(name string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	defer delete(s.names, name)
	return s.names[name]
}

// comparingFleet compares states often.
func comparingFleet(t *testing.T) (*fleet, *spoilt) {
	f, s := newFleet(t), &spoilt{names: make(map[string]bool)}
	f.setup = func(name string, c *Config) {
		c.CompareEvery, c.CompareInterval, c.compareWithin = 10, 40*time.Millisecond, 2*time.Second
		c.Machine = &spoiltMachine{inner: fsm.New(), spoil: func() bool { return s.take(name) }}
	}
	return f, s
}

// A keeper whose state differs stops, a leader too, the others go on, and it is
// not started again.
func TestDivergedStops(t *testing.T) {
	for _, role := range []string{"follower", "leader"} {
		t.Run(role, func(t *testing.T) {
			t.Parallel()
			f, s := comparingFleet(t)
			nodes := f.group(3)
			victim := f.leader(nodes...)
			if role == "follower" {
				victim = others(nodes, victim)[0]
			}
			s.set(victim.cfg.Name)
			f.mustPut("a", "1")
			err := wantFatal(t, victim, ErrDiverged)
			for _, say := range []string{"member remove", "delete the whole data directory"} {
				if !strings.Contains(err.Error(), say) {
					t.Errorf("%v does not say %q", err, say)
				}
			}
			rest := others(nodes, victim)
			f.leader(rest...)
			f.mustPut("b", "2")
			for _, n := range rest {
				if n.usable() != nil || get(n.State(), "a") != "1" {
					t.Errorf("%s suffered: %v", n.cfg.Name, n.usable())
				}
			}
			f.close(victim)
			if _, err := f.open(f.again(victim)); !errors.Is(err, ErrDiverged) || !errors.Is(err, ErrDirectory) || !strings.Contains(err.Error(), "member remove") {
				t.Errorf("it is started again: %v", err)
			}
		})
	}
}

// Two that differ, the third silent: there is no majority, and nobody is stopped.
func TestNoMajorityStopsNobody(t *testing.T) {
	t.Parallel()
	f, s := comparingFleet(t)
	nodes := f.group(3)
	f.mustPut("a", "0")
	s.set(nodes[0].cfg.Name)
	f.crash(nodes[2])
	f.mustPut("b", "1")
	leader := f.leader(nodes[:2]...)
	f.eventually("the comparison is undecided", func() bool {
		return strings.Contains(scrape(t, leader), `zero_cluster_state_comparisons_total{outcome="undecided"}`)
	})
	for range 3 {
		f.mustPut("c", "1")
	}
	for _, n := range nodes[:2] {
		if err := n.usable(); err != nil {
			t.Errorf("%s was stopped: %v", n.cfg.Name, err)
		}
	}
	if got := strings.Count(f.log.String(), "no majority of the voters has the same state"); got != 1 {
		t.Errorf("it was said %d times, want once", got)
	}
}

// Equal keepers stay quiet over many marks, and nothing is marked when nothing
// changed.
func TestEqualStatesAreQuiet(t *testing.T) {
	t.Parallel()
	f, _ := comparingFleet(t)
	nodes := f.group(3)
	leader := f.leader(nodes...)
	agreed := func() float64 { return metric(t, leader, `zero_cluster_state_comparisons_total{outcome="agreed"}`) }
	for i := range 10 {
		f.mustPut("a", fmt.Sprint(i))
		f.eventually("one more comparison", func() bool { return leader.same.changed.Load() == 0 })
	}
	f.eventually("all are compared", func() bool {
		for _, n := range nodes {
			if n.same.changed.Load() != 0 {
				return false
			}
			n.same.mu.Lock()
			left := len(n.same.marks)
			n.same.mu.Unlock()
			if left != 0 {
				return false
			}
		}
		return true
	})
	if leader.IsLeader() && agreed() < 10 {
		t.Errorf("%v comparisons after ten changes", agreed())
	}
	index, compared := leader.raft.LastIndex(), agreed()
	pause(t.Context(), 6*leader.cfg.CompareInterval)
	if now := leader.raft.LastIndex(); now != index || agreed() != compared {
		t.Errorf("the log grew from %d to %d and %v states were compared, but nothing changed", index, now, agreed()-compared)
	}
	for _, say := range []string{"differs", "no majority"} {
		if strings.Contains(f.log.String(), say) {
			t.Errorf("equal keepers say %q", say)
		}
	}
}

// A hash that takes long delays nobody who applies, and only the newest two
// states wait for theirs.
func TestMarksDoNotDelayApply(t *testing.T) {
	began, release := make(chan struct{}), make(chan struct{})
	s := newSameState(hclog.NewNullLogger())
	s.hash = func(*fsm.State) [sha256.Size]byte {
		began <- struct{}{}
		<-release
		return [sha256.Size]byte{}
	}
	m := fsm.New()
	apply := func(index uint64, c fsm.Command) {
		t.Helper()
		entry, err := fsm.Encode(fsm.Header{Time: 1}, c)
		if err != nil {
			t.Fatal(err)
		}
		if result, err := m.Apply(index, 1, entry); err != nil || result.Code != 0 {
			t.Fatalf("%+v, %v", result, err)
		}
		s.applied(index, entry, m.State())
	}
	apply(1, &fsm.MarkState{})
	done := make(chan struct{})
	go func() { defer close(done); s.hashAll() }()
	<-began
	for i := uint64(2); i <= 100; i += 2 { // while the hash of the first is made
		apply(i, &fsm.PutSection{ID: "x", Section: fmt.Sprint(i)})
		apply(i+1, &fsm.MarkState{})
	}
	if s.changed.Load() != 0 || len(s.marks) != keptMarks || s.marks[1].index != 101 {
		t.Errorf("%d marks are kept, want the newest %d", len(s.marks), keptMarks)
	}
	close(release)
	for range keptMarks {
		<-began
	}
	<-done
	if _, index := s.newest(); index != 101 {
		t.Errorf("the newest mark is of %d", index)
	}
	apply(102, &fsm.CompareState{Index: 101, Hash: make([]byte, sha256.Size)})
	apply(103, &fsm.CompareState{Index: 3, Hash: bytesOf(1)}) // long forgotten
	if d := s.difference(); d != nil || len(s.marks) != 1 {
		t.Errorf("the same hash differs: %+v", d)
	}
	apply(104, &fsm.CompareState{Index: 99, Hash: bytesOf(1)})
	if d := s.difference(); d == nil || d.index != 99 {
		t.Errorf("another hash does not differ: %+v", d)
	}
	s.restored()
	if d := s.difference(); d != nil || s.changed.Load() != 1 {
		t.Error("marks outlive a restored snapshot")
	}
}

func bytesOf(b byte) []byte {
	hash := make([]byte, sha256.Size)
	hash[0] = b
	return hash
}

// How long the hash of a large state takes; it is made beside Apply.
func TestHashTimeOfLargeState(t *testing.T) {
	m := fsm.New()
	const sections = 50_000
	data := make([]byte, 200)
	for i := uint64(1); i <= sections; i++ {
		entry, err := fsm.Encode(fsm.Header{Time: 1}, &fsm.PutSection{ID: "host", Section: fmt.Sprint(i), Data: data})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := m.Apply(i, 1, entry); err != nil {
			t.Fatal(err)
		}
	}
	start := time.Now()
	m.State().Hash()
	t.Logf("the hash of a state of %d sections of %d bytes took %v", sections, len(data), time.Since(start))
}

// A refusal that cannot be read refuses.
func TestRefusalFile(t *testing.T) {
	for _, content := range []string{"", "{", `{"formatVersion":9,"kind":"diverged"}`, `{"formatVersion":1,"kind":"tired"}`} {
		dir := t.TempDir()
		rewrite(refusalFile, content)(t, dir)
		if err := checkCondemned(dir); !errors.Is(err, ErrDirectory) {
			t.Errorf("%q: %v", content, err)
		}
	}
	if err := checkCondemned(t.TempDir()); err != nil {
		t.Error(err)
	}
}

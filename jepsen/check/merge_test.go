package check

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/hashicorp/raft"
	raftboltdb "github.com/hashicorp/raft-boltdb/v2"

	"github.com/zerokeeper/zero/fsm"
)

// lastPut is the value of the last put among entries.
func lastPut(entries []Entry) string {
	for _, e := range slices.Backward(entries) {
		if put, ok := e.Command.(*fsm.PutSection); ok {
			return string(put.Data)
		}
	}
	return ""
}

// base is configuration, noop and the put "base", at index 3 of term 1.
func base(t testing.TB, voters ...string) *script {
	s := newScript(t)
	s.config(voters...)
	s.add(raft.LogNoop, nil)
	s.put("s", 1, "base")
	return s
}

// plus goes on after index 3 of the base with puts in a term.
func plus(s *script, term uint64, values ...string) *script {
	f := s.fork(3, term)
	for i, v := range values {
		f.put("t", term*100+uint64(i), v)
	}
	return f
}

func TestMerge(t *testing.T) {
	three, five := base(t, "a", "b", "c"), base(t, "a", "b", "c", "d", "e")
	ab := base(t, "a", "b", "-c")
	for _, c := range []struct {
		name    string
		logs    []*script // of a, b, c …; nil: not given
		decided uint64
		last    string
		tail    int
		err     error
	}{
		{"all the same", []*script{three, three, three}, 3, "base", 0, nil},
		{"on a majority", []*script{plus(three, 1, "x"), plus(three, 1, "x"), three}, 4, "x", 0, nil},
		{"on one alone", []*script{plus(three, 1, "x"), three, three}, 3, "base", 1, nil},
		{"an old leader's suffix", []*script{plus(three, 1, "x", "y", "z"), plus(three, 2, "n"), plus(three, 2, "n")}, 4, "n", 0, nil},
		{"a new leader's first entry, on it alone", []*script{plus(three, 1, "x"), plus(three, 2, "n"), three}, 3, "base", 1, nil},
		{"a voter missing", []*script{plus(three, 1, "x"), plus(three, 1, "x"), nil}, 4, "x", 0, nil},
		{"a voter missing, on one of two", []*script{plus(three, 1, "x"), three, nil}, 3, "base", 1, nil},
		{"two voters missing", []*script{three, nil, nil}, 0, "", 0, ErrTooFew},
		// The Raft paper's figure 8: "x" of term 2 is on three of five, but e can win with term 3.
		{"on a majority and replaceable", []*script{plus(five, 2, "x"), plus(five, 2, "x"), plus(five, 2, "x"), five, plus(five, 3, "y")}, 3, "base", 1, nil},
		{"below an entry of the newest term", []*script{plus(five, 4, "x"), plus(five, 4, "x"), plus(five, 4, "x"), five, plus(five, 3, "y")}, 4, "x", 0, nil},
		{"a non-voter has no say", []*script{ab, ab, plus(ab, 9, "x")}, 3, "base", 0, nil},
		{"none", nil, 0, "", 0, ErrTooFew},
	} {
		t.Run(c.name, func(t *testing.T) {
			var logs []*RaftLog
			for i, s := range c.logs {
				if s != nil {
					logs = append(logs, logOf(t, string(rune('a'+i)), s))
				}
			}
			for range 2 { // the order of the logs does not matter
				m, err := Merge(logs...)
				if !errors.Is(err, c.err) {
					t.Fatalf("error %v, want %v", err, c.err)
				}
				if err != nil {
					return
				}
				if last, _ := m.Last(); last != c.decided || lastPut(m.Entries) != c.last || len(m.Tail) != c.tail {
					t.Errorf("decided up to %d, %q, tail %v, want %d, %q, %d", last, lastPut(m.Entries), m.Tail, c.decided, c.last, c.tail)
				}
				slices.Reverse(logs)
			}
		})
	}
}

func TestMergeVotersOfNewestConfiguration(t *testing.T) {
	s := base(t, "a", "b", "c")
	s.config("a") // b and c were removed
	m, err := Merge(logOf(t, "a", s), logOf(t, "b", base(t, "a", "b", "c")))
	if err != nil {
		t.Fatal(err)
	}
	if last, _ := m.Last(); last != 4 {
		t.Errorf("decided up to %d, want 4", last)
	}
}

func TestMergeDiverged(t *testing.T) {
	s := base(t, "a", "b", "c")
	t.Run("one index and term, two entries", func(t *testing.T) {
		_, err := Merge(logOf(t, "a", plus(s, 1, "x")), logOf(t, "b", plus(s, 1, "y")), logOf(t, "c", s))
		if !errors.Is(err, ErrDiverged) || !strings.Contains(err.Error(), "not the same in a and in b") {
			t.Errorf("error %v", err)
		}
	})
	t.Run("the same after a difference", func(t *testing.T) {
		x, y := plus(s, 2, "x"), plus(s, 3, "y")
		x.term, y.term = 4, 4
		x.put("u", 1, "z")
		y.put("u", 1, "z")
		_, err := Merge(logOf(t, "a", x), logOf(t, "b", y), logOf(t, "c", s))
		if !errors.Is(err, ErrDiverged) || !strings.Contains(err.Error(), "but before it") {
			t.Errorf("error %v", err)
		}
	})
	t.Run("a snapshot of what could be lost", func(t *testing.T) {
		x := plus(s, 1, "x")
		d := newKeeperDir(t, "a", x.logs)
		d.snapshot(4, 1, x.state(4), "a", "b", "c")
		_, err := Merge(d.read(), logOf(t, "b", s), logOf(t, "c", s))
		if !errors.Is(err, ErrDiverged) || !strings.Contains(err.Error(), "a has a snapshot of index 4") {
			t.Errorf("error %v", err)
		}
	})
	t.Run("a snapshot of another branch", func(t *testing.T) {
		x := plus(s, 2, "x")
		d := newKeeperDir(t, "a", x.logs)
		d.snapshot(4, 2, x.state(4), "a", "b", "c")
		y := plus(s, 3, "y")
		_, err := Merge(d.read(), logOf(t, "b", y), logOf(t, "c", y))
		if !errors.Is(err, ErrDiverged) {
			t.Errorf("error %v", err)
		}
	})
}

// TestMergeExtends: what one keeper compacted is taken from another, but not from one of another branch.
func TestMergeExtends(t *testing.T) {
	s := puts(t, 8) // entries 1 to 10
	compacted := func(member string, snapshot, forgotten uint64) *RaftLog {
		d := newKeeperDir(t, member, s.logs)
		d.snapshot(snapshot, 1, s.state(snapshot), "a", "b", "c")
		d.forget(forgotten)
		return d.read()
	}
	t.Run("to the first entry", func(t *testing.T) {
		m, err := Merge(compacted("a", 8, 8), compacted("b", 6, 4), logOf(t, "c", s))
		if err != nil {
			t.Fatal(err)
		}
		if m.First() != 1 || len(m.Entries) != 10 || len(m.Snapshots) != 2 {
			t.Errorf("%d entries from %d, %d snapshots", len(m.Entries), m.First(), len(m.Snapshots))
		}
	})
	t.Run("step by step", func(t *testing.T) {
		m, err := Merge(compacted("a", 9, 9), compacted("b", 6, 4), compacted("c", 8, 6))
		if err != nil {
			t.Fatal(err)
		}
		if m.First() != 5 || len(m.Entries) != 6 {
			t.Errorf("%d entries from %d", len(m.Entries), m.First())
		}
		r, err := m.Replay()
		if err != nil {
			t.Fatal(err)
		}
		if r.State.Hash() != s.state(10).Hash() || r.Base == nil || r.Base.Index() != 6 {
			t.Errorf("replayed to %d", r.State.Index())
		}
	})
	t.Run("all entries compacted", func(t *testing.T) {
		m, err := Merge(compacted("a", 10, 10), compacted("b", 10, 10), compacted("c", 10, 10))
		if err != nil {
			t.Fatal(err)
		}
		r, err := m.Replay()
		if err != nil || m.First() != 0 || r.State.Hash() != s.state(10).Hash() {
			t.Errorf("error %v, first %d", err, m.First())
		}
	})
	t.Run("joined by a snapshot alone", func(t *testing.T) {
		short := s.fork(8, 1)
		m, err := Merge(compacted("a", 8, 8), compacted("b", 8, 8), logOf(t, "c", short))
		if err != nil {
			t.Fatal(err)
		}
		if m.First() != 1 || len(m.Entries) != 10 {
			t.Errorf("%d entries from %d", len(m.Entries), m.First())
		}
	})
	t.Run("not from a branch that lost", func(t *testing.T) {
		old := s.fork(5, 1)
		for range 5 { // the terms say that this was never committed
			old.put("old", old.next, "lost")
		}
		win := s.fork(5, 2)
		for range 5 {
			win.put("new", win.next, "won")
		}
		compact := func(member string) *RaftLog {
			d := newKeeperDir(t, member, win.logs)
			d.snapshot(8, 2, win.state(8), "a", "b", "c")
			d.forget(8)
			return d.read()
		}
		m, err := Merge(compact("a"), compact("b"), logOf(t, "c", old))
		if err != nil {
			t.Fatal(err)
		}
		if m.First() != 9 || lastPut(m.Entries) != "won" {
			t.Errorf("%d entries from %d, the last %q", len(m.Entries), m.First(), lastPut(m.Entries))
		}
	})
}

// TestMergeInstalledSnapshot: a follower that was sent a snapshot still has a branch that lost on its disk.
func TestMergeInstalledSnapshot(t *testing.T) {
	s := base(t, "a", "b", "c")
	win := plus(s, 2, "n1", "n2", "n3")
	d := newKeeperDir(t, "a", plus(s, 1, "x").logs)
	d.snapshot(5, 2, win.state(5), "a", "b", "c")
	d.store(func(b *raftboltdb.BoltStore) error { return b.StoreLog(&win.logs[5]) })
	a, b, c := d.read(), logOf(t, "b", win), logOf(t, "c", win)
	m, err := Merge(a, b, c)
	if err != nil {
		t.Fatal(err)
	}
	if m.First() != 1 || len(m.Entries) != 6 || lastPut(m.Entries) != "n3" {
		t.Errorf("%d entries from %d", len(m.Entries), m.First())
	}
	wantOK(t, SameLog(a, b, c))
}

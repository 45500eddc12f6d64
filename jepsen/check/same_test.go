package check

import (
	"path/filepath"
	"testing"

	"github.com/hashicorp/raft"
	raftboltdb "github.com/hashicorp/raft-boltdb/v2"

	"github.com/zerokeeper/zero/fsm"
)

func TestReplay(t *testing.T) {
	s := puts(t, 6)
	s.put("s", 3, "a retry") // of what was answered
	d := newKeeperDir(t, "a", s.logs)
	state, err := Replay(d.path)
	if err != nil {
		t.Fatal(err)
	}
	if state.Hash() != s.state(9).Hash() || state.Section("i", "k").Version != 6 {
		t.Errorf("replayed to %d: %+v", state.Index(), state.Section("i", "k"))
	}
	r, err := d.read().Replay()
	if err != nil {
		t.Fatal(err)
	}
	if last := r.Applied[6]; !last.Retried() || last.Effect() || last.Result.Index != 5 || string(last.Result.Data) != "3" {
		t.Errorf("the retry: %+v", last.Result)
	}
	if a := r.Find("s", 3); a == nil || a.Index != 5 || !a.Effect() {
		t.Errorf("found %+v", a)
	}
	if r.Find("s", 99) != nil || r.Find("x", 1) != nil {
		t.Error("found what is not there")
	}
	if _, err := Replay(filepath.Join(d.path, "none")); err == nil {
		t.Error("replayed a directory that is not there")
	}
}

func TestSameState(t *testing.T) {
	s := puts(t, 8)       // entries 1 to 10
	other := s.fork(6, 1) // one that went wrong at 7
	other.command(fsm.Header{Session: "s", Seq: 5}, &fsm.PutSection{ID: "i", Section: "another", Data: []byte("x")})
	for i := range uint64(3) { // and went on
		other.put("s", 6+i, "y")
	}
	for _, c := range []struct {
		name string
		make func(a, b, c *keeperDir)
		want string
	}{
		{"all have all", func(*keeperDir, *keeperDir, *keeperDir) {}, ""},
		{"compacted differently", func(a, b, _ *keeperDir) {
			a.snapshot(6, 1, s.state(6), "a", "b", "c")
			a.forget(6)
			b.snapshot(4, 1, s.state(4), "a", "b", "c")
			b.snapshot(8, 1, s.state(8), "a", "b", "c")
			b.forget(3)
		}, ""},
		{"one is a little behind", func(_, _, c *keeperDir) {
			c.store(func(b *raftboltdb.BoltStore) error { return b.DeleteRange(9, 10) })
		}, ""},
		{"one is behind what the others have compacted", func(a, _, c *keeperDir) {
			a.snapshot(9, 1, s.state(9), "a", "b", "c")
			a.forget(9)
			c.store(func(b *raftboltdb.BoltStore) error { return b.DeleteRange(8, 10) })
		}, "?Let all catch up"},
		{"a log diverged", func(_, b, _ *keeperDir) {
			b.store(func(s *raftboltdb.BoltStore) error { return s.StoreLog(&other.logs[6]) })
		}, "they differ"},
		{"only the term differs", func(_, b, _ *keeperDir) {
			l := s.logs[6]
			l.Term = 2
			b.store(func(s *raftboltdb.BoltStore) error { return s.StoreLog(&l) })
		}, "they differ"},
		{"a state diverged before it was compacted", func(_, b, _ *keeperDir) {
			b.snapshot(8, 1, other.state(8), "a", "b", "c")
			b.forget(8)
		}, "has hash"},
		{"a state diverged and the log does not lead there", func(_, b, _ *keeperDir) {
			b.snapshot(8, 1, other.state(8), "a", "b", "c")
		}, "its log leads to"},
		{"a damaged snapshot that nobody needs", func(a, _, _ *keeperDir) {
			a.snapshot(6, 1, s.state(6), "a", "b", "c")
			damage(t, filepath.Join(a.snapshot(8, 1, s.state(8), "a"), "state.bin"))
		}, ""},
		{"a damaged snapshot that is needed", func(a, _, _ *keeperDir) {
			damage(t, filepath.Join(a.snapshot(8, 1, s.state(8), "a"), "state.bin"))
			a.forget(8)
		}, "?no whole snapshot"},
		{"a damaged entry", func(a, _, _ *keeperDir) {
			l := s.logs[8]
			l.Data = flip(t, l.Data, []byte("vvvvv"))
			a.store(func(s *raftboltdb.BoltStore) error { return s.StoreLog(&l) })
		}, "?damaged"},
		{"an empty log", func(a, _, _ *keeperDir) { a.forget(10) }, "?empty"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var dirs []*keeperDir
			var paths []string
			for _, member := range []string{"a", "b", "c"} {
				d := newKeeperDir(t, member, s.logs)
				dirs, paths = append(dirs, d), append(paths, d.path)
			}
			c.make(dirs[0], dirs[1], dirs[2])
			wantVerdict(t, SameState(paths), c.want)
		})
	}
}

func TestSameStateNeedsTwo(t *testing.T) {
	s := puts(t, 3)
	wantUndecided(t, SameState([]string{newKeeperDir(t, "a", s.logs).path}), "two or more")
	wantUndecided(t, SameState(nil), "two or more")
	wantUndecided(t, SameLog(), "two or more")
}

func TestSameLogSnapshotTerm(t *testing.T) {
	s := puts(t, 3) // entries 1 to 5
	two := s.fork(3, 2)
	two.put("n", 1, "x")
	two.put("n", 2, "y")
	d := newKeeperDir(t, "b", two.logs)
	d.snapshot(4, 2, two.state(4), "a", "b")
	d.forget(5)
	d.store(func(b *raftboltdb.BoltStore) error {
		return b.StoreLog(&raft.Log{Index: 5, Term: 2, Type: raft.LogNoop})
	})
	l := d.read()
	l.Entries = nil
	wantProblem(t, SameLog(logOf(t, "a", s), l), "a snapshot of term 2")
}

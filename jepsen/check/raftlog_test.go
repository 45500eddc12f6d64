package check

import (
	"errors"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hashicorp/raft"
	raftboltdb "github.com/hashicorp/raft-boltdb/v2"

	"github.com/zerokeeper/zero/fsm"
)

// puts is a log of n puts of one session after a configuration.
func puts(t testing.TB, n int) *script {
	s := newScript(t)
	s.config("a", "b", "c")
	s.add(raft.LogNoop, nil)
	for i := range n {
		s.put("s", uint64(i+1), strings.Repeat("v", i+1))
	}
	return s
}

func TestReadRaftLog(t *testing.T) {
	s := puts(t, 5)
	d := newKeeperDir(t, "a", s.logs)
	dir := d.snapshot(5, 1, s.state(5), "a", "b")
	before := tree(t, d.path)
	l := d.read()
	if !maps.Equal(tree(t, d.path), before) {
		t.Error("reading changed the directory")
	}
	if l.Member != "a" || l.Term != 1 || l.First() != 1 || len(l.Entries) != 7 || len(l.Snapshots) != 1 || len(l.Damaged) != 0 || len(l.Servers) != 3 {
		t.Errorf("read %+v", l)
	}
	if index, term := l.Last(); index != 7 || term != 1 {
		t.Errorf("last %d of term %d", index, term)
	}
	e := l.Entry(4)
	put, ok := e.Command.(*fsm.PutSection)
	if !ok || e.Header.Session != "s" || e.Header.Seq != 2 || string(put.Data) != "vv" || e.Type != raft.LogCommand {
		t.Errorf("entry %+v", e)
	}
	if l.Entry(0) != nil || l.Entry(8) != nil || l.Entry(2).Command != nil {
		t.Error("entries that are not there")
	}
	if got := l.Snapshots[0]; got.Index != 5 || got.Term != 1 || got.State.Hash() != s.state(5).Hash() || got.ID != filepath.Base(dir) {
		t.Errorf("snapshot %+v", got)
	}
}

func TestReadRaftLogLeavesOut(t *testing.T) {
	for _, c := range []struct {
		name     string
		make     func(d *keeperDir, s *script)
		first, n uint64
		want     string // an error
	}{
		{"all", func(*keeperDir, *script) {}, 1, 7, ""},
		{"compacted", func(d *keeperDir, s *script) { d.snapshot(4, 1, s.state(4), "a"); d.forget(4) }, 5, 3, ""},
		{"trailing entries", func(d *keeperDir, s *script) { d.snapshot(4, 1, s.state(4), "a"); d.forget(2) }, 3, 5, ""},
		{"snapshot beyond the log", func(d *keeperDir, s *script) { d.snapshot(9, 1, s.state(7), "a") }, 0, 0, ""},
		{"a branch that lost below the snapshot", func(d *keeperDir, s *script) { d.snapshot(6, 2, s.state(6), "a") }, 0, 0, ""},
		{"a gap after an installed snapshot", func(d *keeperDir, s *script) {
			d.snapshot(9, 2, s.state(7), "a")
			d.store(func(b *raftboltdb.BoltStore) error {
				return b.StoreLog(&raft.Log{Index: 10, Term: 2, Type: raft.LogNoop})
			})
		}, 10, 1, ""},
		{"a gap without a snapshot", func(d *keeperDir, _ *script) {
			d.store(func(b *raftboltdb.BoltStore) error {
				return b.StoreLog(&raft.Log{Index: 10, Term: 2, Type: raft.LogNoop})
			})
		}, 0, 0, "no whole snapshot"},
		{"entries missing after the snapshot", func(d *keeperDir, s *script) { d.snapshot(3, 1, s.state(3), "a"); d.forget(5) }, 0, 0, "entries are missing"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := puts(t, 5)
			d := newKeeperDir(t, "a", s.logs)
			c.make(d, s)
			l, err := ReadRaftLog(d.path)
			if c.want != "" {
				if !errors.Is(err, ErrDirectory) || !strings.Contains(err.Error(), c.want) {
					t.Errorf("error %v, want %q", err, c.want)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if l.First() != c.first || uint64(len(l.Entries)) != c.n {
				t.Errorf("%d entries from %d, want %d from %d", len(l.Entries), l.First(), c.n, c.first)
			}
		})
	}
}

func TestReadRaftLogRefuses(t *testing.T) {
	file := func(d *keeperDir) string { return filepath.Join(d.path, raftFile) }
	for _, c := range []struct {
		name string
		make func(d *keeperDir, s *script) error
		want error
	}{
		{"no file", func(d *keeperDir, _ *script) error { return os.Remove(file(d)) }, os.ErrNotExist},
		{"an empty file", func(d *keeperDir, _ *script) error { return os.Truncate(file(d), 0) }, ErrDirectory},
		{"a cut file", func(d *keeperDir, _ *script) error { return os.Truncate(file(d), 4096) }, ErrDirectory},
		{"no database", func(d *keeperDir, _ *script) error { return os.WriteFile(file(d), make([]byte, 1<<16), 0o600) }, ErrDirectory},
		{"a bit flipped in a command", func(d *keeperDir, s *script) error {
			l := s.logs[6]
			l.Data = flip(t, l.Data, []byte("vvvvv"))
			d.store(func(b *raftboltdb.BoltStore) error { return b.StoreLog(&l) })
			return nil
		}, fsm.ErrCorrupt},
		{"a configuration that is none", func(d *keeperDir, _ *script) error {
			d.store(func(b *raftboltdb.BoltStore) error {
				return b.StoreLog(&raft.Log{Index: 8, Term: 1, Type: raft.LogConfiguration, Data: []byte{0xc1}})
			})
			return nil
		}, ErrDirectory},
		{"an identity that is none", func(d *keeperDir, _ *script) error {
			return os.WriteFile(filepath.Join(d.path, identityFile), []byte("{"), 0o600)
		}, ErrDirectory},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := puts(t, 5)
			d := newKeeperDir(t, "a", s.logs)
			if err := c.make(d, s); err != nil {
				t.Fatal(err)
			}
			if _, err := ReadRaftLog(d.path); !errors.Is(err, c.want) || !errors.Is(err, ErrDirectory) {
				t.Errorf("error %v, want %v", err, c.want)
			}
		})
	}
}

func TestReadRaftLogRunning(t *testing.T) {
	d := newKeeperDir(t, "a", puts(t, 1).logs)
	d.store(func(*raftboltdb.BoltStore) error {
		if _, err := ReadRaftLog(d.path); !errors.Is(err, ErrRunning) {
			t.Errorf("error %v, want %v", err, ErrRunning)
		}
		return nil
	})
}

func TestReadSnapshotsDamaged(t *testing.T) {
	for _, c := range []struct {
		name  string
		spoil func(dir string) error
	}{
		{"state", func(dir string) error { damage(t, filepath.Join(dir, "state.bin")); return nil }},
		{"no state", func(dir string) error { return os.Remove(filepath.Join(dir, "state.bin")) }},
		{"no meta", func(dir string) error { return os.Remove(filepath.Join(dir, "meta.json")) }},
		{"meta is no JSON", func(dir string) error { return os.WriteFile(filepath.Join(dir, "meta.json"), []byte("{"), 0o600) }},
		{"another checksum", func(dir string) error {
			return os.WriteFile(filepath.Join(dir, "meta.json"), []byte(`{"Version":1,"Index":6,"Term":1,"CRC":"AAAA"}`), 0o600)
		}},
		{"more than the state", func(dir string) error {
			f, err := os.OpenFile(filepath.Join(dir, "state.bin"), os.O_APPEND|os.O_WRONLY, 0)
			if err == nil {
				_, err = f.WriteString("x")
			}
			return errors.Join(err, f.Close())
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := puts(t, 5)
			d := newKeeperDir(t, "a", s.logs)
			d.snapshot(4, 1, s.state(4), "a")
			if err := c.spoil(d.snapshot(6, 1, s.state(6), "a")); err != nil {
				t.Fatal(err)
			}
			if err := os.Mkdir(filepath.Join(d.path, snapshotsDir, "1-7-1.tmp"), 0o700); err != nil {
				t.Fatal(err)
			}
			l := d.read()
			if len(l.Damaged) != 1 || len(l.Snapshots) != 1 || l.Snapshots[0].Index != 4 {
				t.Errorf("damaged %q, whole %d", l.Damaged, len(l.Snapshots))
			}
		})
	}
}

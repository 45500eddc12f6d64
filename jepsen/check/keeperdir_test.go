package check

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/hashicorp/raft"
	raftboltdb "github.com/hashicorp/raft-boltdb/v2"

	"github.com/zerokeeper/zero/fsm"
)

// script is a Raft log being written: entry i has index i+1, unless it was begun further on.
type script struct {
	t    testing.TB
	logs []raft.Log
	next uint64
	term uint64
}

func newScript(t testing.TB) *script { return &script{t: t, next: 1, term: 1} }

// fork is a copy that goes on by itself after that index, in another term.
func (s *script) fork(after, term uint64) *script {
	f := &script{t: s.t, next: after + 1, term: term}
	for _, l := range s.logs {
		if l.Index <= after {
			f.logs = append(f.logs, l)
		}
	}
	return f
}

func (s *script) add(kind raft.LogType, data []byte) uint64 {
	s.logs = append(s.logs, raft.Log{Index: s.next, Term: s.term, Type: kind, Data: data})
	s.next++
	return s.next - 1
}

// config makes these members voters; one with a - in front is a non-voter.
func (s *script) config(members ...string) uint64 {
	return s.add(raft.LogConfiguration, raft.EncodeConfiguration(configuration(members...)))
}

func configuration(members ...string) raft.Configuration {
	var c raft.Configuration
	for _, m := range members {
		server := raft.Server{Suffrage: raft.Voter, ID: raft.ServerID(m), Address: raft.ServerAddress("127.0.0.1:1")}
		if m[0] == '-' {
			server.Suffrage, server.ID = raft.Nonvoter, raft.ServerID(m[1:])
		}
		c.Servers = append(c.Servers, server)
	}
	return c
}

// put writes section k of id i.
func (s *script) put(session string, seq uint64, value string) uint64 {
	return s.command(fsm.Header{Session: session, Seq: seq}, &fsm.PutSection{ID: "i", Section: "k", Data: []byte(value)})
}

func (s *script) command(h fsm.Header, c fsm.Command) uint64 {
	s.t.Helper()
	h.Time = int64(s.next) * 1e9
	entry, err := fsm.Encode(h, c)
	if err != nil {
		s.t.Fatal(err)
	}
	return s.add(raft.LogCommand, entry)
}

// state is the state after that index.
func (s *script) state(index uint64) *fsm.State {
	s.t.Helper()
	m := fsm.New()
	for _, l := range s.logs {
		if l.Index > index || l.Type != raft.LogCommand {
			continue
		}
		if _, err := m.Apply(l.Index, l.Term, l.Data); err != nil {
			s.t.Fatal(err)
		}
	}
	return m.State()
}

// keeperDir is the data directory of a keeper that was stopped.
type keeperDir struct {
	t    testing.TB
	path string
}

// newKeeperDir makes one that has these entries.
func newKeeperDir(t testing.TB, member string, logs []raft.Log) *keeperDir {
	t.Helper()
	d := &keeperDir{t: t, path: filepath.Join(t.TempDir(), member)}
	if err := os.Mkdir(d.path, 0o700); err != nil {
		t.Fatal(err)
	}
	identity := fmt.Sprintf(`{"formatVersion":1,"memberId":%q,"name":"k"}`, member)
	if err := os.WriteFile(filepath.Join(d.path, identityFile), []byte(identity), 0o600); err != nil {
		t.Fatal(err)
	}
	d.store(func(s *raftboltdb.BoltStore) error {
		list := make([]*raft.Log, 0, len(logs))
		term := uint64(0)
		for i := range logs {
			list = append(list, &logs[i])
			term = logs[i].Term
		}
		if err := s.SetUint64([]byte("CurrentTerm"), term); err != nil {
			return err
		}
		return s.StoreLogs(list)
	})
	return d
}

// store changes raft.db.
func (d *keeperDir) store(f func(*raftboltdb.BoltStore) error) {
	d.t.Helper()
	s, err := raftboltdb.New(raftboltdb.Options{Path: filepath.Join(d.path, raftFile), NoSync: true})
	if err != nil {
		d.t.Fatal(err)
	}
	if err := f(s); err != nil {
		d.t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		d.t.Fatal(err)
	}
}

// forget deletes the entries up to an index, as compaction does.
func (d *keeperDir) forget(upTo uint64) {
	d.t.Helper()
	d.store(func(s *raftboltdb.BoltStore) error { return s.DeleteRange(1, upTo) })
}

// snapshot writes one with raft's own store.
func (d *keeperDir) snapshot(index, term uint64, state *fsm.State, members ...string) string {
	d.t.Helper()
	store, err := raft.NewFileSnapshotStore(d.path, 9, io.Discard)
	if err != nil {
		d.t.Fatal(err)
	}
	_, transport := raft.NewInmemTransport("127.0.0.1:1")
	sink, err := store.Create(1, index, term, configuration(members...), 1, transport)
	if err != nil {
		d.t.Fatal(err)
	}
	if _, err := state.WriteTo(sink); err != nil {
		d.t.Fatal(err)
	}
	if err := sink.Close(); err != nil {
		d.t.Fatal(err)
	}
	return filepath.Join(d.path, snapshotsDir, sink.ID())
}

func (d *keeperDir) read() *RaftLog {
	d.t.Helper()
	l, err := ReadRaftLog(d.path)
	if err != nil {
		d.t.Fatal(err)
	}
	return l
}

// logOf is the log of a script, as read from a directory.
func logOf(t testing.TB, member string, s *script) *RaftLog {
	t.Helper()
	return newKeeperDir(t, member, s.logs).read()
}

// damage changes a byte in the middle of a file.
func damage(t testing.TB, path string) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	data[len(data)/2] ^= 1
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

// tree is every file below a directory with its content.
func tree(t testing.TB, root string) map[string]string {
	t.Helper()
	files := make(map[string]string)
	err := filepath.WalkDir(root, func(path string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		var data []byte
		if !d.IsDir() {
			if data, err = os.ReadFile(path); err != nil {
				return err
			}
		}
		files[path] = info.ModTime().String() + string(data)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// flip returns data with a bit of needle's first byte changed.
func flip(t testing.TB, data, needle []byte) []byte {
	t.Helper()
	i := bytes.Index(data, needle)
	if i < 0 {
		t.Fatal("nothing to damage")
	}
	out := bytes.Clone(data)
	out[i] ^= 1
	return out
}

package check

import (
	"errors"
	"testing"

	"github.com/hashicorp/raft"

	"github.com/zerokeeper/zero/fsm"
)

// memory is a storage as a simulation has it.
type memory struct {
	*raft.InmemStore
	*raft.InmemSnapshotStore
	identity []byte
	err      error
}

func (m *memory) ReadIdentity() ([]byte, error) { return m.identity, m.err }

func newMemory(t *testing.T, member string, s *script) *memory {
	t.Helper()
	m := &memory{InmemStore: raft.NewInmemStore(), InmemSnapshotStore: raft.NewInmemSnapshotStore(), identity: []byte(`{"memberId":"` + member + `"}`)}
	for i := range s.logs {
		if err := m.StoreLog(&s.logs[i]); err != nil {
			t.Fatal(err)
		}
	}
	return m
}

func (m *memory) snapshot(t *testing.T, index uint64, state *fsm.State) {
	t.Helper()
	_, transport := raft.NewInmemTransport("127.0.0.1:1")
	sink, err := m.Create(1, index, 1, configuration("a", "b"), 1, transport)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := state.WriteTo(sink); err != nil {
		t.Fatal(err)
	}
	if err := sink.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestReadStorage(t *testing.T) {
	s := puts(t, 5)
	a, b := newMemory(t, "a", s), newMemory(t, "b", s)
	b.snapshot(t, 6, s.state(6))
	if err := b.DeleteRange(1, 5); err != nil {
		t.Fatal(err)
	}
	var logs []*RaftLog
	for name, m := range map[string]*memory{"a": a, "b": b} {
		l, err := ReadStorage(name, m)
		if err != nil {
			t.Fatal(err)
		}
		if l.Member != name {
			t.Errorf("member %q of %s", l.Member, name)
		}
		logs = append(logs, l)
	}
	wantOK(t, SameStates(logs...))
	m, err := Merge(append(logs, logOf(t, "c", s))...)
	if err != nil || len(m.Entries) != 7 {
		t.Errorf("merged %v", err)
	}

	b.snapshot(t, 6, s.state(5))
	l, err := ReadStorage("b", b)
	if err != nil {
		t.Fatal(err)
	}
	wantProblem(t, SameStates(logOf(t, "a", s), l), "has hash")

	a.err = errors.New("gone")
	if _, err := ReadStorage("a", a); !errors.Is(err, a.err) || !errors.Is(err, ErrDirectory) {
		t.Errorf("error %v", err)
	}
}

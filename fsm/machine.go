package fsm

import (
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/hashicorp/go-memdb"
)

// Machine holds the state. Apply, Restore and Snapshot are called by one
// goroutine at a time (raft's); State by any.
type Machine struct {
	mu    sync.Mutex
	db    *memdb.MemDB
	state atomic.Pointer[State]
}

// New is an empty machine.
func New() *Machine {
	m := &Machine{db: newDB()}
	m.publish(0, 0)
	return m
}

// State is the state after the last command: immutable, O(1).
func (m *Machine) State() *State { return m.state.Load() }

func (m *Machine) publish(index, term uint64) {
	m.state.Store(&State{db: m.db.Snapshot(), index: index, term: term})
}

// Apply applies one log entry, raft's index and term of it given. An error
// means that this node must halt: its state could only differ from the others'
// if it went on. What a command refuses is in the Result.
func (m *Machine) Apply(index, term uint64, entry []byte) (Result, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if last := m.State().index; index <= last {
		return Result{}, fmt.Errorf("apply entry %d: the state is at %d already", index, last)
	}
	h, c, err := Decode(entry)
	if err != nil {
		return Result{}, fmt.Errorf("apply entry %d: %w", index, err)
	}
	t := &txn{Txn: m.db.Txn(true), db: m.db, header: h, index: index, term: term}
	defer func() { t.Abort() }()
	result := Result{Index: index}
	if c != nil { // an unknown command that may be ignored only moves the index
		result = t.run(c)
	}
	if t.err != nil {
		return Result{}, fmt.Errorf("apply entry %d: %w", index, t.err)
	}
	t.Commit()
	m.publish(index, term)
	return result, nil
}

// run applies c once, whatever the number of entries that carry it.
func (t *txn) run(c Command) Result {
	session, reply, refusal := t.openSession()
	if reply != nil {
		return reply.result()
	}
	result := Result{Index: t.index}
	switch {
	case refusal != nil:
		// The session itself refuses: nothing to remember.
		return Result{Index: t.index, Code: refusal.Code, Msg: refusal.Msg}
	case t.header.Term != 0 && t.header.Term != t.term:
		refusal = refuse(CodeStaleGeneration, "decided by the leader of term %d, but this is term %d", t.header.Term, t.term)
	default:
		result.Data, refusal = t.attempt(c)
	}
	if refusal != nil {
		result = Result{Index: t.index, Code: refusal.Code, Msg: refusal.Msg}
	}
	t.remember(session, result)
	return result
}

// attempt runs the command; what a refused one wrote is dropped.
func (t *txn) attempt(c Command) ([]byte, *Refusal) {
	data, refusal := c.apply(t)
	if refusal != nil {
		t.Abort()
		t.Txn = t.db.Txn(true)
		return nil, refusal
	}
	return data, nil
}

func refuse(code uint16, format string, args ...any) *Refusal {
	return &Refusal{Code: code, Msg: fmt.Sprintf(format, args...)}
}

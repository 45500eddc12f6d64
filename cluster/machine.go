package cluster

import (
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"

	"github.com/hashicorp/raft"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/zerokeeper/zero/fsm"
)

// Machine is the state machine. Apply and Restore are called by one goroutine
// at a time, State by any.
type Machine interface {
	// Apply applies an entry. An error means that this node must stop.
	Apply(index, term uint64, entry []byte) (fsm.Result, error)
	// State is the immutable state after the last command.
	State() *fsm.State
	// Restore replaces the state by a snapshot's, or leaves it as it was.
	Restore(r io.Reader) error
}

// ErrHalted is the base of what [Node.Fatal] reports when the state machine
// cannot apply an entry.
var ErrHalted = errors.New("the state machine halted: this keeper must stop")

// outcome is what raft's future of a proposal carries back.
type outcome struct {
	result fsm.Result
	term   uint64 // of the entry
	err    error  // the machine halted at it or before
}

// applier is raft's FSM over a Machine. It stops at the first entry that the
// machine cannot apply, and tells waiters what was applied.
type applier struct {
	machine Machine
	halt    func(error)
	size    prometheus.Gauge // bytes of the last snapshot
	same    *sameState       // nil offline: nobody to compare with
	halted  atomic.Pointer[error]
	index   atomic.Uint64 // of the last command applied

	mu      sync.Mutex
	changed chan struct{} // closed and replaced by every batch; nil while nobody waits
}

var _ raft.BatchingFSM = (*applier)(nil)

// Apply is a batch of one.
func (a *applier) Apply(log *raft.Log) any { return a.ApplyBatch([]*raft.Log{log})[0] }

// ApplyBatch applies committed entries in order and wakes the waiters once.
func (a *applier) ApplyBatch(logs []*raft.Log) []any {
	out := make([]any, len(logs))
	for i, l := range logs {
		if l.Type != raft.LogCommand {
			continue
		}
		out[i] = a.apply(l)
	}
	a.notify()
	return out
}

func (a *applier) apply(l *raft.Log) outcome {
	if err := a.halted.Load(); err != nil {
		return outcome{err: *err}
	}
	result, err := a.machine.Apply(l.Index, l.Term, l.Data)
	if err != nil {
		err = fmt.Errorf("%w: entry %d of term %d: %w", ErrHalted, l.Index, l.Term, err)
		a.halted.Store(&err)
		a.halt(err)
		return outcome{err: err}
	}
	a.index.Store(l.Index)
	if result.Code == 0 {
		a.same.applied(l.Index, l.Data, a.machine.State())
	}
	return outcome{result: result, term: l.Term}
}

// Snapshot keeps the state as it is now; Persist writes it.
func (a *applier) Snapshot() (raft.FSMSnapshot, error) {
	if err := a.halted.Load(); err != nil {
		return nil, *err // raft's index is past what was applied
	}
	return &snapshot{state: a.machine.State(), size: a.size}, nil
}

// Restore replaces the state when the whole snapshot is good. On an error raft
// tries an older one at the start, and is sent it again later.
func (a *applier) Restore(r io.ReadCloser) error {
	if err := a.halted.Load(); err != nil {
		return *err
	}
	if err := a.machine.Restore(r); err != nil {
		return fmt.Errorf("restore snapshot: %w", err)
	}
	a.index.Store(a.machine.State().Index())
	a.same.restored()
	a.notify()
	return nil
}

// wait returns a channel that the next change closes.
func (a *applier) wait() <-chan struct{} {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.changed == nil {
		a.changed = make(chan struct{})
	}
	return a.changed
}

func (a *applier) notify() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.changed != nil {
		close(a.changed)
		a.changed = nil
	}
}

// snapshot is one immutable state on its way to disk.
type snapshot struct {
	state *fsm.State
	size  prometheus.Gauge
}

// Persist writes the snapshot while Apply goes on.
func (s *snapshot) Persist(sink raft.SnapshotSink) error {
	n, err := s.state.WriteTo(sink)
	if err != nil {
		return gaveUp(fmt.Errorf("write snapshot: %w", err), sink)
	}
	if err := sink.Close(); err != nil {
		return fmt.Errorf("finish snapshot: %w", err)
	}
	s.size.Set(float64(n))
	return nil
}

// gaveUp cancels a snapshot that cannot be written. The error is one line: it
// goes into raft's log.
func gaveUp(err error, sink raft.SnapshotSink) error {
	if cancelErr := sink.Cancel(); cancelErr != nil {
		return fmt.Errorf("%w; and it cannot be cleared away: %w", err, cancelErr)
	}
	return err
}

// Release has nothing to give back.
func (*snapshot) Release() {}

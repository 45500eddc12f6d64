package cluster

import (
	"errors"
	"fmt"
	"runtime/debug"
	"time"

	"github.com/hashicorp/raft"

	"github.com/zerokeeper/zero/fsm"
)

// errNonsense: an entry is stored as it was received, but cannot be read.
var errNonsense = errors.New("an entry holds nonsense")

// scanResult is what a look at everything that a data directory holds found.
type scanResult struct {
	First, Last uint64 // entries of the log; 0 when there are none
	Entries     int
	Bytes       int64
	LastTerm    uint64
	Term        uint64             // stable: the current term
	VoteTerm    uint64             // stable: of the last vote
	Vote        string             // stable: for whom it was
	Snapshot    *raft.SnapshotMeta // the newest that is whole, nil without one
	State       *fsm.State         // of that snapshot, nil without one
	Took        time.Duration
}

// scan reads every entry, the newest snapshot and the stable values before raft
// does, and returns an error when one of them is damaged or they do not fit
// together. clusterID is what the identity says, empty when it does not know.
// Entries above the commit index count like all others: this member may be the
// one whose copy made a majority.
func scan(s *sealed, snapshots *snapshotFiles, clusterID string) (r scanResult, err error) {
	start := time.Now()
	defer func() { r.Took = time.Since(start) }()
	if r.Snapshot, r.State, err = snapshots.newest(); err != nil {
		return r, err
	}
	if r.State != nil && clusterID != "" && r.State.ClusterID() != "" && r.State.ClusterID() != clusterID {
		return r, fmt.Errorf("%w: the directory is of cluster %s, its snapshot %s of cluster %s. %s", ErrForeign, clusterID, r.Snapshot.ID, r.State.ClusterID(), rejoinHint)
	}
	if err := scanEntries(s, &r); err != nil {
		return r, fmt.Errorf("%w: %s: %w", ErrDamaged, raftFile, err)
	}
	if err := scanValues(s, &r); err != nil {
		return r, fmt.Errorf("%w: %s: %w. %s", ErrDamaged, raftFile, err, rejoinHint)
	}
	return r, nil
}

// scanEntries reads the log and holds it against the newest snapshot.
func scanEntries(s *sealed, r *scanResult) error {
	l := s.get()
	var at uint64
	if r.Snapshot != nil {
		at = r.Snapshot.Index
	}
	if at < l.first-1 {
		return fmt.Errorf("entries up to %d are only in a snapshot, but the newest one that can be used is of entry %d: look into %s. %s", l.first-1, at, snapshotsDir, rejoinHint)
	}
	if l.first > l.last {
		return nil
	}
	r.First, r.Last = l.first, l.last
	for i := l.first; i <= l.last; i++ {
		var e raft.Log
		if err := s.GetLog(i, &e); err != nil {
			return fmt.Errorf("entry %d of %d to %d: %w. %s", i, l.first, l.last, err, rejoinHint)
		}
		if e.Term < max(r.LastTerm, 1) {
			return fmt.Errorf("entry %d is of term %d, after one of term %d. %s", i, e.Term, r.LastTerm, rejoinHint)
		}
		if i == at && e.Term != r.Snapshot.Term {
			return fmt.Errorf("entry %d is of term %d, in snapshot %s of term %d. %s", i, e.Term, r.Snapshot.ID, r.Snapshot.Term, rejoinHint)
		}
		if err := checkEntry(&e); err != nil {
			return err
		}
		r.LastTerm, r.Entries, r.Bytes = e.Term, r.Entries+1, r.Bytes+int64(len(e.Data))
	}
	return nil
}

// checkEntry looks at what an entry holds. Its seal was right, so this is how it
// was written. A command of a later version is left to the state machine.
func checkEntry(e *raft.Log) error {
	var err error
	switch e.Type {
	case raft.LogNoop, raft.LogBarrier:
	case raft.LogConfiguration:
		_, err = decodeConfiguration(e.Data)
	case raft.LogCommand:
		if _, _, err = fsm.Decode(e.Data); errors.Is(err, fsm.ErrUnknownCommand) {
			err = nil
		}
	default:
		err = fmt.Errorf("of unknown kind %d", e.Type)
	}
	if err != nil {
		return fmt.Errorf("%w: entry %d (term %d) is stored as it was received: %w. If every keeper of the group stops at it, run zerokeeper recover --skip %d on each. If only this one does: %s", errNonsense, e.Index, e.Term, err, e.Index, rejoinHint)
	}
	return nil
}

// decodeConfiguration is raft's, which panics on what it cannot read.
func decodeConfiguration(data []byte) (c raft.Configuration, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("no configuration: %v", p)
		}
	}()
	return raft.DecodeConfiguration(data), nil
}

// scanValues holds term and vote against the log. That one of them is too high
// cannot be told; the ledger's checksum is what shows a flipped bit.
func scanValues(s *sealed, r *scanResult) error {
	var err error
	if r.Term, err = optional(s.GetUint64([]byte("CurrentTerm"))); err != nil {
		return fmt.Errorf("current term: %w", err)
	}
	if r.VoteTerm, err = optional(s.GetUint64([]byte("LastVoteTerm"))); err != nil {
		return fmt.Errorf("term of the last vote: %w", err)
	}
	vote, err := optional(s.Get([]byte("LastVoteCand")))
	if err != nil {
		return fmt.Errorf("last vote: %w", err)
	}
	r.Vote = string(vote)
	least := r.LastTerm
	if r.Snapshot != nil {
		least = max(least, r.Snapshot.Term)
	}
	switch {
	case r.Term < least:
		return fmt.Errorf("the current term is %d, but the log and the snapshots have term %d", r.Term, least)
	case r.VoteTerm > r.Term:
		return fmt.Errorf("the last vote was in term %d, but the current term is %d", r.VoteTerm, r.Term)
	}
	return nil
}

// optional takes what was never stored for the zero value.
func optional[T any](v T, err error) (T, error) {
	if err != nil && err.Error() == "not found" {
		return v, nil
	}
	return v, err
}

// faultless runs f on this goroutine and turns its panics into ErrDamaged, also
// the faults of reading a mapped file beyond its end.
func faultless(path string, f func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%w: %s: %v. %s", ErrDamaged, path, p, rejoinHint)
		}
	}()
	return f()
}

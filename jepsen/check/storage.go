package check

import (
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/hashicorp/raft"

	"github.com/zerokeeper/zero/fsm"
)

// Storage is what a simulated keeper keeps instead of a data directory (package cluster's Storage).
type Storage interface {
	logReader
	List() ([]*raft.SnapshotMeta, error)
	Open(id string) (*raft.SnapshotMeta, io.ReadCloser, error)
	ReadIdentity() ([]byte, error) // nil before the first start
}

// ReadStorage is ReadRaftLog for a keeper that is stopped and had a storage. name is for people.
func ReadStorage(name string, s Storage) (*RaftLog, error) {
	l := &RaftLog{Name: name}
	identity, err := s.ReadIdentity()
	if err != nil {
		return nil, fmt.Errorf("%w: %s: identity: %w", ErrDirectory, name, err)
	}
	if identity != nil {
		if l.Member, err = decodeMember(identity); err != nil {
			return nil, err
		}
	}
	list, err := s.List()
	if err != nil {
		return nil, fmt.Errorf("%w: %s: snapshots: %w", ErrDirectory, name, err)
	}
	for _, meta := range list {
		snapshot, err := openSnapshot(s, meta.ID)
		if err != nil {
			l.Damaged = append(l.Damaged, fmt.Sprintf("%s: %v", meta.ID, err))
			continue
		}
		l.Snapshots = append(l.Snapshots, snapshot)
	}
	slices.SortFunc(l.Snapshots, bySnapshotIndex)
	if err := l.load(s, name); err != nil {
		return nil, err
	}
	if err := l.settle(); err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrDirectory, name, err)
	}
	return l, nil
}

func openSnapshot(s Storage, id string) (snapshot Snapshot, err error) {
	meta, r, err := s.Open(id)
	if err != nil {
		return Snapshot{}, err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	state, err := fsm.ReadSnapshot(r)
	if err != nil {
		return Snapshot{}, err
	}
	return newSnapshot(meta, state), nil
}

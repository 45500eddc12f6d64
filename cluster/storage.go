package cluster

import (
	"encoding/json"
	"fmt"

	"github.com/hashicorp/raft"
)

// Storage stands in for a data directory: a simulation keeps there what
// survives a crash. What a call has stored must be durable when it returns; the
// node treats its errors as it treats a disk's.
//
// What is not there is raft.ErrLogNotFound, or an error whose text is "not
// found", as raft wants it.
type Storage interface {
	raft.LogStore
	raft.StableStore
	raft.SnapshotStore
	// ReadIdentity is what WriteIdentity last wrote, nil before the first time.
	ReadIdentity() ([]byte, error)
	// WriteIdentity replaces the identity as a whole. It is called with a lock
	// held and must not wait for other calls of the node.
	WriteIdentity(data []byte) error
	// Close is called once, when the node has ended.
	Close() error
}

// openStorage checks a Storage as openStores does a directory, and counts this
// start in its identity.
func openStorage(cfg Config) (*stores, error) {
	s := cfg.Storage
	used, err := raft.HasExistingState(s, s, s)
	if err != nil {
		return nil, fmt.Errorf("open storage: %w", err)
	}
	data, err := s.ReadIdentity()
	if err != nil {
		return nil, fmt.Errorf("open storage: read identity: %w", err)
	}
	var known *identity
	if data != nil {
		id, err := decodeIdentity(data)
		if err != nil {
			return nil, fmt.Errorf("%w: identity in the storage: %w", ErrDamaged, err)
		}
		known = &id
	}
	id, err := identityFor(cfg.Name, "the storage", known, used)
	if err != nil {
		return nil, err
	}
	if id, err = id.started(); err != nil {
		return nil, fmt.Errorf("%w: identity in the storage: %w", ErrDamaged, err)
	}
	if err := storeIdentity(s, id); err != nil {
		return nil, err
	}
	return &stores{log: s, snapshots: s, identity: &holder{storage: s, id: id}, close: s.Close}, nil
}

func storeIdentity(s Storage, id identity) error {
	data, err := json.Marshal(id)
	if err == nil {
		err = s.WriteIdentity(data)
	}
	if err != nil {
		return fmt.Errorf("write identity: %w", err)
	}
	return nil
}

// Abort stops the node at once, without handing leadership over, as a crash
// would, and waits for it at most ten seconds. After it Close does nothing.
func (n *Node) Abort() error { return n.kill() }

package cluster

import (
	"io"
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

const (
	// maxRetained is how many entries more than TrailingLogs are kept for
	// followers that are being sent a snapshot.
	maxRetained = 1 << 20
	// catchUpTime is how long the entries after a snapshot are kept when it has
	// arrived, beside the time that it took.
	catchUpTime = 10 * time.Second
)

// retained keeps the entries that a follower needs after the snapshot that it
// is being sent. raft deletes them when it takes the next snapshot: a follower
// to which sending takes longer than TrailingLogs entries come would be sent
// one snapshot after another, and never have caught up.
type retained struct {
	raft.LogStore

	mu     sync.Mutex
	floors map[raft.ServerID]floor
}

// floor is up to where entries are not needed after a snapshot: the last one
// that it holds is the one before the first that follows.
type floor struct {
	index uint64
	until time.Time // zero while it is sent
}

// DeleteRange deletes entries, but none that a follower still needs. What is
// left is deleted with the next snapshot.
func (r *retained) DeleteRange(first, last uint64) error {
	last = r.limit(last, time.Now())
	if last < first {
		return nil
	}
	return r.LogStore.DeleteRange(first, last)
}

// limit is up to where entries may be deleted.
func (r *retained) limit(last uint64, now time.Time) uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	limit := last
	for id, f := range r.floors {
		switch {
		case !f.until.IsZero() && now.After(f.until):
			delete(r.floors, id)
		case f.index+maxRetained >= last:
			limit = min(limit, f.index)
		}
	}
	return limit
}

// sending notes that a snapshot up to index is on its way; the returned function
// that it was sent or not.
func (r *retained) sending(id raft.ServerID, index uint64) (done func(error)) {
	start := time.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.floors == nil {
		r.floors = make(map[raft.ServerID]floor)
	}
	index--
	r.floors[id] = floor{index: index}
	return func(err error) {
		r.mu.Lock()
		defer r.mu.Unlock()
		if err != nil {
			delete(r.floors, id)
			return
		}
		r.floors[id] = floor{index: index, until: time.Now().Add(time.Since(start) + catchUpTime)}
	}
}

// InstallSnapshot sends a snapshot, and keeps what comes after it until the
// follower can have read that too.
func (t raftTransport) InstallSnapshot(id raft.ServerID, target raft.ServerAddress, args *raft.InstallSnapshotRequest, resp *raft.InstallSnapshotResponse, data io.Reader) error {
	done := t.retained.sending(id, args.LastLogIndex)
	err := t.NetworkTransport.InstallSnapshot(id, target, args, resp, data)
	done(err)
	return err
}

package cluster

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"

	"github.com/zerokeeper/zero/fsm"
)

// Every so often the leader has a MarkState committed. Each keeper keeps the
// immutable state of exactly that entry and hashes it beside Apply. As soon as
// most voters have the same hash the leader has a CompareState committed, and
// every keeper, voter or not, compares its own: one that differs stops, the
// leader too. Less than a majority never stops anybody.

const (
	keptMarks   = 2                      // states that wait for their hash or for the comparison
	markLook    = 250 * time.Millisecond // between looks at whether it is time for a mark
	comparePoll = 50 * time.Millisecond  // between rounds of questions; grows to ten times this
)

// entryKind is the head of every entry of one type: fsm's envelope begins with
// its format and type.
func entryKind(c fsm.Command) []byte {
	entry, err := fsm.Encode(fsm.Header{}, c)
	if err != nil {
		panic("cluster: " + err.Error()) // a constant command
	}
	return entry[:3]
}

var markKind, compareKind = entryKind(&fsm.MarkState{}), entryKind(&fsm.CompareState{})

// mark is the state at one MarkState.
type mark struct {
	index uint64
	state *fsm.State        // nil once it is hashed
	hash  string            // hex, empty until then
	want  *fsm.CompareState // what most keepers have, once that is known
}

// sameState is this keeper's part of the comparison. applied and restored are
// called by raft's goroutine and never wait for a hash.
type sameState struct {
	hash func(*fsm.State) [sha256.Size]byte
	log  hclog.Logger

	changed atomic.Uint64 // commands applied since the last mark, marks and comparisons not counted
	work    chan struct{} // there is something to hash or to compare

	mu    sync.Mutex
	marks []*mark // the newest, in the order of their indexes
}

func newSameState(log hclog.Logger) *sameState {
	return &sameState{hash: (*fsm.State).Hash, log: log, work: make(chan struct{}, 1)}
}

// applied notes a command that was applied and not refused; state is the one
// right after it.
func (s *sameState) applied(index uint64, entry []byte, state *fsm.State) {
	if s == nil {
		return
	}
	switch {
	case bytes.HasPrefix(entry, markKind):
		s.mu.Lock()
		defer s.mu.Unlock()
		s.changed.Store(0)
		s.marks = append(s.marks, &mark{index: index, state: state})
		s.marks = slices.Delete(s.marks, 0, max(len(s.marks)-keptMarks, 0))
	case bytes.HasPrefix(entry, compareKind):
		_, c, err := fsm.Decode(entry)
		want, ok := c.(*fsm.CompareState)
		if err != nil || !ok {
			return // the machine just read the same bytes
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		i := slices.IndexFunc(s.marks, func(m *mark) bool { return m.index == want.Index })
		if i < 0 {
			return // restarted or restored since: nothing to compare
		}
		s.marks[i].want = want
	default:
		s.changed.Add(1)
		return
	}
	select {
	case s.work <- struct{}{}:
	default:
	}
}

// restored forgets the marks: the state is another keeper's now.
func (s *sameState) restored() {
	if s == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.marks = nil
	s.changed.Add(1)
}

// next is the oldest mark without a hash.
func (s *sameState) next() *mark {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, m := range s.marks {
		if m.hash == "" {
			return m
		}
	}
	return nil
}

// hashAll makes the hashes that are missing, one after another.
func (s *sameState) hashAll() {
	for m := s.next(); m != nil; m = s.next() {
		start := time.Now()
		sum := s.hash(m.state)
		s.log.Debug("state hashed", "index", m.index, "hash", hex.EncodeToString(sum[:8]), "took", time.Since(start))
		s.mu.Lock()
		m.hash, m.state = hex.EncodeToString(sum[:]), nil
		s.mu.Unlock()
	}
}

// difference takes off the marks that were compared, and is one whose hash is
// not what most keepers have; nil when there is none.
func (s *sameState) difference() *mark {
	s.mu.Lock()
	defer s.mu.Unlock()
	var differs *mark
	s.marks = slices.DeleteFunc(s.marks, func(m *mark) bool {
		if m.want == nil || m.hash == "" {
			return false
		}
		same := m.hash == hex.EncodeToString(m.want.Hash)
		if !same && differs == nil {
			differs = m
		}
		return same
	})
	return differs
}

// newest is the newest mark with a hash; empty and 0 when there is none.
func (s *sameState) newest() (hash string, index uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, m := range slices.Backward(s.marks) {
		if m.hash != "" {
			return m.hash, m.index
		}
	}
	return "", 0
}

// sameLoop hashes and compares beside Apply, and ends the node when its state
// is not what most keepers have.
func (n *Node) sameLoop(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-n.same.work:
		}
		n.same.hashAll()
		if m := n.same.difference(); m != nil {
			n.condemn(ErrDiverged, fmt.Sprintf("at entry %d its state has the hash %.16s, that of %d of %d voters is %s",
				m.index, m.hash, m.want.Agreed, m.want.Asked, hex.EncodeToString(m.want.Hash[:8])))
			return
		}
	}
}

// compareDuty is the leader's part: a mark after CompareEvery commands, or
// CompareInterval after the last when anything changed.
func (n *Node) compareDuty(ctx context.Context, term uint64) error {
	last := time.Now()
	undecided := false
	for ctx.Err() == nil {
		sleep(ctx, min(markLook, n.cfg.CompareInterval/4))
		changes := n.same.changed.Load()
		if changes == 0 || (changes < n.cfg.CompareEvery && time.Since(last) < n.cfg.CompareInterval) {
			continue
		}
		last = time.Now()
		result, err := n.ProposeInTerm(ctx, term, fsm.Header{}, &fsm.MarkState{})
		if err == nil {
			err = refused(result)
		}
		if err != nil {
			n.log.Debug("cannot mark the state now", "error", err)
			continue
		}
		undecided = n.compareAt(ctx, term, result.Index, undecided)
	}
	return nil
}

// compareAt finds what most voters have at index and has everybody compare. It
// reports whether no majority agreed; that is logged when it is news.
func (n *Node) compareAt(ctx context.Context, term, index uint64, before bool) (undecided bool) {
	hashes, hash, asked := n.askHashes(ctx, index)
	if ctx.Err() != nil {
		return before
	}
	if hash == "" {
		n.metrics.compared.WithLabelValues("undecided").Inc()
		if !before {
			n.log.Error("no majority of the voters has the same state: compare them with `zeroctl status`, nobody is stopped", "index", index, "voters", asked, "hashes", list(hashes))
		}
		return true
	}
	sum, err := hex.DecodeString(hash)
	if err != nil {
		n.log.Warn("a keeper answers a hash that is none", "hash", hash)
		return true
	}
	agreed := count(hashes, hash)
	if agreed < len(hashes) {
		n.log.Error("a keeper's state differs from that of most: it stops itself", "index", index, "hashes", list(hashes))
	}
	n.metrics.compared.WithLabelValues("agreed").Inc()
	result, err := n.ProposeInTerm(ctx, term, fsm.Header{}, &fsm.CompareState{Index: index, Hash: sum, Agreed: agreed, Asked: asked})
	if err == nil {
		err = refused(result)
	}
	if err != nil && ctx.Err() == nil {
		n.log.Debug("cannot have the states compared now", "index", index, "error", err)
	}
	return false
}

// askHashes asks the voters for their hash of the state at index until a
// majority has the same, which is returned, or all have answered, or the time
// is over.
func (n *Node) askHashes(ctx context.Context, index uint64) (hashes map[raft.ServerID]string, most string, voters int) {
	ctx, cancel := context.WithTimeout(ctx, n.cfg.compareWithin)
	defer cancel()
	hashes = make(map[raft.ServerID]string)
	for poll := comparePoll; ; poll = min(2*poll, 10*comparePoll) {
		var waiting []raft.ServerID
		voters = 0
		for _, s := range n.configuration().Servers {
			if s.Suffrage != raft.Voter {
				continue
			}
			voters++
			if hashes[s.ID] == "" {
				waiting = append(waiting, s.ID)
			}
		}
		n.askEach(ctx, waiting, index, hashes)
		for _, hash := range hashes {
			if count(hashes, hash) > voters/2 {
				return hashes, hash, voters
			}
		}
		if len(hashes) >= voters || ctx.Err() != nil {
			return hashes, "", voters
		}
		sleep(ctx, poll)
	}
}

// askEach asks keepers at once and puts in what they have.
func (n *Node) askEach(ctx context.Context, ids []raft.ServerID, index uint64, hashes map[raft.ServerID]string) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	var mu sync.Mutex
	var asking sync.WaitGroup
	for _, id := range ids {
		asking.Go(func() {
			hash, at := n.same.newest()
			if string(id) != n.ID() {
				status, err := n.statusOf(ctx, id)
				if err != nil || status.MemberID != string(id) || status.ClusterID != n.ClusterID() {
					return
				}
				hash, at = status.MarkHash, status.MarkIndex
			}
			if at == index && hash != "" {
				mu.Lock()
				defer mu.Unlock()
				hashes[id] = hash
			}
		})
	}
	asking.Wait()
}

// count is how many have that hash.
func count(hashes map[raft.ServerID]string, hash string) int {
	sum := 0
	for _, h := range hashes {
		if h == hash {
			sum++
		}
	}
	return sum
}

// list shows hashes by member, for people.
func list(hashes map[raft.ServerID]string) string {
	var parts []string
	for _, id := range slices.Sorted(maps.Keys(hashes)) {
		parts = append(parts, fmt.Sprintf("%s:%.16s", id, hashes[id]))
	}
	return strings.Join(parts, " ")
}

package model

import (
	"hash/maphash"
	"sync"
)

// fingerprint stands for a state. Two of 50 million states share one with a probability below 1 in 10,000.
type fingerprint uint64

// hashSeed is drawn anew by each process, so that a collision does not hide the same state twice.
var hashSeed = maphash.MakeSeed()

func fingerprintOf(s *State) fingerprint {
	return max(fingerprint(maphash.Comparable(hashSeed, *s)), 1) // 0 is an empty slot
}

const (
	shardBits = 6
	numShards = 1 << shardBits
	minSlots  = 1 << 8
)

// visited maps the fingerprint of each state to that of the state from which it was first reached.
type visited struct{ shards [numShards]shard }

// shard is an open hash table with linear probing, filled to two thirds at most.
type shard struct {
	mu    sync.Mutex
	slots []slot
	used  int
	_     [64]byte // a cache line between the locks
}

type slot struct{ state, parent fingerprint }

func newVisited() *visited {
	v := &visited{}
	for i := range v.shards {
		v.shards[i].slots = make([]slot, minSlots)
	}
	return v
}

// shardOf uses the high bits, and the place in a shard the low ones.
func shardOf(f fingerprint) int { return int(f >> (64 - shardBits)) }

// find is the slot of f, or the empty one that it belongs into.
func (s *shard) find(f fingerprint) *slot {
	mask := uint64(len(s.slots) - 1)
	for i := uint64(f) & mask; ; i = (i + 1) & mask {
		if x := &s.slots[i]; x.state == f || x.state == 0 {
			return x
		}
	}
}

// add says whether f is new. The caller holds the lock.
func (s *shard) add(f, parent fingerprint) bool {
	x := s.find(f)
	if x.state != 0 {
		return false
	}
	*x = slot{state: f, parent: parent}
	if s.used++; s.used*3 > len(s.slots)*2 {
		s.grow()
	}
	return true
}

func (s *shard) grow() {
	old := s.slots
	s.slots = make([]slot, 2*len(old))
	for _, x := range old {
		if x.state != 0 {
			*s.find(x.state) = x
		}
	}
}

// states is how many were added.
func (v *visited) states() int {
	n := 0
	for i := range v.shards {
		v.shards[i].mu.Lock()
		n += v.shards[i].used
		v.shards[i].mu.Unlock()
	}
	return n
}

// path is the way to a state, from the one after the initial state. No search may be running.
func (v *visited) path(to fingerprint) []fingerprint {
	var back []fingerprint
	for to != 0 {
		back = append(back, to)
		to = v.shards[shardOf(to)].find(to).parent
	}
	forth := make([]fingerprint, 0, len(back))
	for i := len(back) - 2; i >= 0; i-- { // the last of back is the initial state
		forth = append(forth, back[i])
	}
	return forth
}

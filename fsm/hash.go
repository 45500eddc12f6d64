package fsm

import (
	"crypto/sha256"
)

// Hash is the SHA-256 of the state's canonical form (the body of its snapshot,
// index and term included). At the same index it is the same on every keeper;
// one that differs must stop. It reads the whole state: O(size).
func (s *State) Hash() [sha256.Size]byte {
	h := sha256.New()
	if err := s.writeBody(h); err != nil {
		panic("fsm: hash: " + err.Error()) // a hash takes every write; only a broken schema gets here
	}
	return [sha256.Size]byte(h.Sum(nil))
}

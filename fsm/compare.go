package fsm

import "crypto/sha256"

// MarkState changes nothing: it names a moment. The state after it is the same
// on every keeper, so each makes the hash of that state, and CompareState says
// later what it should be.
type MarkState struct{}

func (*MarkState) commandType() Type { return typeMarkState }

func (*MarkState) apply(*txn) ([]byte, *Refusal) { return nil, nil }

// CompareState tells every keeper the hash that most of them have of the state
// at Index, where a MarkState is. It changes nothing in the state; the keeper
// whose own hash of that state differs must stop (package cluster).
type CompareState struct {
	Index  uint64
	Hash   []byte // SHA-256, 32 bytes
	Agreed int    // how many keepers have it
	Asked  int    // of how many voters
}

func (*CompareState) commandType() Type { return typeCompareState }

func (c *CompareState) apply(t *txn) ([]byte, *Refusal) {
	if c.Index == 0 || c.Index >= t.index || len(c.Hash) != sha256.Size {
		return nil, refuse(CodeBadRequest, "hash of %d bytes of the state at %d, compared at %d", len(c.Hash), c.Index, t.index)
	}
	return nil, nil
}

package fsm

import (
	"strconv"
	"time"
)

// MaxSection bounds the two keys and the data of a section together, in bytes:
// what fits a frame of seed 001, also when a follower passes it on inside
// another.
const MaxSection = 511 << 10

// PutSection stores a datum under its two keys (seed 001, update). Any bytes
// are keys, none at all too. The last write wins, unless the writer says which
// version it wants to replace. The answer's data is the new version, decimal.
type PutSection struct {
	ID      string
	Section string
	Data    []byte
	Compare bool   // refuse with CodeConflict unless the section is at Version
	Version uint64 // 0: there must be none
}

func (*PutSection) commandType() Type { return typePutSection }

func (c *PutSection) apply(t *txn) ([]byte, *Refusal) {
	if size := len(c.ID) + len(c.Section) + len(c.Data); size > MaxSection {
		return nil, refuse(CodeTooLarge, "section of %d bytes, at most %d", size, MaxSection)
	}
	s := &Section{ID: c.ID, Section: c.Section, Data: c.Data, Timestamp: t.header.Time / int64(time.Second), Index: t.index, Version: 1}
	if old := first[Section](t.Txn, tableSections, key(c.ID, c.Section)); old != nil {
		s.Timestamp = max(s.Timestamp, old.Timestamp) // a new leader's clock may be behind
		s.Version = old.Version + 1
	}
	if c.Compare && c.Version != s.Version-1 {
		return nil, refuse(CodeConflict, "section %q of id %q is at version %d, not %d", c.Section, c.ID, s.Version-1, c.Version)
	}
	t.put(tableSections, s)
	return strconv.AppendUint(nil, s.Version, 10), nil
}

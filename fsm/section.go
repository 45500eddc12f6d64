package fsm

import "time"

// MaxSection bounds the two keys and the data of a section together, in bytes:
// what fits a frame of seed 001, also when a follower passes it on inside
// another.
const MaxSection = 511 << 10

// PutSection stores a datum under its two keys (seed 001, update). Any bytes
// are keys, none at all too. The last write wins.
type PutSection struct {
	ID      string
	Section string
	Data    []byte
}

func (*PutSection) commandType() Type { return typePutSection }

func (c *PutSection) apply(t *txn) ([]byte, *Refusal) {
	if size := len(c.ID) + len(c.Section) + len(c.Data); size > MaxSection {
		return nil, refuse(CodeTooLarge, "section of %d bytes, at most %d", size, MaxSection)
	}
	s := &Section{ID: c.ID, Section: c.Section, Data: c.Data, Timestamp: t.header.Time / int64(time.Second), Index: t.index}
	if old := first[Section](t.Txn, tableSections, key(c.ID, c.Section)); old != nil {
		s.Timestamp = max(s.Timestamp, old.Timestamp) // a new leader's clock may be behind
	}
	t.put(tableSections, s)
	return nil, nil
}

package cluster

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"maps"
	"math"
	"slices"
	"sync"

	"github.com/hashicorp/raft"
	raftboltdb "github.com/hashicorp/raft-boltdb/v2"
)

const (
	// ledgerIndex is the key of the ledger among the entries: the last, beside
	// the newest entry, whose page every append rewrites anyway.
	ledgerIndex = math.MaxUint64
	sealTag     = "ZLC1" // before an entry's checksum
	sealSize    = len(sealTag) + 4
)

var (
	castagnoli = crc32.MakeTable(crc32.Castagnoli)

	errSeal   = errors.New("its checksum is wrong")
	errNoSeal = errors.New("it has no checksum: it is damaged, or was written by a version before the first release")
)

// sealed puts checksums round what a log store keeps; bbolt and raft-boltdb have
// none for what they keep. doc.go has the layout.
//
// Every entry carries one over all of its fields. Term, vote and what the log
// must hold stand in one record, the ledger, that is written with every change
// in the same transaction: an entry, a vote or a term cannot vanish or change
// without being noticed when it is read.
type sealed struct {
	inner logStore

	writing sync.Mutex // one change at a time
	mu      sync.RWMutex
	ledger  ledger
}

// ledger is what a log store must hold.
type ledger struct {
	member string // whose it is
	// first and last entry; none when first is last+1. What is before first is
	// in a snapshot. Entries outside are left over from a change that a crash
	// cut short.
	first, last uint64
	values      map[string][]byte // the stable store
}

// openSealed reads the ledger. found is false for a store that is empty.
func openSealed(inner logStore) (s *sealed, found bool, err error) {
	s = &sealed{inner: inner, ledger: ledger{first: 1}}
	var record raft.Log
	switch err := inner.GetLog(ledgerIndex, &record); {
	case errors.Is(err, raft.ErrLogNotFound):
		return s, false, s.mustBeEmpty()
	case err != nil:
		return nil, false, fmt.Errorf("read the ledger: %w", err)
	}
	if s.ledger, err = decodeLedger(record.Data); err != nil {
		return nil, false, fmt.Errorf("read the ledger: %w", err)
	}
	return s, true, nil
}

// mustBeEmpty refuses a store that has lost its ledger, or never had one.
func (s *sealed) mustBeEmpty() error {
	first, err := s.inner.FirstIndex()
	if err != nil {
		return fmt.Errorf("read the first index: %w", err)
	}
	_, err = s.inner.Get([]byte("CurrentTerm"))
	if first != 0 || err == nil {
		return errors.New("it has no ledger: it is damaged, or was written by a version before the first release")
	}
	if err.Error() != raftboltdb.ErrKeyNotFound.Error() {
		return fmt.Errorf("read the term: %w", err)
	}
	return nil
}

// claim makes an empty store the member's.
func (s *sealed) claim(member string) error {
	return s.change(nil, func(l *ledger) { l.member = member })
}

// clean deletes what a crash left outside of the ledger's range.
func (s *sealed) clean() error {
	l := s.get()
	first, err := s.inner.FirstIndex()
	if err != nil {
		return fmt.Errorf("read the first index: %w", err)
	}
	if first < l.first {
		if err := s.inner.DeleteRange(first, l.first-1); err != nil {
			return fmt.Errorf("delete entries: %w", err)
		}
	}
	switch err := s.inner.GetLog(l.last+1, new(raft.Log)); {
	case errors.Is(err, raft.ErrLogNotFound) || l.last+1 == ledgerIndex:
		return nil
	default: // readable or not, it does not count
		if err := s.inner.DeleteRange(l.last+1, ledgerIndex-1); err != nil {
			return fmt.Errorf("delete entries: %w", err)
		}
	}
	return nil
}

func (s *sealed) get() ledger {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.ledger
}

// change stores entries and the changed ledger in one transaction.
func (s *sealed) change(logs []*raft.Log, edit func(*ledger)) error {
	next := s.get()
	next.values = maps.Clone(next.values)
	edit(&next)
	if err := s.inner.StoreLogs(append(logs, &raft.Log{Index: ledgerIndex, Data: next.encode()})); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ledger = next
	return nil
}

// FirstIndex is 0 when there is no entry.
func (s *sealed) FirstIndex() (uint64, error) {
	if l := s.get(); l.first <= l.last {
		return l.first, nil
	}
	return 0, nil
}

// LastIndex is 0 when there is no entry.
func (s *sealed) LastIndex() (uint64, error) {
	if l := s.get(); l.first <= l.last {
		return l.last, nil
	}
	return 0, nil
}

// GetLog reads an entry and checks it.
func (s *sealed) GetLog(index uint64, log *raft.Log) error {
	l := s.get()
	if index < l.first || index > l.last {
		return raft.ErrLogNotFound
	}
	if err := s.inner.GetLog(index, log); errors.Is(err, raft.ErrLogNotFound) {
		return errors.New("it is missing, though the ledger has it")
	} else if err != nil {
		return err
	}
	if log.Index != index {
		return fmt.Errorf("it says it is %d", log.Index)
	}
	return unseal(log)
}

// StoreLog stores one entry.
func (s *sealed) StoreLog(log *raft.Log) error { return s.StoreLogs([]*raft.Log{log}) }

// StoreLogs stores consecutive entries. Those that begin behind the end of the
// log (raft does that after it installed a snapshot) replace the whole log: the
// snapshot has what was there.
func (s *sealed) StoreLogs(logs []*raft.Log) error {
	if len(logs) == 0 {
		return nil
	}
	s.writing.Lock()
	defer s.writing.Unlock()
	was, first, last := s.get(), logs[0].Index, logs[len(logs)-1].Index
	out := make([]*raft.Log, len(logs), len(logs)+1)
	for i, l := range logs {
		if l.Index != first+uint64(i) || l.Index == 0 || l.Index == ledgerIndex {
			return fmt.Errorf("entry %d after entry %d: they must be consecutive", l.Index, logs[max(i-1, 0)].Index)
		}
		out[i] = seal(l)
	}
	empty := was.first > was.last
	if !empty && first < was.first {
		return fmt.Errorf("entry %d before the first, %d", first, was.first)
	}
	if err := s.change(out, func(l *ledger) {
		if empty || first > was.last+1 {
			l.first, l.last = first, last
		}
		l.last = max(l.last, last)
	}); err != nil {
		return err
	}
	if !empty && first > was.last+1 {
		return s.inner.DeleteRange(was.first, was.last)
	}
	return nil
}

// DeleteRange deletes entries from the beginning or the end. The ledger is
// changed before they are gone: after a crash between the two they are left
// over, not missing.
func (s *sealed) DeleteRange(first, last uint64) error {
	s.writing.Lock()
	defer s.writing.Unlock()
	was := s.get()
	first, last = max(first, was.first), min(last, was.last)
	if first > last {
		return nil
	}
	next := was
	switch {
	case last == was.last:
		next.last = first - 1
	case first == was.first:
		next.first = last + 1
	default:
		return fmt.Errorf("entries %d to %d are in the middle of %d to %d", first, last, was.first, was.last)
	}
	if err := s.change(nil, func(l *ledger) { l.first, l.last = next.first, next.last }); err != nil {
		return err
	}
	return s.inner.DeleteRange(first, last)
}

// Set stores a value of the stable store.
func (s *sealed) Set(key, value []byte) error {
	s.writing.Lock()
	defer s.writing.Unlock()
	return s.change(nil, func(l *ledger) {
		if l.values == nil {
			l.values = make(map[string][]byte)
		}
		l.values[string(key)] = slices.Clone(value)
	})
}

// Get is raftboltdb.ErrKeyNotFound for what was never set.
func (s *sealed) Get(key []byte) ([]byte, error) {
	if v, ok := s.get().values[string(key)]; ok {
		return slices.Clone(v), nil
	}
	return nil, raftboltdb.ErrKeyNotFound
}

// SetUint64 stores a number.
func (s *sealed) SetUint64(key []byte, value uint64) error {
	return s.Set(key, binary.BigEndian.AppendUint64(nil, value))
}

// GetUint64 reads a number.
func (s *sealed) GetUint64(key []byte) (uint64, error) {
	v, err := s.Get(key)
	if err != nil {
		return 0, err
	}
	if len(v) != 8 {
		return 0, fmt.Errorf("%d bytes, want a number of 8", len(v))
	}
	return binary.BigEndian.Uint64(v), nil
}

// seal is a copy of the entry with its checksum behind its extensions.
func seal(l *raft.Log) *raft.Log {
	out := *l
	out.Extensions = append(slices.Clone(l.Extensions), sealTag...)
	out.Extensions = binary.BigEndian.AppendUint32(out.Extensions, entrySum(l, l.Extensions))
	return &out
}

// unseal checks the entry and takes the checksum off.
func unseal(l *raft.Log) error {
	at := len(l.Extensions) - sealSize
	if at < 0 || string(l.Extensions[at:at+len(sealTag)]) != sealTag {
		return errNoSeal
	}
	own, sum := l.Extensions[:at], binary.BigEndian.Uint32(l.Extensions[at+len(sealTag):])
	if sum != entrySum(l, own) && !noSums {
		return errSeal
	}
	if l.Extensions = own; at == 0 {
		l.Extensions = nil
	}
	return nil
}

// entrySum covers all that raft acts on; AppendedAt is for people.
func entrySum(l *raft.Log, extensions []byte) uint32 {
	head := make([]byte, 0, 25)
	head = binary.BigEndian.AppendUint64(head, l.Index)
	head = binary.BigEndian.AppendUint64(head, l.Term)
	head = append(head, byte(l.Type))
	head = binary.BigEndian.AppendUint64(head, uint64(len(l.Data)))
	sum := crc32.Update(0, castagnoli, head)
	sum = crc32.Update(sum, castagnoli, l.Data)
	return crc32.Update(sum, castagnoli, extensions)
}

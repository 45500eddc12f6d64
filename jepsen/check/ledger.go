package check

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math"

	"github.com/hashicorp/raft"
)

// Keepers put checksums round what raft-boltdb keeps (package cluster, doc.go and sealed.go). Behind the extensions of
// each entry stand a tag and a CRC-32C of the entry; the entry at the highest index is the ledger, which says what
// the log holds and has the values of the stable store:
//
//	"ZLEDGER1" | member | u64 first | u64 last | u16 n | n × (key, value) | u32 CRC-32C of all before
//
// big-endian; member, key and value are u16 length + bytes. What lies outside of first to last is left over from a
// change that a crash cut short.
const (
	ledgerIndex = math.MaxUint64
	ledgerMagic = "ZLEDGER1"
	sealTag     = "ZLC1"
	sealSize    = len(sealTag) + 4
)

var (
	castagnoli  = crc32.MakeTable(crc32.Castagnoli)
	errChecksum = errors.New("its checksum is wrong")
	errLedger   = errors.New("the ledger is damaged")
)

// sealedLog reads a log under its ledger.
type sealedLog struct {
	logReader
	first, last uint64
	values      map[string][]byte
}

// openLedger is the log under its ledger, or, without one, the log as it is.
func openLedger(log logReader) (logReader, error) {
	var record raft.Log
	switch err := log.GetLog(ledgerIndex, &record); {
	case errors.Is(err, raft.ErrLogNotFound):
		return log, nil
	case err != nil:
		return nil, fmt.Errorf("ledger: %w", err)
	}
	s, err := decodeLedger(record.Data)
	if err != nil {
		return nil, err
	}
	s.logReader = log
	return s, nil
}

func decodeLedger(data []byte) (*sealedLog, error) {
	end := len(data) - 4
	if end < len(ledgerMagic) || string(data[:len(ledgerMagic)]) != ledgerMagic {
		return nil, fmt.Errorf("%w: %d bytes that are none", errLedger, len(data))
	}
	if binary.BigEndian.Uint32(data[end:]) != crc32.Checksum(data[:end], castagnoli) {
		return nil, fmt.Errorf("%w: %w", errLedger, errChecksum)
	}
	in := fields{rest: data[len(ledgerMagic):end]}
	in.take(int(in.number(2))) // whose it is
	s := &sealedLog{first: in.number(8), last: in.number(8), values: make(map[string][]byte)}
	for n := in.number(2); n > 0 && !in.bad; n-- {
		key := in.take(int(in.number(2)))
		s.values[string(key)] = in.take(int(in.number(2)))
	}
	if in.bad || len(in.rest) != 0 || s.first == 0 || s.last == ledgerIndex || s.first > s.last+1 {
		return nil, fmt.Errorf("%w: entries %d to %d, %d bytes left", errLedger, s.first, s.last, len(in.rest))
	}
	return s, nil
}

// fields takes a ledger apart; bad stays once it is too short.
type fields struct {
	rest []byte
	bad  bool
}

func (f *fields) take(n int) []byte {
	if f.bad = f.bad || n > len(f.rest); f.bad {
		return nil
	}
	out := f.rest[:n]
	f.rest = f.rest[n:]
	return out
}

func (f *fields) number(size int) uint64 {
	var v uint64
	for _, b := range f.take(size) {
		v = v<<8 | uint64(b)
	}
	return v
}

// FirstIndex is 0 without entries.
func (s *sealedLog) FirstIndex() (uint64, error) {
	if s.first > s.last {
		return 0, nil
	}
	return s.first, nil
}

// LastIndex is 0 without entries.
func (s *sealedLog) LastIndex() (uint64, error) {
	if s.first > s.last {
		return 0, nil
	}
	return s.last, nil
}

// GetLog reads an entry, checks it and takes the checksum off.
func (s *sealedLog) GetLog(index uint64, log *raft.Log) error {
	if index < s.first || index > s.last {
		return raft.ErrLogNotFound
	}
	if err := s.logReader.GetLog(index, log); errors.Is(err, raft.ErrLogNotFound) {
		return errors.New("it is missing, though the ledger has it")
	} else if err != nil {
		return err
	}
	at := len(log.Extensions) - sealSize
	if at < 0 || string(log.Extensions[at:at+len(sealTag)]) != sealTag {
		return errors.New("it has no checksum")
	}
	if binary.BigEndian.Uint32(log.Extensions[at+len(sealTag):]) != entrySum(log, log.Extensions[:at]) {
		return errChecksum
	}
	log.Extensions = log.Extensions[:at]
	return nil
}

// entrySum is the CRC-32C of index, term, type, length of the data, data and extensions.
func entrySum(l *raft.Log, extensions []byte) uint32 {
	head := binary.BigEndian.AppendUint64(nil, l.Index)
	head = binary.BigEndian.AppendUint64(head, l.Term)
	head = append(head, byte(l.Type))
	head = binary.BigEndian.AppendUint64(head, uint64(len(l.Data)))
	sum := crc32.Update(0, castagnoli, head)
	return crc32.Update(crc32.Update(sum, castagnoli, l.Data), castagnoli, extensions)
}

// GetUint64 reads a number of the stable store.
func (s *sealedLog) GetUint64(key []byte) (uint64, error) {
	v, ok := s.values[string(key)]
	switch {
	case !ok:
		return 0, errNotFound
	case len(v) != 8:
		return 0, fmt.Errorf("%d bytes, want a number of 8", len(v))
	}
	return binary.BigEndian.Uint64(v), nil
}

// errNotFound is the text by which raft knows a value that was never set.
var errNotFound = errors.New("not found")

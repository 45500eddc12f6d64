package check

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"strings"
	"testing"

	"github.com/hashicorp/raft"
	raftboltdb "github.com/hashicorp/raft-boltdb/v2"
)

// ledgerOf is a ledger of a member called "m" with a term.
func ledgerOf(first, last, term uint64) []byte {
	data := append([]byte(ledgerMagic), 0, 1, 'm')
	data = binary.BigEndian.AppendUint64(data, first)
	data = binary.BigEndian.AppendUint64(data, last)
	data = append(data, 0, 1, 0, byte(len("CurrentTerm")))
	data = append(data, "CurrentTerm"...)
	data = append(data, 0, 8)
	data = binary.BigEndian.AppendUint64(data, term)
	return binary.BigEndian.AppendUint32(data, crc32.Checksum(data, castagnoli))
}

// sealedLogs are the entries as a keeper stores them, with the ledger.
func sealedLogs(logs []raft.Log, ledger []byte) []raft.Log {
	var out []raft.Log
	for _, l := range logs {
		l.Extensions = binary.BigEndian.AppendUint32([]byte("ext"+sealTag), entrySum(&l, []byte("ext")))
		out = append(out, l)
	}
	return append(out, raft.Log{Index: ledgerIndex, Data: ledger})
}

func TestReadSealedLog(t *testing.T) {
	s := puts(t, 5) // entries 1 to 7
	l := newKeeperDir(t, "a", sealedLogs(s.logs, ledgerOf(2, 6, 9))).path
	// What lies outside of the ledger's range does not count: here the log begins at 2, which nothing joins on to.
	if _, err := ReadRaftLog(l); !errors.Is(err, ErrDirectory) || !strings.Contains(err.Error(), "the log begins at 2") {
		t.Errorf("error %v", err)
	}
	got := newKeeperDir(t, "a", sealedLogs(s.logs, ledgerOf(1, 6, 9))).read()
	if got.First() != 1 || len(got.Entries) != 6 || got.Term != 9 || string(got.Entries[3].Extensions) != "ext" {
		t.Errorf("read %d entries from %d, term %d, %q", len(got.Entries), got.First(), got.Term, got.Entries[3].Extensions)
	}
	if got = newKeeperDir(t, "a", sealedLogs(nil, ledgerOf(1, 0, 1))).read(); got.First() != 0 || len(got.Entries) != 0 {
		t.Errorf("an empty log: %+v", got)
	}
}

func TestReadSealedLogDamaged(t *testing.T) {
	cut := ledgerOf(1, 7, 1)
	for _, c := range []struct {
		name   string
		ledger []byte
		spoil  func(*raft.Log)
		want   string
	}{
		{"data", ledgerOf(1, 7, 1), func(l *raft.Log) { l.Data = append(l.Data, 0) }, "entry 5: its checksum"},
		{"term", ledgerOf(1, 7, 1), func(l *raft.Log) { l.Term++ }, "entry 5: its checksum"},
		{"extensions", ledgerOf(1, 7, 1), func(l *raft.Log) { l.Extensions = append([]byte{1}, l.Extensions...) }, "entry 5: its checksum"},
		{"no seal", ledgerOf(1, 7, 1), func(l *raft.Log) { l.Extensions = nil }, "entry 5: it has no checksum"},
		{"missing", ledgerOf(1, 7, 1), func(l *raft.Log) { l.Index = 99 }, "entry 5: it is missing"},
		{"ledger", flip(t, ledgerOf(1, 7, 1), []byte("m")), nil, "the ledger is damaged"},
		{"no ledger at all", []byte("x"), nil, "the ledger is damaged"},
		{"a ledger of impossible entries", ledgerOf(9, 7, 1), nil, "the ledger is damaged"},
		{"a cut ledger", binary.BigEndian.AppendUint32(cut[:30:30], crc32.Checksum(cut[:30], castagnoli)), nil, "the ledger is damaged"},
	} {
		t.Run(c.name, func(t *testing.T) {
			logs := sealedLogs(puts(t, 5).logs, c.ledger)
			if c.spoil != nil {
				c.spoil(&logs[4])
			}
			_, err := ReadRaftLog(newKeeperDir(t, "a", logs).path)
			if !errors.Is(err, ErrDirectory) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want %q", err, c.want)
			}
		})
	}
}

func FuzzDecodeLedger(f *testing.F) {
	f.Add(ledgerOf(1, 7, 3))
	f.Add([]byte(ledgerMagic))
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, sum := range []bool{false, true} { // with a right checksum, too
			if sum {
				data = binary.BigEndian.AppendUint32(data[:len(data):len(data)], crc32.Checksum(data, castagnoli))
			}
			s, err := decodeLedger(data)
			if err != nil {
				if !errors.Is(err, errLedger) {
					t.Errorf("error %v", err)
				}
				continue
			}
			if s.first == 0 || s.first > s.last+1 {
				t.Errorf("entries %d to %d", s.first, s.last)
			}
		}
	})
}

// TestLedgerOfNothing: a store without a ledger is read as it is.
func TestLedgerOfNothing(t *testing.T) {
	newKeeperDir(t, "a", puts(t, 1).logs).store(func(b *raftboltdb.BoltStore) error {
		log, err := openLedger(b)
		if err != nil || log != logReader(b) {
			t.Errorf("opened %T, error %v", log, err)
		}
		return nil
	})
}

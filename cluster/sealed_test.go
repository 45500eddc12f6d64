package cluster

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
	raftboltdb "github.com/hashicorp/raft-boltdb/v2"

	"github.com/zerokeeper/zero/fsm"
)

// boltAt is a bbolt store in a fresh directory.
func boltAt(t *testing.T, dir string) *raftboltdb.BoltStore {
	t.Helper()
	bolt, err := openBolt(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = bolt.Close() }) // closed already by some
	return bolt
}

func mustSeal(t *testing.T, inner logStore) *sealed {
	t.Helper()
	s, _, err := openSealed(inner)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func entries(first, last, term uint64) []*raft.Log {
	var logs []*raft.Log
	for i := first; i <= last; i++ {
		logs = append(logs, &raft.Log{Index: i, Term: term, Type: raft.LogNoop, Data: []byte(fmt.Sprint("entry ", i))})
	}
	return logs
}

func TestSealedStore(t *testing.T) {
	bolt := boltAt(t, t.TempDir())
	s := mustSeal(t, bolt)
	wantRange := func(first, last uint64) {
		t.Helper()
		for _, s := range []*sealed{s, mustSeal(t, bolt)} { // as it is, and as another start finds it
			f, _ := s.FirstIndex()
			l, _ := s.LastIndex()
			if f != first || l != last {
				t.Errorf("entries %d to %d, want %d to %d", f, l, first, last)
			}
			for i := first; i <= last && i > 0; i++ {
				var e raft.Log
				if err := s.GetLog(i, &e); err != nil || e.Extensions != nil {
					t.Errorf("entry %d: %v, extensions %q", i, err, e.Extensions)
				}
			}
			for _, i := range []uint64{0, first - 1, last + 1, ledgerIndex} {
				if err := s.GetLog(i, new(raft.Log)); !errors.Is(err, raft.ErrLogNotFound) && first != last {
					t.Errorf("entry %d: %v", i, err)
				}
			}
		}
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	wantRange(0, 0)
	must(s.claim("m1"))
	must(s.SetUint64([]byte("CurrentTerm"), 3))
	must(s.Set([]byte("LastVoteCand"), []byte("10.0.0.1:7001")))
	must(s.StoreLogs(entries(1, 9, 3)))
	wantRange(1, 9)
	must(s.DeleteRange(8, 9)) // a conflict
	wantRange(1, 7)
	must(s.DeleteRange(1, 4)) // a compaction
	wantRange(5, 7)
	must(s.StoreLogs(entries(8, 8, 4)))
	wantRange(5, 8)
	must(s.StoreLogs(entries(100, 102, 4))) // after a snapshot
	wantRange(100, 102)
	if first, err := bolt.FirstIndex(); err != nil || first != 100 {
		t.Errorf("entries from %d are left, %v", first, err)
	}
	for name, err := range map[string]error{
		"a gap":                   s.StoreLogs([]*raft.Log{{Index: 103}, {Index: 105}}),
		"before the first":        s.StoreLogs(entries(50, 51, 4)),
		"the middle":              s.DeleteRange(101, 101),
		"the place of the ledger": s.StoreLogs([]*raft.Log{{Index: ledgerIndex}}),
	} {
		if err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	must(s.DeleteRange(1, 200))
	wantRange(0, 0)
	if l := mustSeal(t, bolt).get(); l.first != 100 || l.member != "m1" {
		t.Errorf("ledger %+v", l)
	}
	if v, err := mustSeal(t, bolt).GetUint64([]byte("CurrentTerm")); v != 3 || err != nil {
		t.Errorf("term %d, %v", v, err)
	}
	if v, err := s.Get([]byte("LastVoteCand")); string(v) != "10.0.0.1:7001" || err != nil {
		t.Errorf("vote %q, %v", v, err)
	}
	if _, err := s.Get([]byte("x")); err == nil || err.Error() != "not found" {
		t.Errorf("a value that was never set: %v", err)
	}
	if _, err := s.GetUint64([]byte("LastVoteCand")); err == nil {
		t.Error("an address is no number")
	}
}

// What was stored below the checksums and is not what it was is an error.
func TestSealedStoreNotices(t *testing.T) {
	change := map[string]func(e *raft.Log){
		"term":        func(e *raft.Log) { e.Term ^= 1 },
		"type":        func(e *raft.Log) { e.Type = raft.LogCommand },
		"data":        func(e *raft.Log) { e.Data[0] ^= 1 },
		"cut data":    func(e *raft.Log) { e.Data = e.Data[1:] },
		"checksum":    func(e *raft.Log) { e.Extensions[len(e.Extensions)-1] ^= 1 },
		"tag":         func(e *raft.Log) { e.Extensions[0] ^= 1 },
		"no checksum": func(e *raft.Log) { e.Extensions = nil },
	}
	for name, change := range change {
		t.Run(name, func(t *testing.T) {
			bolt := boltAt(t, t.TempDir())
			s := mustSeal(t, bolt)
			if err := s.StoreLogs(entries(1, 3, 1)); err != nil {
				t.Fatal(err)
			}
			var e raft.Log
			if err := bolt.GetLog(2, &e); err != nil {
				t.Fatal(err)
			}
			change(&e)
			if err := bolt.StoreLog(&e); err != nil {
				t.Fatal(err)
			}
			if err := s.GetLog(2, new(raft.Log)); err == nil || errors.Is(err, raft.ErrLogNotFound) {
				t.Errorf("read with %v", err)
			}
		})
	}
	bolt := boltAt(t, t.TempDir())
	s := mustSeal(t, bolt)
	if err := s.StoreLogs(entries(1, 3, 1)); err != nil {
		t.Fatal(err)
	}
	if err := bolt.DeleteRange(3, 3); err != nil {
		t.Fatal(err)
	}
	if err := s.GetLog(3, new(raft.Log)); err == nil || errors.Is(err, raft.ErrLogNotFound) {
		t.Errorf("an entry that vanished: %v", err)
	}
	if err := bolt.DeleteRange(ledgerIndex, ledgerIndex); err != nil {
		t.Fatal(err)
	}
	if _, _, err := openSealed(bolt); err == nil || !strings.Contains(err.Error(), "no ledger") {
		t.Errorf("without its ledger: %v", err)
	}
}

// A crash between the ledger and the deletion leaves entries that do not count.
func TestSealedStoreCrashes(t *testing.T) {
	bolt := boltAt(t, t.TempDir())
	s := mustSeal(t, bolt)
	if err := s.StoreLogs(entries(1, 9, 1)); err != nil {
		t.Fatal(err)
	}
	if err := s.change(nil, func(l *ledger) { l.first, l.last = 4, 6 }); err != nil {
		t.Fatal(err)
	}
	s = mustSeal(t, bolt)
	if err := s.clean(); err != nil {
		t.Fatal(err)
	}
	for i := uint64(1); i <= 9; i++ {
		if err := bolt.GetLog(i, new(raft.Log)); (err == nil) != (i >= 4 && i <= 6) {
			t.Errorf("entry %d: %v", i, err)
		}
	}
	if err := s.StoreLogs(entries(7, 8, 2)); err != nil {
		t.Fatal(err)
	}
	if last, _ := s.LastIndex(); last != 8 {
		t.Errorf("last %d", last)
	}
}

// A store of before the checksums is refused, not taken for an empty one.
func TestOldFormatRefused(t *testing.T) {
	dir := t.TempDir()
	bolt := boltAt(t, dir)
	if err := bolt.StoreLogs(entries(1, 2, 1)); err != nil {
		t.Fatal(err)
	}
	_ = bolt.Close()
	if err := writeIdentity(dir, newIdentity("k1")); err != nil {
		t.Fatal(err)
	}
	c := DefaultConfig()
	c.Name, c.DataDir, c.Logger, c.DiskReserve = "k1", dir, hclog.NewNullLogger(), 0
	_, err := openStores(c, c.Logger)
	if !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), "before the first release") {
		t.Errorf("opened with %v", err)
	}
}

func FuzzLedger(f *testing.F) {
	f.Add(ledger{first: 1}.encode())
	f.Add(ledger{member: "m", first: 3, last: 9, values: map[string][]byte{"CurrentTerm": {0, 0, 0, 0, 0, 0, 0, 1}}}.encode())
	f.Add([]byte(ledgerMagic))
	f.Fuzz(func(t *testing.T, data []byte) {
		l, err := decodeLedger(data)
		if err != nil {
			return
		}
		again, err := decodeLedger(l.encode())
		if err != nil || again.member != l.member || again.first != l.first || again.last != l.last || !maps.EqualFunc(again.values, l.values, bytes.Equal) {
			t.Errorf("%+v became %+v, %v", l, again, err)
		}
	})
}

// FuzzPages: a file that the walk accepts can be opened and read by bbolt.
func FuzzPages(f *testing.F) {
	dir := f.TempDir()
	bolt, err := openBolt(dir)
	if err != nil {
		f.Fatal(err)
	}
	s, _, err := openSealed(bolt)
	if err == nil {
		err = errors.Join(s.StoreLogs(entries(1, 200, 1)), bolt.Close())
	}
	if err != nil {
		f.Fatal(err)
	}
	good, err := os.ReadFile(filepath.Join(dir, raftFile))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(uint32(0), uint8(0))
	f.Add(uint32(4096*3+10), uint8(1))
	f.Add(uint32(100), uint8(255))
	f.Fuzz(func(t *testing.T, at uint32, value uint8) {
		data := bytes.Clone(good)
		data[int(at)%len(data)] ^= value
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, raftFile), data, 0o600); err != nil {
			t.Fatal(err)
		}
		bolt, err := openBolt(dir) // a panic of bbolt's goroutines would end the test
		if err != nil {
			return
		}
		defer bolt.Close()
		s, _, err := openSealed(bolt)
		if err != nil {
			return
		}
		for i := range uint64(200) {
			var e raft.Log
			if s.GetLog(i+1, &e) == nil && string(e.Data) != fmt.Sprint("entry ", i+1) {
				t.Errorf("entry %d is %q", i+1, e.Data)
			}
		}
	})
}

// BenchmarkScan is the look at a log of 10,000 entries before a start.
func BenchmarkScan(b *testing.B) {
	dir := b.TempDir()
	bolt, err := openBolt(dir)
	if err != nil {
		b.Fatal(err)
	}
	s, _, err := openSealed(bolt)
	if err != nil {
		b.Fatal(err)
	}
	logs := entries(1, 10_000, 1)
	for _, l := range logs {
		l.Type = raft.LogCommand
		if l.Data, err = fsm.Encode(fsm.Header{Time: 1}, &fsm.PutSection{ID: "bench", Section: "section", Data: bytes.Repeat([]byte("x"), 512)}); err != nil {
			b.Fatal(err)
		}
	}
	snapshots, err2 := openSnapshots(dir, hclog.NewNullLogger())
	if err := errors.Join(err2, s.SetUint64([]byte("CurrentTerm"), 1), s.StoreLogs(logs)); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if err := checkPages(filepath.Join(dir, raftFile)); err != nil {
			b.Fatal(err)
		}
		if r, err := scan(s, snapshots, ""); err != nil || r.Entries != 10_000 {
			b.Fatal(r, err)
		}
	}
	_ = bolt.Close()
}

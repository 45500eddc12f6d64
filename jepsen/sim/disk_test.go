package sim

import (
	"errors"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/raft"
)

// storeSome writes entries 1 to n, each on its own.
func storeSome(t *testing.T, v *volume, n uint64) {
	t.Helper()
	for i := range n {
		if err := v.StoreLog(&raft.Log{Index: i + 1, Term: 1, Data: []byte{byte(i)}}); err != nil {
			t.Fatal(err)
		}
	}
}

func last(t *testing.T, v *volume) uint64 {
	t.Helper()
	n, err := v.LastIndex()
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestDiskKeepsWhatIsSynced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDisk(rand.New(rand.NewPCG(1, 1)), false)
		v := d.mount()
		storeSome(t, v, 10)
		if err := errors.Join(v.DeleteRange(1, 4), v.SetUint64([]byte("term"), 7), v.Set([]byte("vote"), []byte("b"))); err != nil {
			t.Fatal(err)
		}
		d.crash()
		if err := v.StoreLog(&raft.Log{Index: 11}); !errors.Is(err, errCrashed) {
			t.Errorf("a write after the crash: %v", err)
		}
		v = d.mount()
		first, err := v.FirstIndex()
		if err != nil || first != 5 || last(t, v) != 10 {
			t.Errorf("entries %d to %d, %v; want 5 to 10", first, last(t, v), err)
		}
		var l raft.Log
		if err := v.GetLog(10, &l); err != nil || l.Data[0] != 9 {
			t.Errorf("entry 10: %+v, %v", l, err)
		}
		if err := v.GetLog(4, &l); !errors.Is(err, raft.ErrLogNotFound) {
			t.Errorf("a deleted entry: %v", err)
		}
		term, err := v.GetUint64([]byte("term"))
		if _, missing := v.Get([]byte("x")); err != nil || term != 7 || !errors.Is(missing, errNotFound) || d.losses() != 0 {
			t.Errorf("term %d, %v, %v, %d lost", term, err, missing, d.losses())
		}
	})
}

func TestDiskWithoutSyncLosesASuffix(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lost := 0
		for try := range uint64(20) {
			d := newDisk(rand.New(rand.NewPCG(try, 1)), true)
			v := d.mount()
			storeSome(t, v, 10)
			if last(t, v) != 10 {
				t.Fatal("a write is not there before the crash")
			}
			d.crash()
			v = d.mount()
			if n := last(t, v); int(10-n) != d.losses() {
				t.Errorf("%d entries are left, %d were lost", n, d.losses())
			}
			lost += d.losses()
		}
		if lost == 0 {
			t.Error("twenty crashes lost nothing")
		}
		d := newDisk(rand.New(rand.NewPCG(1, 1)), true)
		v := d.mount()
		storeSome(t, v, 3)
		time.Sleep(2 * writeback)
		storeSome(t, v, 4) // the write that comes after the time syncs
		d.crash()
		if n := last(t, d.mount()); n < 3 {
			t.Errorf("%d entries are left of 3 that were synced", n)
		}
	})
}

func TestDiskFaults(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDisk(rand.New(rand.NewPCG(1, 1)), false)
		v := d.mount()
		d.fail(true)
		if err := v.StoreLog(&raft.Log{Index: 1}); !errors.Is(err, errDisk) {
			t.Errorf("a write that fails: %v", err)
		}
		d.pace(time.Second, 2*time.Second)
		start := time.Now()
		storeSome(t, v, 1)
		if took := time.Since(start); took < time.Second || took > 2*time.Second {
			t.Errorf("a slow write took %v", took)
		}
		d.pace(0, 0)
		resume := d.stall()
		time.AfterFunc(time.Minute, resume)
		start = time.Now()
		storeSome(t, v, 1)
		if took := time.Since(start); took != time.Minute {
			t.Errorf("a write to a disk that hangs for a minute took %v", took)
		}
		d.stall()
		time.AfterFunc(time.Second, d.crash)
		if err := v.StoreLog(&raft.Log{Index: 2}); !errors.Is(err, errCrashed) {
			t.Errorf("a write that hangs when the machine goes off: %v", err)
		}
	})
}

func TestDiskSnapshots(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDisk(rand.New(rand.NewPCG(1, 1)), false)
		v := d.mount()
		for index := range uint64(5) {
			s, err := v.Create(raft.SnapshotVersionMax, index+1, 1, raft.Configuration{}, 0, nil)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := s.Write([]byte("state")); err != nil {
				t.Fatal(err)
			}
			if index == 4 {
				err = s.Cancel()
			}
			if err := errors.Join(err, s.Close()); err != nil {
				t.Fatal(err)
			}
		}
		list, err := v.List()
		if err != nil || len(list) != retained || list[0].Index != 4 || list[0].Size != 5 {
			t.Fatalf("%d snapshots, %v", len(list), err)
		}
		if _, r, err := v.Open(list[0].ID); err != nil || r.Close() != nil {
			t.Error(err)
		}
		if _, _, err := v.Open("5-5"); err == nil {
			t.Error("a snapshot that does not exist was opened")
		}
	})
}

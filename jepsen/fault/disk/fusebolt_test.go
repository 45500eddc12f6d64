package disk

import (
	"path/filepath"
	"testing"

	"github.com/zerokeeper/zero/jepsen/fault"
)

func TestFUSEMapped(t *testing.T) {
	f := newFUSE(t)
	start(t, "map", filepath.Join(f.Dir(), "m")).want("coherent")
}

// TestFUSEBolt: bbolt lives on the volume, with its mapping and its lock.
func TestFUSEBolt(t *testing.T) {
	f := newFUSE(t)
	path := filepath.Join(f.Dir(), "raft.db")
	db := start(t, "put", path)
	db.want("open")
	db.put(0, 50)
	start(t, "put", path).want("open: timeout")
	db.kill()
	if n, why := keys(t, path); n != 50 {
		t.Errorf("%d keys, want 50: %s", n, why)
	}
	if n, why := keys(t, filepath.Join(f.cfg.Backing, "raft.db")); n != 50 {
		t.Errorf("%d keys in the backing directory, want 50: %s", n, why)
	}
}

// TestFUSEBoltFaults: bbolt meets each fault; what it acknowledged is there after.
func TestFUSEBoltFaults(t *testing.T) {
	for _, tt := range []struct {
		fault fault.DiskFault
		says  string // the next transaction; empty: it waits for Heal
	}{
		{fault: fault.WriteError, says: "input/output error"},
		{fault: fault.WriteFull, says: "no space left"},
		{fault: fault.SyncError, says: "input/output error"},
		{fault: fault.TornWrite, says: "input/output error"},
		{fault: fault.ReadOnly, says: "read-only"},
		{fault: fault.DiskGone, says: "input/output error"},
		{fault: fault.SlowSync, says: "acked"},
		{fault: fault.HungSync},
		{fault: fault.DiskHung},
	} {
		t.Run(tt.fault.String(), func(t *testing.T) {
			f := newFUSE(t)
			path := filepath.Join(f.Dir(), "raft.db")
			db := start(t, "put", path)
			db.want("open")
			db.put(0, 5)
			must(t, f.Break(tt.fault))
			db.say("key-x")
			want := 5
			switch tt.says {
			case "":
				eventually(t, "nothing waits", func() bool { return f.gate.waiting.Load() > 0 })
				db.silent()
				must(t, f.Heal())
				db.want("acked")
				want = 6
			case "acked":
				db.want("acked")
				want = 6
			default:
				db.want(tt.says)
			}
			if f.Affected() == 0 {
				t.Error("no operation affected")
			}
			must(t, f.Heal())
			db.kill()
			// What failed may be there all the same, as after any failed commit.
			n, why := keys(t, path)
			if n < want || n > 6 {
				t.Errorf("%d keys, want %d: %s", n, want, why)
			}
		})
	}
}

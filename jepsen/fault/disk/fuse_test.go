package disk

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/zerokeeper/zero/jepsen/fault"
	"golang.org/x/sys/unix"
)

// block is a write of eight sectors.
var block = bytes.Repeat([]byte("x"), 4096)

// open makes a file with a synced block of dots in the volume.
func open(t *testing.T, f *FUSE) *os.File {
	t.Helper()
	file, err := os.OpenFile(filepath.Join(f.Dir(), "f"), os.O_CREATE|os.O_RDWR, 0o600)
	must(t, err)
	t.Cleanup(func() { file.Close() })
	_, err = file.WriteAt(bytes.Repeat([]byte("."), 4096), 0)
	must(t, err)
	must(t, file.Sync())
	return file
}

func TestFUSEFaults(t *testing.T) {
	for _, tt := range []struct {
		fault               fault.DiskFault
		write, sync, create error
		read, remove        error
		stored              int // bytes of the block that reach the disk in spite of it
	}{
		{fault: fault.WriteError, write: unix.EIO, create: unix.EIO, remove: unix.EIO},
		{fault: fault.WriteFull, write: unix.ENOSPC, create: unix.ENOSPC},
		{fault: fault.SyncError, sync: unix.EIO, stored: 4096},
		{fault: fault.ReadOnly, write: unix.EROFS, create: unix.EROFS, remove: unix.EROFS},
		{fault: fault.DiskGone, write: unix.EIO, sync: unix.EIO, create: unix.EIO, read: unix.EIO, remove: unix.EIO},
		{fault: fault.TornWrite, write: unix.EIO, create: unix.EIO, remove: unix.EIO, stored: 2048},
		{fault: fault.SlowSync, stored: 4096},
	} {
		t.Run(tt.fault.String(), func(t *testing.T) {
			f := newFUSE(t)
			file := open(t, f)
			other := filepath.Join(f.Dir(), "other")
			must(t, os.WriteFile(other, nil, 0o600))
			if f.Affected() != 0 {
				t.Fatalf("%d operations affected before the fault", f.Affected())
			}
			must(t, f.Break(tt.fault))
			want := func(op string, got, want error) {
				t.Helper()
				if !errors.Is(got, want) {
					t.Errorf("%s: %v, want %v", op, got, want)
				}
			}
			_, err := file.WriteAt(block, 0)
			want("write", err, tt.write)
			began := time.Now()
			want("sync", file.Sync(), tt.sync)
			if took := time.Since(began); tt.fault == fault.SlowSync && took < defaultSlow {
				t.Errorf("a slow sync took %v", took)
			}
			want("create", os.WriteFile(filepath.Join(f.Dir(), "new"), nil, 0o600), tt.create)
			_, err = os.ReadFile(other)
			want("read", err, tt.read)
			want("remove", os.Remove(other), tt.remove)
			if f.Affected() == 0 {
				t.Error("no operation affected")
			}
			stored, err := os.ReadFile(filepath.Join(f.cfg.Backing, "f"))
			must(t, err)
			if n := bytes.Count(stored, []byte("x")); n != tt.stored || len(stored) != 4096 || !bytes.HasPrefix(stored, block[:n]) {
				t.Errorf("%d of %d bytes are stored, want the first %d", n, len(stored), tt.stored)
			}

			must(t, f.Heal())
			affected := f.Affected()
			_, err = file.WriteAt(block, 0)
			must(t, err)
			must(t, file.Sync())
			must(t, os.WriteFile(filepath.Join(f.Dir(), "new"), block, 0o600))
			got, err := os.ReadFile(filepath.Join(f.Dir(), "f"))
			must(t, err)
			if !bytes.Equal(got, block) || f.Affected() != affected {
				t.Errorf("after Heal the file is wrong, or operations are affected")
			}
		})
	}
}

func TestTorn(t *testing.T) {
	for _, tt := range []struct {
		name   string
		off    int64
		n, out int
	}{
		{name: "a page", off: 4096, n: 4096, out: 2048},
		{name: "odd half", off: 0, n: 3 * sector, out: sector},
		{name: "below two sectors", off: 0, n: 1000, out: 0},
		{name: "not aligned", off: 100, n: 4096, out: 1948}, // to byte 2048 of the file
		{name: "within a sector", off: 100, n: 200, out: 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := len(torn(make([]byte, tt.n), tt.off)); got != tt.out {
				t.Errorf("%d bytes, want %d", got, tt.out)
			}
		})
	}
}

func TestFUSEHangs(t *testing.T) {
	for _, tt := range []struct {
		name   string
		fault  fault.DiskFault
		end    func(t *testing.T, f *FUSE, w *proc)
		goesOn bool
	}{
		{name: "healed", fault: fault.HungSync, end: func(t *testing.T, f *FUSE, _ *proc) { must(t, f.Heal()) }, goesOn: true},
		{name: "healed write", fault: fault.DiskHung, end: func(t *testing.T, f *FUSE, _ *proc) { must(t, f.Heal()) }, goesOn: true},
		{name: "killed", fault: fault.HungSync, end: func(_ *testing.T, _ *FUSE, w *proc) { w.kill() }},
		{name: "killed write", fault: fault.DiskHung, end: func(_ *testing.T, _ *FUSE, w *proc) { w.kill() }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := newFUSE(t)
			w := start(t, "append", filepath.Join(f.Dir(), "f"))
			w.want("open")
			w.say("")
			w.want("synced")
			must(t, f.Break(tt.fault))
			w.say("")
			eventually(t, "nothing waits", func() bool { return f.gate.waiting.Load() > 0 })
			// Neither do signals end it, which Go's runtime sends all the time.
			must(t, w.cmd.Process.Signal(unix.SIGURG))
			if _, err := os.ReadDir(f.Dir()); err != nil {
				t.Errorf("reading while it hangs: %v", err)
			}
			w.silent()
			tt.end(t, f, w)
			if tt.goesOn {
				w.want("synced")
			}
			eventually(t, "somebody waits still", func() bool { return f.gate.waiting.Load() == 0 })
			if f.Affected() == 0 {
				t.Error("no operation affected")
			}
		})
	}
}

// TestFUSECloseHung: Close of a hung volume lets all go and leaves nothing,
// whoever has files open.
func TestFUSECloseHung(t *testing.T) {
	needRoot(t)
	dir := testDir(t)
	backing := filepath.Join(dir, "backing")
	must(t, os.Mkdir(backing, 0o700))
	f, err := NewFUSE(t.Context(), FUSEConfig{Dir: filepath.Join(dir, "mnt"), Backing: backing, Wait: 200 * time.Millisecond})
	must(t, err)
	w := start(t, "append", filepath.Join(f.Dir(), "f"))
	w.want("open")
	must(t, f.Break(fault.HungSync))
	w.say("")
	eventually(t, "nothing waits", func() bool { return f.gate.waiting.Load() > 0 })
	if err := f.Close(); !errors.Is(err, ErrBusy) || !strings.Contains(err.Error(), filepath.Join(f.Dir(), "f")) {
		t.Errorf("Close of a held volume: %v", err)
	}
	w.want("synced")
	w.say("")
	w.want("error")
	must(t, f.Close())
	if err := f.Break(fault.WriteError); !errors.Is(err, ErrClosed) {
		t.Errorf("Break after Close: %v", err)
	}
	nothingLeft(t, dir)
}

func TestFUSEUnsupported(t *testing.T) {
	f := newFUSE(t)
	if f.Supports(fault.DiskFull) {
		t.Error("supports disk full")
	}
	for what, err := range map[string]error{"disk full": f.Break(fault.DiskFull), "power cut": f.PowerCut(false), "restore": f.Restore()} {
		if !errors.Is(err, fault.ErrUnsupported) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// TestFUSEPasses: without a fault it is a directory like others.
func TestFUSEPasses(t *testing.T) {
	f := newFUSE(t)
	in := func(name string) string { return filepath.Join(f.Dir(), name) }
	must(t, os.Mkdir(in("d"), 0o750))
	must(t, os.WriteFile(in("d/a"), []byte("one"), 0o640))
	must(t, os.Link(in("d/a"), in("b")))
	must(t, os.Symlink("d/a", in("c")))
	must(t, os.Rename(in("d/a"), in("a")))
	if err := unix.Renameat2(unix.AT_FDCWD, in("a"), unix.AT_FDCWD, in("b"), unix.RENAME_NOREPLACE); !errors.Is(err, unix.EEXIST) {
		t.Errorf("rename over a file that must not be replaced: %v", err)
	}
	must(t, os.Chmod(in("a"), 0o600))
	must(t, os.Truncate(in("a"), 2))
	a, err := os.OpenFile(in("a"), os.O_APPEND|os.O_RDWR|os.O_SYNC, 0)
	must(t, err)
	_, err = a.WriteString("!")
	must(t, err)
	must(t, os.Remove(in("a")))
	must(t, os.Remove(in("b")))
	must(t, a.Truncate(1)) // it has no name any more
	info, err := a.Stat()
	must(t, err)
	if info.Size() != 1 || info.Mode() != 0o600 {
		t.Errorf("the file has %d bytes and mode %v", info.Size(), info.Mode())
	}
	must(t, a.Close())
	if to, err := os.Readlink(in("c")); err != nil || to != "d/a" {
		t.Errorf("link to %q, %v", to, err)
	}
	d, err := os.Open(in("d"))
	must(t, err)
	must(t, d.Sync())
	must(t, d.Close())
	must(t, os.Remove(in("d")))
	entries, err := os.ReadDir(f.Dir())
	must(t, err)
	if len(entries) != 1 || entries[0].Name() != "c" {
		t.Errorf("the volume has %v", entries)
	}
}

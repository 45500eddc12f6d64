package disk

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/zerokeeper/zero/jepsen/fault"
	"golang.org/x/sys/unix"
)

func TestExt4Full(t *testing.T) {
	e := newExt4(t)
	db := start(t, "put", filepath.Join(e.Dir(), "raft.db"))
	db.want("open")
	db.put(0, 5)
	must(t, e.Break(fault.DiskFull))
	if err := os.WriteFile(filepath.Join(e.Dir(), "x"), make([]byte, 4096), 0o600); !errors.Is(err, unix.ENOSPC) {
		t.Fatalf("write on the full volume: %v", err)
	}
	for i := 5; ; i++ { // what the file has can be overwritten, then it must grow
		db.say("key-" + strings.Repeat("k", 1000) + string(rune('a'+i%26)))
		if l := db.line(); l != "acked" {
			if !strings.Contains(l, "no space left") {
				t.Fatalf("bbolt on the full volume says %q", l)
			}
			break
		}
		if i > 2000 {
			t.Fatal("bbolt never needs space")
		}
	}
	must(t, e.Heal())
	must(t, os.WriteFile(filepath.Join(e.Dir(), "x"), make([]byte, 1<<20), 0o600))
	again := start(t, "put", filepath.Join(e.Dir(), "raft.db"))
	again.want("open")
	again.put(0, 5)
}

func TestExt4Fill(t *testing.T) {
	e := newExt4(t)
	before, err := e.Free()
	must(t, err)
	for _, leave := range []int64{before / 2, 1 << 20, 64 << 10, 0} {
		must(t, e.Fill(leave))
		free, err := e.Free()
		must(t, err)
		if free > leave+4096 || free < leave-64<<10 {
			t.Errorf("%d bytes are free instead of %d", free, leave)
		}
	}
	entries, err := os.ReadDir(e.Dir())
	must(t, err)
	if len(entries) > 0 {
		t.Errorf("the volume shows %v, want nothing", entries)
	}
	must(t, e.Heal())
	if after, err := e.Free(); err != nil || after < before-64<<10 {
		t.Errorf("%d bytes are free after Heal, were %d: %v", after, before, err)
	}
	if err := e.Fill(-1); err == nil {
		t.Error("Fill(-1) is accepted")
	}
}

func TestExt4Hung(t *testing.T) {
	e := newExt4(t)
	db := start(t, "put", filepath.Join(e.Dir(), "raft.db"))
	db.want("open")
	db.put(0, 3)
	must(t, e.Break(fault.DiskHung))
	must(t, e.Break(fault.DiskHung))
	db.say("waits")
	db.stuck()
	db.silent()
	if err := e.Break(fault.DiskFull); !errors.Is(err, fault.ErrUnsupported) {
		t.Errorf("disk full on a hung volume: %v", err)
	}
	must(t, e.Heal())
	db.want("acked")
	db.put(3, 5)
	db.in.Close()
	db.wait()
	if n, why := keys(t, filepath.Join(e.Dir(), "raft.db")); n != 6 {
		t.Errorf("%d keys, want 6: %s", n, why)
	}
}

// TestExt4HungKill: a process that waits for a hung disk cannot be killed. The
// watchdog of a node cannot end it either; scenarios have to know.
func TestExt4HungKill(t *testing.T) {
	e := newExt4(t)
	w := start(t, "append", filepath.Join(e.Dir(), "f"))
	w.want("open")
	must(t, e.Break(fault.DiskHung))
	w.say("")
	w.stuck()
	must(t, w.cmd.Process.Kill())
	select {
	case <-w.ended:
		t.Error("it was killed: say so in DESIGN.md and in Break's description")
	case <-time.After(300 * time.Millisecond):
	}
	must(t, e.Heal())
	w.wait()
}

func TestExt4HungThenCut(t *testing.T) {
	e := newExt4(t)
	w := start(t, "append", filepath.Join(e.Dir(), "f"))
	w.want("open")
	must(t, e.Break(fault.DiskHung))
	w.say("")
	w.stuck()
	must(t, e.PowerCut(false))
	w.want("input/output error")
	w.wait()
	must(t, e.Restore())
	must(t, e.probe())
}

func TestExt4Gone(t *testing.T) {
	e := newExt4(t)
	db := start(t, "put", filepath.Join(e.Dir(), "raft.db"))
	db.want("open")
	db.put(0, 3)
	must(t, e.Break(fault.DiskGone))
	db.say("fails")
	db.want("input/output error")
	db.wait()
	if _, err := os.ReadFile(filepath.Join(e.Dir(), "raft.db")); !errors.Is(err, unix.EIO) {
		t.Errorf("read: %v, want EIO", err)
	}
	must(t, e.Heal())
	if !e.NeedsRestore() {
		t.Error("Heal healed it")
	}
	for _, f := range []fault.DiskFault{fault.DiskFull, fault.DiskHung, fault.DiskGone, fault.ReadOnly} {
		if err := e.Break(f); !errors.Is(err, ErrBroken) {
			t.Errorf("%v on the broken volume: %v", f, err)
		}
	}
	if err := e.PowerCut(true); !errors.Is(err, ErrBroken) {
		t.Errorf("power cut on the broken volume: %v", err)
	}
	must(t, e.Restore())
	if n, why := keys(t, filepath.Join(e.Dir(), "raft.db")); n != 3 {
		t.Errorf("%d keys, want 3: %s", n, why)
	}
}

func TestExt4ReadOnly(t *testing.T) {
	e := newExt4(t)
	must(t, os.WriteFile(filepath.Join(e.Dir(), "f"), []byte("x"), 0o600))

	// No writer: a remount, healed in place.
	must(t, e.Break(fault.ReadOnly))
	if err := os.WriteFile(filepath.Join(e.Dir(), "f"), []byte("y"), 0o600); !errors.Is(err, unix.EROFS) {
		t.Errorf("write: %v, want EROFS", err)
	}
	must(t, e.Heal())
	if e.NeedsRestore() {
		t.Error("a remount needs Restore")
	}
	must(t, os.WriteFile(filepath.Join(e.Dir(), "f"), []byte("y"), 0o600))

	// A node that runs: as after an error of the disk.
	db := start(t, "put", filepath.Join(e.Dir(), "raft.db"))
	db.want("open")
	db.put(0, 3)
	must(t, e.Break(fault.ReadOnly))
	db.say("fails")
	db.want("read-only file system")
	db.wait()
	if !e.NeedsRestore() {
		t.Error("after an error the volume needs Restore")
	}
	must(t, e.Restore())
	if n, why := keys(t, filepath.Join(e.Dir(), "raft.db")); n != 3 {
		t.Errorf("%d keys, want 3: %s", n, why)
	}
}

// TestExt4Busy: Restore and Close say who holds the volume.
func TestExt4Busy(t *testing.T) {
	needRoot(t)
	dir := testDir(t)
	e, err := NewExt4(t.Context(), Config{Dir: filepath.Join(dir, "mnt"), Image: filepath.Join(dir, "image"), SizeMiB: 16, Wait: 100 * time.Millisecond})
	must(t, err)
	holder := start(t, "hold", filepath.Join(e.Dir(), "held"))
	holder.want("open")
	if err := e.Restore(); !errors.Is(err, ErrBusy) || !strings.Contains(err.Error(), filepath.Join(e.Dir(), "held")) {
		t.Errorf("Restore of a held volume: %v", err)
	}
	must(t, e.probe()) // it is as it was
	if err := e.Close(); !errors.Is(err, ErrBusy) {
		t.Errorf("Close of a held volume: %v", err)
	}
	must(t, e.Close())
	if err := e.Restore(); !errors.Is(err, ErrClosed) {
		t.Errorf("Restore after Close: %v", err)
	}
	if _, err := os.Stat(filepath.Join(dir, "image")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the image is still there: %v", err)
	}
	holder.kill()
	eventually(t, "the loop device stays", func() bool { there, err := attached(e.loop, e.cfg.Image); return err == nil && !there })
	nothingLeft(t, dir)
}

// TestExt4Copied: a copy of the mount in another namespace keeps the dead
// superblock alive. Restore must not mount a second one, and nothing that is
// meant for the volume may reach the file system below it.
func TestExt4Copied(t *testing.T) {
	e := newExt4(t)
	copied := startIn(t, &syscall.SysProcAttr{Unshareflags: unix.CLONE_NEWNS}, "hold", "/dev/null")
	copied.want("open")
	must(t, e.PowerCut(false))
	e.cfg.Wait = 100 * time.Millisecond
	if err := e.Restore(); !errors.Is(err, ErrBusy) || !strings.Contains(err.Error(), "mount namespace") {
		t.Errorf("Restore of a copied volume: %v", err)
	}
	e.cfg.Wait = bound
	if err := e.PowerCut(false); !errors.Is(err, ErrBroken) {
		t.Errorf("PowerCut while unmounted: %v", err)
	}
	if err := ioctl(e.cfg.Dir, e.dev, ioctlThaw, 0); !errors.Is(err, errElsewhere) {
		t.Errorf("ioctl of the file system below: %v", err)
	}
	copied.kill()
	must(t, e.Restore())
	must(t, e.Break(fault.DiskFull))
}

func TestConfigs(t *testing.T) {
	for _, tt := range []struct {
		name string
		cfg  interface{ Validate() error }
		bad  bool
	}{
		{name: "defaults", cfg: &Config{Dir: "/d", Image: "/i"}},
		{name: "no directory", cfg: &Config{Image: "/i"}, bad: true},
		{name: "relative image", cfg: &Config{Dir: "/d", Image: "i"}, bad: true},
		{name: "too small", cfg: &Config{Dir: "/d", Image: "/i", SizeMiB: 1}, bad: true},
		{name: "negative wait", cfg: &Config{Dir: "/d", Image: "/i", Wait: -1}, bad: true},
		{name: "FUSE defaults", cfg: &FUSEConfig{Dir: "/d", Backing: "/b"}},
		{name: "FUSE without backing", cfg: &FUSEConfig{Dir: "/d"}, bad: true},
		{name: "FUSE negative", cfg: &FUSEConfig{Dir: "/d", Backing: "/b", SlowSync: -1}, bad: true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if err := tt.cfg.Validate(); (err != nil) != tt.bad {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestExt4Image(t *testing.T) {
	needRoot(t)
	dir := testDir(t)
	image := filepath.Join(dir, "image")
	must(t, os.WriteFile(image, []byte("somebody's"), 0o600))
	if _, err := NewExt4(t.Context(), Config{Dir: filepath.Join(dir, "mnt"), Image: image}); !errors.Is(err, os.ErrExist) {
		t.Errorf("an image that exists: %v", err)
	}
	nothingLeft(t, dir)
}

// TestUnsupported: without the right to do it, it is said in the one way that a
// scenario looks for.
func TestUnsupported(t *testing.T) {
	if reached == fault.TierA {
		t.Skip("this run may mount")
	}
	dir := testDir(t)
	if _, err := NewExt4(t.Context(), Config{Dir: filepath.Join(dir, "mnt"), Image: filepath.Join(dir, "image")}); !errors.Is(err, fault.ErrUnsupported) {
		t.Errorf("ext4: %v", err)
	}
	f, err := NewFUSE(t.Context(), FUSEConfig{Dir: filepath.Join(dir, "fuse"), Backing: dir})
	if err == nil {
		err = f.Close()
	}
	if err != nil && !errors.Is(err, fault.ErrUnsupported) {
		t.Errorf("FUSE: %v", err)
	}
	nothingLeft(t, dir)
}

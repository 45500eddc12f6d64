package cluster

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"golang.org/x/sys/unix"

	"github.com/zerokeeper/zero/fsm"
	"github.com/zerokeeper/zero/transport/api"
)

// fakeVolume is a volume that has what it is told; its reserve takes from it.
type fakeVolume struct {
	free atomic.Uint64 // with the reserve counted as free
	fail atomic.Bool
}

func (v *fakeVolume) stat(dir string) (volume, error) {
	if v.fail.Load() {
		return volume{}, errDisk
	}
	free := v.free.Load()
	if info, err := os.Stat(filepath.Join(dir, reserveFile)); err == nil {
		free -= min(free, uint64(info.Size()))
	}
	return volume{total: 1 << 30, free: free}, nil
}

func TestSpaceMarks(t *testing.T) {
	const mark = 4 << 20
	var v fakeVolume
	v.free.Store(1 << 30)
	c := DefaultConfig()
	c.DataDir, c.DiskReserve, c.statDisk, c.Logger = t.TempDir(), mark, v.stat, hclog.NewNullLogger()
	s := newSpace(c)
	s.begin()
	steps := []struct {
		name          string
		free          uint64 // with the reserve counted as free
		low, reserved bool
	}{
		{"plenty", 1 << 30, false, true},
		{"just enough", 2*mark + 1, false, true},
		{"low", 2*mark - 1, true, true},
		{"a little more is not enough again", 2*mark + 1, true, true},
		{"room again", 2*mark + mark/4, false, true},
		{"critical: the reserve goes", mark + mark/4 - 1, true, false},
		{"room for half of a reserve", 2 * mark, true, false},
		{"room for the reserve", 3 * mark, false, true},
		{"nothing", 0, true, false},
		{"plenty again", 1 << 30, false, true},
	}
	for _, step := range steps {
		v.free.Store(step.free)
		before := s.isLow()
		if changed := s.look(); changed != (before != step.low) {
			t.Errorf("%s: changed is %v", step.name, changed)
		}
		_, err := os.Stat(s.path())
		if s.isLow() != step.low || (err == nil) != step.reserved {
			t.Errorf("%s: low %v, want %v; reserve %v, want %v", step.name, s.isLow(), step.low, err == nil, step.reserved)
		}
		if alarm := s.alarm(); errors.Is(alarm, api.ErrDiskLow) != step.low {
			t.Errorf("%s: alarm %v", step.name, alarm)
		}
	}
	v.fail.Store(true)
	if s.look(); s.isLow() {
		t.Error("a volume that cannot be looked at is low")
	}
	if none := (*space)(nil); none.isLow() || none.alarm() != nil || none.free() != 0 {
		t.Error("memory is low")
	}
}

// Much that is written asks for a look before the next second.
func TestSpaceLooksWhileWriting(t *testing.T) {
	var v fakeVolume
	v.free.Store(1 << 30)
	c := DefaultConfig()
	c.DataDir, c.DiskReserve, c.statDisk, c.Logger = t.TempDir(), 16<<20, v.stat, hclog.NewNullLogger()
	s := newSpace(c)
	s.begin()
	s.wrote(1<<20 - 1)
	if len(s.kick) != 0 {
		t.Error("looks too often")
	}
	s.wrote(1)
	s.wrote(1 << 20)
	if len(s.kick) != 1 {
		t.Error("does not look while much is written")
	}
}

// A leader without room refuses clients' writes, does its duties, and gives
// leadership to one that has room; when none has, reads go on.
func TestLeaderDiskLow(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	volumes := map[string]*fakeVolume{}
	f.setup = func(name string, c *Config) {
		if volumes[name] == nil {
			volumes[name] = new(fakeVolume)
			volumes[name].free.Store(1 << 30)
		}
		c.DiskReserve, c.statDisk = 4<<20, volumes[name].stat
	}
	nodes := f.group(3)
	leader := f.leader(nodes...)
	rest := others(nodes, leader)
	f.mustPut("a", "1")
	fill := func(n *Node) { volumes[n.cfg.Name].free.Store(6 << 20) }
	fill(leader)
	fill(rest[0])
	f.eventually("the only one with room leads", func() bool { return f.leader(nodes...) == rest[1] })
	f.mustPut("b", "1")
	if s := leader.Status(); !s.DiskLow || s.DiskFree == 0 {
		t.Errorf("status %+v", s)
	}
	if failed, live := unhealthy(t, leader); failed["disk"] == nil || !live {
		t.Errorf("no alarm: %v, live %v", failed, live)
	}

	fill(rest[1])
	f.eventually("all are low", func() bool { return rest[1].stores.space.isLow() })
	last := f.leader(nodes...)
	_, err := put(t.Context(), last, "c", "1")
	if !errors.Is(err, api.ErrDiskLow) || !strings.Contains(err.Error(), "Free space") {
		t.Errorf("a write without room: %v", err)
	}
	state, err := last.Linearizable(t.Context())
	if err != nil || get(state, "b") != "1" || get(state, "c") != "" {
		t.Errorf("a read without room: %q, %q, %v", get(state, "b"), get(state, "c"), err)
	}
	if _, err := last.ProposeInTerm(t.Context(), last.Term(), fsm.Header{}, &fsm.ExpireSessions{}); err != nil {
		t.Errorf("the leader's own write without room: %v", err)
	}
	for _, v := range volumes {
		v.free.Store(1 << 30)
	}
	f.mustPut("d", "1")
}

// A real volume: on a tmpfs of its own, in a mount namespace of its own.
func TestFullDisk(t *testing.T) {
	const inside = "ZERO_TEST_INSIDE_NAMESPACE"
	if os.Getenv(inside) == "" {
		if os.Getuid() != 0 {
			t.Skip("mounting needs root")
		}
		t.Parallel()
		cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestFullDisk$", "-test.v", "-test.timeout=60s")
		cmd.Env = append(os.Environ(), inside+"=1")
		cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS, Pdeathsig: syscall.SIGKILL}
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%v\n%s", err, out)
		}
		return
	}
	const size = 48 << 20
	mount := t.TempDir()
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("tmpfs", mount, "tmpfs", 0, fmt.Sprintf("size=%d", size)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Unmount(mount, unix.MNT_DETACH) })
	f := newFleet(t)
	f.setup = func(_ string, c *Config) {
		c.DataDir, c.DiskReserve = filepath.Join(mount, "k1"), 4<<20
		c.SnapshotThreshold, c.TrailingLogs = 20, 10
	}
	n := f.mustOpen(f.config("k1", 1))
	f.ready(n)
	f.mustPut("a", "1")

	reserve := filepath.Join(mount, "k1", reserveFile)
	filler := filepath.Join(mount, "filler")
	if err := fillUp(filler); err != nil {
		t.Fatal(err)
	}
	f.eventually("writes are refused", func() bool {
		_, err := put(t.Context(), n, "b", "1")
		return errors.Is(err, api.ErrDiskLow)
	})
	f.eventually("the reserve is given up", func() bool { _, err := os.Stat(reserve); return err != nil })
	// There is room for what goes on.
	for range 20 {
		if _, err := n.ProposeInTerm(t.Context(), n.Term(), fsm.Header{}, &fsm.ExpireSessions{}); err != nil {
			t.Fatalf("the leader's own write: %v", err)
		}
	}
	if state, err := n.Linearizable(t.Context()); err != nil || get(state, "a") != "1" {
		t.Errorf("a read on a full disk: %v", err)
	}
	f.eventually("a snapshot is taken", func() bool { return len(snapshotsOf(t, n)) > 0 })

	// It starts on a full disk as well.
	f.close(n)
	if err := os.WriteFile(reserve, make([]byte, 1<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := fillUp(filepath.Join(mount, "filler2")); err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	n = f.restart(n)
	f.ready(n)
	t.Logf("started on a full disk in %v", time.Since(start))
	if _, err := put(t.Context(), n, "c", "1"); !errors.Is(err, api.ErrDiskLow) {
		t.Errorf("a write: %v", err)
	}
	for _, name := range []string{filler, filler + "2"} {
		if err := os.Remove(name); err != nil {
			t.Fatal(err)
		}
	}
	f.mustPut("d", "1")
	f.eventually("the reserve is back", func() bool {
		info, err := os.Stat(reserve)
		return err == nil && info.Size() == 4<<20
	})
}

// fillUp writes a file until the volume is full.
func fillUp(path string) error {
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	_, err = io.Copy(file, zeros{})
	if err = errors.Join(err, file.Close()); errors.Is(err, unix.ENOSPC) {
		return nil
	}
	return fmt.Errorf("the volume did not fill up: %w", err)
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { return len(p), nil }

package proc

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/zerokeeper/zero/jepsen/fault"
)

func TestPauseAndResume(t *testing.T) {
	v := newVictim(t)
	for range 3 {
		if err := v.Pause(); err != nil {
			t.Fatal(err)
		}
		if state, err := processState(v.PID()); err != nil || state != 'T' {
			t.Fatalf("after Pause it is in state %c, %v", state, err)
		}
		if err := v.Resume(); err != nil {
			t.Fatal(err)
		}
		if state, err := processState(v.PID()); err != nil || state == 'T' {
			t.Fatalf("after Resume it is in state %c, %v", state, err)
		}
		v.takes("work")
	}
}

func TestKillAndEnd(t *testing.T) {
	v := newVictim(t)
	did(t, v.LimitCPU(0.5))
	if err := v.Pause(); err != nil { // SIGKILL does not wait for SIGCONT
		t.Fatal(err)
	}
	if err := v.Kill(); err != nil {
		t.Fatal(err)
	}
	if sig := killedBy(v.cmd); sig != syscall.SIGKILL {
		t.Errorf("it ended by %v", sig)
	}
	dirs := v.dirs()
	for name, method := range map[string]func() error{
		"Kill": v.Kill, "Pause": v.Pause, "Resume": v.Resume, "Release": v.Release,
		"LimitCPU":    func() error { return v.LimitCPU(0.5) },
		"LimitMemory": func() error { return v.LimitMemory(1 << 30) },
		"LimitFiles":  func() error { return v.LimitFiles(10) },
		"LimitWrites": func() error { return v.LimitWrites(1 << 20) },
	} {
		if err := method(); !errors.Is(err, ErrEnded) {
			t.Errorf("%s of what has ended: %v, want ErrEnded", name, err)
		}
	}
	for _, dir := range dirs {
		if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s is there after Release: %v", dir, err)
		}
	}
	if _, err := New(v.PID(), Options{}); !errors.Is(err, ErrEnded) {
		t.Errorf("New of what has ended: %v, want ErrEnded", err)
	}
}

func TestLimitCPU(t *testing.T) {
	v := newVictim(t)
	did(t, v.LimitCPU(0.05))
	if took := v.takes("work"); took < 200*time.Millisecond { // 30 ms of work at 5 ms in each 100
		t.Errorf("30 ms of work took %v", took)
	}
	n, err := v.Throttled()
	if err != nil || n == 0 {
		t.Errorf("throttled %d times, %v", n, err)
	}
	if err := v.LimitCPU(0.005); err != nil { // needs a longer period
		t.Error(err)
	}
	if err := v.Release(); err != nil {
		t.Fatal(err)
	}
	if after, err := v.Throttled(); err != nil || after < n {
		t.Errorf("Release forgets what was counted: %d, then %d, %v", n, after, err)
	}
	if dirs := v.dirs(); len(dirs) > 0 {
		t.Errorf("after Release there are %q", dirs)
	}
	if groups := mustRead(t, fmt.Sprintf("/proc/%d/cgroup", v.PID())); strings.Contains(groups, prefix) {
		t.Errorf("after Release it is in\n%s", groups)
	}
	did(t, v.LimitCPU(1)) // and again
}

func TestLimitMemory(t *testing.T) {
	v := newVictim(t)
	has, err := anonymous(v.PID())
	if err != nil {
		t.Fatal(err)
	}
	did(t, v.LimitMemory(has+64<<20))
	if got := v.ask("take 8"); got != "8" {
		t.Fatalf("below the limit: %q", got)
	}
	if n, err := v.OOMKills(); err != nil || n != 0 {
		t.Errorf("below the limit: %d kills, %v", n, err)
	}
	if err := v.LimitMemory(has + 32<<20); err != nil { // less than before
		t.Fatal(err)
	}
	if _, err := fmt.Fprintln(v.stdin, "take 200"); err != nil {
		t.Fatal(err)
	}
	if sig := killedBy(v.cmd); sig != syscall.SIGKILL {
		t.Errorf("it ended by %v, %v", sig, v.cmd.ProcessState)
	}
	for _, when := range []string{"before Release", "after Release"} {
		if n, err := v.OOMKills(); err != nil || n != 1 {
			t.Errorf("%s: %d kills, %v, want 1", when, n, err)
		}
		if err := v.Release(); !errors.Is(err, ErrEnded) {
			t.Errorf("%s: Release: %v", when, err)
		}
	}
}

func TestLimitFiles(t *testing.T) {
	v := newVictim(t)
	var before, after unix.Rlimit
	if err := unix.Prlimit(v.PID(), unix.RLIMIT_NOFILE, nil, &before); err != nil {
		t.Fatal(err)
	}
	for _, n := range []uint64{12, 20} {
		did(t, v.LimitFiles(n))
		got := v.ask("open 50")
		var opened uint64
		if _, err := fmt.Sscan(got, &opened); err != nil || opened >= n || !strings.Contains(got, "too many open files") {
			t.Errorf("with %d descriptors: %q", n, got)
		}
	}
	if err := v.LimitFiles(before.Max + 1); err == nil && before.Max < ^uint64(0) {
		t.Error("more than the hard limit was taken")
	}
	if err := v.Release(); err != nil {
		t.Fatal(err)
	}
	if got := v.ask("open 50"); got != "50 <nil>" {
		t.Errorf("after Release: %q", got)
	}
	if err := unix.Prlimit(v.PID(), unix.RLIMIT_NOFILE, nil, &after); err != nil || after != before {
		t.Errorf("after Release the limit is %v, %v, want %v", after, err, before)
	}
}

func TestLimitWrites(t *testing.T) {
	v := newVictim(t)
	file := v.opts.DataPath + "/file"
	free := v.takes("write " + file)
	did(t, v.LimitWrites(256<<10))
	// 128 KiB at 256 KiB/s; the kernel lets a little pass at first.
	if took := v.takes("write " + file); took < 300*time.Millisecond || took < free {
		t.Errorf("it took %v with the limit and %v without", took, free)
	}
	if err := v.Release(); err != nil {
		t.Fatal(err)
	}
	v.takes("write " + file)
}

func TestBadLimits(t *testing.T) {
	v := newVictim(t)
	v.opts.DataPath = ""
	tests := []struct {
		name        string
		err         error
		unsupported bool
	}{
		{name: "no core", err: v.LimitCPU(0)},
		{name: "less", err: v.LimitCPU(-0.1)},
		{name: "more than one core", err: v.LimitCPU(1.1)},
		{name: "too small a share", err: v.LimitCPU(0.0001), unsupported: true},
		{name: "no memory", err: v.LimitMemory(0)},
		{name: "no writes", err: v.LimitWrites(0)},
		{name: "no disk", err: v.LimitWrites(1), unsupported: true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if tt.err == nil || errors.Is(tt.err, fault.ErrUnsupported) != tt.unsupported {
				t.Errorf("got %v, unsupported is to be %t", tt.err, tt.unsupported)
			}
		})
	}
	if dirs := v.dirs(); len(dirs) > 0 {
		t.Errorf("refused limits made %q", dirs)
	}
}

func TestCPUQuota(t *testing.T) {
	tests := []struct {
		share         float64
		quota, period int64
	}{{1, 100_000, 100_000}, {0.05, 5_000, 100_000}, {0.01, 1_000, 100_000}, {0.005, 1_000, 200_000}, {0.001, 1_000, 1_000_000}}
	for _, tt := range tests {
		quota, period, err := cpuQuota(tt.share)
		if err != nil || quota != tt.quota || period != tt.period {
			t.Errorf("%v of a core is %d in %d, %v, want %d in %d", tt.share, quota, period, err, tt.quota, tt.period)
		}
	}
}

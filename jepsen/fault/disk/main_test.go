package disk

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/zerokeeper/zero/jepsen/fault"
	"github.com/zerokeeper/zero/jepsen/fault/enter"
)

// bound is for all that should happen soon.
const bound = 10 * time.Second

// reached is the tier that the tests run in.
var reached fault.Tier

func TestMain(m *testing.M) {
	if role := os.Getenv(clientEnv); role != "" {
		os.Exit(client(role, os.Args[1:]))
	}
	var err error
	if reached, err = enter.Enter(0); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// needRoot skips what cannot be done here, unless it has to be.
func needRoot(t *testing.T) {
	t.Helper()
	if reached == fault.TierA {
		return
	}
	if os.Getenv("CI") == "true" || os.Getenv("ZERO_CHAOS_TIER") == "A" {
		t.Fatalf("tier %v: volumes need root, and this run was told to have it", reached)
	}
	t.Skipf("SKIPPED: tier %v, volumes need root", reached)
}

// testDir is t.TempDir as the kernel names it.
func testDir(t *testing.T) string {
	t.Helper()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// newExt4 is closed at the end of the test, which fails if anything is left.
func newExt4(t *testing.T) *Ext4 {
	t.Helper()
	needRoot(t)
	dir := testDir(t)
	e, err := NewExt4(t.Context(), Config{Dir: filepath.Join(dir, "mnt"), Image: filepath.Join(dir, "image"), SizeMiB: 24, Wait: 2 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
		nothingLeft(t, dir)
	})
	return e
}

// newFUSE is closed at the end of the test, which fails if anything is left.
func newFUSE(t *testing.T) *FUSE {
	t.Helper()
	needRoot(t)
	dir := testDir(t)
	f, err := NewFUSE(t.Context(), FUSEConfig{Dir: filepath.Join(dir, "mnt"), Backing: filepath.Join(dir, "backing"), Wait: 2 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := f.Close(); err != nil {
			t.Error(err)
		}
		nothingLeft(t, dir)
	})
	return f
}

// nothingLeft looks for mounts and loop devices below dir.
func nothingLeft(t *testing.T, dir string) {
	t.Helper()
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(mounts)) {
		if strings.Contains(line, dir) {
			t.Errorf("still mounted: %s", line)
		}
	}
	loops, err := filepath.Glob("/sys/block/loop*/loop/backing_file")
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range loops {
		// A device of another test may go while it is looked at.
		if text, err := os.ReadFile(l); err == nil && strings.Contains(string(text), dir) {
			t.Errorf("still attached: %s has %s", l, text)
		}
	}
}

// eventually waits for a condition.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	if err := waitFor(t.Context(), bound, func() (bool, error) { return ok(), nil }); err != nil {
		t.Fatalf("%s: %v", what, err)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// did is must for the functions that say what they did.
func did(t *testing.T) func(what string, err error) {
	return func(what string, err error) {
		t.Helper()
		must(t, err)
		if what == "" {
			t.Fatal("says nothing about what it did")
		}
		t.Log(what)
	}
}

package disk

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/zerokeeper/zero/jepsen/fault"
	"golang.org/x/sys/unix"
)

// clientFreeze hangs a volume and waits to be killed.
func clientFreeze(args []string) error {
	e, err := NewExt4(context.Background(), Config{Dir: filepath.Join(args[0], "mnt"), Image: filepath.Join(args[0], "image"), SizeMiB: 16})
	if err != nil {
		return err
	}
	if err := e.Break(fault.DiskHung); err != nil {
		return err
	}
	fmt.Println("hung", e.loop)
	_, err = io.Copy(io.Discard, os.Stdin)
	return err
}

// TestGuardThaws: whoever hangs a volume and is killed leaves it usable.
func TestGuardThaws(t *testing.T) {
	needRoot(t)
	dir := testDir(t)
	maker := start(t, "freeze", dir)
	var loop string
	if _, err := fmt.Sscanf(maker.line(), "hung %s", &loop); err != nil {
		t.Fatal(err)
	}
	w := start(t, "append", filepath.Join(dir, "mnt", "f"))
	w.stuck()
	maker.kill()
	w.want("open")
	w.say("")
	w.want("synced")
	w.kill()

	// The maker's mount is in this test's namespace: it would have ended with its own.
	e := &Ext4{cfg: Config{Dir: filepath.Join(dir, "mnt"), Image: filepath.Join(dir, "image"), Wait: bound}, loop: loop}
	must(t, e.Close())
	nothingLeft(t, dir)
}

// clientServe serves a hung FUSE, with a node on it, and waits to be killed.
func clientServe(args []string) error {
	f, err := NewFUSE(context.Background(), FUSEConfig{Dir: filepath.Join(args[0], "mnt"), Backing: args[0]})
	if err != nil {
		return err
	}
	cmd := exec.Command("/proc/self/exe", filepath.Join(f.Dir(), "f"))
	cmd.Env = append(os.Environ(), clientEnv+"=append")
	in, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	cmd.Stdout = os.Stdout
	if err := cmd.Start(); err != nil {
		return err
	}
	fmt.Println("serves", cmd.Process.Pid)
	if err := waitFor(context.Background(), bound, func() (bool, error) {
		_, err := os.Stat(filepath.Join(f.Dir(), "f"))
		return err == nil, nil
	}); err != nil {
		return err
	}
	if err := f.Break(fault.HungSync); err != nil {
		return err
	}
	if _, err := io.WriteString(in, "\n"); err != nil {
		return err
	}
	if err := waitFor(context.Background(), bound, func() (bool, error) { return f.Affected() > 0, nil }); err != nil {
		return err
	}
	fmt.Println("hangs")
	_, err = io.Copy(io.Discard, os.Stdin)
	return err
}

// TestFUSEDriverKilled: who waits on a hung FUSE is let go when the process that
// serves it is killed, and the nodes that it started hold no end of it.
func TestFUSEDriverKilled(t *testing.T) {
	needRoot(t)
	dir := testDir(t)
	driver := start(t, "serve", dir)
	t.Cleanup(func() {
		if err := unix.Unmount(filepath.Join(dir, "mnt"), unix.MNT_FORCE|unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
		nothingLeft(t, dir)
	})
	var pid int
	l := driver.line()
	if l == "open" {
		l = driver.line()
	} else {
		driver.want("open")
	}
	if _, err := fmt.Sscanf(l, "serves %d", &pid); err != nil {
		t.Fatal(err)
	}
	driver.want("hangs")
	fds, err := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid))
	must(t, err)
	for _, fd := range fds {
		if to, err := os.Readlink(fd); err == nil && to == "/dev/fuse" {
			t.Errorf("the node has %s open", to)
		}
	}
	must(t, driver.cmd.Process.Kill())
	driver.want("error")
	driver.wait()
}

package fleet

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// newNetNS makes a network namespace that lasts as long as the test, and returns its path. It has no name and no mount: it
// belongs to a thread that ends with the test.
func newNetNS(t *testing.T) string {
	t.Helper()
	type made struct {
		tid int
		err error
	}
	ready, release, done := make(chan made), make(chan struct{}), make(chan struct{})
	hold := func() {
		defer close(done)
		runtime.LockOSThread() // without an unlock: the thread ends with the goroutine, and the namespace with the thread
		ready <- made{err: unix.Unshare(unix.CLONE_NEWNET), tid: unix.Gettid()}
		<-release
	}
	go func() {
		if runtime.LockOSThread(); unix.Gettid() != os.Getpid() {
			hold()
			return
		}
		go hold() // on another thread: /proc/self is what the first one sees, and that one never ends
		<-done
		runtime.UnlockOSThread()
	}()
	t.Cleanup(func() {
		close(release)
		<-done
	})
	m := <-ready
	if errors.Is(m.err, unix.EPERM) {
		needed(t, "the right to make network namespaces (root)", m.err)
	}
	if m.err != nil {
		t.Fatal(m.err)
	}
	return fmt.Sprintf("/proc/%d/task/%d/ns/net", os.Getpid(), m.tid)
}

func readlink(t *testing.T, path string) string {
	t.Helper()
	link, err := os.Readlink(path)
	if err != nil {
		t.Fatal(err)
	}
	return link
}

func TestNetNS(t *testing.T) {
	path := newNetNS(t)
	home, there := readlink(t, "/proc/thread-self/ns/net"), readlink(t, path)
	if home == there {
		t.Fatalf("the test's namespace is not a new one: %s", there)
	}
	f := newTestFleet(t)
	const script = "echo now $(readlink /proc/self/ns/net); exec sleep 1000"
	in := func(netNS string) func(*ProcConfig) { return func(c *ProcConfig) { c.NetNS = netNS } }

	p := shell(t, f, "inside", script, in(path))
	waitLog(t, p, "now "+there)
	waitLog(t, shell(t, f, "outside", script), "now "+home)
	if err := p.Restart(limited(t)); err != nil {
		t.Fatal(err)
	}
	if got := readlink(t, fmt.Sprintf("/proc/%d/ns/net", p.PID())); got != there {
		t.Errorf("after a restart it is in %s, want %s", got, there)
	}

	bad, err := f.NewProc(ProcConfig{Name: "nowhere", Path: "sleep", Args: []string{"1000"}, NetNS: path + "-none"})
	if err != nil {
		t.Fatal(err)
	}
	if err := bad.Start(limited(t)); !errors.Is(err, os.ErrNotExist) || !strings.Contains(fmt.Sprint(err), path+"-none") {
		t.Errorf("start in a namespace that is not there: %v", err)
	}
	missing, err := f.NewProc(ProcConfig{Name: "missing", Path: "/bin/sh", NetNS: path})
	if err != nil {
		t.Fatal(err)
	}
	missing.cfg.Path += "-none"
	if err := missing.Start(limited(t)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("start of a program that is not there: %v", err)
	}
	// A failed start has come back, too.
	waitLog(t, shell(t, f, "after", script), "now "+home)
	if err := f.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
}

func TestNoWayBackFromANetNSIsFatal(t *testing.T) {
	path := newNetNS(t)
	s := newSpawner()
	defer s.stop()
	home := readlink(t, "/proc/thread-self/ns/net")
	stuck := errors.New("no way back")
	calls := 0
	s.setns = func(fd, kind int) error { // called by the spawner between a request and its reply only
		if calls++; calls == 2 {
			return stuck
		}
		return unix.Setns(fd, kind)
	}
	cmd := exec.CommandContext(limited(t), "sleep", "1000")
	if err := s.start(cmd, path); !errors.Is(err, ErrLostNamespace) || !errors.Is(err, stuck) {
		t.Fatalf("got %v, want ErrLostNamespace and its cause", err)
	}
	gone(t, cmd.Process.Pid)
	for _, netNS := range []string{"", path} {
		if err := s.start(exec.CommandContext(limited(t), "true"), netNS); !errors.Is(err, ErrLostNamespace) {
			t.Errorf("a later start in %q: %v, want ErrLostNamespace", netNS, err)
		}
	}
	if got := readlink(t, "/proc/thread-self/ns/net"); got != home {
		t.Errorf("the program is in %s, want %s", got, home)
	}
}

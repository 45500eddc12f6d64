package netns

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// current is the path of the calling thread's network namespace.
const current = "/proc/thread-self/ns/net"

// errNoReturn is what In answers when f ended its goroutine (runtime.Goexit, as t.FailNow does).
var errNoReturn = errors.New("the function did not return")

// In runs f on a thread that is in the network namespace at path (of Namespace, or any other; empty: where it is already)
// and waits for it. Sockets that f opens itself, and processes that it starts itself, belong to that namespace for good;
// goroutines that it starts run elsewhere.
func In(path string, f func() error) error {
	if path == "" {
		return f()
	}
	space, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("open network namespace: %w", err)
	}
	defer space.Close()
	return within(space, f)
}

func within(space *os.File, f func() error) error {
	return visit(func() error {
		if err := unix.Setns(int(space.Fd()), unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("enter network namespace %s: %w", space.Name(), err)
		}
		return f()
	})
}

// visit runs f, which may change its thread's network namespace, on a thread of its own and takes the thread back. A thread
// that cannot be taken back stays locked, and ends with its goroutine.
func visit(f func() error) error {
	err := errNoReturn
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread()
		home, oerr := unix.Open(current, unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if oerr != nil {
			runtime.UnlockOSThread()
			err = fmt.Errorf("open this thread's network namespace: %w", oerr)
			return
		}
		defer func() {
			if back := unix.Setns(home, unix.CLONE_NEWNET); back != nil {
				err = errors.Join(err, fmt.Errorf("leave network namespace: %w", back))
			} else {
				runtime.UnlockOSThread()
			}
			err = errors.Join(err, unix.Close(home))
		}()
		err = f()
	}()
	<-done
	return err
}

// here opens the calling thread's network namespace.
func here() (*os.File, error) {
	f, err := os.Open(current)
	if err != nil {
		return nil, fmt.Errorf("open this thread's network namespace: %w", err)
	}
	return f, nil
}

// newSpace makes a network namespace without IPv6 that lives as long as the file is open, or something is in it.
func newSpace() (*os.File, error) {
	var space *os.File
	err := visit(func() error {
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("make a network namespace: %w", err)
		}
		if err := noIPv6("all", "default"); err != nil {
			return err
		}
		var err error
		space, err = here()
		return err
	})
	if err != nil {
		if space != nil {
			err = errors.Join(err, space.Close())
		}
		return nil, err
	}
	return space, nil
}

// noIPv6 keeps interfaces of the calling thread's namespace, by name or "all" and "default", free of neighbour discovery and
// router solicitations, which would be packets that nobody sent.
func noIPv6(links ...string) error {
	for _, name := range links {
		err := os.WriteFile("/proc/sys/net/ipv6/conf/"+name+"/disable_ipv6", []byte("1"), 0)
		if err != nil && !errors.Is(err, fs.ErrNotExist) { // a kernel without IPv6
			return fmt.Errorf("switch IPv6 off: %w", err)
		}
	}
	return nil
}

// pathOf is how a namespace is named to others: other threads, children, nsenter. It is good as long as the file is open.
func pathOf(space *os.File) string {
	return fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), space.Fd())
}

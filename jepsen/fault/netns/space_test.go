package netns

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/zerokeeper/zero/jepsen/fault"
)

// hang is the variable that lets the test binary make a network where it is, say so, and wait to be killed.
const hang = "NETNS_HANG"

func makeAndHang() int {
	for _, kind := range kinds {
		if kind.name != os.Getenv(hang) {
			continue
		}
		if _, err := kind.make(Config{Nodes: 3}); err != nil {
			fmt.Println(err)
			return 1
		}
		fmt.Println("made")
		<-time.After(patience) // or until its parent is tired of it
	}
	return 1
}

// A network ends with the process that made it, in whatever namespace that was.
func TestNothingIsLeftOfTheKilled(t *testing.T) {
	need(t, fault.TierA)
	for _, kind := range kinds {
		t.Run(kind.name, func(t *testing.T) {
			cmd := exec.Command("/proc/self/exe")
			cmd.Env = append(os.Environ(), hang+"="+kind.name)
			out, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			said, err := bufio.NewReader(out).ReadString('\n')
			if said != "made\n" {
				t.Errorf("the process said %q, %v", said, err)
			}
			before, err := net.Interfaces()
			if err != nil || len(before) != 2 {
				t.Errorf("the process made %v, %v, want one interface", before, err)
			}
			if err := cmd.Process.Kill(); err != nil {
				t.Fatal(err)
			}
			_ = cmd.Wait() // it was killed
			tick := time.NewTicker(time.Millisecond)
			defer tick.Stop()
			for end := time.Now().Add(patience); ; <-tick.C {
				left, err := net.Interfaces()
				if err == nil && len(left) == 1 {
					return
				}
				if err != nil || time.Now().After(end) {
					t.Fatalf("left are %v, %v", left, err)
				}
			}
		})
	}
}

func TestIn(t *testing.T) {
	need(t, fault.TierB)
	b, err := NewBridge(Config{Nodes: 1})
	n := made(t, b, err)
	where := func() (s string) {
		s, err := os.Readlink(current)
		if err != nil {
			t.Error(err)
		}
		return s
	}
	home := where()
	var there string
	failed := errors.New("as asked for")
	if err := In(n.Namespace(0), func() error { there = where(); return failed }); !errors.Is(err, failed) {
		t.Errorf("got %v", err)
	}
	if there == home || where() != home {
		t.Errorf("home is %s, there was %s, now %s", home, there, where())
	}
	if err := In("", func() error { there = where(); return nil }); err != nil || there != home {
		t.Errorf("nowhere is %s, %v", there, err)
	}
	for _, path := range []string{"/nowhere", "/proc/self/ns/mnt"} {
		if err := In(path, func() error { t.Error("it ran"); return nil }); err == nil {
			t.Errorf("%s can be entered", path)
		}
	}
}

func ExampleIn() {
	var space string // as of Net.Namespace; empty is where this thread is
	err := In(space, func() error {
		l, err := net.Listen("tcp4", "127.0.0.1:0")
		if err != nil {
			return err
		}
		return l.Close()
	})
	fmt.Println(err)
	// Output: <nil>
}

// The driver is where the calling thread is, which need not be where the process is.
func TestDriverOfAnotherNamespace(t *testing.T) {
	need(t, fault.TierB)
	space, err := newSpace()
	if err != nil {
		t.Fatal(err)
	}
	defer space.Close()
	err = within(space, func() error {
		b, err := NewBridge(Config{Nodes: 1})
		if err != nil {
			return err
		}
		c, err := dial(b, fault.Driver, echo(t, b, 0), patience)
		if err != nil {
			return errors.Join(err, b.Close())
		}
		return errors.Join(call(c, "hello", patience), c.Close(), b.Close())
	})
	if err != nil {
		t.Error(err)
	}
	if links, err := net.Interfaces(); err != nil || len(links) != 1 {
		t.Errorf("besides lo there are %v, %v", links, err)
	}
}

package sim

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"testing/synctest"
	"time"
)

// pair is a connection from node 0 to node 1.
func pair(t *testing.T, n *network) (near, far net.Conn) {
	t.Helper()
	l, err := n.listen(1, "b:1")
	if err != nil {
		t.Fatal(err)
	}
	accepted := make(chan net.Conn, 1)
	go func() {
		if c, err := l.Accept(); err == nil {
			accepted <- c
		}
	}()
	near, err = n.dial(t.Context(), 0, "b:1")
	if err != nil {
		t.Fatal(err)
	}
	return near, <-accepted
}

func send(t *testing.T, c net.Conn, text string) {
	t.Helper()
	if _, err := c.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
}

func receive(t *testing.T, c net.Conn, text string) {
	t.Helper()
	got := make([]byte, len(text))
	if _, err := io.ReadFull(c, got); err != nil || string(got) != text {
		t.Fatalf("%q, %v; want %q", got, err, text)
	}
}

func TestConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(2, 1)
		near, far := pair(t, n)
		start := time.Now()
		send(t, near, "hel")
		send(t, near, "lo")
		receive(t, far, "hello")
		if took := time.Since(start); took < baseDelay/10 || took > 2*baseDelay {
			t.Errorf("it took %v", took)
		}
		if err := far.SetReadDeadline(time.Now().Add(time.Second)); err != nil {
			t.Fatal(err)
		}
		if _, err := far.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(start) < time.Second {
			t.Errorf("a read past its deadline: %v", err)
		}
		_ = far.SetReadDeadline(time.Time{})
		send(t, near, "bye")
		_ = near.Close()
		receive(t, far, "bye")
		if _, err := far.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
			t.Errorf("after the end: %v", err)
		}
		if _, err := far.Write([]byte("x")); err == nil {
			t.Error("a write to one that closed")
		}
	})
}

func TestCutStallsOneWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(2, 1)
		near, far := pair(t, n)
		number := n.cut(cut{dead: func(from, to int) bool { return from == 0 && to == 1 }})
		start := time.Now()
		time.AfterFunc(time.Minute, func() { n.heal(number) })
		send(t, far, "back")
		receive(t, near, "back")
		if time.Since(start) > time.Second {
			t.Error("the other direction is cut too")
		}
		send(t, near, "there") // as in TCP, it arrives when the link is whole again
		receive(t, far, "there")
		if took := time.Since(start); took < time.Minute {
			t.Errorf("it came through the cut, after %v", took)
		}
	})
}

func TestCutRefusesAndResets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(2, 1)
		near, far := pair(t, n)
		dead := func(from, to int) bool { return from != to }
		first := n.cut(cut{dead: dead, reset: true})
		second := n.cut(cut{dead: dead})
		for _, c := range []net.Conn{near, far} {
			if _, err := c.Read(make([]byte, 1)); !errors.Is(err, errReset) {
				t.Errorf("a connection over the cut: %v", err)
			}
		}
		if _, err := n.dial(t.Context(), 0, "b:1"); !errors.Is(err, errUnreachable) {
			t.Errorf("dialed over a cut that resets: %v", err)
		}
		n.heal(first)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := n.dial(ctx, 0, "b:1"); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("dialed over a cut that stalls: %v", err)
		}
		n.heal(second)
		n.crashed(1, "b:1")
		if _, err := n.dial(t.Context(), 0, "b:1"); !errors.Is(err, errRefused) {
			t.Errorf("dialed to nobody: %v", err)
		}
		if _, err := n.listen(1, "b:1"); err != nil {
			t.Errorf("listen again: %v", err)
		}
	})
}

func TestCrashIsSeenAfterTheCut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(2, 1)
		near, _ := pair(t, n)
		number := n.cut(cut{dead: func(from, to int) bool { return from != to }})
		n.crashed(1, "b:1")
		start := time.Now()
		time.AfterFunc(time.Minute, func() { n.heal(number) })
		if _, err := near.Read(make([]byte, 1)); err == nil || time.Since(start) < time.Minute {
			t.Errorf("%v after %v", err, time.Since(start))
		}
	})
}

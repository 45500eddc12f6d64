package relay

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/zerokeeper/zero/jepsen/fault"
	"github.com/zerokeeper/zero/jepsen/fleet"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	patience = 20 * time.Second       // only a hang takes so long
	silence  = 100 * time.Millisecond // in which nothing must come
)

// world is a network and a server at each of its nodes that hands its connections to the test.
type world struct {
	*Net
	t        *testing.T
	accepted []chan *net.TCPConn
}

func newWorld(t *testing.T, nodes int) *world {
	t.Helper()
	ports := fleet.NewPorts()
	port, err := ports.Take(1)
	if err != nil {
		t.Fatal(err)
	}
	n, err := New(Config{Nodes: nodes, Port: port[0], Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	w := &world{Net: n, t: t}
	t.Cleanup(func() {
		if err := errors.Join(n.Close(), n.Close(), ports.Close()); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	for i := range nodes {
		ln, err := net.Listen("tcp", n.Listen(i))
		if err != nil {
			t.Fatal(err)
		}
		accepted := make(chan *net.TCPConn, 2000)
		done := make(chan struct{})
		go func() {
			defer close(done)
			for {
				conn, err := ln.Accept()
				if err != nil {
					return
				}
				accepted <- conn.(*net.TCPConn)
			}
		}()
		w.accepted = append(w.accepted, accepted)
		t.Cleanup(func() {
			ln.Close()
			<-done
			close(accepted)
			for conn := range accepted {
				conn.Close()
			}
		})
	}
	return w
}

// side is one end of a connection.
type side struct {
	*net.TCPConn
	t *testing.T
	r *bufio.Reader
}

func newSide(t *testing.T, conn *net.TCPConn) *side {
	t.Cleanup(func() { conn.Close() })
	return &side{TCPConn: conn, t: t, r: bufio.NewReader(conn)}
}

func (w *world) dial(from, to int) *side {
	w.t.Helper()
	conn, err := net.DialTimeout("tcp", w.Dial(from, to), patience)
	if err != nil {
		w.t.Fatal(err)
	}
	return newSide(w.t, conn.(*net.TCPConn))
}

func (w *world) accept(node int) *side {
	w.t.Helper()
	select {
	case conn := <-w.accepted[node]:
		return newSide(w.t, conn)
	case <-time.After(patience):
		w.t.Fatalf("no connection has reached node %d", node)
		return nil
	}
}

// connect is a connection from one node to another, both ends.
func (w *world) connect(from, to int) (caller, callee *side) {
	w.t.Helper()
	caller = w.dial(from, to)
	return caller, w.accept(to)
}

func (w *world) set(rules map[fault.Pair]fault.Rule) {
	w.t.Helper()
	if err := w.Set(rules); err != nil {
		w.t.Fatal(err)
	}
}

func (s *side) says(line string) {
	s.t.Helper()
	s.SetWriteDeadline(time.Now().Add(patience))
	if _, err := fmt.Fprintln(s, line); err != nil {
		s.t.Fatalf("say %q: %v", line, err)
	}
}

func (s *side) hears(want string) {
	s.t.Helper()
	s.SetReadDeadline(time.Now().Add(patience))
	if line, err := s.r.ReadString('\n'); err != nil || line != want+"\n" {
		s.t.Fatalf("heard %q, %v, want %q", line, err, want)
	}
}

// hearsNothing is sure that neither data nor an end comes for a while.
func (s *side) hearsNothing() {
	s.t.Helper()
	s.SetReadDeadline(time.Now().Add(silence))
	if b, err := s.r.ReadByte(); !isTimeout(err) {
		s.t.Fatalf("heard %q, %v, want nothing", b, err)
	}
}

// hearsEnd waits for a regular end, or for a reset.
func (s *side) hearsEnd(regular bool) {
	s.t.Helper()
	s.SetReadDeadline(time.Now().Add(patience))
	b, err := s.r.ReadByte()
	if err == nil || isTimeout(err) || errors.Is(err, io.EOF) != regular {
		s.t.Fatalf("heard %q, %v, want an end that is regular: %t", b, err, regular)
	}
}

func (s *side) hearsAnyEnd() {
	s.t.Helper()
	s.SetReadDeadline(time.Now().Add(patience))
	if b, err := s.r.ReadByte(); err == nil || isTimeout(err) {
		s.t.Fatalf("heard %q, %v, want an end", b, err)
	}
}

// turnedAway dials and waits for the reset, which may come before the dialler has seen the connection.
func turnedAway(t *testing.T, addr string) {
	t.Helper()
	conn, err := net.DialTimeout("tcp", addr, patience)
	if errors.Is(err, syscall.ECONNRESET) {
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	newSide(t, conn.(*net.TCPConn)).hearsEnd(false)
}

func isTimeout(err error) bool {
	var ne net.Error
	return errors.As(err, &ne) && ne.Timeout()
}

// answer serves a counter: each line of a client gets its number of all lines as the answer.
func answer(t *testing.T) (addr string, served func() int) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	count := make(chan int, 1)
	count <- 0
	done := make(chan struct{})
	conns := make(chan net.Conn, 2000)
	go func() {
		defer close(done)
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			conns <- conn
			go func() {
				defer conn.Close()
				for in := bufio.NewScanner(conn); in.Scan(); {
					n := <-count + 1
					count <- n
					if _, err := io.WriteString(conn, strconv.Itoa(n)+"\n"); err != nil {
						return
					}
				}
			}()
		}
	}()
	t.Cleanup(func() {
		ln.Close()
		<-done
		close(conns)
		for conn := range conns {
			conn.Close()
		}
	})
	return ln.Addr().String(), func() int {
		n := <-count
		count <- n
		return n
	}
}

package cluster

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/hashicorp/go-hclog"
)

func TestPreambleRoundTrip(t *testing.T) {
	for _, p := range []preamble{
		{sender: "a", addressee: "b", incarnation: "1-x"},
		{cluster: randomID(), sender: randomID(), addressee: randomID(), incarnation: "1-x", known: "18446744073709551615-y"},
		{cluster: strings.Repeat("c", maxPreambleField), sender: "a", addressee: "b", incarnation: "1-" + strings.Repeat("x", maxPreambleField-2)},
	} {
		data := append(p.append(nil), "what raft says"...)
		r := bytes.NewReader(data)
		got, err := readPreamble(iotest.OneByteReader(r))
		if err != nil || got != p {
			t.Errorf("read %+v, %v; want %+v", got, err, p)
		}
		if rest, _ := io.ReadAll(r); string(rest) != "what raft says" {
			t.Errorf("%q is left for raft", rest)
		}
	}
}

func TestPreambleRefused(t *testing.T) {
	good := preamble{cluster: "c", sender: "a", addressee: "b", incarnation: "1-x"}.append(nil)
	tests := []struct {
		name string
		data []byte
		want error
	}{
		{"nothing", nil, io.EOF},
		{"cut", good[:len(good)-1], io.ErrUnexpectedEOF},
		{"cut after the version", good[:5], io.ErrUnexpectedEOF},
		{"HTTP", []byte("GET / HTTP/1.1\r\n\r\n"), errNotRaft},
		{"earlier version", []byte("ZRFT\x01\x00"), errPreambleVersion},
		{"later version", []byte("ZRFT\x03\x00"), errPreambleVersion},
		{"long id", append([]byte("ZRFT\x02"), 65), errNotRaft},
		{"no sender", preamble{addressee: "b", incarnation: "1-x"}.append(nil), errNotRaft},
		{"no addressee", preamble{sender: "b", incarnation: "1-x"}.append(nil), errNotRaft},
		{"no incarnation", preamble{sender: "a", addressee: "b"}.append(nil), errNotRaft},
		{"incarnation without a number", preamble{sender: "a", addressee: "b", incarnation: "x-1"}.append(nil), errNotRaft},
		{"known incarnation without a number", preamble{sender: "a", addressee: "b", incarnation: "1-x", known: "1"}.append(nil), errNotRaft},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if p, err := readPreamble(bytes.NewReader(test.data)); !errors.Is(err, test.want) {
				t.Errorf("read %+v, %v; want %v", p, err, test.want)
			}
		})
	}
}

func FuzzPreamble(f *testing.F) {
	f.Add(preamble{cluster: "c", sender: "a", addressee: "b", incarnation: "1-x"}.append(nil))
	f.Add(preamble{sender: randomID(), addressee: randomID(), incarnation: "7-abcdef01", known: "6-0"}.append(nil))
	f.Add([]byte("ZRFT\x01\x41"))
	f.Add([]byte("ZRFT\x02\x41"))
	f.Add([]byte("hf\x00\x00"))
	f.Fuzz(func(t *testing.T, data []byte) {
		r := bytes.NewReader(data)
		p, err := readPreamble(r)
		if err != nil {
			return
		}
		used := data[:len(data)-r.Len()]
		if again := p.append(nil); !bytes.Equal(again, used) {
			t.Errorf("%x was read as %+v, which is written %x", used, p, again)
		}
	})
}

// What comes to the Raft port of a member and is not for it is refused with the
// reason, and raft never sees it.
func TestRaftPort(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	n := f.mustOpen(f.config("k1", 1))
	f.ready(n)
	tests := []struct {
		name string
		send preamble
		want verdict
	}{
		{"a later start of the addressee is known, says a stranger", preamble{cluster: n.ClusterID(), sender: randomID(), addressee: n.ID(), known: "99-x"}, olderHere},
		{"the start before of the addressee is known", preamble{cluster: n.ClusterID(), sender: randomID(), addressee: n.ID(), known: "0-x"}, accepted},
		{"an older copy of a member", preamble{cluster: n.ClusterID(), sender: n.ID(), addressee: n.ID(), incarnation: "0-x"}, olderSender},
		{"the second of two copies", preamble{cluster: n.ClusterID(), sender: n.ID(), addressee: n.ID(), incarnation: "1-x"}, olderSender},
		{"a member that started again", preamble{cluster: n.ClusterID(), sender: n.ID(), addressee: n.ID(), incarnation: "2-x"}, accepted},
		{"another cluster", preamble{cluster: randomID(), sender: randomID(), addressee: n.ID()}, otherCluster},
		{"another addressee", preamble{cluster: n.ClusterID(), sender: n.ID(), addressee: randomID()}, notAddressee},
		{"no cluster, unknown sender", preamble{sender: randomID(), addressee: n.ID()}, notMember},
		{"a new leader that is not known here yet", preamble{cluster: n.ClusterID(), sender: randomID(), addressee: n.ID()}, accepted},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			c := dial(t, n)
			if test.send.incarnation == "" {
				test.send.incarnation = "1-x"
			}
			write(t, c, test.send.append(nil))
			var answer [1]byte
			if _, err := io.ReadFull(c, answer[:]); err != nil || verdict(answer[0]) != test.want {
				t.Fatalf("answer %d, %v; want %d", answer[0], err, test.want)
			}
			if test.want != accepted {
				wantClosed(t, c)
			}
		})
	}
	t.Run("garbage", func(t *testing.T) {
		for _, data := range []string{"\x00", "GET / HTTP/1.1\r\n\r\n", "ZRFT\x02\xff\xff\xff\xff", strings.Repeat("\xff", 4096)} {
			c := dial(t, n)
			write(t, c, []byte(data))
			if tcp, ok := c.(*net.TCPConn); ok {
				_ = tcp.CloseWrite()
			}
			wantClosed(t, c)
		}
	})
	t.Run("garbage after the preamble", func(t *testing.T) {
		for _, data := range []string{"\x00\xff\xff\xff\xff\xff\xff", "\x03" + strings.Repeat("\xdd\xff\xff\xff\xff", 20), "\xc0\xc1"} {
			c := dial(t, n)
			write(t, c, preamble{cluster: n.ClusterID(), sender: randomID(), addressee: n.ID(), incarnation: "1-x"}.append(nil))
			var answer [1]byte
			if _, err := io.ReadFull(c, answer[:]); err != nil {
				t.Fatal(err)
			}
			write(t, c, []byte(data))
			if tcp, ok := c.(*net.TCPConn); ok {
				_ = tcp.CloseWrite()
			}
			wantClosed(t, c)
		}
	})
	t.Run("half open", func(t *testing.T) {
		for range 2 * maxHandshakes { // more than are waited for; none of them speaks
			dial(t, n)
		}
	})
	t.Run("a keeper among half open ones", func(t *testing.T) {
		c := dial(t, n)
		write(t, c, preamble{cluster: n.ClusterID(), sender: randomID(), addressee: n.ID(), incarnation: "1-x"}.append(nil))
		if err := c.SetReadDeadline(time.Now().Add(preambleTimeout / 2)); err != nil {
			t.Fatal(err)
		}
		var answer [1]byte
		if _, err := io.ReadFull(c, answer[:]); err != nil || verdict(answer[0]) != accepted {
			t.Errorf("kept out by connections that say nothing: %d, %v", answer[0], err)
		}
	})
	t.Run("a length that nothing follows", func(t *testing.T) {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		for range 16 { // each claims 4 GiB: an AppendEntries whose field Leader is that long
			c := dial(t, n)
			write(t, c, preamble{cluster: n.ClusterID(), sender: randomID(), addressee: n.ID(), incarnation: "1-x"}.append(nil))
			var answer [1]byte
			if _, err := io.ReadFull(c, answer[:]); err != nil {
				t.Fatal(err)
			}
			write(t, c, []byte("\x00\x81\xa6Leader\xc6\xff\xff\xff\xff and a little"))
			if tcp, ok := c.(*net.TCPConn); ok {
				_ = tcp.CloseWrite()
			}
			wantClosed(t, c)
		}
		runtime.ReadMemStats(&after)
		if grown := after.TotalAlloc - before.TotalAlloc; grown > 2<<30 { // other tests run beside this one
			t.Errorf("%d MiB were allocated for lengths that nothing followed", grown>>20)
		}
	})
	f.mustPut("a", "1")
	if n.usable() != nil {
		t.Error("the keeper stopped")
	}
}

func dial(t *testing.T, n *Node) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", n.cfg.Advertise)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	if err := c.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	return c
}

func write(t *testing.T, c net.Conn, data []byte) {
	t.Helper()
	if _, err := c.Write(data); err != nil {
		t.Fatal(err)
	}
}

// wantClosed reads until the other side closes, by a reset too.
func wantClosed(t *testing.T, c net.Conn) {
	t.Helper()
	_, err := io.Copy(io.Discard, c)
	if errors.Is(err, context.DeadlineExceeded) || (err != nil && strings.Contains(err.Error(), "timeout")) {
		t.Errorf("the connection was left open: %v", err)
	}
}

// The dialer learns why it was refused.
func TestDialRefused(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	next := make(chan []byte, 1)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = readPreamble(c)
			_, _ = c.Write(<-next)
			_ = c.Close()
		}
	}()
	quiet, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	told := ""
	s := &stream{
		listener: quiet, self: randomID(), log: hclog.NewNullLogger(),
		dial: func(ctx context.Context, a string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "tcp", a)
		},
		cluster: func() string { return "" },
		judge:   func(preamble) verdict { return accepted },

		incarnation: "1-x",
		known:       func(string) string { return "" },
		older:       func(known string) { told = known },
	}
	s.start()
	t.Cleanup(func() {
		_ = l.Close()
		_ = s.Close()
		<-done
	})
	for answer, want := range map[string]string{
		"\x01":        "another cluster",
		"\x02":        "another member",
		"\x03":        "another version",
		"\x04":        "does not know",
		"\x05":        "and stops",
		"\x06\x039-y": "this keeper runs on an older copy",
		"\x06\x41":    "older copy of its data directory: ", // a field that is too long
		"\x63":        "reason (99)",
		"":            "await answer",
	} {
		next <- []byte(answer)
		if _, err := s.Dial(target(randomID(), l.Addr().String()), time.Second); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("answer %q: dial says %v, want %q", answer, err, want)
		}
	}
	if _, err := s.Dial("127.0.0.1:1", time.Second); err == nil {
		t.Error("dialed an address without a member")
	}
	if told != "9-y" {
		t.Errorf("it was told that %q is known of it", told)
	}
	if len(s.conns) != 0 {
		t.Errorf("%d connections are still tracked", len(s.conns))
	}
}

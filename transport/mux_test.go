package transport

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
)

// answerWith serves l: it reads n bytes of each connection and answers name and them.
func answerWith(t *testing.T, l net.Listener, name string, n int) {
	t.Helper()
	background(t, func(context.Context) error {
		for {
			conn, err := l.Accept()
			if err != nil {
				return nil
			}
			b := make([]byte, n)
			if _, err := io.ReadFull(conn, b); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			if _, err := conn.Write(append([]byte(name+":"), b...)); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			conn.Close()
		}
	})
}

func startMux(t *testing.T, cfg MuxConfig) (*Mux, string) {
	t.Helper()
	l := listen(t)
	m, err := NewMux(l, cfg)
	if err != nil {
		t.Fatal(err)
	}
	answerWith(t, m.Match(PrefixFrames), "frames", 4)
	answerWith(t, m.Match(PrefixRaft), "raft", 6)
	answerWith(t, m.Match(PrefixZabbix), "zabbix", 5)
	background(t, m.Serve)
	return m, l.Addr().String()
}

func TestMuxChooses(t *testing.T) {
	m, address := startMux(t, MuxConfig{})
	for _, test := range []struct{ send, want string }{
		{"hf\x01\x02", "frames:hf\x01\x02"},
		{"ZRFT12", "raft:ZRFT12"},
		{"ZBXD\x01", "zabbix:ZBXD\x01"},
		{"GET / HTTP/1.1\r\n\r\n", ""},
		{"ZBXE", ""},
		{"hx", ""},
		{"\x16\x03\x01", ""}, // TLS, but none is configured
	} {
		for _, slow := range []bool{false, true} {
			conn := dialTo(t, address)
			if slow {
				for i := range len(test.send) {
					if _, err := conn.Write([]byte{test.send[i]}); err != nil {
						break // refused after the first of them
					}
				}
			} else {
				write(t, conn, []byte(test.send))
			}
			if test.want == "" {
				wantClosed(t, conn)
				continue
			}
			if got, err := io.ReadAll(conn); err != nil || string(got) != test.want {
				t.Errorf("%q (byte by byte: %v): %q, %v", test.send, slow, got, err)
			}
		}
	}
	if n := m.Counters.Unmatched.Load(); n != 8 {
		t.Errorf("%d unmatched, want 8", n)
	}
}

func TestMuxWaitsOnlySoLong(t *testing.T) {
	serverTLS, _ := certificates(t)
	m, address := startMux(t, MuxConfig{SniffTimeout: 30 * time.Millisecond, TLS: serverTLS})
	for _, send := range []string{"", "h", "ZBX", "\x16", "\x16\x03\x01\x00"} {
		conn := dialTo(t, address)
		write(t, conn, []byte(send))
		begin := time.Now()
		// A TLS alert may come before the close.
		if _, err := io.Copy(io.Discard, conn); err != nil && !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("%q: %v", send, err)
		}
		if took := time.Since(begin); took > 5*time.Second {
			t.Errorf("%q: closed after %v", send, took)
		}
	}
	eventually(t, "all five are counted", func() bool { return m.Counters.Late.Load() == 5 })
}

func TestMuxClosesWhatNoOneAccepts(t *testing.T) {
	l := listen(t)
	m, err := NewMux(l, MuxConfig{SniffTimeout: 20 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	m.Match("hf") // no one accepts
	background(t, m.Serve)
	conn := dialTo(t, l.Addr().String())
	write(t, conn, []byte("hf"))
	wantClosed(t, conn)
}

func TestMuxTLS(t *testing.T) {
	serverTLS, clientTLS := certificates(t)
	for _, test := range []struct {
		name      string
		require   bool
		allow     []string
		plain     string // what a plain client is answered
		plainZBXD string
	}{
		{"beside plain", false, nil, "frames:hf12", "zabbix:ZBXD1"},
		{"required", true, nil, "", ""},
		{"required but for Zabbix", true, []string{PrefixZabbix}, "", "zabbix:ZBXD1"},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, address := startMux(t, MuxConfig{TLS: serverTLS, RequireTLS: test.require, AllowPlain: test.allow})
			secure, err := tls.Dial("tcp", address, clientTLS)
			if err != nil {
				t.Fatal(err)
			}
			defer secure.Close()
			write(t, secure, []byte("hf12"))
			if got, err := io.ReadAll(secure); err != nil || string(got) != "frames:hf12" {
				t.Errorf("over TLS: %q, %v", got, err)
			}
			for send, want := range map[string]string{"hf12": test.plain, "ZBXD1": test.plainZBXD} {
				conn := dialTo(t, address)
				write(t, conn, []byte(send))
				if got, err := io.ReadAll(conn); string(got) != want || want != "" && err != nil {
					t.Errorf("plain %q: %q, %v; want %q", send, got, err, want)
				}
			}
			within, err := tls.Dial("tcp", address, clientTLS)
			if err != nil {
				t.Fatal(err)
			}
			defer within.Close()
			write(t, within, []byte("\x16\x03\x01")) // no TLS within TLS
			if got, err := io.ReadAll(within); len(got) > 0 {
				t.Errorf("TLS within TLS: %q, %v", got, err)
			}
		})
	}
	if _, err := NewMux(nil, MuxConfig{RequireTLS: true}); err == nil {
		t.Error("TLS is required without a certificate, and no error")
	}
}

func TestMuxBoundsTheUndecided(t *testing.T) {
	m, address := startMux(t, MuxConfig{MaxSniffing: 2})
	for range 2 {
		dialTo(t, address)
	}
	eventually(t, "two are undecided", func() bool { return m.Counters.Accepted.Load() == 2 })
	wantClosed(t, dialTo(t, address))
	if n := m.Counters.Refused.Load(); n != 1 {
		t.Errorf("%d refused, want 1", n)
	}
}

func TestMuxEnds(t *testing.T) {
	l := listen(t)
	m, err := NewMux(l, MuxConfig{})
	if err != nil {
		t.Fatal(err)
	}
	frames := m.Match("hf")
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := m.Serve(ctx); err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	undecided := dialTo(t, l.Addr().String())
	eventually(t, "it was accepted", func() bool { return m.Counters.Accepted.Load() == 1 })
	cancel()
	wg.Wait()
	wantClosed(t, undecided)
	if _, err := frames.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Accept: %v", err)
	}
	if _, err := net.Dial("tcp", l.Addr().String()); err == nil {
		t.Error("the port is still open")
	}
}

func TestMuxRefusesAmbiguousPrefixes(t *testing.T) {
	for _, prefix := range []string{"", "h", "hf", "hfx"} {
		m, err := NewMux(listen(t), MuxConfig{})
		if err != nil {
			t.Fatal(err)
		}
		m.Match("hf")
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%q was taken beside hf", prefix)
				}
			}()
			m.Match(prefix)
		}()
	}
}

// failing is a listener whose first accepts fail as they do without file descriptors.
type failing struct {
	net.Listener
	left int
}

func (f *failing) Accept() (net.Conn, error) {
	if f.left > 0 {
		f.left--
		return nil, &net.OpError{Op: "accept", Net: "tcp", Err: syscall.EMFILE}
	}
	return f.Listener.Accept()
}

func TestAcceptFailuresPass(t *testing.T) {
	l := &failing{Listener: listen(t), left: 3}
	accepted := make(chan net.Conn, 1)
	begin := time.Now()
	background(t, func(ctx context.Context) error {
		defer context.AfterFunc(ctx, func() { l.Close() })()
		acceptLoop(ctx, l, hclog.NewNullLogger(), func(conn net.Conn) { accepted <- conn })
		return nil
	})
	dialTo(t, l.Addr().String())
	(<-accepted).Close()
	if took := time.Since(begin); took < 5*acceptBackoffMin {
		t.Errorf("three failures took %v: no wait between them", took)
	}
}

func TestUnwrap(t *testing.T) {
	l := listen(t)
	raw := dialTo(t, l.Addr().String())
	conn := net.Conn(&readAhead{Conn: &readAhead{Conn: raw, unread: []byte("second")}, unread: []byte("first ")})
	one := make([]byte, 2)
	if _, err := io.ReadFull(conn, one); err != nil || string(one) != "fi" {
		t.Fatalf("%q, %v", one, err)
	}
	inner, unread := Unwrap(conn)
	if inner != raw || !bytes.Equal(unread, []byte("rst second")) {
		t.Errorf("unread %q", unread)
	}
	if inner, unread := Unwrap(raw); inner != raw || unread != nil {
		t.Error("a plain connection was changed")
	}
	if TLSState(conn) != nil {
		t.Error("TLS state without TLS")
	}
}

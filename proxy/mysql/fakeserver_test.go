package mysql

import (
	"errors"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	driver "github.com/go-sql-driver/mysql"
)

// fakeServer speaks just enough of the server's side for what a real server does only now and then.
type fakeServer struct {
	addr     string
	greeting greeting
	refuse   func(n int) *MySQLError                         // of connection n, before the greeting; nil for none
	login    func(n int) []byte                              // answer to the login; nil for OK
	answer   func(n int, cmd []byte) (p []byte, hangUp bool) // answer to a command: whole packets

	mu   sync.Mutex
	n    int
	cmds []string // "connection:command"

	answered atomic.Int64 // commands whose answers were written
	wg       sync.WaitGroup
}

// start listens, and stops with the test.
func (f *fakeServer) start(t testing.TB) *fakeServer {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f.addr = ln.Addr().String()
	if f.greeting.caps == 0 {
		f.greeting = greeting{version: "8.0.36", caps: capAdvertised, collation: 45, status: statusAutocommit, plugin: pluginNative}
	}
	f.greeting.salt = newSalt()
	f.wg.Go(func() {
		for {
			nc, err := ln.Accept()
			if err != nil {
				return
			}
			f.mu.Lock()
			f.n++
			n := f.n
			f.mu.Unlock()
			f.wg.Go(func() {
				defer nc.Close()
				f.serve(nc, n)
			})
		}
	})
	t.Cleanup(func() {
		ln.Close()
		f.wg.Wait()
	})
	return f
}

func (f *fakeServer) serve(nc net.Conn, n int) {
	l := link{nc: nc}
	if f.refuse != nil {
		if e := f.refuse(n); e != nil {
			_ = l.write(appendPacket(nil, 0, appendERR(nil, e)))
			return
		}
	}
	_ = l.write(appendPacket(nil, 0, appendGreeting(nil, f.greeting)))
	if _, _, err := l.readPayload(maxLoginPacket); err != nil {
		return
	}
	reply := appendOK(nil, statusAutocommit)
	if f.login != nil {
		reply = f.login(n)
	}
	_ = l.write(appendPacket(nil, 2, reply))
	for {
		cmd, _, err := l.readPayload(1 << 20)
		if err != nil || cmd[0] == comQuit {
			return
		}
		f.mu.Lock()
		f.cmds = append(f.cmds, string(rune('0'+n))+":"+string(cmd[1:]))
		f.mu.Unlock()
		p, hangUp := appendPacket(nil, 1, appendOK(nil, statusAutocommit)), false
		if f.answer != nil {
			p, hangUp = f.answer(n, cmd)
		}
		_ = l.write(p)
		f.answered.Add(1)
		if hangUp {
			return
		}
	}
}

// seen returns the commands that came, and by which connection.
func (f *fakeServer) seen() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return strings.Join(f.cmds, " ")
}

func errPacket(code uint16) []byte {
	return appendPacket(nil, 1, appendERR(nil, &MySQLError{Code: code, State: stateConnectionFailure, Message: "from the server"}))
}

// TestKilledUnderway: a server that ends a connection under a read says so in an ERR packet, which is no answer. Under
// a write it is.
func TestKilledUnderway(t *testing.T) {
	tests := []struct {
		name, query string
		code        uint16
		inTx        bool
		want        uint16 // 0: repeated
		seen        string
	}{
		{"read killed", "SELECT 1", codeConnectionKilled, false, 0, "1:SELECT 1 2:SELECT 1"},
		{"read at shutdown", "SELECT 1", codeServerShutdown, false, 0, "1:SELECT 1 2:SELECT 1"},
		{"another error", "SELECT 1", 1064, false, 1064, "1:SELECT 1"},
		{"write killed", "DELETE FROM t", codeConnectionKilled, false, codeConnectionKilled, "1:DELETE FROM t"},
		{"read killed in a transaction", "SELECT 1", codeConnectionKilled, true, codeConnectionKilled, "1:BEGIN 1:SELECT 1"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := (&fakeServer{answer: func(n int, cmd []byte) ([]byte, bool) {
				switch {
				case string(cmd[1:]) == "BEGIN":
					return appendPacket(nil, 1, appendOK(nil, statusAutocommit|statusInTrans)), false
				case n == 1:
					return errPacket(tt.code), true
				}
				return appendPacket(nil, 1, appendOK(nil, statusAutocommit)), false
			}}).start(t)
			p := newProxy(t, f.addr)
			c := p.conn(t, func(cfg *driver.Config) { cfg.DBName = "" })
			if tt.inTx {
				mustExec(t, c, "BEGIN")
			}
			_, err := c.ExecContext(t.Context(), tt.query)
			if tt.want == 0 && err != nil {
				t.Fatal(err)
			}
			if tt.want != 0 {
				wantError(t, err, tt.want, "from the server")
			}
			if got := f.seen(); got != tt.seen {
				t.Errorf("the server saw %q, want %q", got, tt.seen)
			}
			if tt.inTx {
				if _, err := c.ExecContext(t.Context(), "COMMIT"); err == nil {
					t.Error("a transaction whose connection was killed was committed")
				}
			}
		})
	}
}

// TestFullServerIsWaitedFor: too many connections, as right after a switch, is not the statement's fault.
func TestFullServerIsWaitedFor(t *testing.T) {
	f := (&fakeServer{refuse: func(n int) *MySQLError {
		if n <= 2 {
			return &MySQLError{Code: codeConCount, Message: "Too many connections"}
		}
		return nil
	}}).start(t)
	p := newProxy(t, f.addr)
	c := p.conn(t, func(cfg *driver.Config) { cfg.DBName = "" })
	mustExec(t, c, "DELETE FROM t")
	if got := f.seen(); got != "3:DELETE FROM t" {
		t.Errorf("the server saw %q", got)
	}
}

func TestUnusableServers(t *testing.T) {
	tests := []struct {
		name string
		f    *fakeServer
		want string
	}{
		{"no deprecate EOF", &fakeServer{greeting: greeting{version: "5.5.1", caps: capAdvertised &^ capDeprecateEOF, plugin: pluginNative}}, "5.5.1 lacks capabilities"},
		{"another plugin", &fakeServer{login: func(int) []byte { return appendAuthSwitch(nil, authSwitch{"caching_sha2_password", newSalt()}) }}, "caching_sha2_password; give it mysql_native_password"},
		{"old password", &fakeServer{login: func(int) []byte { return []byte{headEOF} }}, "mysql_old_password"},
		{"switches for ever", &fakeServer{login: func(int) []byte { return []byte{headAuthMore, 3} }}, "answer to login starts with 0x1"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := newProxy(t, tt.f.start(t).addr)
			c := raw(t, p.addr, rawCaps)
			r := c.query("SELECT 1")
			if r.err == nil || r.err.Code != codeCannotReach || !strings.Contains(r.err.Message, tt.want) {
				t.Errorf("got %+v, want %q", r, tt.want)
			}
		})
	}
}

// TestRestoreFails: a server that will not take the session's state does not get the session.
func TestRestoreFails(t *testing.T) {
	good := (&fakeServer{}).start(t)
	bad := (&fakeServer{answer: func(_ int, cmd []byte) ([]byte, bool) {
		if strings.HasPrefix(string(cmd[1:]), "SET") {
			return errPacket(1193), false
		}
		return appendPacket(nil, 1, appendOK(nil, statusAutocommit)), false
	}}).start(t)
	p := newProxy(t, good.addr)
	c := p.conn(t, func(cfg *driver.Config) { cfg.DBName = "" })
	mustExec(t, c, "SET only_here = 1")
	p.moveTo(t, bad.addr)
	_, err := c.ExecContext(t.Context(), "DELETE FROM t")
	wantError(t, err, codeConnectionKilled, "only_here")
	if got := bad.seen(); strings.Contains(got, "DELETE") {
		t.Errorf("the server saw %q", got)
	}
}

// TestPrepareAgainFails: the answer to the execution is what the new server says to the prepare.
func TestPrepareAgainFails(t *testing.T) {
	prepared := appendPacket(nil, 1, []byte{headOK, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0})
	good := (&fakeServer{answer: func(_ int, cmd []byte) ([]byte, bool) {
		if cmd[0] == comStmtPrepare {
			return prepared, false
		}
		return appendPacket(nil, 1, appendOK(nil, statusAutocommit)), false
	}}).start(t)
	bad := (&fakeServer{answer: func(_ int, cmd []byte) ([]byte, bool) {
		if cmd[0] == comStmtPrepare {
			return errPacket(1146), false
		}
		return appendPacket(nil, 1, appendOK(nil, statusAutocommit)), false
	}}).start(t)
	p := newProxy(t, good.addr)
	c := raw(t, p.addr, rawCaps)
	id, _, _ := c.prepare("DELETE FROM t")
	if r := c.execute(id, 0); r.err != nil {
		t.Fatal(r.err)
	}
	p.moveTo(t, bad.addr)
	if r := c.execute(id, 0); r.err == nil || r.err.Code != 1146 {
		t.Errorf("executed: %+v", r)
	}
	c.must("DO 1") // the session goes on
	if n := p.gate.InFlight(); n != 0 {
		t.Errorf("%d in flight", n)
	}
}

// TestMalformedAnswers: what makes no sense ends the session, and nothing else.
func TestMalformedAnswers(t *testing.T) {
	for name, answer := range map[string][]byte{
		"empty":           {0, 0, 0, 1},
		"short OK":        appendPacket(nil, 1, []byte{headOK, 0}),
		"huge columns":    appendPacket(nil, 1, appendLenenc(nil, 1<<40)),
		"column count +":  appendPacket(nil, 1, []byte{1, 2, 3}),
		"cut in a packet": {200, 0, 0, 1, 1},
	} {
		t.Run(name, func(t *testing.T) {
			f := (&fakeServer{answer: func(int, []byte) ([]byte, bool) { return answer, true }}).start(t)
			p := newProxy(t, f.addr)
			c := p.conn(t, func(cfg *driver.Config) { cfg.DBName = "" })
			_, err := c.ExecContext(t.Context(), "DELETE FROM t")
			if err == nil {
				t.Fatal("it was taken for an answer")
			}
			var e *driver.MySQLError
			if errors.As(err, &e) && e.Number != codeOutcomeUnknown {
				t.Errorf("told %v", err)
			}
			if got := f.seen(); got != "1:DELETE FROM t" {
				t.Errorf("the server saw %q", got)
			}
		})
	}
}

// TestTransactionOpenedByARead: a statement that seems to only read may open a transaction, as on a server whose
// default is autocommit=0. It counts from then on, and cannot be kept when a switch has begun.
func TestTransactionOpenedByARead(t *testing.T) {
	for _, held := range []bool{false, true} {
		var p *testProxy
		f := (&fakeServer{answer: func(_ int, cmd []byte) ([]byte, bool) {
			status := statusInTrans
			if string(cmd[1:]) == "COMMIT" {
				status = 0
			}
			if held {
				p.gate.Hold()
			}
			return appendPacket(nil, 1, appendOK(nil, status)), false
		}}).start(t)
		p = newProxy(t, f.addr)
		c := raw(t, p.addr, rawCaps)
		c.must("SELECT 1")
		if held {
			c.dropped()
			continue
		}
		eventually(t, "it counts", func() bool { return p.gate.InFlight() == 1 })
		c.must("COMMIT")
		eventually(t, "it no longer counts", func() bool { return p.gate.InFlight() == 0 })
	}
}

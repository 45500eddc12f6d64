package mysql

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	driver "github.com/go-sql-driver/mysql"
)

func TestLogin(t *testing.T) {
	a, _ := servers(t)
	p := newProxy(t, a.addr)
	p.dir.addUser(User{Name: "mapped", Password: "", HostGroup: "main", BackendUser: testUser, BackendPassword: testPassword, MaxConnections: 1})
	p.dir.addUser(User{Name: "stranger", Password: "x", HostGroup: "main"})
	p.dir.addUser(User{Name: "lost", Password: "x", HostGroup: "nowhere"})
	tests := []struct {
		name, user, password, db string
		code                     uint16 // 0: logs in
		text                     string
	}{
		{"right", testUser, testPassword, "shop", 0, ""},
		{"no database", testUser, testPassword, "", 0, ""},
		{"wrong password", testUser, "nonsense", "", codeAccessDenied, "Access denied for user 'app'@'127.0.0.1' (using password: YES)"},
		{"no password", testUser, "", "", codeAccessDenied, "(using password: NO)"},
		{"unknown user", "nobody", "x", "", codeAccessDenied, "Access denied for user 'nobody'"},
		{"unknown user without password", "nobody", "", "", codeAccessDenied, "Access denied"},
		{"unknown database", testUser, testPassword, "no_such_db", 1049, "Unknown database 'no_such_db'"},
		{"mapped account without password", "mapped", "", "shop", 0, ""},
		{"the server does not know the user", "stranger", "x", "", codeAccessDenied, "stranger"},
		{"no such host group", "lost", "x", "shop", codeUnknownError, "host group [nowhere] is not configured"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			db := p.db(t, func(cfg *driver.Config) { cfg.User, cfg.Passwd, cfg.DBName = tt.user, tt.password, tt.db })
			defer db.Close()
			_, err := db.ExecContext(t.Context(), "SELECT 1")
			if tt.code == 0 {
				if err != nil {
					t.Fatal(err)
				}
				return
			}
			wantError(t, err, tt.code, tt.text)
		})
	}
	if p.Stats().Denied != 4 {
		t.Errorf("%d denied logins counted, want 4", p.Stats().Denied)
	}
}

func TestAuthSwitch(t *testing.T) {
	a, _ := servers(t)
	p := newProxy(t, a.addr)
	for _, password := range []string{testPassword, "wrong"} {
		nc, err := net.Dial("tcp", p.addr)
		if err != nil {
			t.Fatal(err)
		}
		defer nc.Close()
		l := link{nc: nc}
		payload, _, err := l.readPayload(1 << 16)
		if err != nil {
			t.Fatal(err)
		}
		g, err := parseGreeting(payload)
		if err != nil || g.caps != capAdvertised || g.version != "10.11.0-MariaDB-zero" || g.plugin != pluginNative {
			t.Fatalf("greeting %+v, %v", g, err)
		}
		r := handshakeResponse{caps: rawCaps, user: testUser, plugin: "caching_sha2_password", auth: make([]byte, 32), collation: 45}
		if err := l.write(appendPacket(nil, 1, appendHandshakeResponse(nil, r))); err != nil {
			t.Fatal(err)
		}
		status, err := authenticate(&l, password)
		var e *MySQLError
		switch {
		case password == testPassword && (err != nil || status&statusAutocommit == 0):
			t.Errorf("after the switch: %v, status %#x", err, status)
		case password != testPassword && (!errors.As(err, &e) || e.Code != codeAccessDenied):
			t.Errorf("wrong password after the switch: %v", err)
		}
	}
}

func TestHandshakeIsBounded(t *testing.T) {
	p := newProxy(t, "", func(cfg *Config) { cfg.Handshake = 50 * time.Millisecond })
	tests := []struct {
		name string
		send []byte
	}{
		{"silent", nil},
		{"too long", append([]byte{0xff, 0xff, 0xff, 1}, make([]byte, maxLoginPacket)...)},
		{"garbage", []byte("GET / HTTP/1.1\r\n\r\n")},
		{"empty", []byte{0, 0, 0, 1}},
		{"begun", []byte{40, 0, 0, 1, 1, 2, 3}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			nc, err := net.Dial("tcp", p.addr)
			if err != nil {
				t.Fatal(err)
			}
			defer nc.Close()
			_, _ = nc.Write(tt.send) // it may be cut off while it writes
			_ = nc.SetReadDeadline(time.Now().Add(5 * time.Second))
			if _, err := io.Copy(io.Discard, nc); errors.Is(err, os.ErrDeadlineExceeded) {
				t.Error("the connection was left open")
			}
		})
	}
}

func TestConnectionLimits(t *testing.T) {
	a, _ := servers(t)
	p := newProxy(t, a.addr, func(cfg *Config) { cfg.MaxConnections = 3 })
	p.dir.addUser(User{Name: "few", Password: "x", HostGroup: "main", MaxConnections: 1, BackendUser: testUser, BackendPassword: testPassword})
	few := func(cfg *driver.Config) { cfg.User, cfg.Passwd = "few", "x" }
	first := p.conn(t, few)
	_, err := p.db(t, few).Conn(t.Context())
	wantError(t, err, codeTooManyUserConns, "max_user_connections")
	eventually(t, "the refused one is gone", func() bool { return p.Stats().Connections == 1 })
	p.conn(t)
	p.conn(t)
	_, err = p.db(t).Conn(t.Context())
	wantError(t, err, codeConCount, "Too many connections")
	if p.Stats().Refused != 1 {
		t.Errorf("%d refused, want 1", p.Stats().Refused)
	}
	if err := first.Raw(func(c any) error { return c.(io.Closer).Close() }); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the first is gone", func() bool { return p.Stats().Connections == 2 })
	p.conn(t, few)
}

func TestKillQuery(t *testing.T) {
	a, _ := servers(t)
	p := newProxy(t, a.addr)
	p.dir.addUser(User{Name: "second", Password: "x", HostGroup: "main", BackendUser: testUser, BackendPassword: testPassword})
	victim := raw(t, p.addr, rawCaps)
	killer := p.conn(t)
	if !isProxyID(uint64(victim.id)) {
		t.Fatalf("connection id %d", victim.id)
	}
	running := func() bool {
		return a.scalar(t, "SELECT COUNT(*) FROM information_schema.processlist WHERE info LIKE 'SELECT SLEEP(30)%'") == "1"
	}
	victim.send(comQuery, []byte("SELECT SLEEP(30), 'x' FROM seq_1_to_3")...)
	eventually(t, "the query runs", running)
	mustExec(t, killer, fmt.Sprintf("KILL QUERY %d", victim.id))
	if r := victim.result(); r.err == nil || r.err.Code != codeQueryInterrupted {
		t.Fatalf("killed query: %+v", r)
	}
	victim.must("SELECT 1")
	mustExec(t, killer, fmt.Sprintf("KILL QUERY %d", victim.id)) // idle: nothing to kill

	// Held: nothing runs on a server, so the proxy ends it.
	p.gate.Hold()
	victim.send(comQuery, []byte("CREATE TABLE never (a INT)")...)
	eventually(t, "held", func() bool { n, _ := p.gate.Held(); return n == 1 })
	_, err := p.conn(t, func(cfg *driver.Config) { cfg.User, cfg.Passwd = "second", "x" }).ExecContext(t.Context(), fmt.Sprintf("KILL QUERY %d", victim.id))
	wantError(t, err, codeNotOwner, "not owner")
	mustExec(t, killer, fmt.Sprintf("KILL QUERY %d", victim.id))
	if r := victim.result(); r.err == nil || r.err.Code != codeQueryInterrupted {
		t.Fatalf("killed while held: %+v", r)
	}
	primary, _, _ := p.gate.Current()
	if err := p.gate.Open(primary, forever); err != nil {
		t.Fatal(err)
	}
	victim.must("SELECT 1")

	_, err = killer.ExecContext(t.Context(), fmt.Sprintf("KILL %d", victim.id+1000))
	wantError(t, err, codeNoSuchThread, "Unknown thread id")
	mustExec(t, killer, fmt.Sprintf("KILL %d", victim.id))
	victim.dropped()

	other := raw(t, p.addr, rawCaps)
	other.must("BEGIN")
	kill := raw(t, p.addr, rawCaps)
	kill.send(comProcessKill, u32(other.id)...)
	kill.mustOK(parseOK(kill.packet()))
	other.dropped()
	kill.send(comProcessKill, u32(kill.id)...)
	if r := kill.result(); r.err == nil || r.err.Code != codeQueryInterrupted {
		t.Fatalf("killing itself: %+v", r)
	}
	kill.dropped()
	eventually(t, "nothing in flight", func() bool { return p.gate.InFlight() == 0 })
}

func TestCommandLineClient(t *testing.T) {
	a, _ := servers(t)
	p := newProxy(t, a.addr)
	_, portNumber, err := net.SplitHostPort(p.addr)
	if err != nil {
		t.Fatal(err)
	}
	client := func(args ...string) *exec.Cmd {
		cmd := exec.CommandContext(t.Context(), "mariadb", append([]string{"--no-defaults", "-h127.0.0.1", "-P" + portNumber,
			"-u" + testUser, "-p" + testPassword, "--batch", "--skip-column-names"}, args...)...)
		cmd.Env = append(os.Environ(), "LC_ALL=C.UTF-8")
		return cmd
	}
	out, err := client("shop", "-e", `CREATE OR REPLACE TABLE cli (a INT, b TEXT); INSERT INTO cli VALUES (1,'grün'),(2,NULL);
		SELECT * FROM cli; USE mysql; SELECT DATABASE(); SHOW WARNINGS; SELECT 'done'`).CombinedOutput()
	if want := "1\tgrün\n2\tNULL\nmysql\ndone\n"; err != nil || string(out) != want {
		t.Errorf("%v: %q, want %q", err, out, want)
	}
	script := client("shop", "--delimiter=//", "-v", "-v")
	script.Stdin = strings.NewReader("CREATE OR REPLACE PROCEDURE cp() BEGIN SELECT 1; SELECT 2; END//\nCALL cp()//\n")
	if out, err := script.CombinedOutput(); err != nil || !strings.Contains(string(out), "1\n") || !strings.Contains(string(out), "2\n") {
		t.Errorf("script: %v: %s", err, out)
	}
	if out, err := client("no_such_db", "-e", "SELECT 1").CombinedOutput(); err == nil || !strings.Contains(string(out), "ERROR 1049 (42000): Unknown database 'no_such_db'") {
		t.Errorf("unknown database: %v: %s", err, out)
	}

	// Ctrl-C: the client opens another connection and kills the query there.
	sleeper := client("shop", "-e", "SELECT SLEEP(33)")
	var said strings.Builder
	sleeper.Stdout, sleeper.Stderr = &said, &said
	if err := sleeper.Start(); err != nil {
		t.Fatal(err)
	}
	running := func() bool {
		return a.scalar(t, "SELECT COUNT(*) FROM information_schema.processlist WHERE info = 'SELECT SLEEP(33)'") == "1"
	}
	eventually(t, "the query runs", running)
	if err := sleeper.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	_ = sleeper.Wait() // it ends with or without an error, depending on its mind
	if running() {
		t.Errorf("the query still runs after Ctrl-C; the client said %s", said.String())
	}
}

func TestShutdownIsGraceful(t *testing.T) {
	a, b := servers(t)
	p := newProxy(t, a.addr)
	idle := raw(t, p.addr, rawCaps)
	idle.must("CREATE OR REPLACE TABLE shut (a INT)")
	busy := raw(t, p.addr, rawCaps)
	busy.must("BEGIN")
	running := raw(t, p.addr, rawCaps)
	running.send(comQuery, []byte("SELECT SLEEP(0.3)")...)
	eventually(t, "the query runs", func() bool {
		return a.scalar(t, "SELECT COUNT(*) FROM information_schema.processlist WHERE info = 'SELECT SLEEP(0.3)'") == "1"
	})
	done := make(chan error, 1)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	go func() { done <- p.Shutdown(ctx) }()
	idle.dropped()
	if r := running.result(); r.err != nil || len(r.rows) != 1 {
		t.Errorf("a running query was cut off: %+v", r)
	}
	running.dropped()
	if _, err := net.Dial("tcp", p.addr); err == nil {
		t.Error("still accepting")
	}
	busy.must("INSERT INTO shut VALUES (1)")
	busy.must("SELECT * FROM shut")
	busy.must("COMMIT")
	busy.dropped()
	if err := <-done; err != nil {
		t.Errorf("Shutdown: %v", err)
	}
	if got := a.scalar(t, "SELECT COUNT(*) FROM shop.shut"); got != "1" {
		t.Errorf("%s rows", got)
	}

	p = newProxy(t, b.addr)
	busy = raw(t, p.addr, rawCaps)
	busy.must("BEGIN")
	p.gate.Hold()
	held := raw(t, p.addr, rawCaps)
	held.send(comQuery, []byte("CREATE TABLE never (a INT)")...)
	eventually(t, "held", func() bool { n, _ := p.gate.Held(); return n == 1 })
	ctx, cancel = context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if err := p.Shutdown(ctx); err == nil || !strings.Contains(err.Error(), "1 sessions") || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Shutdown with a transaction that does not end: %v", err)
	}
	if r := held.result(); r.err == nil || r.err.Code != codeServerShutdown {
		t.Errorf("a held statement at shutdown: %+v", r)
	}
	busy.dropped()
	if n := p.gate.InFlight(); n != 0 {
		t.Errorf("%d in flight after Shutdown", n)
	}
}

func TestSever(t *testing.T) {
	a, _ := servers(t)
	p := newProxy(t, a.addr)
	p.dir.addUser(User{Name: "second", Password: "x", HostGroup: "main", BackendUser: testUser, BackendPassword: testPassword})
	reader := raw(t, p.addr, rawCaps)
	reader.must("CREATE OR REPLACE TABLE severed (a INT)")
	inTx := raw(t, p.addr, rawCaps)
	inTx.must("BEGIN")
	running := raw(t, p.addr, rawCaps)
	running.send(comQuery, []byte("INSERT INTO severed SELECT SLEEP(30)")...)
	eventually(t, "both in flight", func() bool { return p.Stats().InFlight == 2 })
	p.gate.Hold()
	if n := p.Sever("other"); n != 0 {
		t.Errorf("severed %d of a group that has none", n)
	}
	if n := p.Sever("main"); n != 2 {
		t.Errorf("severed %d, want 2", n)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	if err := p.gate.Drain(ctx); err != nil {
		t.Error(err)
	}
	if r := running.result(); r.err == nil || r.err.Code != codeOutcomeUnknown || !strings.Contains(r.err.Message, "outcome unknown") {
		t.Errorf("the running write was told %+v", r)
	}
	running.dropped()
	inTx.dropped()
	reader.must("SELECT 1")
	a.exec(t, "SELECT 1")

	second := p.conn(t, func(cfg *driver.Config) { cfg.User, cfg.Passwd = "second", "x" })
	if n := p.CloseUser("second"); n != 1 {
		t.Errorf("closed %d sessions of a user, want 1", n)
	}
	eventually(t, "the user's session is gone", func() bool { return second.PingContext(context.Background()) != nil })
	if n := p.CloseGroup("main"); n != 1 {
		t.Errorf("closed %d sessions of the group, want 1", n)
	}
	reader.dropped()
	for _, id := range strings.Split(a.scalar(t, "SELECT IFNULL(GROUP_CONCAT(id), 0) FROM information_schema.processlist WHERE info LIKE 'INSERT INTO severed%'"), ",") {
		_, _ = a.root.Exec("KILL " + id) // it may have noticed by itself
	}
}

func TestProbe(t *testing.T) {
	a, _ := servers(t)
	if err := Probe(t.Context(), a.addr, testUser, testPassword); err != nil {
		t.Error(err)
	}
	var e *MySQLError
	if err := Probe(t.Context(), a.addr, testUser, "wrong"); !errors.As(err, &e) || e.Code != codeAccessDenied {
		t.Errorf("wrong password: %v", err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close() // accepts nobody: the kernel does, and nothing is ever said
	var timeout net.Error
	if err := (Dialer{Timeout: 50 * time.Millisecond}).Probe(t.Context(), ln.Addr().String(), "u", "p"); !errors.As(err, &timeout) || !timeout.Timeout() {
		t.Errorf("silent server: %v", err)
	}
	if err := Probe(t.Context(), "127.0.0.1:1", "u", "p"); err == nil {
		t.Error("nobody listens there")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := Probe(ctx, a.addr, testUser, testPassword); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

func TestUnreachable(t *testing.T) {
	a, _ := servers(t)
	p := newProxy(t, "127.0.0.1:1", func(cfg *Config) { cfg.BackendWait = 100 * time.Millisecond })
	c := p.conn(t)
	_, err := c.ExecContext(t.Context(), "SELECT 1")
	wantError(t, err, codeCannotReach, "nothing was executed")
	_, err = c.ExecContext(t.Context(), "DELETE FROM t")
	wantError(t, err, codeCannotReach, "nothing was executed")
	if p.gate.InFlight() != 0 {
		t.Error("a statement that waits for its server is in flight")
	}
	// A primary that comes back, or is replaced, within the wait is waited for.
	p = newProxy(t, "127.0.0.1:1")
	c = p.conn(t)
	done := make(chan error, 1)
	go func() {
		_, err := c.ExecContext(context.Background(), "CREATE OR REPLACE TABLE reached (a INT)")
		done <- err
	}()
	p.gate.Hold()
	if err := p.gate.Drain(t.Context()); err != nil {
		t.Fatal(err)
	}
	p.open(t, a.addr)
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestConfigIsValidated(t *testing.T) {
	if _, err := New(Config{}); err == nil || !strings.Contains(err.Error(), "directory") {
		t.Errorf("no directory: %v", err)
	}
	if _, err := New(Config{Directory: &directory{}, MaxDials: -1}); err == nil || !strings.Contains(err.Error(), "max dials") {
		t.Errorf("negative limit: %v", err)
	}
}

package mysql

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	driver "github.com/go-sql-driver/mysql"
	"github.com/hashicorp/go-hclog"

	"github.com/zerokeeper/zero/proxy/gate"
)

// mariadb is a server started for the tests.
type mariadb struct {
	dir    string
	addr   string
	socket string
	cmd    *exec.Cmd
	exited chan error
	root   *sql.DB // as root, past the proxy
}

const (
	testUser     = "app"
	testPassword = "app-password"
)

// fleet is the two servers of the test binary, started by the first test that needs them.
var fleet struct {
	once sync.Once
	err  error
	dir  string
	a, b *mariadb
}

// dieWithTests makes a server end with the test binary, where the operating system can do that.
var dieWithTests = func(*exec.Cmd) {}

func TestMain(m *testing.M) {
	code := m.Run()
	for _, s := range []*mariadb{fleet.a, fleet.b} {
		if s != nil {
			s.stop()
		}
	}
	if fleet.dir != "" {
		_ = os.RemoveAll(fleet.dir)
	}
	os.Exit(code)
}

// servers returns two servers: a, with the databases of the tests, and b, which replicates nothing until told.
func servers(t *testing.T) (a, b *mariadb) {
	t.Helper()
	if _, err := exec.LookPath("mariadbd"); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("mariadbd is not installed: install mariadb-server")
		}
		t.Skip("SKIPPED: mariadbd is not installed, so nothing of the proxy was tested against a server; install mariadb-server")
	}
	fleet.once.Do(func() { fleet.err = startFleet() })
	if fleet.err != nil {
		t.Fatal(fleet.err)
	}
	return fleet.a, fleet.b
}

func startFleet() error {
	dir, err := os.MkdirTemp("", "zero-mysql-")
	if err != nil {
		return err
	}
	fleet.dir = dir
	template := filepath.Join(dir, "template")
	install := exec.Command("mariadb-install-db", "--no-defaults", "--auth-root-authentication-method=normal",
		"--skip-test-db", "--user=root", "--datadir="+template, "--tmpdir="+dir, "--innodb-log-file-size=16M", "--innodb-use-native-aio=0")
	if out, err := install.CombinedOutput(); err != nil {
		return fmt.Errorf("mariadb-install-db: %w\n%s", err, out)
	}
	for i, s := range []**mariadb{&fleet.a, &fleet.b} {
		data := filepath.Join(dir, fmt.Sprintf("data%d", i+1))
		if err := os.CopyFS(data, os.DirFS(template)); err != nil {
			return err
		}
		if *s, err = startMariaDB(data, i+1); err != nil {
			return err
		}
	}
	return nil
}

// startMariaDB starts a server on a port that was free a moment ago; if it was taken meanwhile, on another.
func startMariaDB(data string, id int) (*mariadb, error) {
	var last error
	for range 5 {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		addr := ln.Addr().(*net.TCPAddr)
		ln.Close()
		s := &mariadb{dir: data, addr: addr.String(), socket: data + ".sock", exited: make(chan error, 1)}
		s.cmd = exec.Command("mariadbd", "--no-defaults", "--user=root", "--datadir="+data, "--socket="+s.socket,
			"--tmpdir="+data, // not shared: a starting server deletes what others have in it
			"--port="+strconv.Itoa(addr.Port), "--bind-address=127.0.0.1", "--pid-file="+data+".pid",
			"--server-id="+strconv.Itoa(id), "--log-bin=binlog", "--log-slave-updates", "--gtid-strict-mode=1",
			"--sync-binlog=0", "--innodb-flush-log-at-trx-commit=2", "--innodb-buffer-pool-size=64M",
			"--innodb-log-file-size=16M", "--innodb-use-native-aio=0", "--max-allowed-packet=32M", "--local-infile=1", "--log-error="+data+".err",
			"--max-connections=300", "--skip-name-resolve", "--slave-parallel-threads=2",
			"--character-set-server=utf8mb4")
		dieWithTests(s.cmd)
		if err := s.cmd.Start(); err != nil {
			return nil, err
		}
		go func() { s.exited <- s.cmd.Wait() }()
		if last = s.prepare(); last == nil {
			return s, nil
		}
		s.stop()
	}
	log, _ := os.ReadFile(data + ".err")
	return nil, fmt.Errorf("start mariadbd: %w\n%s", last, log)
}

// prepare waits until the server answers and creates the account of the tests.
func (s *mariadb) prepare() error {
	cfg := driver.NewConfig()
	cfg.User, cfg.Net, cfg.Addr = "root", "unix", s.socket
	cfg.Logger = &driver.NopLogger{}
	cfg.MultiStatements = true
	connector, err := driver.NewConnector(cfg)
	if err != nil {
		return err
	}
	s.root = sql.OpenDB(connector)
	deadline := time.Now().Add(20 * time.Second)
	for {
		if err = s.root.Ping(); err == nil {
			break
		}
		select {
		case werr := <-s.exited:
			s.exited <- werr
			return fmt.Errorf("mariadbd ended: %w", errors.Join(werr, err))
		case <-time.After(20 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			return err
		}
	}
	_, err = s.root.Exec(`SET sql_log_bin=0;
		CREATE USER app@'%' IDENTIFIED BY 'app-password'; GRANT ALL ON *.* TO app@'%'; REVOKE READ_ONLY ADMIN ON *.* FROM app@'%';
		CREATE USER repl@'%' IDENTIFIED BY 'repl'; GRANT REPLICATION SLAVE ON *.* TO repl@'%';
		CREATE DATABASE shop; SET sql_log_bin=1`)
	return err
}

func (s *mariadb) stop() {
	if s.root != nil {
		s.root.Close()
	}
	_ = s.cmd.Process.Kill()
	<-s.exited
}

// exec runs a statement on the server itself.
func (s *mariadb) exec(t *testing.T, query string, args ...any) {
	t.Helper()
	if _, err := s.root.Exec(query, args...); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
}

// scalar returns the first value that a query on the server itself yields.
func (s *mariadb) scalar(t *testing.T, query string, args ...any) string {
	t.Helper()
	var v sql.NullString
	if err := s.root.QueryRow(query, args...).Scan(&v); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return v.String
}

// directory is a Directory for tests.
type directory struct {
	mu     sync.Mutex
	users  map[string]User
	groups map[string]Group
}

func (d *directory) LookupUser(name string) (User, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	u, ok := d.users[name]
	return u, ok
}

func (d *directory) LookupGroup(name string) (Group, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	g, ok := d.groups[name]
	return g, ok
}

func (d *directory) addUser(u User) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.users[u.Name] = u
}

func (d *directory) setGroup(g Group) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.groups[g.Name] = g
}

// testProxy is a Server on a port of its own, with one host group.
type testProxy struct {
	*Server
	dir  *directory
	gate *gate.Gate
	addr string
	gen  uint64
}

// newProxy starts a proxy in front of a, open, and sees to its end.
func newProxy(t testing.TB, a string, change ...func(*Config)) *testProxy {
	t.Helper()
	g, err := gate.New("main", gate.Config{})
	if err != nil {
		t.Fatal(err)
	}
	p := &testProxy{gate: g, dir: &directory{groups: map[string]Group{"main": {Name: "main", Gate: g}},
		users: map[string]User{testUser: {Name: testUser, Password: testPassword, HostGroup: "main"}}}}
	cfg := Config{Directory: p.dir, SweepInterval: 20 * time.Millisecond}
	if os.Getenv("ZERO_TEST_LOG") != "" {
		cfg.Logger = hclog.New(&hclog.LoggerOptions{Level: hclog.Debug})
	}
	for _, f := range change {
		f(&cfg)
	}
	if p.Server, err = New(cfg); err != nil {
		t.Fatal(err)
	}
	if a != "" {
		p.open(t, a)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p.addr = ln.Addr().String()
	served := make(chan error, 1)
	go func() { served <- p.Serve(t.Context(), ln) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 200*time.Millisecond)
		defer cancel()
		_ = p.Shutdown(ctx) // tests that care about it have shut down before
		if err := <-served; !errors.Is(err, ErrServerClosed) {
			t.Errorf("Serve: %v", err)
		}
		if n := p.gate.InFlight(); n != 0 {
			t.Errorf("%d tickets were never released", n)
		}
		if st := p.Stats(); st.Connections != 0 || st.Backends != 0 || st.InFlight != 0 || st.Held != 0 || st.Panics != 0 {
			t.Errorf("after the end: %+v", st)
		}
	})
	return p
}

// open makes addr the primary, of a new generation.
func (p *testProxy) open(t testing.TB, addr string) {
	t.Helper()
	p.gen++
	if err := p.gate.Open(gate.Primary{Index: int(p.gen), Address: addr, Generation: p.gen}, forever); err != nil {
		t.Fatal(err)
	}
}

// moveTo is a switch without a server's part in it: hold, drain, open.
func (p *testProxy) moveTo(t *testing.T, addr string) {
	t.Helper()
	p.gate.Hold()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := p.gate.Drain(ctx); err != nil {
		t.Fatal(err)
	}
	p.open(t, addr)
}

// db opens a pool of clients. change may alter how they connect.
func (p *testProxy) db(t *testing.T, change ...func(*driver.Config)) *sql.DB {
	t.Helper()
	cfg := driver.NewConfig()
	cfg.User, cfg.Passwd, cfg.Net, cfg.Addr, cfg.DBName = testUser, testPassword, "tcp", p.addr, "shop"
	cfg.Logger = &driver.NopLogger{}
	for _, f := range change {
		f(cfg)
	}
	connector, err := driver.NewConnector(cfg)
	if err != nil {
		t.Fatal(err)
	}
	db := sql.OpenDB(connector)
	t.Cleanup(func() { db.Close() })
	return db
}

// conn opens one client connection.
func (p *testProxy) conn(t *testing.T, change ...func(*driver.Config)) *sql.Conn {
	t.Helper()
	c, err := p.db(t, change...).Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func mustExec(t *testing.T, c interface {
	ExecContext(context.Context, string, ...any) (sql.Result, error)
}, query string, args ...any) sql.Result {
	t.Helper()
	res, err := c.ExecContext(t.Context(), query, args...)
	if err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return res
}

// one returns the first row of a query as text, columns joined by "|".
func one(t *testing.T, c interface {
	QueryContext(context.Context, string, ...any) (*sql.Rows, error)
}, query string, args ...any) string {
	t.Helper()
	rows, err := c.QueryContext(t.Context(), query, args...)
	if err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	defer rows.Close()
	columns, err := rows.Columns()
	if err != nil || !rows.Next() {
		t.Fatalf("%s: no row: %v %v", query, err, rows.Err())
	}
	values := make([]sql.NullString, len(columns))
	targets := make([]any, len(columns))
	for i := range values {
		targets[i] = &values[i]
	}
	if err := rows.Scan(targets...); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	parts := make([]string, len(values))
	for i, v := range values {
		parts[i] = v.String
		if !v.Valid {
			parts[i] = "NULL"
		}
	}
	return strings.Join(parts, "|")
}

// wantError checks that err is a server's error with the given code.
func wantError(t *testing.T, err error, code uint16, text string) {
	t.Helper()
	var e *driver.MySQLError
	if !errors.As(err, &e) || e.Number != code || !strings.Contains(e.Message, text) {
		t.Fatalf("got %v, want error %d with %q", err, code, text)
	}
}

// eventually waits until cond holds.
func eventually(t *testing.T, what string, cond func() bool) {
	t.Helper()
	giveUp := time.After(10 * time.Second)
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !cond() {
		select {
		case <-tick.C:
		case <-giveUp:
			t.Fatalf("never happened: %s", what)
		}
	}
}

// gateConfig is a gate's configuration with a hold timeout in milliseconds.
func gateConfig(holdMillis int) gate.Config {
	return gate.Config{HoldTimeout: time.Duration(holdMillis) * time.Millisecond}
}

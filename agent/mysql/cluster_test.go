package mysql

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"
)

// The tests run against real servers: a, b and c, which the first test that needs them starts.
// Everything under test logs in with the accounts that InitSQL makes; root is
// only for arranging and looking.
const (
	agentUser     = "zero_agent"
	agentPassword = `ag'e"nt\ ; -- é`
	replUser      = "zero_repl"
	replPassword  = `re'p"l\'; DROP DATABASE app; -- é`
	appPassword   = "app"
)

var cluster struct {
	once  sync.Once
	dir   string
	nodes []*node
	err   error
}

// errAbsent means that there is no database server to test with.
var errAbsent = errors.New("mariadbd is not installed (package mariadb-server)")

// node is one real server.
type node struct {
	id        int
	dir, sock string
	port      int
	cmd       *exec.Cmd
	exited    chan struct{}
	root      *sql.DB
}

func TestMain(m *testing.M) {
	code := m.Run()
	stopCluster()
	os.Exit(code)
}

// needCluster starts the servers for the first test that needs them.
func needCluster(t *testing.T) {
	t.Helper()
	cluster.once.Do(func() {
		if _, err := exec.LookPath("mariadbd"); err != nil {
			cluster.err = errAbsent
			fmt.Fprintln(os.Stderr, "SKIPPING all tests against a real server:", errAbsent)
			return
		}
		if cluster.dir, cluster.err = os.MkdirTemp("", "zmy"); cluster.err == nil {
			cluster.err = startCluster(cluster.dir)
		}
	})
	switch {
	case errors.Is(cluster.err, errAbsent) && os.Getenv("CI") != "true":
		t.Skip(cluster.err)
	case cluster.err != nil:
		t.Fatal("start database servers: ", cluster.err)
	}
}

func startCluster(dir string) error {
	template := filepath.Join(dir, "t")
	out, err := exec.Command("mariadb-install-db", "--no-defaults", "--auth-root-authentication-method=normal",
		"--skip-test-db", "--user=root", "--datadir="+template, "--tmpdir="+dir).CombinedOutput()
	if err != nil {
		return fmt.Errorf("mariadb-install-db: %w: %s", err, out)
	}
	if err := writeCertificate(dir); err != nil {
		return err
	}
	for id := 1; id <= 3; id++ {
		n := &node{id: id, dir: filepath.Join(dir, strconv.Itoa(id)), sock: filepath.Join(dir, fmt.Sprintf("%d.sock", id))}
		if err := os.CopyFS(n.dir, os.DirFS(template)); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
		cluster.nodes = append(cluster.nodes, n)
		if err := n.start(); err != nil {
			return err
		}
	}
	for _, n := range cluster.nodes {
		if err := n.await(); err != nil {
			return err
		}
		if err := n.prepare(); err != nil {
			return err
		}
	}
	return nil
}

func stopCluster() {
	for _, n := range cluster.nodes {
		n.kill()
		if n.root != nil {
			n.root.Close()
		}
	}
	if cluster.dir != "" {
		os.RemoveAll(cluster.dir)
	}
}

// start starts the server; its port stays the same from the first time on.
func (n *node) start() error {
	if n.port == 0 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return err
		}
		n.port = l.Addr().(*net.TCPAddr).Port
		l.Close()
	}
	pem := filepath.Dir(n.dir)
	log, err := os.OpenFile(n.dir+".log", os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	n.cmd = exec.Command("mariadbd", "--no-defaults", "--user=root", "--datadir="+n.dir, "--socket="+n.sock,
		"--tmpdir="+n.dir, // not shared: a starting server deletes what others have in it
		"--port="+strconv.Itoa(n.port), "--bind-address=127.0.0.1", "--pid-file="+n.dir+".pid",
		"--server-id="+strconv.Itoa(n.id), "--report-host=127.0.0.1", "--report-port="+strconv.Itoa(n.port),
		"--log-bin=bin", "--relay-log=relay", "--log-slave-updates=1", "--binlog-format=ROW", "--gtid-strict-mode=1", "--sync-binlog=1",
		"--read-only=1", "--skip-slave-start", "--slave-parallel-threads=4", "--slave-parallel-mode=optimistic",
		"--rpl-semi-sync-master-wait-point=AFTER_SYNC", "--innodb-buffer-pool-size=32M", "--innodb-log-file-size=8M",
		"--ssl-cert="+filepath.Join(pem, "cert.pem"), "--ssl-key="+filepath.Join(pem, "key.pem"), "--ssl-ca="+filepath.Join(pem, "cert.pem"),
		"--performance-schema=0", "--event-scheduler=OFF")
	n.cmd.Stdout, n.cmd.Stderr = log, log
	n.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := n.cmd.Start(); err != nil {
		return err
	}
	exited := make(chan struct{})
	n.exited = exited
	go func(cmd *exec.Cmd) { _ = cmd.Wait(); close(exited) }(n.cmd)
	return nil
}

// await waits until the server answers.
func (n *node) await() error {
	if n.root == nil {
		c := mysql.NewConfig()
		c.User, c.Net, c.Addr, c.MultiStatements, c.InterpolateParams = "root", "unix", n.sock, true, true
		c.Logger = &mysql.NopLogger{}
		connector, err := mysql.NewConnector(c)
		if err != nil {
			return err
		}
		n.root = sql.OpenDB(connector)
	}
	deadline := time.Now().Add(20 * time.Second)
	for {
		err := n.root.Ping()
		if err == nil {
			return nil
		}
		select {
		case <-n.exited:
			log, _ := os.ReadFile(n.dir + ".log")
			return fmt.Errorf("server %d ended: %s", n.id, log)
		case <-time.After(10 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("server %d does not answer: %w", n.id, err)
		}
	}
}

// prepare makes the accounts: zero's by InitSQL, and one of an application.
func (n *node) prepare() error {
	text, err := InitSQL(initParams())
	if err != nil {
		return err
	}
	_, err = n.root.Exec(text + `SET SESSION sql_log_bin=0;
CREATE USER app@localhost IDENTIFIED BY 'app'; CREATE USER app@'127.0.0.1' IDENTIFIED BY 'app';
GRANT ALL ON app.* TO app@localhost; GRANT ALL ON app.* TO app@'127.0.0.1';
CREATE USER boss@localhost IDENTIFIED BY 'app'; GRANT ALL ON *.* TO boss@localhost;`)
	return err
}

func initParams() InitParams {
	return InitParams{AgentUser: agentUser, AgentPassword: agentPassword, ReplicationUser: replUser,
		ReplicationPassword: replPassword, ReplicationHost: "localhost"}
}

// kill ends the server as a crash would.
func (n *node) kill() {
	if n.cmd != nil && n.cmd.Process != nil {
		_ = n.cmd.Process.Kill()
		<-n.exited
	}
}

func (n *node) address() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(n.port)) }
func (n *node) source() Source  { return Source{Host: "127.0.0.1", Port: uint16(n.port)} }

// servers gives the three servers fresh: no data, no history, a writable and
// the source of b and c, with semi-sync.
func servers(t *testing.T) (a, b, c *node) {
	t.Helper()
	needCluster(t)
	for _, n := range cluster.nodes {
		n.exec(t, "SET GLOBAL rpl_semi_sync_master_enabled=0")
	}
	for _, n := range cluster.nodes {
		n.killClients(t)
		n.exec(t, `STOP SLAVE; RESET SLAVE ALL; SET GLOBAL event_scheduler=OFF; SET GLOBAL rpl_semi_sync_slave_enabled=0;
SET SESSION sql_log_bin=0; DROP DATABASE IF EXISTS app; CREATE DATABASE app; CREATE TABLE app.t(id INT PRIMARY KEY AUTO_INCREMENT, v INT);
SET SESSION sql_log_bin=1; RESET MASTER; SET GLOBAL gtid_slave_pos=''; SET GLOBAL read_only=1`)
	}
	a, b, c = cluster.nodes[0], cluster.nodes[1], cluster.nodes[2]
	a.exec(t, "SET GLOBAL read_only=0")
	for _, n := range []*node{b, c} {
		n.follow(t, a)
	}
	a.exec(t, semiSyncSourceOn)
	eventually(t, "both replicas acknowledge", func() bool {
		return a.status(t, "Rpl_semi_sync_master_clients") == "2"
	})
	b.awaitReplication(t)
	c.awaitReplication(t)
	return a, b, c
}

// follow points n to src by hand.
func (n *node) follow(t *testing.T, src *node) {
	t.Helper()
	n.exec(t, fmt.Sprintf(`SET GLOBAL rpl_semi_sync_slave_enabled=1; CHANGE MASTER TO MASTER_HOST='127.0.0.1', MASTER_PORT=%d,
MASTER_USER='%s', MASTER_PASSWORD='%s', MASTER_CONNECT_RETRY=1, MASTER_SSL=0, MASTER_USE_GTID=slave_pos; START SLAVE`,
		src.port, replUser, strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(replPassword)))
}

// awaitReplication waits until both threads run and the lag is known.
func (n *node) awaitReplication(t *testing.T) {
	t.Helper()
	s := n.server(t)
	eventually(t, "replication runs", func() bool {
		r := must[State](t)(s.State(t.Context())).Replication
		return r.Running() && r.SecondsBehind >= 0
	})
}

// exec runs SQL as root.
func (n *node) exec(t *testing.T, text string, args ...any) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if _, err := n.root.ExecContext(ctx, text, args...); err != nil {
		t.Fatalf("server %d: %s: %v", n.id, clip(text), err)
	}
}

// value reads one value as root.
func (n *node) value(t *testing.T, query string, args ...any) string {
	t.Helper()
	var v sql.NullString
	if err := n.root.QueryRow(query, args...).Scan(&v); err != nil {
		t.Fatalf("server %d: %s: %v", n.id, clip(query), err)
	}
	return v.String
}

func (n *node) status(t *testing.T, name string) string {
	t.Helper()
	return n.value(t, "SELECT VARIABLE_VALUE FROM information_schema.GLOBAL_STATUS WHERE VARIABLE_NAME=?", name)
}

func (n *node) rows(t *testing.T) string { t.Helper(); return n.value(t, "SELECT COUNT(*) FROM app.t") }

// killClients ends what a test left behind.
func (n *node) killClients(t *testing.T) {
	t.Helper()
	rows, err := n.root.Query("SELECT ID FROM information_schema.PROCESSLIST WHERE USER IN ('app','boss')")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var id int
		if err := rows.Scan(&id); err != nil {
			t.Fatal(err)
		}
		_, _ = n.root.Exec("KILL " + strconv.Itoa(id)) // it may be gone by itself
	}
}

// login opens a session of its own for a user over the socket.
func (n *node) login(t *testing.T, user string) *sql.Conn {
	t.Helper()
	c := mysql.NewConfig()
	c.User, c.Passwd, c.Net, c.Addr, c.DBName = user, appPassword, "unix", n.sock, "app"
	c.Logger = &mysql.NopLogger{}
	connector, err := mysql.NewConnector(c)
	if err != nil {
		t.Fatal(err)
	}
	db := sql.OpenDB(connector)
	t.Cleanup(func() { db.Close() })
	conn, err := db.Conn(t.Context())
	if err != nil {
		t.Fatalf("login of %s at server %d: %v", user, n.id, err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

func run(t *testing.T, c *sql.Conn, text string) {
	t.Helper()
	if _, err := c.ExecContext(t.Context(), text); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
}

// server gives what is under test, for a node.
func (n *node) server(t *testing.T, change ...func(*Config)) *Server {
	t.Helper()
	cfg := Config{
		Address: n.address(), Socket: n.sock,
		User: agentUser, Password: func() (string, error) { return agentPassword, nil },
		ReplicationUser: replUser, ReplicationPassword: func() (string, error) { return replPassword, nil },
		AdminUsers: []string{"root"}, SemiSync: true, StatementTimeout: 10 * time.Second, // the machine may be busy
	}
	for _, f := range change {
		f(&cfg)
	}
	s, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// eventually waits for a condition, at most some seconds.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(8 * time.Second)
	for pause := time.Millisecond; !ok(); pause = min(2*pause, 50*time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not in time: %s", what)
		}
		<-time.After(pause)
	}
}

// caughtUp waits until the replicas have what the primary has.
func caughtUp(t *testing.T, primary *node, replicas ...*node) {
	t.Helper()
	pos := primary.value(t, "SELECT @@gtid_binlog_pos")
	for _, r := range replicas {
		if r.value(t, "SELECT MASTER_GTID_WAIT(?, 8)", pos) != "0" {
			t.Fatalf("server %d does not reach %s of server %d", r.id, pos, primary.id)
		}
	}
}

func must[T any](t *testing.T) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// free is a lease that never ends.
type free struct{}

func (free) Await(context.Context) error { return nil }
func (free) Holds() error                { return nil }

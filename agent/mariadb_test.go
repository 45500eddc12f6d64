package agent

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
	"slices"
	"strconv"
	"syscall"
	"testing"
	"time"

	driver "github.com/go-sql-driver/mysql"

	"github.com/zerokeeper/zero/agent/mysql"
	"github.com/zerokeeper/zero/transport/api"
)

// node is a real server with its agent and a keeper of its own.
type node struct {
	*rig
	root   *sql.DB
	socket string
	me     api.Datasource
	keeper *keeper
	args   []string
	data   string
	cmd    *exec.Cmd
	ended  chan struct{}
	db     *mysql.Server
	agents string // data directory of the agent

	degraded bool // the keepers recorded its group as degraded
}

// pair starts two fresh servers, which end with the test.
func pair(t *testing.T) (a, b *node) {
	t.Helper()
	nodes := fleet(t, 2)
	return nodes[0], nodes[1]
}

// fleet starts that many fresh servers with their agents, which do not run yet.
func fleet(t *testing.T, count int) (nodes []*node) {
	t.Helper()
	if _, err := exec.LookPath("mariadbd"); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("mariadbd is not installed (package mariadb-server)")
		}
		t.Skip("mariadbd is not installed (package mariadb-server)")
	}
	dir, err := os.MkdirTemp("", "zag") // a socket's path is short
	ok(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) }) // temporary
	template := filepath.Join(dir, "t")
	if out, err := exec.Command("mariadb-install-db", "--no-defaults", "--auth-root-authentication-method=normal",
		"--skip-test-db", "--user=root", "--datadir="+template, "--tmpdir="+dir).CombinedOutput(); err != nil {
		t.Fatalf("mariadb-install-db: %v: %s", err, out)
	}
	for id := 1; id <= count; id++ {
		nodes = append(nodes, startNode(t, dir, id))
	}
	for _, n := range nodes {
		n.prepareAccounts(t)
		n.startAgent(t)
	}
	return nodes
}

func startNode(t *testing.T, dir string, id int) *node {
	t.Helper()
	data := filepath.Join(dir, strconv.Itoa(id))
	if err := os.CopyFS(data, os.DirFS(filepath.Join(dir, "t"))); err != nil && !errors.Is(err, fs.ErrExist) {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	ok(t, err)
	port := l.Addr().(*net.TCPAddr).Port
	ok(t, l.Close())
	n := &node{socket: data + ".sock", me: api.Datasource{Address: l.Addr().String(), ServerID: strconv.Itoa(id)}, keeper: new(keeper)}
	n.data = data
	n.args = []string{"--no-defaults", "--user=root", "--datadir=" + data, "--socket=" + n.socket, "--port=" + strconv.Itoa(port),
		"--tmpdir=" + data, // not shared: a starting server deletes what others have in it
		"--bind-address=127.0.0.1", "--pid-file=" + data + ".pid", "--server-id=" + strconv.Itoa(id), "--report-host=127.0.0.1", "--report-port=" + strconv.Itoa(port),
		"--log-bin=bin", "--log-slave-updates=1", "--binlog-format=ROW", "--gtid-strict-mode=1", "--sync-binlog=1", "--read-only=1", "--skip-slave-start",
		"--innodb-buffer-pool-size=32M", "--innodb-log-file-size=8M", "--performance-schema=0"}
	n.start(t)
	t.Cleanup(n.kill)
	cfg := driver.NewConfig()
	cfg.User, cfg.Net, cfg.Addr, cfg.MultiStatements, cfg.Logger = "root", "unix", n.socket, true, &driver.NopLogger{}
	connector, err := driver.NewConnector(cfg)
	ok(t, err)
	n.root = sql.OpenDB(connector)
	t.Cleanup(func() { ok(t, n.root.Close()) })
	eventually(t, fmt.Sprintf("server %d answers", id), func() bool { return n.root.PingContext(t.Context()) == nil })
	return n
}

// start starts the server, with more arguments.
func (n *node) start(t *testing.T, more ...string) {
	t.Helper()
	log, err := os.OpenFile(n.data+".log", os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	ok(t, err)
	defer log.Close()
	n.cmd = exec.Command("mariadbd", append(slices.Clone(n.args), more...)...)
	n.cmd.Stdout, n.cmd.Stderr = log, log
	n.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	ok(t, n.cmd.Start())
	n.ended = make(chan struct{})
	go func(cmd *exec.Cmd, ended chan struct{}) { _ = cmd.Wait(); close(ended) }(n.cmd, n.ended)
}

// kill ends the server as a crash would.
func (n *node) kill() {
	_ = n.cmd.Process.Kill() // it may be dead
	<-n.ended
}

func (n *node) prepareAccounts(t *testing.T) {
	t.Helper()
	text, err := mysql.InitSQL(mysql.InitParams{AgentUser: "zero_agent", AgentPassword: "ap", ReplicationUser: "zero_repl", ReplicationPassword: "rp", ReplicationHost: "localhost", SemiSync: true})
	ok(t, err)
	n.exec(t, text)
}

func (n *node) startAgent(t *testing.T) {
	t.Helper()
	secret := func(s string) func() (string, error) { return func() (string, error) { return s, nil } }
	db, err := mysql.New(mysql.Config{
		Address: n.me.Address, Socket: n.socket, User: "zero_agent", Password: secret("ap"),
		ReplicationUser: "zero_repl", ReplicationPassword: secret("rp"), AdminUsers: []string{"root"}, SemiSync: true, StatementTimeout: 10 * time.Second,
	})
	ok(t, err)
	t.Cleanup(func() { _ = db.Close() }) // of connections that the server had closed
	n.db, n.agents = db, t.TempDir()
	n.openAgent(t)
}

// openAgent opens the agent, the next process on its directory.
func (n *node) openAgent(t *testing.T) {
	t.Helper()
	cfg := config(n.agents, n.db)
	cfg.StateTimeout, cfg.ServerConf = 10*time.Second, filepath.Join(n.agents, "server.cnf")
	a, err := Open(cfg)
	ok(t, err)
	t.Cleanup(func() { _ = a.Close() }) // a test may have closed it
	a.mature()
	n.rig = &rig{Agent: a, t: t, call: asRole(t, api.RoleKeeper)}
}

func (n *node) exec(t *testing.T, text string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if _, err := n.root.ExecContext(ctx, text); err != nil {
		t.Fatalf("%s: %v", n.me.Address, err)
	}
}

func (n *node) value(t *testing.T, query string) string {
	t.Helper()
	var v string
	ok(t, n.root.QueryRowContext(t.Context(), query).Scan(&v))
	return v
}

// order gives an order and says how long it took.
func (n *node) order(t *testing.T, s api.Stamp, name string, body any) api.AgentState {
	t.Helper()
	began := time.Now()
	answer, err := n.give(s, name, body)
	ok(t, err)
	t.Logf("%s took %v", name, time.Since(began).Round(10*time.Microsecond))
	return answer
}

// TestRealPair is the main path on real servers: the level makes the primary, a
// planned switch moves it, a second one is rolled back, and the level mends what
// somebody broke.
func TestRealPair(t *testing.T) {
	a, b := pair(t)
	named := func(s api.Stamp, committed uint64, n *node) []api.Grant {
		g := grant(s, committed, n.me.Address, true)
		g.Primary, g.Acknowledge = n.me, true
		return []api.Grant{g}
	}
	b.exec(t, fmt.Sprintf(`SET GLOBAL rpl_semi_sync_slave_enabled=1; CHANGE MASTER TO MASTER_HOST='127.0.0.1', MASTER_PORT=%s,
MASTER_USER='zero_repl', MASTER_PASSWORD='rp', MASTER_CONNECT_RETRY=1, MASTER_USE_GTID=slave_pos; START SLAVE`, a.me.Address[len("127.0.0.1:"):]))
	for _, n := range []*node{a, b} {
		n.keeper.grants = named(stamp(0, api.StepIdle), 0, a)
		n.run(n.keeper)
	}
	eventually(t, "the primary is writable", func() bool { return a.keeper.last().Role == "primary" })
	if on := a.value(t, "SELECT @@global.rpl_semi_sync_master_enabled"); on != "1" {
		t.Error("it acknowledges commits that nobody else has")
	}
	eventually(t, "the replica is one", func() bool {
		s, err := b.ask(t.Context())
		return err == nil && s.Replication != nil && s.Replication.Running()
	})
	a.exec(t, "CREATE DATABASE app; CREATE TABLE app.t(id INT PRIMARY KEY); INSERT INTO app.t VALUES (1)")

	// A planned switch. The keepers' grants are those of the switch, as they are then.
	say := func(s api.Stamp, committed uint64, n *node, open bool) {
		for _, to := range []*node{a, b} {
			g := named(s, committed, n)
			g[0].Open = open
			to.keeper.set(func() { to.keeper.grants = g })
		}
	}
	say(stamp(1, api.StepStopping), 0, a, true)
	prepared := b.order(t, stamp(1, api.StepStopping), api.PrepareDatasource, api.PrepareDatasourceRequest{HostGroup: "orders", Candidate: b.me})
	if prepared.Role != "replica" || prepared.Source != a.me.Address {
		t.Errorf("prepared: %+v", prepared)
	}
	say(stamp(1, api.StepFencing), 0, a, false)
	fenced := a.order(t, stamp(1, api.StepFencing), api.FenceDatasource, api.FenceDatasourceRequest{HostGroup: "orders", Primary: a.me, BoundMS: 5000})
	if !fenced.ReadOnly || a.value(t, "SELECT @@global.read_only") != "1" {
		t.Errorf("fenced: %+v", fenced)
	}
	say(stamp(1, api.StepCatchingUp), 0, a, false)
	b.order(t, stamp(1, api.StepCatchingUp), api.WaitPosition, api.WaitPositionRequest{HostGroup: "orders", Candidate: b.me,
		GTID: fenced.Binlog.GTIDBinlogPos, State: fenced.Binlog.GTIDBinlogState, TimeoutMS: 10_000})
	say(stamp(1, api.StepPromoting), 1, b, true)
	promoted := b.order(t, stamp(1, api.StepPromoting), api.PromoteDatasource, api.PromoteDatasourceRequest{HostGroup: "orders", Primary: b.me})
	if promoted.ReadOnly || b.value(t, "SELECT @@global.read_only") != "0" {
		t.Errorf("promoted: %+v", promoted)
	}
	say(stamp(1, api.StepIdle), 1, b, true)
	followed := a.order(t, stamp(1, api.StepIdle), api.FollowDatasource, api.FollowDatasourceRequest{HostGroup: "orders", Replica: a.me, Primary: b.me, Acknowledge: true})
	if !followed.ReadOnly || followed.Source != b.me.Address {
		t.Errorf("followed: %+v", followed)
	}
	b.exec(t, "INSERT INTO app.t VALUES (2)")
	eventually(t, "the old primary has the new row", func() bool { return a.value(t, "SELECT COUNT(*) FROM app.t") == "2" })

	// Another one, which is rolled back.
	say(stamp(2, api.StepFencing), 1, b, false)
	b.order(t, stamp(2, api.StepFencing), api.FenceDatasource, api.FenceDatasourceRequest{HostGroup: "orders", Primary: b.me, BoundMS: 5000})
	say(stamp(2, api.StepRollingBack), 1, b, true)
	restored := b.order(t, stamp(2, api.StepRollingBack), api.RestoreDatasource, api.RestoreDatasourceRequest{HostGroup: "orders", Primary: b.me})
	if restored.ReadOnly || b.value(t, "SELECT @@global.read_only") != "0" {
		t.Errorf("restored: %+v", restored)
	}
	say(stamp(2, api.StepIdle), 1, b, true)

	// What somebody breaks by hand, the level mends.
	a.exec(t, "STOP SLAVE; SET GLOBAL read_only=0")
	b.exec(t, "SET GLOBAL read_only=1")
	eventually(t, "the primary is writable again", func() bool { return b.value(t, "SELECT @@global.read_only") == "0" })
	eventually(t, "the other one follows again, read-only", func() bool {
		s, err := a.ask(t.Context())
		return err == nil && s.ReadOnly && s.Replication != nil && s.Replication.Running()
	})
	b.exec(t, "INSERT INTO app.t VALUES (3)")
	eventually(t, "the rows are the same", func() bool { return a.value(t, "SELECT COUNT(*) FROM app.t") == "3" })
	for _, n := range []*node{a, b} {
		eventually(t, "no alarm", func() bool { return n.View().Alarm == "" })
	}
}

package e2e

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/zerokeeper/zero/jepsen/fleet"
	"github.com/zerokeeper/zero/jepsen/stage"
	"github.com/zerokeeper/zero/transport/api"
)

// endpoints: every daemon answers people and monitors.
func (s *scene) endpoints(t *testing.T, ctx context.Context) {
	page := func(url string, want int) string {
		t.Helper()
		status, body, err := fleet.Get(ctx, url)
		if err != nil || status != want {
			t.Errorf("%s: %d, %v, want %d: %s", url, status, err, want, body)
		}
		return string(body)
	}
	daemon := func(name string, url func(string) string, metrics ...string) {
		t.Helper()
		has(t, name+" /livez", page(url("/livez"), http.StatusOK), "ok")
		has(t, name+" /readyz", page(url("/readyz?verbose"), http.StatusOK), "[+]", "ok")
		text := page(url("/metrics"), http.StatusOK)
		for _, m := range append(metrics, "zero_build_info{", "go_goroutines ", "process_open_fds ") {
			if !strings.Contains(text, "\n"+m) {
				t.Errorf("%s /metrics has no %s", name, m)
			}
		}
		var build struct{ Version, Go string }
		if err := json.Unmarshal([]byte(page(url("/version"), http.StatusOK)), &build); err != nil || build.Version == "" || build.Go == "" {
			t.Errorf("%s /version: %+v, %v", name, build, err)
		}
		if url("") != "" {
			page(url("/nothing"), http.StatusNotFound)
		}
	}
	leaders := 0
	for _, k := range s.Keepers {
		daemon(k.Name(), k.URL, "zero_transport_connections ", "zero_transport_updates_total ", "zero_cluster_")
		status, _, err := fleet.Get(ctx, k.URL("/leaderz"))
		switch {
		case err == nil && status == http.StatusOK:
			leaders++
		case err != nil || status != http.StatusServiceUnavailable:
			t.Errorf("%s /leaderz: %d, %v", k.Name(), status, err)
		}
	}
	if leaders != 1 {
		t.Errorf("%d keepers say at /leaderz that they lead", leaders)
	}
	for _, p := range s.Proxies {
		daemon(p.Name(), p.URL, "zero_proxy_group_open{", "zero_proxy_group_in_flight{", "zero_proxy_group_held{", "zero_proxy_client_connections ")
	}
	for _, a := range s.Agents {
		daemon(a.Name(), a.URL)
	}
}

// agents: what agents measure reaches the operator, and an agent prints what its
// server needs.
func (s *scene) agents(t *testing.T, ctx context.Context) {
	var list api.AgentListAnswer
	zeroctlJSON(t, ctx, s.Fleet, exitOK, &list, "agent", "list")
	if len(list.Agents) != len(s.Servers) {
		t.Fatalf("agent list: %d agents", len(list.Agents))
	}
	for i, server := range s.Servers {
		n := slices.IndexFunc(list.Agents, func(a api.Agent) bool { return a.Address == server.Addr() })
		role, readOnly := "replica", true
		if i == 0 {
			role, readOnly = "primary", false
		}
		if a := list.Agents[n]; a.Role != role || a.ReadOnly != readOnly || a.Status != api.StatusUp || !a.Connected || a.Alarm != "" || a.MySQL.Status != 1 || a.ServerID != fmt.Sprint(server.ServerID()) {
			t.Errorf("agent list: %+v", a)
		}
		var load api.Load
		s.asked(t, ctx, &load, "agent", "load", server.Addr())
		if load.Cores < 1 || load.MemTotal == 0 || load.MemAvailable == 0 || load.MemAvailable > load.MemTotal || load.DiskFree == 0 || load.Connections < 1 {
			t.Errorf("agent load %s: %+v", server.Addr(), load)
		}
	}
	s.binlogs(t, ctx)
	refusal(t, ctx, s.Fleet, exitBadInput, int(api.KeyMissing), "agent", "load", "127.0.0.1:1")
	s.initSQL(t, ctx)
}

// asked is what an agent answers. A leader that is new waits for agents itself.
func (s *scene) asked(t *testing.T, ctx context.Context, into any, args ...string) {
	t.Helper()
	eventually(t, ctx, back, "zeroctl "+strings.Join(args, " "), func(ctx context.Context) error { return ask(ctx, s.Fleet, into, args...) })
}

// binlogs: the primary's position is the server's own, a replica's is what it has
// executed of it.
func (s *scene) binlogs(t *testing.T, ctx context.Context) {
	t.Helper()
	if err := s.CaughtUp(ctx, 0); err != nil {
		t.Fatal(err)
	}
	row, err := s.Servers[0].Row(ctx, "SHOW MASTER STATUS")
	if err != nil {
		t.Fatal(err)
	}
	want := row["File"] + ":" + row["Position"]
	for i, server := range s.Servers {
		role := api.BinlogSlave
		if i == 0 {
			role = api.BinlogMaster
		}
		var b api.Binlog
		s.asked(t, ctx, &b, "agent", "binlog", server.Addr(), "--role", role)
		if got := fmt.Sprintf("%s:%d", b.File, b.Position); got != want {
			t.Errorf("agent binlog %s --role %s: %s, the primary is at %s", server.Name(), role, got, want)
		}
	}
	refusal(t, ctx, s.Fleet, exitRefused, int(api.NotReplica), "agent", "binlog", s.Servers[0].Addr(), "--role", api.BinlogSlave)
}

// initSQL: `zeroagent init` prints SQL that a server takes, twice, with any
// password, and refuses to guess passwords.
func (s *scene) initSQL(t *testing.T, ctx context.Context) {
	t.Helper()
	const user, password = "zero_other", `it's a \ "secret"`
	secret, err := s.Fleet.Secret("init", password)
	if err != nil {
		t.Fatal(err)
	}
	printed := program(t, ctx, s.Fleet, exitOK, "zeroagent", "init", "--print-sql", "--user", user, "--replication-user", "zero_other_repl",
		"--password-ref", secret, "--replication-password-ref", secret).Stdout
	has(t, "zeroagent init", printed, "CREATE USER", user, "zero_other_repl", "GRANT", "read_only", "server_id", "gtid_strict_mode")
	server := s.Servers[len(s.Servers)-1]
	before, err := server.Value(ctx, "SELECT @@gtid_binlog_pos")
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		loaded, err := s.Fleet.RunInput(ctx, printed, "mariadb", "--no-defaults", "--socket", server.Socket(), "--user", "root")
		if err != nil || loaded.Code != 0 {
			t.Errorf("the SQL of zeroagent init: exit %d, %v: %s", loaded.Code, err, loaded.Stderr)
		}
	}
	if after, err := server.Value(ctx, "SELECT @@gtid_binlog_pos"); err != nil || after != before {
		t.Errorf("the SQL of zeroagent init wrote to the binlog: %s, then %s, %v", before, after, err)
	}
	result, err := s.Fleet.Run(ctx, "mariadb", "--no-defaults", "--socket", server.Socket(), "--user", user, "--password="+password, "-e", "SHOW SLAVE STATUS")
	if err != nil || result.Code != 0 {
		t.Errorf("the account of zeroagent init: exit %d, %v: %s", result.Code, err, result.Stderr)
	}
	accounts, err := server.Rows(ctx, "SELECT CONCAT(QUOTE(user), '@', QUOTE(host)) AS name FROM mysql.user WHERE user LIKE ?", user+"%")
	if err != nil || len(accounts) == 0 {
		t.Fatalf("%d accounts, %v", len(accounts), err)
	}
	for _, a := range accounts { // a second account that may write on a replica would be refused at a switch
		if err := server.Exec(ctx, "SET SESSION sql_log_bin=0", "DROP USER "+a["name"]); err != nil {
			t.Error(err)
		}
	}
	missing := program(t, ctx, s.Fleet, exitFailed, "zeroagent", "init", "--print-sql")
	has(t, "zeroagent init without passwords", missing.Stderr, "--password-ref", "--replication-password-ref")
}

// tools: what an operator has besides.
func (s *scene) tools(t *testing.T, ctx context.Context) {
	file := filepath.Join(s.Fleet.Dir(), "state.snap")
	var saved struct {
		Bytes  int
		SHA256 string
	}
	zeroctlJSON(t, ctx, s.Fleet, exitOK, &saved, "snapshot", "save", file)
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if sum := sha256.Sum256(data); len(data) != saved.Bytes || hex.EncodeToString(sum[:]) != saved.SHA256 {
		t.Errorf("snapshot save: the file has %d bytes, it says %+v", len(data), saved)
	}
	refusal(t, ctx, s.Fleet, exitBadInput, int(api.BadRequest), "snapshot", "save", file)

	has(t, "version", s.ctl(t, ctx, exitOK, "version").Stdout, "zeroctl")
	has(t, "help exit-codes", s.ctl(t, ctx, exitOK, "help", "exit-codes").Stdout, "64", "usage", "2004")
	has(t, "completion", s.ctl(t, ctx, exitOK, "completion", "bash").Stdout, "__start_zeroctl")
	has(t, "completion of a group", s.ctl(t, ctx, exitOK, "__complete", "group", "show", "").Stdout, stage.Group)
	has(t, "group list", s.ctl(t, ctx, exitOK, "group", "list").Stdout, stage.Group, s.Servers[0].Addr())
	has(t, "proxy list", s.ctl(t, ctx, exitOK, "proxy", "list").Stdout, s.Proxies[0].Name(), s.Proxies[1].Name(), "up", "1.0.0")
}

// importGroup: the setup that exists is found from its primary, and what is
// printed for it is valid.
func (s *scene) importGroup(t *testing.T, ctx context.Context) {
	secret, err := s.Fleet.Secret("import", s.Password())
	if err != nil {
		t.Fatal(err)
	}
	args := []string{"group", "import", "--primary", s.Servers[0].Addr(), "--user", "zero_agent", "--password-ref", secret, "--group", "orders", "--cluster", "shop"}
	found := s.ctl(t, ctx, exitOK, args...)
	for _, server := range s.Servers {
		has(t, "group import", found.Stdout, server.Addr())
	}
	file := write(t, s.Fleet, "imported.yaml", found.Stdout)
	has(t, "config validate", s.ctl(t, ctx, exitOK, "config", "validate", file).Stdout, "is valid: cluster shop, 1 host group")
	var checked struct {
		Valid  bool `json:"valid"`
		Groups []struct {
			Name  string   `json:"name"`
			Write []string `json:"write"`
		} `json:"groups"`
	}
	zeroctlJSON(t, ctx, s.Fleet, exitOK, &checked, "config", "validate", file)
	if !checked.Valid || len(checked.Groups) != 1 || len(checked.Groups[0].Write) != len(s.Servers) || checked.Groups[0].Write[0] != s.Servers[0].Addr() {
		t.Errorf("config validate: %+v", checked)
	}
	refusal(t, ctx, s.Fleet, exitFailed, int(api.MySQLUnreachable), "group", "import", "--primary", "127.0.0.1:1")
	refusal(t, ctx, s.Fleet, exitBadInput, int(api.BadRequest), "group", "import", "--primary", "nowhere")
}

// noise is what one of zero's daemons logs when something is not as it should be.
var noise = regexp.MustCompile(`^\S+ \[(WARN|ERROR)\] +zero`)

// whitelist is what a healthy run may log all the same, each with its reason.
var whitelist = []*regexp.Regexp{
	// The tests look at the servers as root, whose sessions a fence must kill.
	regexp.MustCompile(`killed a session that could still write: session="\{\d+ root localhost `),
}

// led is a keeper's line for every term that it leads.
var led = regexp.MustCompile(`^\S+ \[INFO\] +zerokeeper\.keeper: leading: `)

// quietLogs: until here nothing went wrong, and the logs say nothing else.
func (s *scene) quietLogs(t *testing.T, _ context.Context) {
	if terms := grep(t, s.Fleet, led); len(terms) != 1 {
		t.Skipf("NOT TESTED: nobody touched the keepers, and %d led; a machine that starves them for half a second does that: %v", len(terms), terms)
	}
	for _, line := range grep(t, s.Fleet, noise) {
		if !slices.ContainsFunc(whitelist, func(w *regexp.Regexp) bool { return w.MatchString(line) }) {
			t.Error(line)
		}
	}
}

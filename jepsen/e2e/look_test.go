package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/zerokeeper/zero/jepsen/fleet"
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
		zeroctlJSON(t, ctx, s.Fleet, exitOK, &load, "agent", "load", server.Addr())
		if load.Cores < 1 || load.MemTotal == 0 || load.MemAvailable == 0 || load.MemAvailable > load.MemTotal || load.DiskFree == 0 || load.Connections < 1 {
			t.Errorf("agent load %s: %+v", server.Addr(), load)
		}
	}
	s.binlogs(t, ctx)
	refusal(t, ctx, s.Fleet, exitBadInput, int(api.KeyMissing), "agent", "load", "127.0.0.1:1")
	s.initSQL(t, ctx)
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
		zeroctlJSON(t, ctx, s.Fleet, exitOK, &b, "agent", "binlog", server.Addr(), "--role", role)
		if got := fmt.Sprintf("%s:%d", b.File, b.Position); got != want {
			t.Errorf("agent binlog %s --role %s: %s, the primary is at %s", server.Name(), role, got, want)
		}
	}
	refusal(t, ctx, s.Fleet, exitRefused, int(api.NotReplica), "agent", "binlog", s.Servers[0].Addr(), "--role", api.BinlogSlave)
}

// initSQL: `zeroagent init` prints SQL that a server takes, twice, and refuses
// to guess passwords.
func (s *scene) initSQL(t *testing.T, ctx context.Context) {
	t.Helper()
	secret, err := s.Fleet.Secret("init", "it's a \\ secret")
	if err != nil {
		t.Fatal(err)
	}
	args := []string{"init", "--print-sql", "--user", "zero_agent", "--password-ref", secret, "--replication-password-ref", secret}
	printed := program(t, ctx, s.Fleet, exitOK, "zeroagent", args...).Stdout
	has(t, "zeroagent init", printed, "CREATE USER", "zero_agent", "zero_repl", "GRANT", "read_only", "server_id", "gtid_strict_mode")
	missing := program(t, ctx, s.Fleet, exitFailed, "zeroagent", "init", "--print-sql")
	has(t, "zeroagent init without passwords", missing.Stderr, "--password-ref", "--replication-password-ref")
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
var whitelist = []*regexp.Regexp{}

// quietLogs: until here nothing went wrong, and the logs say nothing else.
func (s *scene) quietLogs(t *testing.T, _ context.Context) {
	for _, line := range grep(t, s.Fleet, noise) {
		if !slices.ContainsFunc(whitelist, func(w *regexp.Regexp) bool { return w.MatchString(line) }) {
			t.Error(line)
		}
	}
}

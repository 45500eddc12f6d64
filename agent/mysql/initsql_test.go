package mysql

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestInitSQLGolden(t *testing.T) {
	tests := []struct {
		name string
		p    InitParams
	}{
		{"plain", InitParams{AgentUser: "zero_agent", AgentPassword: "a", ReplicationUser: "zero_repl", ReplicationPassword: "r"}},
		{"all", InitParams{AgentUser: "zero_agent", AgentHosts: []string{"localhost"}, AgentPassword: "a",
			ReplicationUser: "zero_repl", ReplicationHost: "10.0.0.%", ReplicationPassword: "r", ReplicationTLS: true,
			ManageEvents: true, SemiSync: true, ServerID: 7, ServerConf: "/etc/mysql/zero.cnf", ReportHost: "db7", ReportPort: 3307}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := InitSQL(tt.p)
			if err != nil {
				t.Fatal(err)
			}
			file := filepath.Join("testdata", "init_"+tt.name+".sql")
			if os.Getenv("UPDATE_GOLDEN") != "" {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if got != string(want) {
				t.Errorf("differs from %s (UPDATE_GOLDEN=1 renews it):\n%s", file, got)
			}
		})
	}
}

func TestInitSQLRefuses(t *testing.T) {
	good := initParams()
	tests := []struct {
		name   string
		change func(*InitParams)
	}{
		{"quote in a user", func(p *InitParams) { p.AgentUser = "x'" }},
		{"no user", func(p *InitParams) { p.ReplicationUser = "" }},
		{"one user", func(p *InitParams) { p.ReplicationUser = p.AgentUser }},
		{"newline in a host", func(p *InitParams) { p.ReplicationHost = "%\nGRANT" }},
		{"quote in a host", func(p *InitParams) { p.AgentHosts = []string{"localhost'"} }},
		{"no host", func(p *InitParams) { p.AgentHosts = []string{} }},
		{"newline in the report host", func(p *InitParams) { p.ReportHost = "x\nread_only=0" }},
		{"newline in the server conf", func(p *InitParams) { p.ServerConf = "/x\nread_only=0" }},
		{"no password", func(p *InitParams) { p.AgentPassword = "" }},
		{"a replication password that CHANGE MASTER cannot take", func(p *InitParams) { p.ReplicationPassword = strings.Repeat("x", 97) }},
	}
	for _, tt := range tests {
		p := good
		tt.change(&p)
		if text, err := InitSQL(p); err == nil {
			t.Errorf("%s:\n%s", tt.name, text)
		}
	}
}

// TestInitSQLAgain runs it on a replica and with another password.
func TestInitSQLAgain(t *testing.T) {
	a, b, _ := servers(t)
	p := initParams()
	p.AgentPassword = "another"
	text := must[string](t)(InitSQL(p))
	t.Cleanup(func() { b.exec(t, must[string](t)(InitSQL(initParams()))) })
	b.exec(t, text)
	if b.value(t, "SELECT @@gtid_binlog_state") != a.value(t, "SELECT @@gtid_binlog_state") {
		t.Error("it wrote to the binary log")
	}
	s := b.server(t, func(c *Config) { c.Password = func() (string, error) { return "another", nil } })
	if err := s.Ping(t.Context()); err != nil {
		t.Error(err)
	}
	if strings.Contains(text, "another") || strings.Contains(text, replPassword) {
		t.Error("it has a password")
	}
}

// TestGrantsAreMinimal takes each grant away and looks what no longer works.
func TestGrantsAreMinimal(t *testing.T) {
	a, b, _ := servers(t)
	ctx := t.Context()
	on := func(n *node, f func(s *Server) error) func(t *testing.T) error {
		return func(t *testing.T) error { return f(n.server(t)) }
	}
	fence := on(a, func(s *Server) error { _, err := s.Fence(ctx, FenceOptions{}); return err })
	preflight := on(a, func(s *Server) error { _, err := s.Preflight(ctx, PreflightOptions{Role: RoleMaster}); return err })
	killing := func(t *testing.T) error {
		boss := a.login(t, "boss")
		run(t, boss, "SELECT 1")
		return fence(t)
	}
	tests := []struct {
		grant string
		need  func(t *testing.T) error
	}{
		{"BINLOG MONITOR ON *.*", on(a, func(s *Server) error { _, err := s.Binlog(ctx, RoleMaster); return err })},
		{"CONNECTION ADMIN ON *.*", killing},
		{"PROCESS ON *.*", preflight},
		{"READ_ONLY ADMIN ON *.*", on(a, func(s *Server) error { return s.SetReadOnly(ctx) })},
		{"RELOAD ON *.*", killing},
		{"REPLICA MONITOR ON *.*", on(b, func(s *Server) error { _, err := s.State(ctx); return err })},
		{"REPLICATION MASTER ADMIN ON *.*", on(a, func(s *Server) error { return s.SemiSyncSource(ctx, true) })},
		{"REPLICATION SLAVE ADMIN ON *.*", on(b, func(s *Server) error { _, err := s.StopReceiving(ctx); return err })},
		{"SELECT ON mysql.event", preflight},
		{"SELECT ON mysql.global_priv", fence},
		{"SELECT ON mysql.roles_mapping", fence},
	}
	if len(tests) != len(agentGrants)+len(agentTables) {
		t.Errorf("%d grants are tested of %d", len(tests), len(agentGrants)+len(agentTables))
	}
	account := account{agentUser, "localhost"}.String()
	for _, tt := range tests {
		t.Run(tt.grant, func(t *testing.T) {
			for _, n := range []*node{a, b} {
				n.exec(t, "SET SESSION sql_log_bin=0; REVOKE "+tt.grant+" FROM "+account)
			}
			err := tt.need(t)
			for _, n := range []*node{a, b} {
				n.exec(t, "SET SESSION sql_log_bin=0; GRANT "+tt.grant+" TO "+account+"; SET GLOBAL read_only=IF(@@server_id=1, 0, 1)")
			}
			if err == nil {
				t.Error("everything works without it")
			} else if n := errNumber(err); n != errSpecificAccess && n != 1142 && n != 1095 {
				t.Errorf("another error than a denial: %v", err)
			}
		})
	}
	if err := b.server(t).Resume(ctx); err != nil && !errors.Is(err, ErrNotReplica) {
		t.Error(err)
	}
}

package mysql

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"
)

// broken names the rules that are not met.
func broken(list []Finding) (rules []string) {
	for _, f := range list {
		if !f.OK {
			rules = append(rules, f.Rule)
		}
	}
	slices.Sort(rules)
	return rules
}

func TestPreflight(t *testing.T) {
	type options = PreflightOptions
	tests := []struct {
		name    string
		arrange func(t *testing.T, a, b *node)
		options func(o *options, a, b *node) // of the candidate, or with RoleMaster of the primary
		config  func(*Config)
		want    []string
	}{
		{"good candidate", nil, nil, nil, nil},
		{"good primary", nil, func(o *options, _, _ *node) { *o = options{Role: RoleMaster, Peers: o.Peers} }, nil, nil},
		{"candidate as primary", nil, func(o *options, a, b *node) { o.Role, o.Peers = RoleMaster, map[string]uint32{b.address(): 1} },
			nil, []string{RuleServerID}},
		{"primary as candidate", nil, func(o *options, a, _ *node) { o.Role, o.Source = RoleSlave, "primary" }, nil,
			[]string{RuleReadOnly, RuleSemiSync, RuleSource}},
		{"an administrator too many", nil, nil, func(c *Config) { c.AdminUsers = []string{"root"} }, []string{RuleWriters}},
		{"another source", nil, func(o *options, _, _ *node) { o.Source = "10.9.9.9:3306" }, nil, []string{RuleSource}},
		{"another series", nil, func(o *options, _, _ *node) { o.SourceVersion = "10.6.4-MariaDB" }, nil, []string{RuleVersion}},
		{"server_id taken", nil, func(o *options, _, _ *node) { o.Peers = map[string]uint32{"c:1": 2} }, nil, []string{RuleServerID}},
		{"its own server_id is its own", nil, func(o *options, _, b *node) { o.Peers = map[string]uint32{b.address(): 2} }, nil, nil},
		{"stopped", func(t *testing.T, _, b *node) { b.exec(t, "STOP SLAVE SQL_THREAD") }, nil, nil, []string{RuleLag, RuleReplication}},
		{"delayed", func(t *testing.T, _, b *node) {
			b.exec(t, "STOP SLAVE; CHANGE MASTER TO MASTER_DELAY=1; START SLAVE")
			b.awaitReplication(t)
		}, nil, nil, []string{RuleLag}},
		{"asynchronous", func(t *testing.T, _, b *node) {
			b.exec(t, "STOP SLAVE; SET GLOBAL rpl_semi_sync_slave_enabled=0; START SLAVE")
			b.awaitReplication(t)
		}, nil, nil, []string{RuleSemiSync}},
		{"writable candidate", func(t *testing.T, _, b *node) { b.exec(t, "SET GLOBAL read_only=0") }, nil, nil, []string{RuleReadOnly}},
		{"not strict", func(t *testing.T, _, b *node) {
			b.exec(t, "SET GLOBAL gtid_strict_mode=0")
			t.Cleanup(func() { b.exec(t, "SET GLOBAL gtid_strict_mode=1") })
		}, nil, nil, []string{RuleGTIDStrict}},
		{"errant", func(t *testing.T, _, b *node) { b.exec(t, "INSERT INTO app.t(v) VALUES (1)") },
			func(o *options, _, _ *node) { o.SourceState = "0-1-99" }, nil, []string{RuleErrant}},
		{"unknown state of the source", nil, func(o *options, _, _ *node) { o.SourceState = "?" }, nil, []string{RuleErrant}},
		{"replication without the TLS of the configuration", nil, nil, func(c *Config) { c.ReplicationTLS.Enabled = true }, []string{RuleReplicationTLS}},
		{"events", func(t *testing.T, a, _ *node) {
			a.exec(t, "CREATE EVENT app.e ON SCHEDULE EVERY 1 DAY DO SELECT 1; SET GLOBAL event_scheduler=ON")
		}, func(o *options, _, _ *node) { o.Role = RoleMaster }, nil, []string{RuleEvents}},
		{"events that are managed", func(t *testing.T, a, _ *node) {
			a.exec(t, "CREATE EVENT app.e ON SCHEDULE EVERY 1 DAY DO SELECT 1; SET GLOBAL event_scheduler=ON")
		}, func(o *options, _, _ *node) { o.Role = RoleMaster }, func(c *Config) { c.ManageEvents = true }, nil},
		{"prepared XA", func(t *testing.T, a, _ *node) {
			conn := a.login(t, "app")
			for _, q := range []string{"XA START 'x'", "INSERT INTO t(v) VALUES (1)", "XA END 'x'", "XA PREPARE 'x'"} {
				run(t, conn, q)
			}
			t.Cleanup(func() {
				if _, err := conn.ExecContext(context.WithoutCancel(t.Context()), "XA ROLLBACK 'x'"); err != nil {
					t.Error(err)
				}
			})
		}, func(o *options, _, _ *node) { o.Role = RoleMaster }, nil, []string{RulePreparedXA}},
		{"long transaction", func(t *testing.T, a, _ *node) {
			conn := a.login(t, "app")
			run(t, conn, "BEGIN")
			run(t, conn, "INSERT INTO t(v) VALUES (1)")
			<-time.After(1100 * time.Millisecond) // trx_started has whole seconds
		}, func(o *options, _, _ *node) { o.Role, o.MaxTransaction = RoleMaster, time.Millisecond }, nil, []string{RuleLongTransactions}},
		{"semi-sync that gives up", func(t *testing.T, a, _ *node) { a.exec(t, "SET GLOBAL rpl_semi_sync_master_timeout=10000") },
			func(o *options, _, _ *node) { o.Role = RoleMaster }, nil, []string{RuleSemiSync}},
		{"without semi-sync nothing of it is asked", func(t *testing.T, a, _ *node) { a.exec(t, "SET GLOBAL rpl_semi_sync_master_enabled=0") },
			func(o *options, _, _ *node) { o.Role = RoleMaster }, func(c *Config) { c.SemiSync = false }, nil},
		{"fenced primary", func(t *testing.T, a, _ *node) { a.exec(t, "SET GLOBAL read_only=1") },
			func(o *options, _, _ *node) { o.Role = RoleMaster }, nil, []string{RuleReadOnly}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			a, b, c := servers(t)
			if tt.arrange != nil {
				tt.arrange(t, a, b)
			}
			o := options{Role: RoleSlave, Source: a.address(), SourceVersion: a.value(t, "SELECT VERSION()"),
				Peers: map[string]uint32{c.address(): 3}}
			if tt.options != nil {
				tt.options(&o, a, b)
			}
			on := b
			if o.Role == RoleMaster || o.Source == "primary" {
				on = a
			}
			s := on.server(t, func(c *Config) { c.AdminUsers = []string{"root", "boss"} })
			if tt.config != nil {
				tt.config(&s.cfg)
			}
			list, err := s.Preflight(t.Context(), o)
			if err != nil {
				t.Fatal(err)
			}
			got := broken(list)
			if !slices.Equal(got, tt.want) {
				t.Errorf("broken %v, want %v\n%+v", got, tt.want, list)
			}
			for _, f := range list {
				if f.Rule == "" || f.Input == "" || f.OK != (f.Detail == "") {
					t.Errorf("finding %+v", f)
				}
			}
		})
	}
}

func TestPreflightRefusesRole(t *testing.T) {
	n := &node{port: 1, sock: "none"}
	if _, err := n.server(t).Preflight(t.Context(), PreflightOptions{}); err == nil || !strings.Contains(err.Error(), "role") {
		t.Errorf("%v", err)
	}
}

package mysql

import (
	"slices"
	"testing"
)

func TestFindWriters(t *testing.T) {
	now, old := Version{MariaDB, 10, 11, 19}, Version{MariaDB, 10, 6, 16}
	user := func(name, priv string) record { return record{"User": name, "Host": "%", "Priv": priv} }
	role := func(name, priv string) record { return record{"User": name, "Host": "", "Priv": priv} }
	grant := func(to, host, role string) record { return record{"User": to, "Host": host, "Role": role} }
	const (
		none      = `{"access":0,"version_id":101119}`
		admin     = `{"access":8589934592,"version_id":101119}`
		super     = `{"access":32768,"version_id":101119}`
		oldSuper  = `{"access":32768,"version_id":100616}`
		all       = `{"access":18446744073709551615}`
		emptyRole = `{"access":0,"version_id":101119,"is_role":true}`
		adminRole = `{"access":8589934592,"version_id":101119,"is_role":true}`
	)
	tests := []struct {
		name            string
		version         Version
		accounts, roles []record
		writes, others  []string
	}{
		{"itself", now, []record{user("w", admin), user("r", none), user("root", all)}, nil, []string{"w", "root"}, []string{"r", "x"}},
		{"super only", now, []record{user("s", super)}, nil, nil, []string{"s"}},
		{"super only, of an old account", now, []record{user("s", oldSuper)}, nil, []string{"s"}, nil},
		{"super only, on an old server", old, []record{user("s", super)}, nil, []string{"s"}, nil},
		{"locked", now, []record{user("w", `{"access":8589934592,"account_locked":true}`)}, nil, nil, []string{"w"}},
		{"through a role", now, []record{user("w", none), user("r", none), role("adm", adminRole)}, []record{grant("w", "%", "adm")}, []string{"w"}, []string{"r", "adm"}},
		{"through a role of a role", now, []record{user("w", none), role("mid", emptyRole), role("top", emptyRole), role("adm", adminRole)},
			[]record{grant("w", "%", "top"), grant("top", "", "mid"), grant("mid", "", "adm")}, []string{"w"}, nil},
		{"role of another account of the name", now, []record{user("w", none), role("adm", adminRole)}, []record{grant("w", "localhost", "adm")}, nil, []string{"w"}},
		{"everybody", now, []record{user("r", none), role(publicRole, adminRole)}, nil, []string{"r", "anyone"}, nil},
		{"anonymous", now, []record{user("", admin), user("r", none)}, nil, []string{"anyone", ""}, []string{"r"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w, err := findWriters(tt.accounts, tt.roles, tt.version)
			if err != nil {
				t.Fatal(err)
			}
			for _, user := range tt.writes {
				if !w.canWrite(user) {
					t.Errorf("%q cannot write", user)
				}
			}
			for _, user := range tt.others {
				if w.canWrite(user) {
					t.Errorf("%q can write", user)
				}
			}
			if len(tt.writes) > 0 && len(w.except(nil)) == 0 {
				t.Error("nobody is named")
			}
		})
	}
	if _, err := findWriters([]record{user("x", "{")}, nil, now); err == nil {
		t.Error("a broken account is accepted")
	}
}

func TestWritersExcept(t *testing.T) {
	w := &writers{accounts: []account{{"root", "%"}, {"root", "localhost"}, {"rooty", "%"}}}
	if got := w.except([]string{"root"}); !slices.Equal(got, []string{"'rooty'@'%'"}) {
		t.Errorf("%v", got)
	}
}

func TestVictims(t *testing.T) {
	w := &writers{names: map[string]bool{"root": true, "zero_repl": true}, known: map[string]bool{}}
	tests := []struct {
		name string
		client
		why string
	}{
		{"reader", client{user: "app", command: "Query"}, ""},
		{"open transaction", client{user: "app", command: "Sleep", modified: 1}, whyOpenTransaction},
		{"locks", client{user: "app", command: "Sleep", locked: 1}, whyOpenTransaction},
		{"writer", client{user: "root", command: "Sleep"}, whyWriter},
		{"own", client{user: agentUser, command: "Sleep", modified: 1}, ""},
		{"waits for ack", client{user: "root", command: "Query", state: "Waiting for semi-sync ACK from slave", modified: 1}, ""},
		{"dump", client{user: "zero_repl", command: "Binlog Dump"}, ""},
		{"dump in gtid mode", client{user: "root", command: "Binlog Dump GTID"}, ""},
		{"replication", client{user: "system user", command: "Slave_worker", modified: 1}, ""},
		{"scheduler", client{user: "event_scheduler", command: "Daemon"}, ""},
		{"logging in", client{user: "unauthenticated user", command: "Connect"}, ""},
		{"dying", client{user: "root", command: "Killed", modified: 1}, ""},
	}
	for _, tt := range tests {
		list := victims([]client{tt.client}, agentUser, w)
		if tt.why == "" && len(list) != 0 || tt.why != "" && (len(list) != 1 || list[0].Why != tt.why) {
			t.Errorf("%s: %+v", tt.name, list)
		}
	}
}

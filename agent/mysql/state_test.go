package mysql

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

func TestStateOfPrimaryAndReplica(t *testing.T) {
	a, b, _ := servers(t)
	a.exec(t, "INSERT INTO app.t(v) VALUES (1)")
	caughtUp(t, a, b)

	tcp := func(c *Config) { c.Socket = "" }
	p := must[State](t)(a.server(t, tcp).State(t.Context()))
	if !p.Reachable || p.ReadOnly || !p.LogBin || !p.LogSlaveUpdates || !p.GTIDStrict || p.Replication != nil ||
		p.Flavor != MariaDB || p.Identity != "1" || p.ServerID != 1 || p.ServerUID == "" || p.SyncBinlog != 1 {
		t.Errorf("primary: %+v", p)
	}
	if p.GTIDBinlogPos != "0-1-1" || p.GTIDBinlogState != "0-1-1" || p.BinlogFile == "" || p.BinlogPosition == 0 {
		t.Errorf("primary's position: %+v", p)
	}
	ss := p.SemiSync
	if !ss.SourceEnabled || !ss.SourceActive || ss.WaitPoint != "AFTER_SYNC" || ss.TimeoutMS != leastTimeoutMS || ss.Clients != 2 || !ss.WaitNoReplica {
		t.Errorf("primary's semi-sync: %+v", ss)
	}
	if p.Connections == 0 || p.DataDir == "" {
		t.Errorf("connections %d, data directory %q", p.Connections, p.DataDir)
	}

	r := must[State](t)(b.server(t).State(t.Context()))
	if !r.ReadOnly || r.Replication == nil || !r.SemiSync.ReplicaEnabled || !r.SemiSync.ReplicaActive {
		t.Fatalf("replica: %+v", r)
	}
	rep := r.Replication
	if rep.Source() != a.address() || !rep.Running() || rep.Err() != nil || rep.UsingGTID != usingSlavePos ||
		rep.GtidIOPos != "0-1-1" || rep.SecondsBehind != 0 || rep.SourceServerID != 1 || rep.SourceUser != replUser {
		t.Errorf("replication: %+v", rep)
	}
	if x := must[GTIDState](t)(r.Executed()); x.String() != "0-1-1" {
		t.Errorf("executed %s", x)
	}
}

func TestUnreachable(t *testing.T) {
	dir := t.TempDir()
	n := &node{port: 1, sock: filepath.Join(dir, "none.sock")}
	s := n.server(t)
	st, err := s.State(t.Context())
	if !errors.Is(err, ErrUnreachable) || st.Reachable || st.Address != s.Address() {
		t.Errorf("state %+v, error %v", st, err)
	}
	for name, err := range map[string]error{
		"ping": s.Ping(t.Context()), "set read-only": s.SetReadOnly(t.Context()), "unfence": s.Unfence(t.Context(), free{}),
	} {
		if !errors.Is(err, ErrUnreachable) || errors.Is(err, ErrUnknown) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if l, err := s.Load(t.Context()); err == nil || l.MemTotal == 0 || l.Cores == 0 {
		t.Errorf("load without a server: %+v, %v", l, err)
	}
}

func TestPasswordIsReadAgain(t *testing.T) {
	a, _, _ := servers(t)
	password := "wrong"
	s := a.server(t, func(c *Config) { c.Password = func() (string, error) { return password, nil } })
	err := s.Ping(t.Context())
	if !errors.Is(err, ErrUnreachable) || errNumber(err) != errAccessDenied {
		t.Fatalf("wrong password: %v", err)
	}
	if strings.Contains(err.Error(), password) {
		t.Errorf("the error has the password: %v", err)
	}
	password = agentPassword
	if err := s.Ping(t.Context()); err != nil {
		t.Errorf("right password: %v", err)
	}
}

func TestBinlog(t *testing.T) {
	a, b, _ := servers(t)
	a.exec(t, "INSERT INTO app.t(v) VALUES (1),(2)")
	caughtUp(t, a, b)
	m := must[Binlog](t)(a.server(t).Binlog(t.Context(), RoleMaster))
	s := must[Binlog](t)(b.server(t).Binlog(t.Context(), RoleSlave))
	if m.File == "" || m.File != s.File || m.Position != s.Position {
		t.Errorf("master %+v and slave %+v differ", m, s)
	}
	if m.GTIDBinlogPos != "0-1-1" || s.GTIDSlavePos != "0-1-1" || s.GTIDIOPos != "0-1-1" || s.GTIDBinlogState != "0-1-1" {
		t.Errorf("gtids: master %+v, slave %+v", m, s)
	}
	if _, err := a.server(t).Binlog(t.Context(), RoleSlave); !errors.Is(err, ErrNotReplica) {
		t.Errorf("slave's position of a primary: %v", err)
	}
	if _, err := a.server(t).Binlog(t.Context(), "both"); err == nil {
		t.Error("a foreign role is accepted")
	}
	a.exec(t, "CHANGE MASTER 'x' TO MASTER_HOST='nowhere'")
	t.Cleanup(func() { a.exec(t, "RESET SLAVE 'x' ALL") })
	if _, err := a.server(t).Promote(t.Context(), free{}); !errors.Is(err, ErrMultiSource) {
		t.Errorf("promotion with a named connection: %v", err)
	}
}

func TestLoad(t *testing.T) {
	a, _, _ := servers(t)
	l := must[Load](t)(a.server(t).Load(t.Context()))
	if l.Cores < 1 || l.MemTotal == 0 || l.MemAvailable == 0 || l.MemAvailable > l.MemTotal || l.DiskFree == 0 || l.Connections == 0 {
		t.Errorf("%+v", l)
	}
	elsewhere := a.server(t, func(c *Config) { c.DataDir = filepath.Join(t.TempDir(), "gone") })
	if _, err := elsewhere.Load(t.Context()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a data directory that is not there: %v", err)
	}
}

func TestParseProc(t *testing.T) {
	tests := []struct {
		name, loadavg, meminfo string
		want                   Load
		ok                     bool
	}{
		{"usual", "0.50 1.25 2.00 1/100 4242\n", "MemTotal:  2048 kB\nMemFree: 1 kB\nMemAvailable:   1024 kB\n",
			Load{Load1: .5, Load5: 1.25, Load15: 2, MemTotal: 2 << 20, MemAvailable: 1 << 20}, true},
		{"short", "0.50 1.25", "", Load{}, false},
		{"no number", "a b c", "", Load{}, false},
		{"old kernel", "0 0 0 1/1 1", "MemTotal: 2048 kB\n", Load{}, false},
		{"nonsense", "0 0 0 1/1 1", "MemTotal: many kB\n", Load{}, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var l Load
			err := l.parseLoadavg(strings.NewReader(tt.loadavg))
			if err == nil {
				err = l.parseMeminfo(strings.NewReader(tt.meminfo))
			}
			if (err == nil) != tt.ok || tt.ok && l != tt.want {
				t.Errorf("%+v, %v", l, err)
			}
		})
	}
}

func TestVersions(t *testing.T) {
	tests := []struct {
		text      string
		series    string
		supported bool
	}{
		{"10.11.19-MariaDB-0+deb12u1-log", "mariadb 10.11", true},
		{"10.6.4-MariaDB", "mariadb 10.6", true},
		{"11.4.2-MariaDB-ubu2404", "mariadb 11.4", true},
		{"10.5.23-MariaDB", "mariadb 10.5", false},
		{"8.0.36", "mysql 8.0", false},
		{"8.4.0-commercial", "mysql 8.4", false},
	}
	for _, tt := range tests {
		v, err := ParseVersion(tt.text)
		if err != nil || v.Series() != tt.series || (v.Supported() == nil) != tt.supported {
			t.Errorf("%s: %+v, %v, %v", tt.text, v, err, v.Supported())
		}
		if serr := v.Supported(); serr != nil && !errors.Is(serr, ErrUnsupported) {
			t.Errorf("%s: %v", tt.text, serr)
		}
	}
	for _, text := range []string{"", "MariaDB", "10.11", "a.b.c", "1.2.99999999999", strconv.Itoa(1 << 20)} {
		if v, err := ParseVersion(text); !errors.Is(err, ErrUnsupported) {
			t.Errorf("%q: %+v, %v", text, v, err)
		}
	}
}

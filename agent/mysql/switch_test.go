package mysql

import (
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

func TestPromote(t *testing.T) {
	a, b, _ := servers(t)
	a.exec(t, "INSERT INTO app.t(v) VALUES (1)")
	caughtUp(t, a, b)
	a.exec(t, "SET GLOBAL read_only=1")
	s := b.server(t)
	if _, err := s.StopReceiving(t.Context()); err != nil { // warms the connection, as the switch does
		t.Fatal(err)
	}
	p := promote(t, s)
	if p.Already || p.GTIDBinlogPos != "0-1-1" {
		t.Errorf("%+v", p)
	}
	t.Logf("promoted in %.1f ms", p.TotalMS)
	st := must[State](t)(s.State(t.Context()))
	ss := st.SemiSync
	if st.ReadOnly || st.Replication != nil || !ss.SourceEnabled || ss.ReplicaEnabled || ss.WaitPoint != "AFTER_SYNC" || ss.TimeoutMS != leastTimeoutMS {
		t.Errorf("%+v", st)
	}
	if again := promote(t, s); !again.Already || again.GTIDBinlogPos != "0-1-1" {
		t.Errorf("again: %+v", again)
	}
}

func TestPromoteGivesWay(t *testing.T) {
	a, b, _ := servers(t)
	a.exec(t, "SET GLOBAL read_only=1")
	s := b.server(t)
	end, err := s.begin(t.Context(), "test") // holds the promotion at its start
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	began := make(chan struct{})
	go func() { close(began); _, err := s.Promote(t.Context(), free{}); done <- err }()
	<-began
	// The promotion reads the count before it waits for its turn; give it until
	// it is seen waiting, which only its turn ends.
	select {
	case err := <-done:
		t.Fatalf("it did not wait: %v", err)
	case <-time.After(20 * time.Millisecond):
	}
	if err := s.SetReadOnly(t.Context()); err != nil {
		t.Fatal(err)
	}
	end()
	if err := <-done; !errors.Is(err, ErrFencedMeanwhile) {
		t.Errorf("%v", err)
	}
	if b.value(t, "SELECT @@global.read_only") != "1" {
		t.Error("writable")
	}
}

func TestFollow(t *testing.T) {
	a, b, c := servers(t)
	a.exec(t, "INSERT INTO app.t(v) VALUES (1)")
	caughtUp(t, a, b, c)
	a.exec(t, "SET GLOBAL read_only=1")
	promote(t, b.server(t))

	f := must[Following](t)(c.server(t).Follow(t.Context(), b.source()))
	if f.Already || f.Demoted || f.Replication == nil || f.Replication.Source() != b.address() {
		t.Errorf("a replica: %+v", f)
	}
	s := a.server(t)
	f = must[Following](t)(s.Follow(t.Context(), b.source()))
	if f.Already || !f.Demoted {
		t.Errorf("the old primary: %+v", f)
	}
	if f = must[Following](t)(s.Follow(t.Context(), b.source())); !f.Already || f.Demoted {
		t.Errorf("again: %+v", f)
	}
	st := must[State](t)(s.State(t.Context()))
	if !st.ReadOnly || !st.SemiSync.ReplicaActive || st.SemiSync.SourceEnabled {
		t.Errorf("%+v", st)
	}
	b.exec(t, "INSERT INTO app.t(v) VALUES (2)")
	caughtUp(t, b, a, c)

	// R20: off is confirmed, and does not disturb what runs.
	src := b.source()
	src.Async = true
	must[Following](t)(s.Follow(t.Context(), src))
	eventually(t, "only one acknowledges", func() bool { return b.status(t, "Rpl_semi_sync_master_clients") == "1" })
	for _, on := range []bool{true, true, false, false} {
		if err := s.SemiSyncReplica(t.Context(), on); err != nil {
			t.Fatal(err)
		}
		if got := a.status(t, "Rpl_semi_sync_slave_status"); got != map[bool]string{true: "ON", false: "OFF"}[on] {
			t.Errorf("semi-sync %s, wanted %t", got, on)
		}
	}
}

func TestSemiSyncSource(t *testing.T) {
	a, b, c := servers(t)
	s := a.server(t)
	outcome := unacknowledged(t, a, b, c)
	if err := s.SemiSyncSource(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	if err := <-outcome; err != nil {
		t.Errorf("a group that was declared degraded: %v", err)
	}
	if err := s.SemiSyncSource(t.Context(), true); err != nil {
		t.Fatal(err)
	}
	if st := must[State](t)(s.State(t.Context())); !st.SemiSync.SourceActive {
		t.Errorf("%+v", st.SemiSync)
	}
}

func TestFollowRefusals(t *testing.T) {
	a, b, c := servers(t)
	a.exec(t, "INSERT INTO app.t(v) VALUES (1)")
	caughtUp(t, a, b, c)
	none := func() (string, error) { return "", errors.New("vault sealed") }
	tests := []struct {
		name   string
		on     *node
		src    Source
		change func(*Config)
		want   error
		text   string
	}{
		{"itself", c, c.source(), nil, ErrSameServerID, "itself"},
		{"no host", c, Source{Port: 1}, nil, nil, "host and port"},
		{"a host that is none", c, Source{Host: "h'\n", Port: 1}, nil, ErrBadLiteral, "source host"},
		{"no secret", c, a.source(), func(c *Config) { c.ReplicationPassword = none }, nil, "vault sealed"},
		{"a secret too long", c, a.source(), func(c *Config) {
			c.ReplicationPassword = func() (string, error) { return strings.Repeat("x", 97), nil }
		}, ErrBadLiteral, "replication password"},
		{"wrong password", c, b.source(), func(c *Config) {
			c.ReplicationPassword = func() (string, error) { return `secret'`, nil }
		}, ErrReplicationLogin, "1045"},
		{"nobody there", c, Source{Host: "127.0.0.1", Port: 1}, func(c *Config) { c.StatementTimeout = 300 * time.Millisecond }, ErrSourceUnreachable, "2003"},
		{"errant", c, Source{Host: "127.0.0.1", Port: uint16(b.port), GTIDState: "0-2-9"}, nil, ErrErrant, "0-1-1"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			change := tt.change
			if change == nil {
				change = func(*Config) {}
			}
			_, err := tt.on.server(t, change).Follow(t.Context(), tt.src)
			if err == nil || tt.want != nil && !errors.Is(err, tt.want) || !strings.Contains(err.Error(), tt.text) {
				t.Errorf("%v", err)
			}
			if err != nil && (strings.Contains(err.Error(), "secret'") || strings.Contains(err.Error(), "MASTER_PASSWORD")) {
				t.Errorf("the error has the password: %v", err)
			}
			if tt.on.value(t, "SELECT @@global.read_only") != "1" {
				t.Error("writable")
			}
		})
	}
	// What was refused can still be had.
	must[Following](t)(c.server(t).Follow(t.Context(), a.source()))
	a.exec(t, "INSERT INTO app.t(v) VALUES (2)")
	caughtUp(t, a, c)
}

func TestFollowFindsErrant(t *testing.T) {
	a, b, c := servers(t)
	a.exec(t, "INSERT INTO app.t(v) VALUES (1)")
	caughtUp(t, a, b, c)

	// c wrote by itself: the source has never heard of that.
	c.exec(t, "INSERT INTO app.t(id, v) VALUES (500, 1)")
	candidate := must[State](t)(c.server(t).State(t.Context()))
	source := must[State](t)(a.server(t).State(t.Context()))
	mine, theirs := must[GTIDState](t)(candidate.Executed()), must[GTIDState](t)(source.Executed())
	if got := joinGTIDs(Errant(mine, theirs)); got != "0-3-2" {
		t.Errorf("errant %q", got)
	}
	src := a.source()
	src.GTIDState = theirs.String()
	if _, err := c.server(t).Follow(t.Context(), src); !errors.Is(err, ErrErrant) {
		t.Errorf("follow: %v", err)
	}
	// Without the source's state the server finds out itself, here as 1236.
	c.exec(t, "STOP SLAVE; RESET SLAVE ALL")
	a.exec(t, "INSERT INTO app.t(v) VALUES (2)")
	a.exec(t, "INSERT INTO app.t(v) VALUES (3)")
	_, err := c.server(t).Follow(t.Context(), a.source())
	if e, ok := errors.AsType[*ReplicationError](err); !ok || e.Errno != errFatalRead || !errors.Is(err, ErrErrant) {
		t.Errorf("follow: %v", err)
	}
	// And as 1950 in the SQL thread.
	b.exec(t, "INSERT INTO app.t(id, v) VALUES (600, 1)")
	b.exec(t, "INSERT INTO app.t(id, v) VALUES (601, 1)")
	a.exec(t, "INSERT INTO app.t(v) VALUES (4)")
	s := b.server(t)
	eventually(t, "the SQL thread stops", func() bool {
		return errors.Is(must[State](t)(s.State(t.Context())).Replication.Err(), ErrErrant)
	})
	if _, err = s.Follow(t.Context(), a.source()); !errors.Is(err, ErrErrant) {
		t.Errorf("follow again: %v", err)
	}
}

func TestFollowFindsPurged(t *testing.T) {
	a, b, c := servers(t)
	a.exec(t, "INSERT INTO app.t(v) VALUES (1)")
	caughtUp(t, a, b)
	c.exec(t, "STOP SLAVE")
	a.exec(t, "INSERT INTO app.t(v) VALUES (2); FLUSH BINARY LOGS; INSERT INTO app.t(v) VALUES (3)")
	caughtUp(t, a, b)
	eventually(t, "the first file is purged", func() bool {
		a.exec(t, "PURGE BINARY LOGS TO '"+must[Binlog](t)(a.server(t).Binlog(t.Context(), RoleMaster)).File+"'")
		_, err := c.server(t).Follow(t.Context(), a.source())
		return errors.Is(err, ErrPurged)
	})
}

func TestFollowFindsSameServerID(t *testing.T) {
	a, _, c := servers(t)
	c.exec(t, "STOP SLAVE; SET GLOBAL server_id=1")
	t.Cleanup(func() { c.exec(t, "SET GLOBAL server_id=3") })
	if _, err := c.server(t).Follow(t.Context(), a.source()); !errors.Is(err, ErrSameServerID) {
		t.Errorf("%v", err)
	}
}

func TestFollowWithoutDemoteOption(t *testing.T) {
	a, b, _ := servers(t)
	// What is done before 10.10, where MASTER_DEMOTE_TO_SLAVE does not exist.
	if (Version{MariaDB, 10, 6, 16}).demotes() || !(Version{MariaDB, 10, 10, 2}).demotes() {
		t.Error("the option is of 10.10")
	}
	a.exec(t, "INSERT INTO app.t(v) VALUES (1)")
	caughtUp(t, a, b)
	a.exec(t, "SET GLOBAL read_only=1")
	promote(t, b.server(t))
	c := must[*session](t)(a.server(t).session(t.Context(), a.server(t).work))
	defer c.close()
	if err := c.adoptOwn(t.Context()); err != nil {
		t.Fatal(err)
	}
	if f := must[Following](t)(a.server(t).Follow(t.Context(), b.source())); f.Demoted {
		t.Errorf("%+v", f)
	}
	b.exec(t, "INSERT INTO app.t(v) VALUES (2)")
	caughtUp(t, b, a)
}

// TestPlannedSwitches moves the primary from a to b and back under writes, as a
// keeper would, and looks for each row that was acknowledged.
func TestPlannedSwitches(t *testing.T) {
	a, b, c := servers(t)
	var gate atomic.Pointer[node] // whom the writers write to; nil: hold
	gate.Store(a)
	const writers = 4
	var acknowledged atomic.Int64
	inFlight := make(chan struct{}, writers)
	stop := make(chan struct{})
	done := make(chan error, writers)
	for range writers {
		conns := map[*node]*sql.Conn{a: a.login(t, "app"), b: b.login(t, "app")}
		go func() { done <- write(t, conns, &gate, inFlight, stop, &acknowledged) }()
	}
	servers := map[*node]*Server{a: a.server(t), b: b.server(t), c: c.server(t)}
	from, to := a, b
	for i := range 6 {
		before := acknowledged.Load()
		eventually(t, "writes go on", func() bool { return acknowledged.Load() > before+20 })
		start := time.Now()
		gate.Store(nil)
		for range writers { // in flight 0, as StopWriting promises
			inFlight <- struct{}{}
		}
		for range writers {
			<-inFlight
		}
		fence := must[FenceResult](t)(servers[from].Fence(t.Context(), FenceOptions{Bound: 10 * time.Second}))
		if err := servers[to].WaitPosition(t.Context(), fence.Binlog.GTIDBinlogPos, 10*time.Second); err != nil {
			t.Fatal(err)
		}
		master, slave := fence.Binlog, must[Binlog](t)(servers[to].Binlog(t.Context(), RoleSlave))
		if master.File != slave.File || master.Position != slave.Position {
			t.Errorf("positions differ: %+v, %+v", master, slave)
		}
		p := promote(t, servers[to])
		gate.Store(to)
		blackout := time.Since(start)
		f := must[Following](t)(servers[from].Follow(t.Context(), to.source()))
		must[Following](t)(servers[c].Follow(t.Context(), to.source()))
		t.Logf("switch %d: blackout %.1f ms, fence %.1f, promote %.1f, old primary follows %.1f",
			i, milliseconds(blackout), fence.TotalMS, p.TotalMS, f.TotalMS)
		from, to = to, from
	}
	before := acknowledged.Load()
	eventually(t, "writes go on", func() bool { return acknowledged.Load() > before+20 })
	close(stop)
	for range writers {
		if err := <-done; err != nil {
			t.Errorf("a client saw: %v", err)
		}
	}
	caughtUp(t, from, to, c)
	want := fmt.Sprint(acknowledged.Load())
	for _, n := range []*node{a, b, c} {
		if got := n.rows(t); got != want {
			t.Errorf("server %d has %s rows of %s acknowledged", n.id, got, want)
		}
	}
	if x, y := a.value(t, "SELECT @@gtid_binlog_state"), b.value(t, "SELECT @@gtid_binlog_state"); x != y {
		t.Errorf("states %s and %s", x, y)
	}
}

// write inserts until stop, through the gate, and returns the first error.
func write(t *testing.T, conns map[*node]*sql.Conn, gate *atomic.Pointer[node], inFlight chan struct{}, stop <-chan struct{}, n *atomic.Int64) error {
	for {
		select {
		case <-stop:
			return nil
		case inFlight <- struct{}{}:
		}
		if to := gate.Load(); to != nil {
			if _, err := conns[to].ExecContext(t.Context(), "INSERT INTO t(v) VALUES (1)"); err != nil {
				<-inFlight
				return err
			}
			n.Add(1)
		}
		<-inFlight
		if gate.Load() == nil { // held
			<-time.After(time.Millisecond)
		}
	}
}

package mysql

import (
	"context"
	"errors"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

// always gives the turn to everybody.
func always(ctx context.Context) (context.Context, func(), error) { return ctx, func() {}, nil }

// lose lets that many commits of a wait whose acknowledgement is lost: both replicas
// have received them and are back, acknowledging. The first waits for it, the others for the first.
func lose(t *testing.T, a, b, c *node, commits int) (written chan error) {
	t.Helper()
	for _, n := range []*node{b, c} {
		if err := n.server(t).SemiSyncReplica(t.Context(), false); err != nil {
			t.Fatal(err)
		}
	}
	written = make(chan error, commits)
	for i := range commits {
		conn := a.login(t, "app")
		go func() {
			_, err := conn.ExecContext(t.Context(), "INSERT INTO t(v) VALUES (7)")
			written <- err
		}()
		if i < 2 { // the third is not written before the first is acknowledged
			eventually(t, "a commit is received", func() bool { return b.rows(t) != "0" && b.rows(t) == c.rows(t) && int(b.rows(t)[0]-'0') == i+1 })
		}
	}
	for _, n := range []*node{b, c} {
		n.exec(t, "SET GLOBAL rpl_semi_sync_slave_enabled=1; STOP SLAVE IO_THREAD; START SLAVE IO_THREAD")
	}
	eventually(t, "both acknowledge again, and commits wait", func() bool {
		return a.status(t, "Rpl_semi_sync_master_clients") == "2" && a.status(t, "Rpl_semi_sync_master_wait_sessions") == "1"
	})
	for _, n := range []*node{b, c} {
		n.awaitReplication(t)
	}
	return written
}

// released waits for the commits of lose.
func released(t *testing.T, written chan error) {
	t.Helper()
	for range cap(written) {
		select {
		case err := <-written:
			if err != nil {
				t.Error(err)
			}
		case <-time.After(8 * time.Second):
			t.Fatal("a commit still waits")
		}
	}
}

// TestLostAcknowledgements: no write releases commits that wait for a lost
// acknowledgement while others wait behind them, and any replica that has them does.
func TestLostAcknowledgements(t *testing.T) {
	for _, commits := range []int{1, 3} {
		a, b, c := servers(t)
		written := lose(t, a, b, c, commits)
		before := a.value(t, "SELECT @@gtid_binlog_pos")
		if commits > 1 {
			ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
			if _, err := a.login(t, "app").ExecContext(ctx, "CREATE TABLE app.asked(id INT)"); err == nil || a.value(t, "SELECT @@gtid_binlog_pos") != before {
				t.Errorf("another event could be written: %v", err)
			}
			cancel()
		}
		select {
		case err := <-written:
			t.Fatalf("one of %d was acknowledged, %v", commits, err)
		default:
		}
		got := must[Acknowledged](t)(b.server(t).AcknowledgeReceived(t.Context(), always))
		if got.Waiting != 1 || got.File != "bin.000001" || got.GTID != before {
			t.Errorf("%+v, the source was at %s", got, before)
		}
		released(t, written)
		if v := a.value(t, "SELECT COUNT(*) FROM app.t WHERE v=7"); v != string(rune('0'+commits)) {
			t.Errorf("%s of %d rows are there", v, commits)
		}
		eventually(t, "the replicas are the source's clients, and nobody else is", func() bool { return a.status(t, "Rpl_semi_sync_master_clients") == "2" })
		caughtUp(t, a, b, c)
		a.exec(t, "INSERT INTO app.t(v) VALUES (8)") // and all goes on
	}
}

// TestNobodyWaits: nothing is acknowledged, and nobody asked for the turn.
func TestNobodyWaits(t *testing.T) {
	a, b, c := servers(t)
	a.exec(t, "INSERT INTO app.t(v) VALUES (1)")
	caughtUp(t, a, b, c)
	got, err := b.server(t).AcknowledgeReceived(t.Context(), func(context.Context) (context.Context, func(), error) {
		return nil, nil, errors.New("asked for the turn")
	})
	if err != nil || got != (Acknowledged{}) {
		t.Errorf("%+v, %v", got, err)
	}
}

// TestAcknowledgesOnlyInItsTurn (R19, R20): not when it may not, does not acknowledge, was stopped, or
// was stopped between its first look and its turn.
func TestAcknowledgesOnlyInItsTurn(t *testing.T) {
	a, b, c := servers(t)
	written := lose(t, a, b, c, 2)
	sb := b.server(t)
	denied := errors.New("denied")
	tests := []struct {
		name string
		may  Turn
		want error
	}{
		{"denied", func(context.Context) (context.Context, func(), error) { return nil, nil, denied }, denied},
		{"turned off meanwhile", func(ctx context.Context) (context.Context, func(), error) {
			return ctx, func() {}, sb.SemiSyncReplica(ctx, false)
		}, ErrNotReceived},
		{"turned off", always, ErrNotReceived},
		{"stopped meanwhile", func(ctx context.Context) (context.Context, func(), error) {
			if err := sb.SemiSyncReplica(ctx, true); err != nil {
				return ctx, func() {}, err
			}
			_, err := sb.StopReceiving(ctx)
			return ctx, func() {}, err
		}, ErrNotReceived},
		{"stopped", always, ErrNotReceived},
	}
	for _, tt := range tests {
		if tt.name == "stopped meanwhile" {
			if err := sb.SemiSyncReplica(t.Context(), true); err != nil {
				t.Fatal(err)
			}
		}
		if got, err := sb.AcknowledgeReceived(t.Context(), tt.may); !errors.Is(err, tt.want) || got.File != "" {
			t.Errorf("%s: %+v, %v", tt.name, got, err)
		}
		select {
		case err := <-written:
			t.Fatalf("%s: a commit was acknowledged, %v", tt.name, err)
		default:
		}
	}
	must[Acknowledged](t)(c.server(t).AcknowledgeReceived(t.Context(), always)) // the other one may
	released(t, written)
}

// TestVouchesForWhatItReceived: a position that a replica names counts only for what
// it has received in GTIDs.
func TestVouchesForWhatItReceived(t *testing.T) {
	tests := []struct {
		name, received, want string
		ok                   bool
	}{
		{"all", "0-1-5", "0-1-5", true},
		{"more", "0-1-6,1-1-1", "0-1-5", true},
		{"less", "0-1-4", "0-1-5", false},
		{"not of one domain", "0-1-5", "0-1-5,1-1-1", false},
		{"nothing", "", "0-1-5", false},
		{"nonsense", "x", "0-1-5", false},
	}
	for _, tt := range tests {
		want := must[GTIDPos](t)(ParseGTIDPos(tt.want))
		if err := (&Replication{GtidIOPos: tt.received}).hasReceived(want); (err == nil) != tt.ok {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
	// A position that the source does not have is NULL there, and is not taken for nothing.
	a, b, _ := servers(t)
	source, _, end, err := b.server(t).askSource(t.Context(), &Replication{SourceHost: "127.0.0.1", SourcePort: uint16(a.port)})
	if err != nil {
		t.Fatal(err)
	}
	defer end()
	for _, r := range []*Replication{
		{SourceFile: "bin.000001", ReadSourcePos: 1 << 20, SourceServerID: 1},
		{SourceFile: "bin.000777", ReadSourcePos: 300, SourceServerID: 1},
		{SourceFile: "bin.000001", ReadSourcePos: 300, SourceServerID: 2},
	} {
		if got, err := source.gtidAt(t.Context(), r); err == nil {
			t.Errorf("%s %d of server %d: %s", r.SourceFile, r.ReadSourcePos, r.SourceServerID, got)
		}
	}
}

// TestAcknowledgesOverTLS: the login and the dump are on the wire as the source wants them.
func TestAcknowledgesOverTLS(t *testing.T) {
	a, b, c := servers(t)
	written := lose(t, a, b, c, 2)
	a.exec(t, "SET SESSION sql_log_bin=0; ALTER USER '"+replUser+"'@localhost REQUIRE SSL")
	t.Cleanup(func() { a.exec(t, "SET SESSION sql_log_bin=0; ALTER USER '"+replUser+"'@localhost REQUIRE NONE") })
	if _, err := b.server(t).AcknowledgeReceived(t.Context(), always); err == nil {
		t.Error("an account that must use TLS was let in without")
	}
	pem := filepath.Join(filepath.Dir(a.dir), "cert.pem")
	foreign := b.server(t, func(cfg *Config) { cfg.ReplicationTLS = ReplicationTLS{Enabled: true, Verify: true} })
	if _, err := foreign.AcknowledgeReceived(t.Context(), always); err == nil {
		t.Error("a certificate that nobody vouches for was accepted")
	}
	s := b.server(t, func(cfg *Config) { cfg.ReplicationTLS = ReplicationTLS{Enabled: true, CA: pem, Verify: true} })
	must[Acknowledged](t)(s.AcknowledgeReceived(t.Context(), always))
	released(t, written)
}

// TestFenceOfLostAcknowledgements: a fence that waits for such commits ends with the
// acknowledgement, kills none of them, and what they wrote is before its position.
func TestFenceOfLostAcknowledgements(t *testing.T) {
	a, b, c := servers(t)
	written := lose(t, a, b, c, 2)
	type fenced struct {
		res FenceResult
		err error
	}
	done := make(chan fenced, 1)
	s := a.server(t)
	go func() {
		res, err := s.Fence(t.Context(), FenceOptions{Bound: 8 * time.Second})
		done <- fenced{res, err}
	}()
	eventually(t, "the fence waits", func() bool {
		return a.value(t, "SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE INFO LIKE '%SET GLOBAL read_only=1' AND ID <> CONNECTION_ID()") == "1"
	})
	must[Acknowledged](t)(b.server(t).AcknowledgeReceived(t.Context(), always))
	released(t, written)
	f := <-done
	ofApp := func(k Killed) bool { return k.User == "app" }
	if f.err != nil || !f.res.ReadOnly || slices.ContainsFunc(f.res.Killed, ofApp) {
		t.Fatalf("%+v, %v", f.res, f.err)
	}
	caughtUp(t, a, b, c)
	if pos := a.value(t, "SELECT @@gtid_binlog_pos"); f.res.Binlog.GTIDBinlogPos != pos || b.value(t, "SELECT @@gtid_slave_pos") != pos {
		t.Errorf("fenced at %s, is at %s, the replica at %s", f.res.Binlog.GTIDBinlogPos, pos, b.value(t, "SELECT @@gtid_slave_pos"))
	}
}

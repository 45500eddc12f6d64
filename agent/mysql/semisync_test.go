package mysql

import (
	"testing"
	"time"
)

// TestOnlyWhoIsToldAcknowledges (R20): a replica that is told not to acknowledge
// confirms it, and a commit that only it has waits; so does one when no replica is there,
// for ever, until the source is told not to wait.
func TestOnlyWhoIsToldAcknowledges(t *testing.T) {
	a, b, c := servers(t)
	sa, sb, sc := a.server(t), b.server(t), c.server(t)
	if err := sa.SemiSyncSource(t.Context(), true); err != nil {
		t.Fatal(err)
	}
	st := must[State](t)(sa.State(t.Context()))
	if sound, why := st.SemiSync.Sound(); !sound || !st.SemiSync.SourceActive {
		t.Errorf("%+v: %s", st.SemiSync, why)
	}
	for _, s := range []*Server{sb, sc} {
		if err := s.SemiSyncReplica(t.Context(), false); err != nil {
			t.Fatal(err)
		}
		if st := must[State](t)(s.State(t.Context())); st.SemiSync.ReplicaEnabled || st.SemiSync.ReplicaActive {
			t.Errorf("off is answered, and it is %+v", st.SemiSync)
		}
	}
	eventually(t, "nobody acknowledges", func() bool { return a.status(t, "Rpl_semi_sync_master_clients") == "0" })
	conn := a.login(t, "app")
	written := make(chan error, 1)
	go func() {
		_, err := conn.ExecContext(t.Context(), "INSERT INTO t(v) VALUES (7)")
		written <- err
	}()
	eventually(t, "a commit waits, and the replicas have it", func() bool {
		st := must[State](t)(sa.State(t.Context()))
		return st.SemiSync.WaitSessions == 1 && st.SemiSync.Clients == 0 && b.value(t, "SELECT COUNT(*) FROM app.t WHERE v=7") == "1"
	})
	before := must[State](t)(sa.State(t.Context())).SemiSync.Acknowledged
	select {
	case err := <-written:
		t.Fatalf("it was acknowledged, %v", err)
	default:
	}
	if err := sb.SemiSyncReplica(t.Context(), true); err != nil {
		t.Fatal(err)
	}
	// What was sent before it acknowledged is not acknowledged now: the next commit is,
	// and with it all before.
	other := a.login(t, "app")
	if _, err := other.ExecContext(t.Context(), "INSERT INTO t(v) VALUES (8)"); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-written:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(8 * time.Second):
		t.Error("it still waits")
	}
	if st := must[State](t)(sa.State(t.Context())); st.SemiSync.Acknowledged <= before || st.SemiSync.WaitSessions != 0 || st.SemiSync.Clients != 1 {
		t.Errorf("afterwards: %+v", st.SemiSync)
	}

	// Off needs no replication.
	c.exec(t, "STOP SLAVE; RESET SLAVE ALL; SET GLOBAL rpl_semi_sync_slave_enabled=1")
	if err := sc.SemiSyncReplica(t.Context(), false); err != nil {
		t.Error(err)
	}
	if st := must[State](t)(sc.State(t.Context())); st.SemiSync.ReplicaEnabled {
		t.Errorf("%+v", st.SemiSync)
	}
}

// TestReturnOfOwnTransactions is why an old primary acknowledges from its first
// connection on: what it lost in a crash, and others have, has its own server_id.
func TestReturnOfOwnTransactions(t *testing.T) {
	for _, async := range []bool{false, true} {
		a, b, c := servers(t)
		a.exec(t, "INSERT INTO app.t(v) VALUES (1)")
		before := a.value(t, "SELECT @@gtid_binlog_pos")
		a.exec(t, "INSERT INTO app.t(v) VALUES (2)")
		caughtUp(t, a, b, c)
		for _, n := range []*node{b, c} {
			n.exec(t, "STOP SLAVE; RESET SLAVE ALL")
		}
		b.exec(t, "SET GLOBAL rpl_semi_sync_slave_enabled=0; SET GLOBAL read_only=0")
		// As after a start with init_rpl_role=SLAVE, which cuts off the end.
		a.exec(t, "SET GLOBAL rpl_semi_sync_master_enabled=0; SET GLOBAL read_only=1; SET SESSION sql_log_bin=0; DELETE FROM app.t WHERE v=2; SET SESSION sql_log_bin=1; RESET MASTER; SET GLOBAL gtid_slave_pos='"+before+"'")
		src := b.source()
		src.Async = async
		must[Following](t)(a.server(t).Follow(t.Context(), src))
		b.exec(t, "INSERT INTO app.t(v) VALUES (3)")
		eventually(t, "it follows", func() bool { return a.value(t, "SELECT COUNT(*) FROM app.t WHERE v=3") == "1" })
		if got, want := a.value(t, "SELECT COUNT(*) FROM app.t WHERE v=2"), map[bool]string{false: "1", true: "0"}[async]; got != want {
			t.Errorf("acknowledging %v: %s rows of its own came back, want %s", !async, got, want)
		}
	}
}

package mysql

import (
	"errors"
	"fmt"
	"testing"
	"time"
)

func TestStopReceivingAndResume(t *testing.T) {
	a, b, _ := servers(t)
	s := b.server(t)
	a.exec(t, "INSERT INTO app.t(v) VALUES (1)")
	caughtUp(t, a, b)
	for range 2 {
		rec := must[Received](t)(s.StopReceiving(t.Context()))
		if done, err := rec.Drained(); rec.GTID != "0-1-1" || !done || err != nil {
			t.Errorf("%+v, %t, %v", rec, done, err)
		}
	}
	st := must[State](t)(s.State(t.Context()))
	if st.Replication.IORunning != "No" || st.Replication.SQLRunning != "Yes" {
		t.Errorf("%+v", st.Replication)
	}
	a.exec(t, "INSERT INTO app.t(v) VALUES (2)")
	for range 2 {
		if err := s.Resume(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	caughtUp(t, a, b)
	b.exec(t, "STOP SLAVE; CHANGE MASTER TO MASTER_USE_GTID=no; START SLAVE")
	if err := s.Resume(t.Context()); !errors.Is(err, ErrNotGTID) {
		t.Errorf("replication without GTIDs: %v", err)
	}
	must[Following](t)(s.Follow(t.Context(), a.source()))
	if _, err := a.server(t).StopReceiving(t.Context()); !errors.Is(err, ErrNotReplica) {
		t.Errorf("a primary: %v", err)
	}
}

func TestPromoteRefusesUndrained(t *testing.T) {
	a, b, _ := servers(t)
	s := b.server(t)
	b.exec(t, "STOP SLAVE SQL_THREAD")
	a.exec(t, "INSERT INTO app.t(v) VALUES (1)")
	eventually(t, "b has received it", func() bool { // the other replica's acknowledgement is enough for a
		return must[State](t)(s.State(t.Context())).Replication.GtidIOPos == "0-1-1"
	})
	_, err := s.Promote(t.Context(), free{})
	e, ok := errors.AsType[*RelayNotDrainedError](err)
	if !ok || e.Received != "0-1-1" || e.Applied != "" || !errors.Is(err, ErrRelayNotDrained) {
		t.Fatalf("%v", err)
	}
	if b.value(t, "SELECT @@global.read_only") != "1" {
		t.Error("writable")
	}
	// Both threads are stopped now: a START SLAVE would delete what was received.
	a.exec(t, "SET GLOBAL read_only=1; RESET MASTER") // nobody can send it again
	rec := must[Received](t)(s.Drain(t.Context(), 3*time.Second))
	if rec.Applied != "0-1-1" || b.rows(t) != "1" {
		t.Errorf("%+v, %s rows", rec, b.rows(t))
	}
	promote(t, s)
}

// TestReceivedAfterChangeMaster: what was deleted is not received any more. An order
// to follow was cut short there once, behind a CHANGE MASTER whose answer was lost.
func TestReceivedAfterChangeMaster(t *testing.T) {
	a, b, _ := servers(t)
	s := b.server(t)
	a.exec(t, "INSERT INTO app.t(v) VALUES (1)")
	caughtUp(t, a, b)
	b.exec(t, "STOP SLAVE SQL_THREAD")
	a.exec(t, "INSERT INTO app.t(v) VALUES (2)")
	eventually(t, "b has received it", func() bool {
		return must[State](t)(s.State(t.Context())).Replication.GtidIOPos == "0-1-2"
	})
	b.exec(t, "STOP SLAVE; CHANGE MASTER TO MASTER_USE_GTID=slave_pos")
	rec := must[Received](t)(s.StopReceiving(t.Context()))
	if done, err := rec.Drained(); rec.GTID != "0-1-1" || !done || err != nil {
		t.Errorf("%+v, %t, %v", rec, done, err)
	}
	must[Following](t)(s.Follow(t.Context(), a.source()))
	caughtUp(t, a, b)
}

// TestDrainAfterCrash has a replica acknowledge transactions, die before it
// applies them, and be promoted without its source, which is dead too.
func TestDrainAfterCrash(t *testing.T) {
	a, b, _ := servers(t)
	s := b.server(t)
	a.exec(t, "INSERT INTO app.t(v) VALUES (0)")
	caughtUp(t, a, b)
	b.exec(t, "STOP SLAVE SQL_THREAD")
	for range 3 {
		a.exec(t, "INSERT INTO app.t(v) VALUES (1)")
	}
	a.exec(t, "CREATE TABLE app.ddl(i INT)")
	a.exec(t, "BEGIN; INSERT INTO app.t(v) VALUES (2); INSERT INTO app.ddl VALUES (1); COMMIT")
	want := a.value(t, "SELECT @@gtid_binlog_pos")
	eventually(t, "all is received", func() bool {
		st := must[State](t)(s.State(t.Context()))
		return st.Replication.GtidIOPos == want
	})
	b.kill()
	a.kill()
	restart(t, b)
	t.Cleanup(func() { restart(t, a) })

	if _, err := s.Promote(t.Context(), free{}); !errors.Is(err, ErrRelayNotDrained) {
		t.Fatalf("promotion of a replica that forgot what it received: %v", err)
	}
	rec := must[Received](t)(s.StopReceiving(t.Context()))
	if rec.GTID != want || rec.Applied != "0-1-1" || !rec.FromRelayLog {
		t.Errorf("%+v, want %s", rec, want)
	}
	for range 2 {
		rec = must[Received](t)(s.Drain(t.Context(), 5*time.Second))
		if rec.GTID != want || rec.Applied != want {
			t.Errorf("%+v, want %s", rec, want)
		}
	}
	if n := b.rows(t); n != "5" {
		t.Errorf("%s rows", n)
	}
	promote(t, s)
}

// TestResumeAfterCrash restarts a replica whose source is alive: nothing may be
// lost on the way either.
func TestResumeAfterCrash(t *testing.T) {
	a, b, _ := servers(t)
	s := b.server(t)
	b.exec(t, "STOP SLAVE SQL_THREAD")
	a.exec(t, "INSERT INTO app.t(v) VALUES (1)")
	b.kill()
	a.exec(t, "INSERT INTO app.t(v) VALUES (2)") // c acknowledges
	restart(t, b)
	if err := s.Resume(t.Context()); err != nil {
		t.Fatal(err)
	}
	caughtUp(t, a, b)
	st := must[State](t)(s.State(t.Context()))
	if st.Replication.UsingGTID != usingSlavePos || b.rows(t) != "2" {
		t.Errorf("%+v", st.Replication)
	}
}

// TestReplicaWithSemiSyncSourceOn is a replica after a start of its server, whose
// configuration turns the source's side on: applying would wait for a day.
func TestReplicaWithSemiSyncSourceOn(t *testing.T) {
	operations := map[string]func(*Server, *node) error{
		"resume": func(s *Server, _ *node) error { return s.Resume(t.Context()) },
		"drain":  func(s *Server, _ *node) error { _, err := s.Drain(t.Context(), 5*time.Second); return err },
		"follow": func(s *Server, a *node) error { _, err := s.Follow(t.Context(), a.source()); return err },
	}
	for name, op := range operations {
		for _, running := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, running %t", name, running), func(t *testing.T) {
				a, b, _ := servers(t)
				b.exec(t, "SET GLOBAL rpl_semi_sync_master_timeout=86400000, GLOBAL rpl_semi_sync_master_enabled=1")
				if !running {
					b.exec(t, "STOP SLAVE SQL_THREAD")
				}
				a.exec(t, "INSERT INTO app.t(v) VALUES (1)")
				eventually(t, "it is received", func() bool {
					return must[State](t)(b.server(t).State(t.Context())).Replication.GtidIOPos == "0-1-1"
				})
				if err := op(b.server(t), a); err != nil {
					t.Fatal(err)
				}
				caughtUp(t, a, b)
			})
		}
	}
}

// TestReplicaOperationsReleaseNobody has a client that writes past read_only wait
// for an acknowledgement on a replica (R22).
func TestReplicaOperationsReleaseNobody(t *testing.T) {
	a, b, _ := servers(t)
	b.exec(t, "STOP SLAVE; SET GLOBAL rpl_semi_sync_master_timeout=86400000, GLOBAL rpl_semi_sync_master_enabled=1")
	boss := b.login(t, "boss")
	done := make(chan error, 1)
	go func() {
		_, err := boss.ExecContext(t.Context(), "INSERT INTO app.t(v) VALUES (1)")
		done <- err
	}()
	waiting := func() bool { return b.status(t, "Rpl_semi_sync_master_wait_sessions") == "1" }
	eventually(t, "boss waits", waiting)
	s := b.server(t)
	if err := s.Resume(t.Context()); !errors.Is(err, ErrWaitingForAck) {
		t.Errorf("resume: %v", err)
	}
	if _, err := s.Follow(t.Context(), a.source()); !errors.Is(err, ErrWaitingForAck) {
		t.Errorf("follow: %v", err)
	}
	if !waiting() {
		t.Fatal("boss was released")
	}
	b.exec(t, "SET GLOBAL rpl_semi_sync_master_enabled=0")
	<-done
}

// restart starts a server that was killed.
func restart(t *testing.T, n *node) {
	t.Helper()
	if err := n.start(); err != nil {
		t.Fatal(err)
	}
	if err := n.await(); err != nil {
		t.Fatal(err)
	}
}

func TestGroupReader(t *testing.T) {
	e := func(kind, info, pos string) record { return record{"Event_type": kind, "Info": info, "Pos": pos} }
	whole := func(gtid, pos string) []record {
		return []record{e("Gtid", "BEGIN GTID "+gtid+" cid=5", pos), e("Table_map", "", "2"), e("Write_rows_v1", "", "3"), e("Xid", "COMMIT /* xid=1 */", "4")}
	}
	flat := func(lists ...[]record) (out []record) {
		for _, l := range lists {
			out = append(out, l...)
		}
		return out
	}
	tests := []struct {
		name    string
		applied string
		events  []record
		got     string
		pos     uint64 // of the first that is not applied
	}{
		{"nothing", "0-1-5", nil, "0-1-5", 0},
		{"whole", "0-1-5", whole("0-1-6", "100"), "0-1-6", 100},
		{"applied already", "0-1-6", whole("0-1-6", "100"), "0-1-6", 0},
		{"some applied", "0-1-6", flat(whole("0-1-6", "100"), whole("0-1-7", "200"), whole("0-1-8", "300")), "0-1-8", 200},
		{"torn", "0-1-5", flat(whole("0-1-6", "100"), whole("0-1-7", "200")[:3]), "0-1-6", 100},
		{"torn at once", "0-1-5", whole("0-1-6", "100")[:1], "0-1-5", 0},
		{"one statement", "", []record{e("Gtid", "GTID 0-1-1", "50"), e("Query", "use `app`; create table t(i int)", "60")}, "0-1-1", 50},
		{"one statement, torn", "", []record{e("Gtid", "GTID 0-1-1", "50"), e("Annotate_rows", "create", "60")}, "", 0},
		{"other engine", "", []record{e("Gtid", "BEGIN GTID 0-1-1", "50"), e("Query", "insert", "60"), e("Query", "COMMIT", "70")}, "0-1-1", 50},
		{"xa", "", []record{e("Gtid", "XA START X'78',X'',1 GTID 0-1-1", "50"), e("Query", "insert", "60"), e("XA_prepare", "XA PREPARE X'78',X'',1", "70")}, "0-1-1", 50},
		{"another domain", "0-1-5", whole("2-1-1", "100"), "0-1-5,2-1-1", 100},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			g := groupReader{applied: must[GTIDPos](t)(ParseGTIDPos(tt.applied)), got: must[GTIDPos](t)(ParseGTIDPos(tt.applied))}
			for _, row := range tt.events {
				if err := g.event("relay.000001", row); err != nil {
					t.Fatal(err)
				}
			}
			if g.got.String() != tt.got || g.pos != tt.pos || (g.file != "") != (tt.pos != 0) {
				t.Errorf("got %s, first missing at %q %d", g.got, g.file, g.pos)
			}
		})
	}
	g := groupReader{}
	for _, info := range []string{"", "BEGIN", "GTID 0-1"} {
		if err := g.event("f", e("Gtid", info, "1")); !errors.Is(err, ErrBadGTID) {
			t.Errorf("%q: %v", info, err)
		}
	}
}

func TestNextLogFile(t *testing.T) {
	for file, want := range map[string]string{"relay.000009": "relay.000010", "a.b.999999": "a.b.1000000", "r-bin.000001": "r-bin.000002"} {
		if got, err := nextLogFile(file); got != want || err != nil {
			t.Errorf("%s: %s, %v", file, got, err)
		}
	}
	for _, file := range []string{"", "relay", "relay.", "relay.x", "000001"} {
		if got, err := nextLogFile(file); err == nil {
			t.Errorf("%q became %q", file, got)
		}
	}
}

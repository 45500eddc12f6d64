package mysql

import (
	"context"
	"strconv"
	"testing"
	"time"
)

const dumps = "SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE COMMAND LIKE 'Binlog Dump%'"

// TestDemotionEndsDumpThreads: an old primary does not keep the dump thread of a
// replica that has fallen silent; a replica that was not pointed elsewhere yet goes on.
func TestDemotionEndsDumpThreads(t *testing.T) {
	a, b, c := servers(t)
	a.exec(t, "INSERT INTO app.t(v) VALUES (1)")
	caughtUp(t, a, b, c)
	mend := silence(t, b)
	sa, sc := a.server(t), c.server(t)
	must[FenceResult](t)(sa.Fence(t.Context(), FenceOptions{}))
	promote(t, sc)
	must[Following](t)(sa.Follow(t.Context(), c.source()))
	eventually(t, "no dump thread is left", func() bool { return a.value(t, dumps) == "0" })
	mend()
	c.exec(t, "INSERT INTO app.t(v) VALUES (2)")
	caughtUp(t, c, a, b) // b through a
	must[Following](t)(b.server(t).Follow(t.Context(), c.source()))
}

// TestPromotionEndsOldDumpThreads: those of an earlier reign; a replica that was just
// pointed at the new primary is not sent away.
func TestPromotionEndsOldDumpThreads(t *testing.T) {
	a, b, c := servers(t)
	c.exec(t, "STOP SLAVE")
	began := time.Now()
	c.follow(t, b) // a replica of the candidate from before
	oldest := func() uint64 {
		v := b.value(t, "SELECT COALESCE(MAX(TIME),0) FROM information_schema.PROCESSLIST WHERE COMMAND LIKE 'Binlog Dump%'")
		n, err := strconv.ParseUint(v, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	dumpID := func() string {
		return b.value(t, "SELECT MAX(ID) FROM information_schema.PROCESSLIST WHERE COMMAND LIKE 'Binlog Dump%'")
	}
	eventually(t, "c is connected", func() bool { return b.value(t, dumps) == "1" })
	young := dumpID()
	promote(t, b.server(t))
	if now := dumpID(); now != young && time.Since(began) < (zombieSeconds-1)*time.Second {
		t.Errorf("dump thread %s became %s", young, now)
	}

	b.exec(t, "SET GLOBAL read_only=1, GLOBAL rpl_semi_sync_master_enabled=0")
	b.follow(t, a)
	mend := silence(t, c)
	eventually(t, "c's dump thread is old", func() bool { return oldest() >= zombieSeconds })
	promote(t, b.server(t))
	eventually(t, "the zombie is gone", func() bool { return b.value(t, dumps) == "0" })
	mend()
	b.exec(t, "INSERT INTO app.t(v) VALUES (1)")
	caughtUp(t, b, c)
}

// TestKilledDumpThreadsReleaseNobody: a commit that waits for its acknowledgement goes
// on waiting when the last dump thread is killed (R22), and ends with the acknowledgement.
func TestKilledDumpThreadsReleaseNobody(t *testing.T) {
	a, b, c := servers(t)
	mendB, mendC := silence(t, b), silence(t, c)
	app := a.login(t, "app")
	done := make(chan error, 1)
	go func() {
		_, err := app.ExecContext(t.Context(), "INSERT INTO app.t(v) VALUES (1)")
		done <- err
	}()
	waiting := func() bool { return a.status(t, "Rpl_semi_sync_master_wait_sessions") == "1" }
	eventually(t, "app waits", waiting)
	s := a.server(t)
	session, err := s.session(t.Context(), s.work)
	if err != nil {
		t.Fatal(err)
	}
	defer session.close()
	if n, err := session.killDumps(t.Context(), 0); n != 2 || err != nil {
		t.Errorf("killed %d: %v", n, err)
	}
	// One that was killed is listed as such before it counts as gone.
	eventually(t, "no dump thread is left", func() bool {
		return a.value(t, dumps) == "0" && a.status(t, "Rpl_semi_sync_master_clients") == "0"
	})
	if !waiting() {
		t.Fatal("nobody waits")
	}
	select {
	case err := <-done:
		t.Fatalf("app was released: %v", err)
	case <-time.After(300 * time.Millisecond): // nothing to wait for: it must not happen
	}
	mendB()
	mendC()
	// What the replicas had received before they were sent away they do not acknowledge
	// any more: with GTIDs a source does not take their new position for it. The next
	// commit's acknowledgement counts for both.
	next := a.login(t, "app")
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if _, err := next.ExecContext(ctx, "INSERT INTO app.t(v) VALUES (2)"); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-done:
		if err != nil {
			t.Error(err)
		}
	case <-ctx.Done():
		t.Fatal("app waits for ever")
	}
	caughtUp(t, a, b, c)
}

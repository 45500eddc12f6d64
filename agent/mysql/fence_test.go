package mysql

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"
)

// others gives the killed sessions without those of root, which are the test's.
func others(list []Killed) []Killed {
	return slices.DeleteFunc(slices.Clone(list), func(k Killed) bool { return k.User == "root" })
}

// restless lets the server renew its list of transactions, whoever read it last.
func restless(t *testing.T) { t.Helper(); <-time.After(transactionCache) }

func TestFenceAndUnfence(t *testing.T) {
	a, _, _ := servers(t)
	s := a.server(t)
	a.exec(t, "INSERT INTO app.t(v) VALUES (1)")
	app := a.login(t, "app")
	run(t, app, "SELECT * FROM t")
	for range 2 { // a fence that is repeated is a fence
		res := must[FenceResult](t)(s.Fence(t.Context(), FenceOptions{}))
		if !res.ReadOnly || len(others(res.Killed)) != 0 || res.Binlog.GTIDBinlogPos != "0-1-1" || res.Binlog.File == "" {
			t.Errorf("%+v", res)
		}
		if res.TotalMS > 1000 {
			t.Errorf("took %.1f ms", res.TotalMS)
		}
	}
	if _, err := app.ExecContext(t.Context(), "INSERT INTO t(v) VALUES (2)"); errNumber(err) != 1290 {
		t.Errorf("write on a fenced server: %v", err)
	}
	run(t, app, "SELECT * FROM t") // a reader goes on
	for range 2 {
		if err := s.Unfence(t.Context(), free{}); err != nil {
			t.Fatal(err)
		}
	}
	run(t, app, "INSERT INTO t(v) VALUES (3)")
}

func TestFenceKillsOpenTransactions(t *testing.T) {
	a, _, _ := servers(t)
	writer, locker, reader := a.login(t, "app"), a.login(t, "app"), a.login(t, "app")
	a.exec(t, "INSERT INTO app.t(v) VALUES (1)")
	run(t, writer, "BEGIN")
	run(t, writer, "INSERT INTO t(v) VALUES (2)")
	run(t, locker, "BEGIN")
	run(t, locker, "SELECT * FROM t WHERE id=1 FOR UPDATE")
	run(t, reader, "BEGIN")
	run(t, reader, "SELECT * FROM t")
	restless(t)
	res := must[FenceResult](t)(a.server(t).Fence(t.Context(), FenceOptions{}))
	killed := others(res.Killed)
	if len(killed) != 2 || killed[0].Why != whyOpenTransaction || killed[0].User != "app" {
		t.Errorf("killed %+v", killed)
	}
	if _, err := writer.ExecContext(t.Context(), "COMMIT"); err == nil {
		t.Error("the writer could commit")
	}
	run(t, reader, "SELECT * FROM t")
	if n := a.rows(t); n != "1" {
		t.Errorf("%s rows", n)
	}
}

func TestFenceKillsPrivilegedWriters(t *testing.T) {
	a, b, c := servers(t)
	a.exec(t, "SET SESSION sql_log_bin=0; CREATE ROLE IF NOT EXISTS adm; GRANT READ_ONLY ADMIN ON *.* TO adm; "+
		"CREATE USER IF NOT EXISTS sly@localhost IDENTIFIED BY 'app'; GRANT ALL ON app.* TO sly@localhost; GRANT adm TO sly@localhost")
	t.Cleanup(func() { a.exec(t, "SET SESSION sql_log_bin=0; DROP USER sly@localhost; DROP ROLE adm") })
	app, sly := a.login(t, "app"), a.login(t, "sly")
	// boss writes all the time, as fast as it can, past any read_only.
	boss := a.login(t, "boss")
	ended := make(chan int, 1)
	go func() {
		for n := 0; ; n++ {
			if _, err := boss.ExecContext(t.Context(), "INSERT INTO app.t(v) VALUES (1)"); err != nil {
				ended <- n
				return
			}
		}
	}()
	eventually(t, "boss writes", func() bool { return a.rows(t) != "0" })
	res := must[FenceResult](t)(a.server(t).Fence(t.Context(), FenceOptions{}))
	acknowledged := <-ended
	if len(res.Killed) < 2 {
		t.Errorf("killed %+v", res.Killed)
	}
	for _, k := range res.Killed {
		if k.Why != whyWriter || k.User == "app" {
			t.Errorf("killed %+v", k)
		}
	}
	if err := sly.PingContext(t.Context()); err == nil {
		t.Error("who may write by a role is alive")
	}
	run(t, app, "SELECT 1")
	if pos := a.value(t, "SELECT @@gtid_binlog_pos"); pos != res.Binlog.GTIDBinlogPos {
		t.Errorf("fenced at %s, and now at %s", res.Binlog.GTIDBinlogPos, pos)
	}
	// KILL commits what waits for an acknowledgement: nothing may be here that is not there.
	caughtUp(t, a, b, c)
	if na, nb := a.rows(t), b.rows(t); na != nb {
		t.Errorf("%s rows here, %s there (%d acknowledged)", na, nb, acknowledged)
	}
}

func TestFenceTimesOutAndChangesNothing(t *testing.T) {
	a, _, _ := servers(t)
	s := a.server(t)
	locker := a.login(t, "app")
	run(t, locker, "LOCK TABLES t WRITE")
	const bound = 300 * time.Millisecond
	start := time.Now()
	res, err := s.Fence(t.Context(), FenceOptions{Bound: bound})
	if !errors.Is(err, ErrFenceTimeout) || errors.Is(err, ErrUnknown) || res.ReadOnly {
		t.Errorf("%+v, %v", res, err)
	}
	if took := time.Since(start); took > bound+time.Second {
		t.Errorf("took %s", took)
	}
	if a.value(t, "SELECT @@global.read_only") != "0" {
		t.Error("read_only is set")
	}
	run(t, locker, "INSERT INTO t(v) VALUES (1)")
	run(t, locker, "UNLOCK TABLES")
	must[FenceResult](t)(s.Fence(t.Context(), FenceOptions{Bound: bound}))
	if _, err := s.Fence(t.Context(), FenceOptions{Bound: time.Hour}); err == nil {
		t.Error("a fence of an hour")
	}
}

func TestFenceIgnoresCancellationWhileItSetsReadOnly(t *testing.T) {
	a, _, _ := servers(t)
	locker := a.login(t, "app")
	run(t, locker, "LOCK TABLES t WRITE")
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(50*time.Millisecond, cancel)
	if _, err := a.server(t).Fence(ctx, FenceOptions{Bound: 300 * time.Millisecond}); err == nil {
		t.Fatal("fenced past a lock")
	}
	// Nothing may be pending: it would take effect when the lock is gone.
	if n := a.value(t, "SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE INFO LIKE '%SET GLOBAL read_only%' AND ID<>CONNECTION_ID()"); n != "0" {
		t.Errorf("%s statements are pending", n)
	}
	run(t, locker, "UNLOCK TABLES")
	if a.value(t, "SELECT @@global.read_only") != "0" {
		t.Error("read_only is set")
	}
}

// unacknowledged makes a session of app at a whose commit no replica
// acknowledges, and gives its outcome.
func unacknowledged(t *testing.T, a, b, c *node) <-chan error {
	t.Helper()
	for _, n := range []*node{b, c} {
		n.exec(t, "STOP SLAVE IO_THREAD")
	}
	app := a.login(t, "app")
	outcome := make(chan error, 1)
	go func() {
		_, err := app.ExecContext(t.Context(), "INSERT INTO t(v) VALUES (77)")
		outcome <- err
	}()
	eventually(t, "a session waits", func() bool { return a.status(t, "Rpl_semi_sync_master_wait_sessions") == "1" })
	return outcome
}

func TestFenceSparesWhoWaitsForAck(t *testing.T) {
	a, b, c := servers(t)
	s := a.server(t)
	outcome := unacknowledged(t, a, b, c)
	eventually(t, "the primary misses its replicas", func() bool {
		if a.status(t, "Rpl_semi_sync_master_clients") == "0" {
			return true
		}
		// Until then the fence waits and gives up; it must not kill either.
		_, err := s.Fence(t.Context(), FenceOptions{Bound: 100 * time.Millisecond})
		if !errors.Is(err, ErrWaitingForAck) {
			t.Errorf("fence: %v", err)
		}
		return false
	})
	start := time.Now()
	res, err := s.Fence(t.Context(), FenceOptions{})
	if !errors.Is(err, ErrWaitingForAck) || res.ReadOnly || len(res.Killed) != 0 {
		t.Errorf("%+v, %v", res, err)
	}
	if took := time.Since(start); took > time.Second {
		t.Errorf("a hopeless fence took %s", took)
	}
	// A server that is read-only already, with a writer past it that waits.
	if n := a.status(t, "Rpl_semi_sync_master_wait_sessions"); n != "1" {
		t.Fatalf("%s sessions wait", n)
	}
	b.exec(t, "START SLAVE IO_THREAD")
	if err := <-outcome; err != nil {
		t.Errorf("the commit was not let be: %v", err)
	}
	caughtUp(t, a, b)
	if n := b.rows(t); n != "1" {
		t.Errorf("%s rows on the replica", n)
	}
}

func TestFenceWithPrivilegedWaiter(t *testing.T) {
	a, b, c := servers(t)
	s := a.server(t)
	a.exec(t, "SET GLOBAL read_only=1")
	for _, n := range []*node{b, c} {
		n.exec(t, "STOP SLAVE IO_THREAD")
	}
	boss := a.login(t, "boss")
	outcome := make(chan error, 1)
	go func() {
		_, err := boss.ExecContext(t.Context(), "INSERT INTO app.t(v) VALUES (1)")
		outcome <- err
	}()
	eventually(t, "boss waits", func() bool { return a.status(t, "Rpl_semi_sync_master_wait_sessions") == "1" })
	res, err := s.Fence(t.Context(), FenceOptions{Bound: 200 * time.Millisecond})
	if !errors.Is(err, ErrWaitingForAck) || len(res.Killed) != 0 {
		t.Errorf("%+v, %v", res, err)
	}
	if _, err := s.Follow(t.Context(), b.source()); !errors.Is(err, ErrWaitingForAck) {
		t.Errorf("the demotion released it: %v", err)
	}
	if n := a.status(t, "Rpl_semi_sync_master_wait_sessions"); n != "1" {
		t.Fatalf("%s sessions wait", n)
	}
	b.exec(t, "START SLAVE IO_THREAD")
	if err := <-outcome; err != nil {
		t.Errorf("boss: %v", err)
	}
}

func TestFenceRefusesPreparedXA(t *testing.T) {
	a, _, _ := servers(t)
	app := a.login(t, "app")
	for _, q := range []string{"XA START 'x'", "INSERT INTO t(v) VALUES (1)", "XA END 'x'", "XA PREPARE 'x'"} {
		run(t, app, q)
	}
	s := a.server(t)
	res, err := s.Fence(t.Context(), FenceOptions{})
	if !errors.Is(err, ErrPreparedXA) || res.ReadOnly {
		t.Errorf("%+v, %v", res, err)
	}
	run(t, app, "XA ROLLBACK 'x'")
	must[FenceResult](t)(s.Fence(t.Context(), FenceOptions{}))
}

func TestFenceAndEvents(t *testing.T) {
	a, _, _ := servers(t)
	const count = "SELECT COUNT(*) FROM app.t"
	a.exec(t, "CREATE EVENT app.tick ON SCHEDULE EVERY 1 SECOND DO INSERT INTO app.t(v) VALUES (1); SET GLOBAL event_scheduler=ON")
	if res, err := a.server(t).Fence(t.Context(), FenceOptions{}); !errors.Is(err, ErrEventsEnabled) || res.ReadOnly || !strings.Contains(err.Error(), "app.tick") {
		t.Errorf("fence past an event: %+v, %v", res, err)
	}
	s := a.server(t, func(c *Config) { c.ManageEvents = true })
	if _, err := s.Fence(t.Context(), FenceOptions{}); errNumber(err) != errSpecificAccess {
		t.Errorf("without SUPER: %v", err)
	}
	a.exec(t, "SET SESSION sql_log_bin=0; GRANT SUPER ON *.* TO '"+agentUser+"'@localhost")
	t.Cleanup(func() {
		a.exec(t, "SET SESSION sql_log_bin=0; REVOKE SUPER ON *.* FROM '"+agentUser+"'@localhost")
	})
	s = a.server(t, func(c *Config) { c.ManageEvents = true })
	for range 2 {
		must[FenceResult](t)(s.Fence(t.Context(), FenceOptions{}))
	}
	if got := a.value(t, "SELECT @@event_scheduler"); got != "OFF" {
		t.Errorf("scheduler %s after the fence", got)
	}
	if before, after := a.value(t, count), a.value(t, count); before != after {
		t.Errorf("%s rows became %s", before, after)
	}
	if err := s.Unfence(t.Context(), free{}); err != nil {
		t.Fatal(err)
	}
	if got := a.value(t, "SELECT @@event_scheduler"); got != "ON" {
		t.Errorf("scheduler %s after Unfence", got)
	}
	// A fence that fails leaves the scheduler as it was; one that found it off, too.
	locker := a.login(t, "app")
	run(t, locker, "LOCK TABLES t WRITE")
	if _, err := s.Fence(t.Context(), FenceOptions{Bound: 100 * time.Millisecond}); !errors.Is(err, ErrFenceTimeout) {
		t.Errorf("%v", err)
	}
	if got := a.value(t, "SELECT @@event_scheduler"); got != "ON" {
		t.Errorf("scheduler %s after a failed fence", got)
	}
	run(t, locker, "UNLOCK TABLES")
	a.exec(t, "SET GLOBAL event_scheduler=OFF")
	must[FenceResult](t)(s.Fence(t.Context(), FenceOptions{}))
	if err := s.Unfence(t.Context(), free{}); err != nil {
		t.Fatal(err)
	}
	if got := a.value(t, "SELECT @@event_scheduler"); got != "OFF" {
		t.Errorf("scheduler %s, though it was off", got)
	}
}

func TestSetReadOnlyWaitsAndBlocks(t *testing.T) {
	a, _, _ := servers(t)
	s := a.server(t)
	locker, app := a.login(t, "app"), a.login(t, "app")
	run(t, locker, "LOCK TABLES t WRITE")
	done := make(chan error, 1)
	go func() { done <- s.SetReadOnly(t.Context()) }()
	eventually(t, "the statement waits", func() bool {
		return a.value(t, "SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE INFO='SET GLOBAL read_only=1'") == "1"
	})
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if _, err := app.ExecContext(ctx, "CREATE TABLE x(i INT)"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a write did not wait behind it: %v", err)
	}
	run(t, locker, "UNLOCK TABLES")
	if err := <-done; err != nil {
		t.Error(err)
	}
	if a.value(t, "SELECT @@global.read_only") != "1" {
		t.Error("not read-only")
	}
}

func TestSetReadOnlyOutcomeUnknown(t *testing.T) {
	a, _, _ := servers(t)
	locker := a.login(t, "app")
	run(t, locker, "LOCK TABLES t WRITE")
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if err := a.server(t).SetReadOnly(ctx); !errors.Is(err, ErrUnknown) || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v", err)
	}
	run(t, locker, "UNLOCK TABLES")
}

func TestSetReadOnlyBeatsUnfence(t *testing.T) {
	a, _, _ := servers(t)
	s := a.server(t)
	must[FenceResult](t)(s.Fence(t.Context(), FenceOptions{}))
	fences := s.fences.Load()
	if err := s.SetReadOnly(t.Context()); err != nil {
		t.Fatal(err)
	}
	// An Unfence that began before that SetReadOnly came in.
	if err := s.unfence(t.Context(), free{}, fences); !errors.Is(err, ErrFencedMeanwhile) {
		t.Errorf("%v", err)
	}
	if a.value(t, "SELECT @@global.read_only") != "1" {
		t.Error("writable")
	}
	if err := s.Unfence(t.Context(), free{}); err != nil {
		t.Errorf("an Unfence after it: %v", err)
	}
}

func TestUnfenceRefusesReplica(t *testing.T) {
	_, b, _ := servers(t)
	s := b.server(t)
	if err := s.Unfence(t.Context(), free{}); !errors.Is(err, ErrStillReplica) {
		t.Errorf("%v", err)
	}
	b.exec(t, "STOP SLAVE")
	if err := s.Unfence(t.Context(), free{}); !errors.Is(err, ErrStillReplica) {
		t.Errorf("stopped: %v", err)
	}
	if b.value(t, "SELECT @@global.read_only") != "1" {
		t.Error("writable")
	}
}

func TestOperationsTakeTurns(t *testing.T) {
	a, _, _ := servers(t)
	s := a.server(t)
	end, err := s.begin(t.Context(), "test")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := s.Unfence(ctx, free{}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v", err)
	}
	if err := s.SetReadOnly(t.Context()); err != nil { // waits for nobody
		t.Error(err)
	}
	end()
	if err := s.Unfence(t.Context(), free{}); err != nil {
		t.Error(err)
	}
}

// TestPositionIsReadTwice: a position that somebody wrote behind is not where the history
// ends (R26).
func TestPositionIsReadTwice(t *testing.T) {
	a, _, _ := servers(t)
	s := a.server(t)
	old := must[Binlog](t)(s.Binlog(t.Context(), RoleMaster))
	a.exec(t, "INSERT INTO app.t(v) VALUES (1); SET GLOBAL read_only=1")
	c := must[*session](t)(s.session(t.Context(), s.urgent))
	defer c.close()
	got := must[Binlog](t)(s.stablePosition(t.Context(), c, old))
	if now := must[Binlog](t)(s.Binlog(t.Context(), RoleMaster)); got != now || got == old {
		t.Errorf("%+v, want %+v", got, now)
	}
}

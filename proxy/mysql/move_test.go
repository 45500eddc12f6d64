package mysql

import (
	"context"
	"strings"
	"testing"
	"time"

	driver "github.com/go-sql-driver/mysql"

	"github.com/zerokeeper/zero/proxy/gate"
)

func TestStateIsRestored(t *testing.T) {
	a, b := servers(t)
	p := newProxy(t, a.addr)
	c := p.conn(t)
	const look = `SELECT @s, @i, @n, @d, @f, @null, HEX(@bin), @counter, COLLATION(@s), CHARSET(@bin), @sub, @out,
		@@sql_mode, @@time_zone, @@autocommit+0, @@collation_connection, @@character_set_results, @@tx_isolation,
		@@long_query_time, @@foreign_key_checks, LAST_INSERT_ID(), DATABASE()`
	for _, set := range []string{
		"SET @s = 'grün' COLLATE utf8mb4_bin, @i = -5, @n = 12.50",
		"SET @d = 1e3, @f = 0.1e0 + 0.2e0, @null = NULL, @bin = X'00FF27'",
		"SET @counter = 1", "SET @counter = @counter + 1", "SELECT @counter := @counter * 10", "SET @sub = (SELECT MAX(seq) FROM seq_1_to_7)",
		"SELECT 'a', 'b' INTO @out, @unused",
		"SET sql_mode = 'NO_BACKSLASH_ESCAPES'", `SET @path = 'C:\'`, "SET sql_mode = CONCAT(@@sql_mode, ',ANSI_QUOTES')",
		"SET NAMES utf8mb4 COLLATE utf8mb4_unicode_ci", "SET time_zone = '+03:00', long_query_time = 2.5, foreign_key_checks = OFF",
		"SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED", "SET character_set_results = NULL", "/*!40101 SET character_set_results = utf8mb4 */",
		"CREATE OR REPLACE TABLE ids (id INT AUTO_INCREMENT PRIMARY KEY, a INT) AUTO_INCREMENT = 4242", "INSERT INTO ids (a) VALUES (1)",
		"SET autocommit = 0", "COMMIT",
	} {
		mustExec(t, c, set)
	}
	before := one(t, c, look)
	mustExec(t, c, "ROLLBACK")
	if !strings.Contains(before, "|20|utf8mb4_bin|binary|7|a|") || !strings.Contains(before, "|4242|shop") {
		t.Fatalf("before the move: %s", before)
	}
	path := one(t, c, "SELECT @path")
	mustExec(t, c, "ROLLBACK")
	for _, to := range []*mariadb{b, a} {
		p.moveTo(t, to.addr)
		if after := one(t, c, look); after != before {
			t.Errorf("moved to %s:\n got %s\nwant %s", to.addr, after, before)
		}
		if got := one(t, c, "SELECT @path, @@port"); got != path+"|"+port(to) {
			t.Errorf("%s, want %s on port %s", got, path, port(to))
		}
		mustExec(t, c, "ROLLBACK")
	}
	if p.Stats().Moves != 2 {
		t.Errorf("%d moves, want 2", p.Stats().Moves)
	}
}

func TestOneShotTransactionSettings(t *testing.T) {
	a, b := servers(t)
	p := newProxy(t, a.addr)
	c := p.conn(t)
	b.exec(t, "SET sql_log_bin=0; CREATE OR REPLACE TABLE shop.oneshot (a INT); SET sql_log_bin=1")
	mustExec(t, c, "SELECT 1")
	mustExec(t, c, "SET TRANSACTION READ ONLY")
	p.moveTo(t, b.addr)
	mustExec(t, c, "START TRANSACTION")
	_, err := c.ExecContext(t.Context(), "INSERT INTO oneshot VALUES (1)")
	wantError(t, err, 1792, "READ ONLY")
	mustExec(t, c, "COMMIT")
	p.moveTo(t, a.addr)
	p.moveTo(t, b.addr)
	mustExec(t, c, "INSERT INTO oneshot VALUES (1)") // used up
}

func TestTextPreparedStatementsAreMoved(t *testing.T) {
	a, b := servers(t)
	p := newProxy(t, a.addr)
	c := p.conn(t)
	mustExec(t, c, "PREPARE one FROM 'SELECT @@port, ?'")
	mustExec(t, c, "PREPARE two FROM 'SELECT 2'")
	mustExec(t, c, "DEALLOCATE PREPARE two")
	mustExec(t, c, "SET @arg = 'x'")
	p.moveTo(t, b.addr)
	if got := one(t, c, "EXECUTE one USING @arg"); got != port(b)+"|x" {
		t.Errorf("got %s", got)
	}
	_, err := c.ExecContext(t.Context(), "EXECUTE two")
	wantError(t, err, 1243, "two")
}

func TestUnmovable(t *testing.T) {
	a, b := servers(t)
	tests := []struct {
		name string
		make []string
		undo []string
		why  string
	}{
		{"temporary table", []string{"CREATE TEMPORARY TABLE tt (a INT)", "CREATE TEMPORARY TABLE shop.tt2 (a INT)"},
			[]string{"DROP TABLE shop.tt", "DROP TEMPORARY TABLE IF EXISTS tt2"}, "temporary tables"},
		{"lock by name", []string{"SELECT GET_LOCK('l1', 1)", "SELECT GET_LOCK('l2', 1)"},
			[]string{"SELECT RELEASE_LOCK('l1')", "DO RELEASE_LOCK('L2')"}, "GET_LOCK"},
		{"lock by expression", []string{"SELECT GET_LOCK(CONCAT('l', 3), 1)"}, []string{"SELECT RELEASE_ALL_LOCKS()"}, "GET_LOCK"},
		{"handler", []string{"CREATE OR REPLACE TABLE h (a INT)", "HANDLER h OPEN"}, nil, "HANDLER"},
		{"prepared from a variable", []string{"SET @q = 'SELECT 1'", "PREPARE v FROM @q"}, nil, "PREPARE"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := newProxy(t, a.addr)
			for _, undo := range []bool{true, false} {
				if undo && tt.undo == nil {
					continue
				}
				c := p.conn(t)
				for _, q := range tt.make {
					mustExec(t, c, q)
				}
				if undo {
					for _, q := range tt.undo {
						mustExec(t, c, q)
					}
				}
				p.moveTo(t, b.addr)
				_, err := c.ExecContext(t.Context(), "SELECT 1")
				if undo {
					if err != nil {
						t.Fatalf("after the undoing: %v", err)
					}
				} else {
					wantError(t, err, codeConnectionKilled, tt.why)
					if _, err := c.ExecContext(t.Context(), "SELECT 1"); err == nil {
						t.Error("the session lives on")
					}
				}
				p.moveTo(t, a.addr)
			}
		})
	}
}

func TestTooMuchState(t *testing.T) {
	a, b := servers(t)
	p := newProxy(t, a.addr, func(cfg *Config) { cfg.MaxStateBytes = 1000 })
	c := p.conn(t)
	for range 100 { // the same variable over and over is one piece of state
		mustExec(t, c, "SET @x = 'some text that takes some room'")
	}
	p.moveTo(t, b.addr)
	mustExec(t, c, "SELECT 1")
	mustExec(t, c, "SET @y = REPEAT('y', 2000)")
	p.moveTo(t, a.addr)
	_, err := c.ExecContext(t.Context(), "SELECT 1")
	wantError(t, err, codeConnectionKilled, "more session state")
}

// TestHoldRule checks what waits during a hold and what does not.
func TestHoldRule(t *testing.T) {
	a, b := servers(t)
	p := newProxy(t, a.addr)
	for _, s := range []*mariadb{a, b} {
		s.exec(t, "SET sql_log_bin=0; CREATE OR REPLACE TABLE shop.held (id INT AUTO_INCREMENT PRIMARY KEY, a INT); SET sql_log_bin=1")
	}
	db := p.db(t)
	open, err := db.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	mustExec(t, open, "INSERT INTO held (a) VALUES (1)")
	reader := p.conn(t)
	mustExec(t, reader, "SELECT 1")
	p.gate.Hold()

	if got := one(t, reader, "SELECT COUNT(*) FROM held"); got != "0" {
		t.Errorf("a read during the hold: %s", got)
	}
	mustExec(t, reader, "SET @x = 1")
	mustExec(t, reader, "USE shop")
	if got := one(t, p.conn(t), "SELECT @@port"); got != port(a) {
		t.Errorf("a new client's read during the hold went to port %s", got)
	}
	mustExec(t, open, "INSERT INTO held (a) VALUES (2)") // inside: goes on

	held := []string{"INSERT INTO held (a) VALUES (3)", "BEGIN", "UPDATE held SET a = a", "SELECT * FROM held FOR UPDATE", "CREATE TABLE IF NOT EXISTS held2 (a INT)"}
	results := make(chan error, len(held))
	for _, q := range held {
		c := p.conn(t)
		go func() {
			_, err := c.ExecContext(context.Background(), q)
			results <- err
		}()
	}
	eventually(t, "all writes are held", func() bool { n, _ := p.gate.Held(); return n == len(held) })
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := p.gate.Drain(ctx); err == nil {
		t.Fatal("drained with a transaction open")
	}
	if err := open.Commit(); err != nil {
		t.Fatal(err)
	}
	if err := p.gate.Drain(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := a.scalar(t, "SELECT COUNT(*) FROM shop.held"); got != "2" {
		t.Errorf("%s rows on the old primary, want the 2 of the open transaction", got)
	}
	if p.Stats().Held != int64(len(held)) {
		t.Errorf("%d held, want %d", p.Stats().Held, len(held))
	}
	p.open(t, b.addr)
	for range held {
		if err := <-results; err != nil {
			t.Errorf("a held statement failed: %v", err)
		}
	}
	if got := b.scalar(t, "SELECT COUNT(*) FROM shop.held"); got != "1" {
		t.Errorf("%s rows on the new primary, want the held one", got)
	}
	if got := one(t, reader, "SELECT @@port, @x"); got != port(b)+"|1" {
		t.Errorf("the reader is on %s", got)
	}
}

func TestHoldTimeout(t *testing.T) {
	a, _ := servers(t)
	p := newProxy(t, a.addr)
	if err := p.gate.Configure(gateConfig(30)); err != nil {
		t.Fatal(err)
	}
	c := p.conn(t)
	mustExec(t, c, "CREATE OR REPLACE TABLE timeouts (a INT)")
	p.gate.Hold()
	_, err := c.ExecContext(t.Context(), "INSERT INTO timeouts VALUES (1)")
	wantError(t, err, codeReadOnly, "code: 1000, host group [main] is not writable")
	big := "INSERT INTO timeouts VALUES (1) -- " + strings.Repeat("x", 3<<20)
	_, err = c.ExecContext(t.Context(), big)
	wantError(t, err, codeReadOnly, "host group [main] is not writable")
	if got := one(t, c, "SELECT COUNT(*) FROM timeouts"); got != "0" {
		t.Errorf("%s rows", got)
	}
	if st := p.Stats(); st.HeldOut != 2 {
		t.Errorf("held out %d, want 2", st.HeldOut)
	}
	if err := p.gate.Configure(gate.Config{MaxHeldBytes: 10}); err != nil {
		t.Fatal(err)
	}
	_, err = c.ExecContext(t.Context(), "INSERT INTO timeouts VALUES (1)")
	wantError(t, err, codeReadOnly, "host group [main] is not writable: ")
	primary, _, _ := p.gate.Current()
	if err := p.gate.Open(primary, forever); err != nil {
		t.Fatal(err)
	}
	mustExec(t, c, big)
}

func TestStartsHeld(t *testing.T) {
	a, _ := servers(t)
	p := newProxy(t, "")
	c := make(chan string, 1)
	conn := p.conn(t)
	go func() { c <- one(t, conn, "SELECT @@port") }()
	eventually(t, "the client waits for a primary", func() bool { return p.Stats().Connections == 1 })
	if err := p.gate.SetPrimary(gate.Primary{Address: a.addr, Generation: 1}); err != nil {
		t.Fatal(err)
	}
	if got := <-c; got != port(a) {
		t.Errorf("read from %s", got)
	}
	if err := p.gate.Configure(gateConfig(30)); err != nil {
		t.Fatal(err)
	}
	_, err := p.conn(t).ExecContext(t.Context(), "CREATE TABLE never (a INT)")
	wantError(t, err, codeReadOnly, "not writable")
}

func TestGroupIsReplaced(t *testing.T) {
	a, b := servers(t)
	p := newProxy(t, a.addr)
	c := p.conn(t)
	mustExec(t, c, "SET @x = 7")
	p.gate.Hold()
	done := make(chan string, 1)
	go func() { done <- one(t, c, "SELECT @@port, @x FOR UPDATE") }()
	eventually(t, "held at the old gate", func() bool { n, _ := p.gate.Held(); return n == 1 })
	g, err := gate.New("main", gate.Config{})
	if err != nil {
		t.Fatal(err)
	}
	if err := g.Open(gate.Primary{Address: b.addr, Generation: 9}, forever); err != nil {
		t.Fatal(err)
	}
	p.dir.setGroup(Group{Name: "main", Gate: g})
	p.gate.Close()
	if got := <-done; got != port(b)+"|7" {
		t.Errorf("got %s", got)
	}
	p.dir.mu.Lock()
	delete(p.dir.groups, "main")
	p.dir.mu.Unlock()
	_, err = c.ExecContext(t.Context(), "SELECT 1")
	wantError(t, err, codeUnknownError, "host group [main] is not configured")
}

func TestKilledWhileIdleIsReopened(t *testing.T) {
	a, _ := servers(t)
	p := newProxy(t, a.addr)
	c := p.conn(t, func(cfg *driver.Config) { cfg.DBName = "" })
	mustExec(t, c, "USE shop")
	mustExec(t, c, "CREATE OR REPLACE TABLE kills (a INT)")
	mustExec(t, c, "SET @x = 3")
	for i, query := range []string{"SELECT 1", "INSERT INTO kills VALUES (1)"} {
		a.exec(t, "KILL "+one(t, c, "SELECT CONNECTION_ID()"))
		mustExec(t, c, query)
		if got := one(t, c, "SELECT @x, DATABASE(), (SELECT COUNT(*) FROM kills)"); got != "3|shop|"+string(rune('0'+i)) {
			t.Errorf("after %s: %s", query, got)
		}
	}
	// An unmovable session is told.
	mustExec(t, c, "CREATE TEMPORARY TABLE tt (a INT)")
	a.exec(t, "KILL "+one(t, c, "SELECT CONNECTION_ID()"))
	_, err := c.ExecContext(t.Context(), "SELECT 1")
	wantError(t, err, codeConnectionKilled, "temporary tables")
}

func TestTransactionLostWhileIdle(t *testing.T) {
	a, _ := servers(t)
	p := newProxy(t, a.addr)
	c := p.conn(t)
	mustExec(t, c, "BEGIN")
	id := one(t, c, "SELECT CONNECTION_ID()")
	if p.gate.InFlight() != 1 {
		t.Fatal("not in flight")
	}
	p.gate.Hold()
	a.exec(t, "KILL "+id)
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	if err := p.gate.Drain(ctx); err != nil {
		t.Errorf("the ticket of a dead transaction is kept: %v", err)
	}
	if _, err := c.ExecContext(t.Context(), "INSERT INTO nowhere VALUES (1)"); err == nil {
		t.Error("the client was not told that its transaction is gone")
	}
}

// TestOutcomeUnknown: a write whose connection ends after it was sent is not sent again.
func TestOutcomeUnknown(t *testing.T) {
	a, _ := servers(t)
	p := newProxy(t, a.addr)
	tests := []struct {
		name, before, query string
		code                uint16
		want                string
	}{
		{"write", "", "INSERT INTO unknowns SELECT SLEEP(30)", codeOutcomeUnknown, "outcome unknown"},
		{"write in a transaction", "BEGIN", "INSERT INTO unknowns SELECT SLEEP(30)", codeConnectionKilled, "rolled back"},
		{"call in a transaction", "BEGIN", "CALL sleeper()", codeOutcomeUnknown, "outcome unknown"},
		{"call", "", "CALL sleeper()", codeOutcomeUnknown, "outcome unknown"},
	}
	c := p.conn(t)
	mustExec(t, c, "CREATE OR REPLACE TABLE unknowns (a INT)")
	mustExec(t, c, "CREATE OR REPLACE PROCEDURE sleeper() DO SLEEP(30)")
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			relay := newCutter(t, a.addr)
			p.moveTo(t, relay.addr)
			c := p.conn(t)
			if tt.before != "" {
				mustExec(t, c, tt.before)
			}
			id := one(t, c, "SELECT CONNECTION_ID()")
			done := make(chan error, 1)
			go func() {
				_, err := c.ExecContext(context.Background(), tt.query)
				done <- err
			}()
			running := func() string {
				return a.scalar(t, "SELECT COUNT(*) FROM information_schema.processlist WHERE id = ? AND info LIKE '%leep%'", id)
			}
			eventually(t, "the statement runs", func() bool { return running() == "1" })
			relay.cut()
			wantError(t, <-done, tt.code, tt.want)
			a.exec(t, "KILL "+id)
			if err := c.PingContext(t.Context()); err == nil {
				t.Error("the session lives on")
			}
			eventually(t, "nothing in flight", func() bool { return p.gate.InFlight() == 0 })
		})
	}
	if p.Stats().Unknown != 3 {
		t.Errorf("%d unknown outcomes counted, want 3", p.Stats().Unknown)
	}
}

// TestReadIsRepeated: a read whose connection ends before the first byte of its answer is sent again, once.
func TestReadIsRepeated(t *testing.T) {
	a, _ := servers(t)
	relay := newCutter(t, a.addr)
	p := newProxy(t, relay.addr)
	c := p.conn(t)
	mustExec(t, c, "SET @x = 5")
	id := one(t, c, "SELECT CONNECTION_ID()")
	done := make(chan string, 1)
	go func() { done <- one(t, c, "SELECT @x, SLEEP(1)") }()
	eventually(t, "the query runs", func() bool {
		return a.scalar(t, "SELECT COUNT(*) FROM information_schema.processlist WHERE id = ? AND info LIKE '%SLEEP%'", id) == "1"
	})
	relay.cut()
	if got := <-done; got != "5|0" {
		t.Errorf("got %s", got)
	}
	if p.Stats().Retries != 1 {
		t.Errorf("%d retries, want 1", p.Stats().Retries)
	}
}

// TestPingTellsOfLoss: the proxy answers pings itself, but not for a session that cannot go on.
func TestPingTellsOfLoss(t *testing.T) {
	a, _ := servers(t)
	p := newProxy(t, a.addr, func(cfg *Config) { cfg.SweepInterval = time.Hour }) // or the sweeper might be first
	tests := []struct {
		name, before string
		code         uint16 // 0: nothing is wrong
	}{
		{"movable", "SET @x = 1", 0},
		{"temporary table", "CREATE TEMPORARY TABLE pinged (a INT)", codeConnectionKilled},
		{"transaction", "BEGIN", codeConnectionKilled},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := raw(t, p.addr, rawCaps)
			c.must(tt.before)
			id := c.value("SELECT CONNECTION_ID()")
			s := p.session(c.id)
			a.exec(t, "KILL "+id)
			eventually(t, "the connection is closed", func() bool {
				s.mu.Lock()
				defer s.mu.Unlock()
				return !quiet(s.backend.nc)
			})
			c.send(comPing)
			r := c.result()
			if tt.code == 0 {
				if r.err != nil || c.value("SELECT @x") != "1" {
					t.Errorf("ping: %+v", r)
				}
				return
			}
			if r.err == nil || r.err.Code != tt.code {
				t.Errorf("ping: %+v", r)
			}
			c.dropped()
		})
	}
}

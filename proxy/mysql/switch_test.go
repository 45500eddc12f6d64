package mysql

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	driver "github.com/go-sql-driver/mysql"
)

// replicate makes b an empty, read-only replica of an empty a.
func replicate(t *testing.T, a, b *mariadb) {
	t.Helper()
	for _, s := range []*mariadb{a, b} {
		s.exec(t, "SET GLOBAL read_only=0; STOP SLAVE; RESET SLAVE ALL; DROP DATABASE IF EXISTS sw; RESET MASTER; SET GLOBAL gtid_slave_pos=''")
	}
	b.follow(t, a)
	b.exec(t, "SET GLOBAL read_only=1")
	t.Cleanup(func() {
		for _, s := range []*mariadb{a, b} {
			_, _ = s.root.Exec("STOP SLAVE; RESET SLAVE ALL; SET GLOBAL read_only=0")
		}
	})
}

// follow makes s a replica of primary.
func (s *mariadb) follow(t *testing.T, primary *mariadb, options ...string) {
	t.Helper()
	s.exec(t, fmt.Sprintf(`CHANGE MASTER TO MASTER_HOST='127.0.0.1', MASTER_PORT=%s, MASTER_USER='repl', MASTER_PASSWORD='repl',
		MASTER_USE_GTID=slave_pos, MASTER_CONNECT_RETRY=1%s; START SLAVE`, port(primary), strings.Join(options, "")))
}

// switchTo is a planned switch as the keepers and agents make it: hold, drain, fence the old primary and kill
// whoever is still connected, let the replica catch up, promote, open.
func (p *testProxy) switchTo(t *testing.T, from, to *mariadb) (blackout time.Duration) {
	t.Helper()
	start := time.Now()
	p.gate.Hold()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := p.gate.Drain(ctx); err != nil {
		t.Fatal(err)
	}
	from.exec(t, "SET STATEMENT max_statement_time=2 FOR SET GLOBAL read_only=1")
	rows, err := from.root.Query("SELECT id FROM information_schema.processlist WHERE user = 'app'")
	if err != nil {
		t.Fatal(err)
	}
	var ids []int64
	for rows.Next() {
		var id int64
		if err := rows.Scan(&id); err != nil {
			t.Fatal(err)
		}
		ids = append(ids, id)
	}
	if err := errors.Join(rows.Err(), rows.Close()); err != nil {
		t.Fatal(err)
	}
	for _, id := range ids {
		if _, err := from.root.Exec(fmt.Sprintf("KILL %d", id)); err != nil && !strings.Contains(err.Error(), "1094") {
			t.Fatal(err)
		}
	}
	pos := from.scalar(t, "SELECT @@gtid_binlog_pos")
	if got := to.scalar(t, "SELECT MASTER_GTID_WAIT(?, 10)", pos); got != "0" {
		log, _ := os.ReadFile(to.dir + ".err")
		t.Fatalf("the replica does not catch up to %s: its log ends with\n%s", pos, log[max(0, len(log)-2000):])
	}
	to.exec(t, "STOP SLAVE; RESET SLAVE ALL; SET GLOBAL read_only=0")
	p.open(t, to.addr)
	blackout = time.Since(start)
	from.follow(t, to, ", MASTER_DEMOTE_TO_SLAVE=1")
	return blackout
}

// TestSwitchUnderLoad runs clients of several kinds through switches back and forth. None may see an error, every
// acknowledged write must be there, on both servers, and each client must see its own writes in order.
func TestSwitchUnderLoad(t *testing.T) {
	a, b := servers(t)
	replicate(t, a, b)
	p := newProxy(t, a.addr)
	a.exec(t, `CREATE DATABASE sw; CREATE TABLE sw.log (worker INT, seq INT, half INT, port INT, PRIMARY KEY (worker, seq, half));
		CREATE TABLE sw.counter (worker INT PRIMARY KEY, n INT)`)
	const writers, switches = 10, 4
	acked := make([]int, writers)
	ctx, stop := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	var reads atomic.Int64
	for w := range writers {
		wg.Go(func() {
			n, err := runWriter(ctx, p, w)
			acked[w] = n
			if err != nil {
				t.Errorf("writer %d after %d writes: %v", w, n, err)
			}
		})
	}
	for range 2 {
		wg.Go(func() {
			db := p.db(t, func(cfg *driver.Config) { cfg.DBName = "sw" })
			for ctx.Err() == nil {
				var n int
				if err := db.QueryRow("SELECT COUNT(*) FROM counter").Scan(&n); err != nil {
					t.Errorf("reader: %v", err)
					return
				}
				reads.Add(1)
			}
		})
	}
	on, other := a, b
	for i := range switches {
		before := total(p)
		eventually(t, "writes go on", func() bool { return t.Failed() || total(p) > before+800 })
		t.Logf("switch %d: writes held for %v", i+1, p.switchTo(t, on, other))
		on, other = other, on
	}
	before := total(p)
	eventually(t, "writes go on", func() bool { return t.Failed() || total(p) > before+800 })
	stop()
	wg.Wait()
	if pos := on.scalar(t, "SELECT @@gtid_binlog_pos"); other.scalar(t, "SELECT MASTER_GTID_WAIT(?, 10)", pos) != "0" {
		t.Fatal("the old primary does not catch up")
	}
	sum := 0
	for w, n := range acked {
		sum += n
		want := fmt.Sprintf("%d|%d|%d", n, n, n)
		for _, s := range []*mariadb{on, other} {
			got := s.scalar(t, `SELECT CONCAT_WS('|', (SELECT COUNT(*) FROM sw.log WHERE worker=? AND half=0), (SELECT MAX(seq) FROM sw.log WHERE worker=?),
				(SELECT n FROM sw.counter WHERE worker=?))`, w, w, w)
			if got != want {
				t.Errorf("worker %d has %s on port %s, want %s", w, got, port(s), want)
			}
		}
	}
	st := p.Stats()
	t.Logf("%d writes acknowledged, %d reads, %+v", sum, reads.Load(), st)
	if st.Errors != 0 || st.Unknown != 0 || st.HeldOut != 0 {
		t.Errorf("errors were sent: %+v", st)
	}
	if st.Moves < writers*switches || st.Reprepared == 0 {
		t.Errorf("%d moves and %d statements prepared again: the test did not test", st.Moves, st.Reprepared)
	}
}

// total counts the commands that servers have answered.
func total(p *testProxy) uint64 { return p.Stats().Queries }

// runWriter writes numbered rows until ctx ends, and returns how many were acknowledged. Odd writers use
// transactions of several statements; they differ in how they send them.
func runWriter(ctx context.Context, p *testProxy, w int) (n int, err error) {
	cfg := driver.NewConfig()
	cfg.User, cfg.Passwd, cfg.Net, cfg.Addr, cfg.DBName = testUser, testPassword, "tcp", p.addr, "shop"
	cfg.InterpolateParams = w >= 8 // as text, the others as prepared statements
	connector, err := driver.NewConnector(cfg)
	if err != nil {
		return 0, err
	}
	db := sql.OpenDB(connector)
	defer db.Close()
	c, err := db.Conn(context.Background())
	if err != nil {
		return 0, err
	}
	defer c.Close()
	bg := context.Background()
	for _, q := range []string{"USE sw", fmt.Sprintf("SET @worker = %d, time_zone = '+0%d:00'", w, w), "SET @calls = 0"} {
		if _, err := c.ExecContext(bg, q); err != nil {
			return 0, err
		}
	}
	manual := w == 1 || w == 9 // autocommit off instead of BEGIN
	if manual {
		if _, err := c.ExecContext(bg, "SET autocommit = 0"); err != nil {
			return 0, err
		}
	}
	var insert, count, begin, commit *sql.Stmt
	for _, s := range []struct {
		stmt *(*sql.Stmt)
		text string
	}{
		{&insert, "INSERT INTO log VALUES (?, ?, ?, @@port)"},
		{&count, "INSERT INTO counter VALUES (?, 1) ON DUPLICATE KEY UPDATE n = n + 1"},
		{&begin, "BEGIN"}, {&commit, "COMMIT"},
	} {
		if *s.stmt, err = c.PrepareContext(bg, s.text); err != nil {
			return 0, err
		}
		defer (*s.stmt).Close()
	}
	do := func(s *sql.Stmt, args ...any) {
		if err == nil {
			_, err = s.ExecContext(bg, args...)
		}
	}
	for ctx.Err() == nil {
		seq := n + 1
		if w%2 == 1 {
			if !manual {
				do(begin)
			}
			do(insert, w, seq, 0)
			do(count, w)
			do(insert, w, seq, 1)
			do(commit)
		} else {
			do(insert, w, seq, 0)
			do(count, w)
		}
		if err != nil {
			return n, err
		}
		n = seq
		var last int
		var state string
		err = c.QueryRowContext(bg, "SELECT MAX(seq), CONCAT_WS('|', @worker, @@time_zone, DATABASE(), @@autocommit+0) FROM log WHERE worker = ?", w).Scan(&last, &state)
		if manual && err == nil {
			_, err = c.ExecContext(bg, "ROLLBACK")
		}
		auto := 1
		if manual {
			auto = 0
		}
		switch want := fmt.Sprintf("%d|+0%d:00|sw|%d", w, w, auto); {
		case err != nil:
			return n, err
		case last != n:
			return n, fmt.Errorf("own writes up to %d are seen, %d were acknowledged", last, n)
		case state != want:
			return n, fmt.Errorf("session state %s, want %s", state, want)
		}
	}
	return n, nil
}

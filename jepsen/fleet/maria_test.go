package fleet

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestMaria takes three real servers through what the chaos tests and the demo ask of them.
func TestMaria(t *testing.T) {
	NeedMaria(t)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	f := ForTest(t, Options{})
	started := time.Now()
	servers, err := f.StartMarias(ctx, "db", 3)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("three servers in %v", time.Since(started).Round(time.Millisecond))
	primary, replicas := servers[0], servers[1:]
	t.Run("settings", func(t *testing.T) {
		for i, m := range servers {
			row, err := m.Row(ctx, `SELECT @@server_id id, @@read_only ro, @@gtid_strict_mode strict, @@log_slave_updates updates,
				@@sync_binlog sync, @@innodb_flush_log_at_trx_commit flush, @@rpl_semi_sync_master_wait_point wait,
				@@rpl_semi_sync_master_timeout timeout, @@slave_parallel_mode mode, @@slave_parallel_threads threads,
				@@gtid_binlog_state state, @@tmpdir tmp`)
			if err != nil {
				t.Fatal(err)
			}
			for name, want := range map[string]string{"id": fmt.Sprint(i + 1), "ro": "1", "strict": "1", "updates": "1", "sync": "1",
				"flush": "1", "wait": "AFTER_SYNC", "timeout": "86400000", "mode": "optimistic", "threads": "4", "state": "",
				"tmp": filepath.Join(m.Dir(), "tmp")} {
				if row[name] != want {
					t.Errorf("%s: %s is %q, want %q", m.Name(), name, row[name], want)
				}
			}
		}
	})
	if err := f.Replicate(ctx, primary, Account{"zero_repl", `it's a \ secret`}, replicas...); err != nil {
		t.Fatal(err)
	}
	if err := primary.Exec(ctx, "CREATE DATABASE shop; CREATE TABLE shop.t (id INT PRIMARY KEY)",
		"INSERT INTO shop.t VALUES (1), (2)"); err != nil {
		t.Fatal(err)
	}
	for _, m := range replicas {
		if err := m.WaitCaughtUp(ctx, primary); err != nil {
			t.Fatal(err)
		}
		wantRows(t, ctx, m, "2")
	}

	t.Run("kill -9", func(t *testing.T) {
		if err := replicas[0].Kill(); err != nil {
			t.Fatal(err)
		}
		if err := replicas[0].Ping(ctx); err == nil {
			t.Error("a killed server answers")
		}
		// The other replica's acknowledgement is enough.
		if err := primary.Exec(ctx, "INSERT INTO shop.t VALUES (3)"); err != nil {
			t.Fatal(err)
		}
		if err := replicas[0].Start(ctx); err != nil {
			t.Fatal(err)
		}
		if s, err := replicas[0].Row(ctx, "SHOW SLAVE STATUS"); err != nil || s["Slave_IO_Running"] != "No" {
			t.Errorf("after a start replication is %q, %v, want No", s["Slave_IO_Running"], err)
		}
		if err := replicas[0].Exec(ctx, "START SLAVE"); err != nil {
			t.Fatal(err)
		}
		if err := replicas[0].WaitCaughtUp(ctx, primary); err != nil {
			t.Fatal(err)
		}
		wantRows(t, ctx, replicas[0], "3")
	})
	t.Run("pause", func(t *testing.T) {
		if err := primary.Pause(ctx); err != nil {
			t.Fatal(err)
		}
		short, cancel := context.WithTimeout(ctx, 200*time.Millisecond)
		defer cancel()
		if err := primary.Ping(short); err == nil {
			t.Error("a paused server answers")
		}
		if err := primary.Resume(); err != nil {
			t.Fatal(err)
		}
		if err := primary.Ping(ctx); err != nil {
			t.Errorf("after Resume: %v", err)
		}
	})
	t.Run("restart", func(t *testing.T) {
		if err := primary.Restart(ctx, "--max-connections=123"); err != nil {
			t.Fatal(err)
		}
		if n, err := primary.Value(ctx, "SELECT CONCAT(@@max_connections, ' ', @@read_only)"); err != nil || n != "123 ON" {
			t.Errorf("after a restart max_connections and read_only are %q, %v, want 123 ON", n, err)
		}
		wantRows(t, ctx, primary, "3")
	})
	t.Run("sessions", func(t *testing.T) {
		if err := primary.Exec(ctx, "SET @x=1"); err != nil {
			t.Fatal(err)
		}
		if x, err := primary.Value(ctx, "SELECT @x"); err != nil || x != "" {
			t.Errorf("the session of Exec was handed on: @x is %q, %v", x, err)
		}
		if pos, err := replicas[1].Value(ctx, "SELECT @@gtid_binlog_state"); err != nil || strings.Contains(pos, "-3-") {
			t.Errorf("a replica wrote by itself: %q, %v", pos, err)
		}
	})
	t.Run("errors", func(t *testing.T) {
		if err := primary.Exec(ctx, "SELECT 1", "SELEKT 2"); err == nil || !strings.Contains(err.Error(), "SELEKT") {
			t.Errorf("got %v, want the statement in the error", err)
		}
		if _, err := primary.Row(ctx, "SELECT 1 FROM DUAL WHERE 0"); !errors.Is(err, sql.ErrNoRows) {
			t.Errorf("got %v, want ErrNoRows", err)
		}
		if err := replicas[0].Exec(ctx, "STOP SLAVE"); err != nil {
			t.Fatal(err)
		}
		if err := replicas[0].caughtUp(ctx, ""); err == nil || !strings.Contains(err.Error(), "does not replicate") {
			t.Errorf("got %v, want the state of replication", err)
		}
		if err := replicas[1].WaitCaughtUp(ctx, primary); err != nil { // it comes back to a restarted primary by itself
			t.Fatal(err)
		}
		if err := replicas[1].caughtUp(ctx, "0-1-99999999"); err == nil || !strings.Contains(err.Error(), "has not reached") {
			t.Errorf("got %v, want the position", err)
		}
	})
}

func wantRows(t *testing.T, ctx context.Context, m *Maria, want string) {
	t.Helper()
	if n, err := m.Value(ctx, "SELECT COUNT(*) FROM shop.t"); err != nil || n != want {
		t.Errorf("%s has %s rows, %v, want %s", m.Name(), n, err, want)
	}
}

func TestMariaThatCannotStart(t *testing.T) {
	NeedMaria(t)
	f := newTestFleet(t)
	_, err := f.StartMaria(limited(t), MariaConfig{Name: "db", Args: []string{"--no-such-option"}})
	if err == nil || !strings.Contains(err.Error(), "no-such-option") {
		t.Errorf("got %v, want the server's complaint", err)
	}
	long := MariaConfig{Name: strings.Repeat("n", 100)}
	if _, err := f.StartMaria(limited(t), long); err == nil || !strings.Contains(err.Error(), "TMPDIR") {
		t.Errorf("a socket path that is too long: %v, want advice", err)
	}
	if err := f.Close(); err != nil {
		t.Error(err)
	}
}

func TestNeedMaria(t *testing.T) {
	for ci, want := range map[string]string{"": "skip", "false": "skip", "true": "fatal"} {
		t.Setenv("CI", ci)
		rec := &recorder{}
		needed(rec, "mariadbd", errors.New("not found"))
		if rec.said != want {
			t.Errorf("CI=%q: %q, want %q", ci, rec.said, want)
		}
	}
}

// recorder is a TB that remembers how a test was ended.
type recorder struct {
	TB
	said string
}

func (r *recorder) Helper()               {}
func (r *recorder) Fatalf(string, ...any) { r.end("fatal") }
func (r *recorder) Skipf(string, ...any)  { r.end("skip") }
func (r *recorder) end(how string) {
	if r.said == "" { // a real TB does not come back from either
		r.said = how
	}
}

package mysql

import (
	"errors"
	"strconv"
	"sync"
	"testing"
	"time"
)

// TestLosslessFailover kills a primary and the one replica that acknowledges,
// in the middle of writes, and promotes that replica after a restart: every row
// that a client was told is safe must be there.
func TestLosslessFailover(t *testing.T) {
	t.Run("while it applies", func(t *testing.T) { failOver(t, false) })
	t.Run("with much received and not applied", func(t *testing.T) { failOver(t, true) })
}

func failOver(t *testing.T, backlog bool) {
	a, b, c := servers(t)
	c.exec(t, "STOP SLAVE")
	b.exec(t, "STOP SLAVE; SET GLOBAL max_relay_log_size=4096; START SLAVE") // several relay log files
	eventually(t, "only b acknowledges", func() bool { return a.status(t, "Rpl_semi_sync_master_clients") == "1" })

	const writers = 4
	var mu sync.Mutex
	acknowledged := map[int]bool{}
	var wg sync.WaitGroup
	for w := range writers {
		conn := a.login(t, "app")
		wg.Go(func() {
			for id := w + 1; ; id += writers {
				if _, err := conn.ExecContext(t.Context(), "INSERT INTO t(id, v) VALUES ("+strconv.Itoa(id)+", 1)"); err != nil {
					return
				}
				mu.Lock()
				acknowledged[id] = true
				mu.Unlock()
			}
		})
	}
	count := func() int { mu.Lock(); defer mu.Unlock(); return len(acknowledged) }
	eventually(t, "writes are acknowledged", func() bool { return count() > 100 })
	if backlog {
		b.exec(t, "STOP SLAVE SQL_THREAD")
	}
	had := count()
	eventually(t, "more writes are acknowledged", func() bool { return count() > had+150 })
	a.kill()
	b.kill()
	wg.Wait()
	restart(t, b)
	t.Cleanup(func() { restart(t, a) })

	s := b.server(t)
	if backlog {
		if _, err := s.Promote(t.Context(), free{}); !errors.Is(err, ErrRelayNotDrained) {
			t.Errorf("promotion: %v", err)
		}
	}
	rec := must[Received](t)(s.Drain(t.Context(), 5*time.Second))
	p := promote(t, s)
	t.Logf("%d acknowledged, drained to %s, promoted at %s", count(), rec.GTID, p.GTIDBinlogPos)
	rows, err := b.root.Query("SELECT id FROM app.t")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var id int
		if err := rows.Scan(&id); err != nil {
			t.Fatal(err)
		}
		delete(acknowledged, id)
	}
	if len(acknowledged) > 0 {
		t.Errorf("%d acknowledged rows are lost: %v", len(acknowledged), acknowledged)
	}
}

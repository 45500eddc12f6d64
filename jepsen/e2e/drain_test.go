package e2e

import (
	"context"
	"testing"
	"time"

	"github.com/zerokeeper/zero/jepsen/load"
	"github.com/zerokeeper/zero/jepsen/stage"
)

// TestDrainOutlivesLease: a transaction that takes twice as long as a lease is
// waited for by a planned switch whose drain_timeout allows it, and ends well; so do
// the writes of everybody else, which are held meanwhile.
func TestDrainOutlivesLease(t *testing.T) {
	ctx := limit(t, 2*time.Minute)
	const length = 4 * time.Second
	s := newScene(t, ctx, stage.Config{Lease: 2 * time.Second, Drain: 6 * time.Second})
	db, err := s.Open(s.Proxies[0])
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	l := s.underLoad(t, ctx)
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback() // nothing after a commit
	if _, err := tx.ExecContext(ctx, "INSERT INTO "+load.Table+" (op, part, note) VALUES (-1, 1, 'long')"); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	began := time.Now()
	go func() {
		select {
		case <-ctx.Done():
			ended <- context.Cause(ctx)
		case <-time.After(length):
			_, err := tx.ExecContext(ctx, "UPDATE "+load.Table+" SET note = 'longer' WHERE op = -1")
			if err == nil {
				err = tx.Commit()
			}
			ended <- err
		}
	}()
	record := s.switchTo(t, ctx, 1)
	took := time.Since(began)
	if err := <-ended; err != nil {
		t.Errorf("the long transaction: %v", err)
	}
	if took < length {
		t.Errorf("the switch took %v, less than the transaction that it had to wait for", took)
	}
	t.Logf("a switch that waited for a transaction of %v: %.0f ms without writes", length, record.BlackoutMS)
	if failures := l.work.Failures(l.work.Span()); len(failures) > 0 {
		t.Errorf("%d client errors, first: %v", len(failures), failures[0].Err)
	}
	l.verify(t, ctx, s.Servers)
}

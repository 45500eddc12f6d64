//go:build !nohold

package gate

import (
	"testing"
	"testing/synctest"
	"time"
)

// TestProlong: what is in flight through a held gate goes on under a longer lease,
// which admits nobody (R4).
func TestProlong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := leased(t)
		ticket, ok := g.TryAcquire()
		if !ok {
			t.Fatal("not admitted")
		}
		if g.Prolong(fakeNow().Add(time.Minute)) {
			t.Error("prolonged the lease of an open gate")
		}
		g.Hold()
		pass(time.Second - 1)
		if !g.Prolong(fakeNow().Add(time.Second)) {
			t.Error("a lease that lives was not prolonged")
		}
		pass(time.Second - 1)
		if !ticket.Valid() {
			t.Error("in flight, and ended with the lease that was prolonged")
		}
		if _, ok := g.TryAcquire(); ok {
			t.Error("entered a gate that is held")
		}
		pass(1)
		if ticket.Valid() {
			t.Error("valid without a lease")
		}
		if g.Prolong(fakeNow().Add(time.Second)); ticket.Valid() {
			t.Error("a lease that was over, and counted out, was revived")
		}
		ticket.Release()
	})
}

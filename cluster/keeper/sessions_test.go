package keeper

import (
	"testing"
	"time"

	"github.com/zerokeeper/zero/fsm"
)

// TestSessionsOutliveAPause: a leader that stood still for longer than the idle time
// does not take that for idleness of its clients: they could reach nobody.
func TestSessionsOutliveAPause(t *testing.T) {
	f := newFleet(t, 1, tuning{})
	k := f.leader().keeper.Load()
	if _, err := refused(f.leader().node.Propose(within(t), fsm.Header{Session: "s1", Seq: 1}, &fsm.PutSection{ID: "i"})); err != nil {
		t.Fatal(err)
	}
	w := sessionWatch{round: rounds{interval: k.cfg.SessionIdle / 10}}
	now := time.Now()
	idle := func(after time.Duration) int {
		now = now.Add(after)
		return len(k.idleSessions(within(t), &w, now))
	}
	idle(0)
	if n := idle(2 * k.cfg.SessionIdle); n != 0 {
		t.Fatalf("%d sessions are idle, by a pause of the leader", n)
	}
	rounds := 0
	for ; idle(k.cfg.SessionIdle/10) == 0; rounds++ {
		if rounds > 20 {
			t.Fatal("nothing is ever idle")
		}
	}
	if rounds != 9 {
		t.Errorf("idle in round %d after the pause", rounds)
	}
}

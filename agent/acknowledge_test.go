package agent

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/zerokeeper/zero/agent/mysql"
	"github.com/zerokeeper/zero/transport/api"
)

// TestOwed: a replica that receives asks nothing; one that does not asks soon, then ever
// more seldom, at most once at a time and once in a second.
func TestOwed(t *testing.T) {
	var o owed
	start := time.Now()
	at := func(ms int, gtid string, want bool) {
		t.Helper()
		r := replicating(primary)
		r.GtidIOPos = gtid
		if got := o.due(r, start.Add(time.Duration(ms)*time.Millisecond)); got != want {
			t.Errorf("after %d ms at %s: due %v", ms, gtid, got)
		}
	}
	done := func() { o.running.Store(false) }
	at(0, "0-1-1", false)
	at(300, "0-1-2", false)
	at(500, "0-1-2", false)
	at(600, "0-1-2", true) // 300 ms
	at(1700, "0-1-2", false)
	done()
	at(1700, "0-1-2", true)
	done()
	at(2900, "0-1-2", false) // 2 × 1.4 s
	at(3200, "0-1-2", true)
	done()
	at(3300, "0-1-3", false)
	at(3700, "0-1-3", false) // 1 s apart
	at(4200, "0-1-3", true)
	done()
	at(3_600_000, "0-1-3", true)
	done()
	at(3_629_000, "0-1-3", false)
	at(3_631_000, "0-1-3", true)
}

// acknowledging is a replica that does, and has done so for long.
func acknowledging(t *testing.T) (*rig, mysql.State, api.Grant) {
	t.Helper()
	s := replica()
	s.Replication.GtidIOPos, s.SemiSync.ReplicaEnabled, s.SemiSync.ReplicaActive = "0-1-5", true, true
	r := newLeased(t, s)
	g := replicaSays(true)
	r.keep(1, g)
	r.mu.Lock()
	r.grants = []api.Grant{g}
	r.mu.Unlock()
	r.acknowledgeAgain(t.Context(), []api.Grant{g}, s)
	r.owed.since = time.Now().Add(-time.Minute)
	return r, s, g
}

// TestAcknowledgesAgain (R19, R20): who receives and acknowledges, is named, and was not stopped; and
// only with the turn.
func TestAcknowledgesAgain(t *testing.T) {
	tests := []struct {
		name   string
		change func(r *rig, s *mysql.State, g *api.Grant)
		asked  bool
		acked  bool
	}{
		{"a replica", func(*rig, *mysql.State, *api.Grant) {}, true, true},
		{"not named", func(_ *rig, _ *mysql.State, g *api.Grant) { g.Acknowledge = false }, false, false},
		{"not named in the memory", func(r *rig, _ *mysql.State, _ *api.Grant) { r.notes.memory.Acks = false }, false, false},
		{"stopped by an order", func(r *rig, _ *mysql.State, g *api.Grant) {
			r.notes.memory.Stopped, g.Stamp.Step = g.Stamp.Generation, api.StepFencing
		}, false, false},
		{"an old grant", func(r *rig, _ *mysql.State, g *api.Grant) { r.notes.memory.Stamp.Generation = 9 }, false, false},
		{"another source", func(_ *rig, s *mysql.State, _ *api.Grant) { s.Replication = replicating(other) }, false, false},
		{"not receiving", func(_ *rig, s *mysql.State, _ *api.Grant) { s.Replication.IORunning = "Connecting" }, false, false},
		{"not acknowledging", func(_ *rig, s *mysql.State, _ *api.Grant) { s.SemiSync.ReplicaActive = false }, false, false},
		{"a primary", func(_ *rig, s *mysql.State, _ *api.Grant) { s.Replication = nil }, false, false},
		{"an order runs", func(r *rig, _ *mysql.State, _ *api.Grant) {
			_, release, _ := r.turn.try(t.Context(), rankOrder)
			t.Cleanup(release)
		}, true, false},
		{"not named meanwhile", func(r *rig, _ *mysql.State, _ *api.Grant) {
			r.grants[0].Acknowledge = false // the newest answer
		}, true, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r, s, g := acknowledging(t)
			tt.change(r, &s, &g)
			r.acknowledgeAgain(t.Context(), []api.Grant{g}, s)
			r.ahead.Wait()
			if n := r.db.called("AcknowledgeReceived"); (n == 1) != tt.asked {
				t.Errorf("asked %d times", n)
			}
			if n := r.db.called("acknowledged"); (n == 1) != tt.acked {
				t.Errorf("acknowledged %d times", n)
			}
			if _, release, busy := r.turn.try(t.Context(), rankLevel); tt.name != "an order runs" && busy != nil {
				t.Error("the turn was not given back")
			} else if busy == nil {
				release()
			}
		})
	}
}

// TestAcknowledgingWaitsForNobody: a source that hangs delays no look, and only one question
// is under way.
func TestAcknowledgingWaitsForNobody(t *testing.T) {
	r, s, g := acknowledging(t)
	r.db.set(func() { r.db.hang["AcknowledgeReceived"] = true })
	for range 3 {
		r.acknowledgeAgain(t.Context(), []api.Grant{g}, s)
		r.owed.since, r.owed.asked = r.owed.since.Add(-time.Hour), time.Time{}
	}
	eventually(t, "it asks", func() bool { return r.db.called("AcknowledgeReceived") == 1 })
	if _, release, busy := r.turn.try(t.Context(), rankLevel); busy != nil {
		t.Error("it has the turn while it asks")
	} else {
		release()
	}
	r.db.set(func() {
		r.db.hang["AcknowledgeReceived"] = false
		r.db.fail["AcknowledgeReceived"] = errors.New("refused")
	})
}

// TestRealLostAcknowledgements: all replicas reconnect under load, on real servers; the commits
// whose acknowledgements were lost, and those behind them, go on.
func TestRealLostAcknowledgements(t *testing.T) {
	nodes := fleet(t, 3)
	a, b, c := nodes[0], nodes[1], nodes[2]
	for _, n := range nodes {
		n.named(stamp(0, api.StepIdle), 0, a, true)
		if n != a {
			n.exec(t, fmt.Sprintf(`SET GLOBAL rpl_semi_sync_slave_enabled=1; CHANGE MASTER TO MASTER_HOST='127.0.0.1', MASTER_PORT=%s,
MASTER_USER='zero_repl', MASTER_PASSWORD='rp', MASTER_CONNECT_RETRY=1, MASTER_USE_GTID=slave_pos; START SLAVE`, a.me.Address[len("127.0.0.1:"):]))
		}
		n.run(n.keeper)
	}
	eventually(t, "the primary is writable", func() bool { return a.keeper.last().Role == "primary" })
	eventually(t, "both replicas acknowledge", func() bool {
		return a.value(t, "SELECT VARIABLE_VALUE FROM information_schema.GLOBAL_STATUS WHERE VARIABLE_NAME='Rpl_semi_sync_master_clients'") == "2"
	})
	a.open(t)
	w := a.write(t)
	for range 3 {
		for _, n := range []*node{b, c} { // what they receive until an agent turns them on again is acknowledged by nobody
			n.exec(t, "SET GLOBAL rpl_semi_sync_slave_enabled=0; STOP SLAVE IO_THREAD; START SLAVE IO_THREAD")
		}
		begun, had := time.Now(), w.count()
		for _, n := range []*node{b, c} {
			eventually(t, "it acknowledges again", func() bool {
				return n.value(t, "SELECT VARIABLE_VALUE FROM information_schema.GLOBAL_STATUS WHERE VARIABLE_NAME='Rpl_semi_sync_slave_status'") == "ON"
			})
		}
		back := time.Now()
		eventually(t, "writes go on", func() bool { return w.count() > had+50 })
		t.Logf("replicas acknowledge again after %v, writes go on %v later", back.Sub(begun).Round(time.Millisecond), time.Since(back).Round(time.Millisecond))
	}
	a.kill() // ends the writers
	w.all.Wait()
}

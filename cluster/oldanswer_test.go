package cluster

import (
	"context"
	"testing"
	"time"

	"github.com/hashicorp/raft"
)

// Pitfall 26, reproduced with hashicorp/raft v1.7.3: a leader stops while
// answers to its AppendEntries are in its sockets; the others elect another and
// commit a write; the old leader goes on, is asked, and only then reads those
// answers. raft's VerifyLeader takes them for answers to the question and says
// that it still leads. A proof by a committed entry does not pass. When a later
// raft makes this test fail, VerifyLeader has become one, and read.go can be
// thought over.
func TestVerifyLeaderCountsOldAnswersInRaft173(t *testing.T) {
	// Which answer arrives late. Followers are written to every few milliseconds
	// by the replication, and now and then by the heartbeat, each on a connection
	// of its own.
	for name, path := range map[string]func(writes int) bool{
		"replication": func(writes int) bool { return writes > 15 },
		"heartbeat":   func(writes int) bool { return writes > 0 && writes <= 4 },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			oldAnswer(t, path)
		})
	}
}

func oldAnswer(t *testing.T, path func(writes int) bool) {
	f := newFleet(t)
	keepers := make(map[string]string)
	names := []string{"k1", "k2", "k3"}
	for i, address := range f.reserve(names...) {
		keepers[address] = names[i]
	}
	cold := newIce("k1", keepers)
	patient := false
	f.setup = func(name string, c *Config) {
		c.Dial = cold.dialFrom(name)
		c.Timing.Heartbeat, c.Timing.Election = 300*time.Millisecond, 300*time.Millisecond
		if name == "k1" && patient { // a process that stands still does not see the time pass
			c.Timing.Heartbeat, c.Timing.Election, c.Timing.Lease = 5*time.Second, 5*time.Second, 5*time.Second
			c.DiskTimeout = 15 * time.Second
			c.ApplyTimeout = 500 * time.Millisecond
		}
	}
	nodes := f.group(3)
	patient = true
	f.crash(nodes[0])
	nodes[0] = f.restart(nodes[0])
	f.ready(nodes...)
	old, rest := nodes[0], nodes[1:]
	f.mustPut("a", "before")
	var conns []*icyConn // on which the answers are
	f.eventually("the first keeper leads in peace", func() bool {
		if !old.IsLeader() {
			_ = f.leader(nodes...).TransferLeadership(t.Context(), "k1")
			return false
		}
		cold.restart()
		deadline := time.Now().Add(2500 * time.Millisecond) // at least one heartbeat, many replications
		for old.IsLeader() && time.Now().Before(deadline) {
			if late := cold.sending(path); len(late["k2"]) == 1 && len(late["k3"]) == 1 && len(cold.sending(func(w int) bool { return w > 15 })) == 2 {
				conns = append(late["k2"], late["k3"]...)
				break
			}
			pause(t.Context(), 5*time.Millisecond)
		}
		cold.holdAnswers(conns, true)
		for old.IsLeader() && len(conns) == 2 && time.Now().Before(deadline) {
			if cold.wrote(conns) {
				return true
			}
			pause(t.Context(), time.Millisecond)
		}
		cold.holdAnswers(conns, false)
		conns = nil
		return false
	})
	cold.freeze()
	term := old.Term()

	next := f.leader(rest...)
	if _, err := put(t.Context(), next, "a", "after"); err != nil {
		t.Fatal(err)
	}
	if !old.IsLeader() || old.Term() != term || next.Term() <= term {
		t.Fatalf("void: the old leader noticed (%v, term %d, now %d)", old.raft.State(), old.Term(), next.Term())
	}

	verdict := make(chan error, 1)
	verify := old.raft.VerifyLeader()
	proof := make(chan error, 1)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	go func() {
		_, err := old.Linearizable(ctx)
		proof <- err
	}()
	for range 40 { // the main loop takes one thing at a time, at random: the question is asked now
		_ = old.raft.BootstrapCluster(raft.Configuration{}).Error()
	}
	contact := time.Now()
	cold.holdAnswers(conns, false)
	go func() { verdict <- verify.Error() }()
	select {
	case err := <-verdict:
		if err != nil {
			t.Errorf("raft's VerifyLeader does not count the old answer any more: %v", err)
		}
	case <-time.After(2 * time.Second):
		t.Error("raft's VerifyLeader does not count the old answer any more: no verdict")
	}
	t.Logf("VerifyLeader passed %v after the late answer, in term %d while %s led in term %d", time.Since(contact).Round(time.Microsecond), old.Term(), next.cfg.Name, next.Term())
	if err := <-proof; err == nil {
		t.Errorf("a leader that is deposed proves its leadership and reads %q", get(old.State(), "a"))
	}
	if got := get(old.State(), "a"); got != "before" {
		t.Errorf("void: the old leader has %q", got)
	}
}

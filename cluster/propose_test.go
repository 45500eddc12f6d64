package cluster

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"github.com/zerokeeper/zero/fsm"
	"github.com/zerokeeper/zero/transport/api"
)

func TestProposeStampsTime(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	at := time.Unix(1700000000, 0)
	f.setup = func(_ string, c *Config) { c.Now = func() time.Time { return at } }
	n := f.mustOpen(f.config("k1", 1))
	f.ready(n)
	f.mustPut("a", "1")
	if got := n.State().Section("test", "a").Timestamp; got != at.Unix() {
		t.Errorf("stamped %d, want %d", got, at.Unix())
	}
	earlier := at.Add(time.Hour).UnixNano()
	if _, err := n.Propose(t.Context(), fsm.Header{Time: earlier}, &fsm.PutSection{ID: "test", Section: "b"}); err != nil {
		t.Fatal(err)
	}
	if got := n.State().Section("test", "b").Timestamp; got != at.Add(time.Hour).Unix() {
		t.Errorf("a time that was given became %d", got)
	}
}

func TestProposeOnce(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	nodes := f.group(3)
	leader := f.leader(nodes...)
	h := fsm.Header{Session: "s", Seq: 1}
	first, err := leader.Propose(t.Context(), h, &fsm.PutSection{ID: "test", Section: "a", Data: []byte("1")})
	if err != nil {
		t.Fatal(err)
	}
	f.close(leader)
	next := f.leader(others(nodes, leader)...)
	again, err := next.Propose(t.Context(), h, &fsm.PutSection{ID: "test", Section: "a", Data: []byte("1")})
	if err != nil || again.Index != first.Index {
		t.Errorf("the retry at another leader: %+v, %v; want the first answer, of entry %d", again, err, first.Index)
	}
}

func TestProposeInTerm(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	nodes := f.group(3)
	leader := f.leader(nodes...)
	term := leader.Term()
	command := &fsm.PutSection{ID: "test", Section: "a"}
	if _, err := leader.ProposeInTerm(t.Context(), term, fsm.Header{}, command); err != nil && leader.Term() == term {
		t.Errorf("in its own term: %v", err)
	}
	if _, err := leader.ProposeInTerm(t.Context(), term+1, fsm.Header{}, command); err == nil {
		t.Error("proposed in a term to come")
	}
	if _, err := leader.ProposeInTerm(t.Context(), 0, fsm.Header{}, command); !errors.Is(err, api.ErrBadRequest) {
		t.Errorf("in term 0: %v", err)
	}
	// What passes the leader's own check and lands in another term is refused by
	// the state machine.
	r, err := f.leader(nodes...).Propose(t.Context(), fsm.Header{Term: term + 7}, command)
	if err != nil || r.Code != fsm.CodeStaleGeneration {
		t.Errorf("a foreign term in the header: %+v, %v", r, err)
	}
}

func TestProposeOutcomes(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	n := f.mustOpen(f.config("k1", 1))
	f.ready(n)
	command := &fsm.PutSection{ID: "test", Section: "a", Data: []byte("1")}
	tests := []struct {
		name string
		do   func() error
		want error
	}{
		{"too large", func() error {
			_, err := n.Propose(t.Context(), fsm.Header{}, &fsm.PutSection{Data: make([]byte, fsm.MaxEntry)})
			return err
		}, api.ErrTooLarge},
		{"time is over", func() error {
			ctx, cancel := context.WithDeadline(t.Context(), time.Now().Add(-time.Second))
			defer cancel()
			_, err := n.Propose(ctx, fsm.Header{}, command)
			return err
		}, api.ErrDeadline},
		{"cancelled before", func() error {
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			_, err := n.Propose(ctx, fsm.Header{}, command)
			return err
		}, api.ErrCancelled},
		{"too many", func() error {
			for range maxProposals {
				n.proposals <- struct{}{}
			}
			defer func() {
				for range maxProposals {
					<-n.proposals
				}
			}()
			_, err := n.Propose(t.Context(), fsm.Header{}, command)
			return err
		}, api.ErrBusy},
		{"not the leader", func() error { return n.proposalError(raft.ErrNotLeader) }, api.ErrNoLeader}, // it names nobody but itself
		{"in transfer", func() error { return n.proposalError(raft.ErrLeadershipTransferInProgress) }, api.ErrNoLeader},
		{"not taken", func() error { return n.proposalError(raft.ErrEnqueueTimeout) }, api.ErrBusy},
		{"leadership lost", func() error { return n.proposalError(raft.ErrLeadershipLost) }, api.ErrOutcomeUnknown},
		{"shutdown", func() error { return n.proposalError(raft.ErrRaftShutdown) }, api.ErrOutcomeUnknown},
		{"restore", func() error { return n.proposalError(raft.ErrAbortedByRestore) }, api.ErrOutcomeUnknown},
		{"store error", func() error { return n.proposalError(fmt.Errorf("no space left on device")) }, api.ErrOutcomeUnknown},
		{"own deadline", func() error { return n.proposalError(context.DeadlineExceeded) }, api.ErrOutcomeUnknown},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if err := test.do(); !errors.Is(err, test.want) {
				t.Errorf("%v, want %v", err, test.want)
			}
		})
	}
	if got := n.State().Section("test", "a"); got != nil {
		t.Error("what was definitely not done was done")
	}
	f.close(n)
	if _, err := n.Propose(t.Context(), fsm.Header{}, command); !errors.Is(err, api.ErrNotReady) {
		t.Errorf("on a closed keeper: %v", err)
	}
}

// Without a quorum the outcome is unknown after ApplyTimeout, however long raft
// would wait.
func TestProposeWithoutQuorum(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	f.setup = func(_ string, c *Config) {
		c.ApplyTimeout = 50 * time.Millisecond
		c.Timing.Heartbeat, c.Timing.Election, c.Timing.Lease = time.Second, time.Second, time.Second
	}
	nodes := f.group(3)
	var err error
	f.eventually("an unknown outcome", func() bool {
		leader := f.leader(nodes...)
		for _, n := range others(nodes, leader) {
			f.crash(n)
		}
		_, err = put(t.Context(), leader, "a", "1")
		return errors.Is(err, api.ErrOutcomeUnknown)
	})
	t.Log(err)
}

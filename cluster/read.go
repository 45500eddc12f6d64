package cluster

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/hashicorp/raft"

	"github.com/zerokeeper/zero/fsm"
	"github.com/zerokeeper/zero/transport/api"
)

// Proof is what a proof of leadership yields.
type Proof struct {
	// Term in which this node led when the proof's entry was committed.
	Term uint64
	// State with everything that was committed before the proof was asked for.
	State *fsm.State
}

// State is the local state, however old. For display, and for what proposes
// what it decides (the state machine checks again).
func (n *Node) State() *fsm.State { return n.applier.machine.State() }

// Linearizable is a state that holds everything that any client was told is
// written before the call. The proof is shared by all calls that wait; on a
// follower the error is NotLeader, without a proof in time NotReady or Deadline.
func (n *Node) Linearizable(ctx context.Context) (*fsm.State, error) {
	if unprovenReads {
		return n.State(), nil
	}
	p, err := n.Prove(ctx)
	return p.State, err
}

// Prove shows that this node leads, by an entry that is proposed after the call
// and committed before the return.
func (n *Node) Prove(ctx context.Context) (Proof, error) {
	n.metrics.reads.Inc()
	if err := n.usable(); err != nil {
		return Proof{}, err
	}
	if _, leading := n.leads(); !leading {
		return Proof{}, n.notLeader()
	}
	round := n.prover.join()
	select {
	case <-round.done:
		return round.proof, round.err
	case <-ctx.Done():
		return Proof{}, unproven(ctx.Err())
	case <-n.dead:
		return Proof{}, n.usable()
	}
}

func unproven(err error) error {
	if errors.Is(err, context.Canceled) {
		return api.Errorf(api.Cancelled, "cancelled before leadership was proven")
	}
	return api.Errorf(api.Deadline, "deadline exceeded before leadership was proven")
}

// Stale is the local state with its age: how long ago this node last heard the
// leader, or, on the leader, last proved its leadership. If that is above
// maxAge a leader proves it anew, a follower answers NotReady. For up to one
// Lease a follower may have heard a leader that is deposed already.
func (n *Node) Stale(ctx context.Context, maxAge time.Duration) (*fsm.State, time.Duration, error) {
	if err := n.usable(); err != nil {
		return nil, 0, err
	}
	if maxAge <= 0 {
		return nil, 0, api.Errorf(api.BadRequest, "a stale read needs a maximum age above zero, not %v", maxAge)
	}
	if _, leading := n.leads(); leading {
		if age := n.prover.age(); age <= maxAge {
			return n.State(), age, nil
		}
		p, err := n.Prove(ctx)
		return p.State, 0, err
	}
	contact := n.raft.LastContact()
	if contact.IsZero() {
		return nil, 0, api.Errorf(api.NotReady, "this keeper has not heard a leader since it started")
	}
	state := n.State()
	age := time.Since(contact)
	if age > maxAge {
		return nil, age, api.Errorf(api.NotReady, "this keeper last heard the leader %v ago, more than %v", age.Round(time.Millisecond), maxAge)
	}
	return state, age, nil
}

// Changed returns a channel that the next change of the state or of the members
// closes. Take it before looking at the state.
func (n *Node) Changed() <-chan struct{} { return n.applier.wait() }

// WaitIndex waits until the command at index, or a later one, is applied here.
func (n *Node) WaitIndex(ctx context.Context, index uint64) error {
	for {
		changed := n.Changed()
		if n.applier.index.Load() >= index {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return api.Errorf(api.Deadline, "entry %d was not applied here in time", index)
		case <-n.dead:
			return n.usable()
		}
	}
}

// prover runs one proof at a time for all that wait for one. Who comes while a
// proof is under way waits for the next: an entry that was proposed before the
// question proves nothing.
type prover struct {
	mu   sync.Mutex
	next *round
	last time.Time // when the last good proof began
	kick chan struct{}
}

type round struct {
	done  chan struct{}
	proof Proof
	err   error
}

func newProver() *prover {
	return &prover{next: &round{done: make(chan struct{})}, kick: make(chan struct{}, 1)}
}

// join is the next round to begin.
func (p *prover) join() *round {
	p.mu.Lock()
	defer p.mu.Unlock()
	select {
	case p.kick <- struct{}{}:
	default:
	}
	return p.next
}

func (p *prover) begin() *round {
	p.mu.Lock()
	defer p.mu.Unlock()
	r := p.next
	p.next = &round{done: make(chan struct{})}
	return r
}

// proven notes a good proof that began at start.
func (p *prover) proven(start time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.last = start
}

func (p *prover) age() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.last.IsZero() {
		return time.Duration(1<<63 - 1)
	}
	return time.Since(p.last)
}

// proveLoop serves the prover until the node stops.
func (n *Node) proveLoop(ctx context.Context) {
	p := n.prover
	var pending chan error // of a barrier that did not come back in time
	for {
		select {
		case <-ctx.Done():
			r := p.begin()
			r.err = n.stopped()
			close(r.done)
			return
		case <-p.kick:
		}
		start := time.Now()
		r := p.begin()
		if pending, r.proof, r.err = n.proofRound(ctx, pending); r.err == nil {
			p.proven(start)
		}
		close(r.done)
	}
}

// proofRound commits one barrier. If it does not come back in time it is handed
// on to the next round, which waits for it first: the number of barriers under
// way stays one.
func (n *Node) proofRound(ctx context.Context, pending chan error) (chan error, Proof, error) {
	timer := time.NewTimer(n.cfg.ApplyTimeout)
	defer timer.Stop()
	if pending != nil {
		select {
		case <-pending:
		case <-timer.C:
			return pending, Proof{}, api.Errorf(api.NotReady, "leadership cannot be proven: the log has not moved for %v", n.cfg.ApplyTimeout)
		case <-ctx.Done():
			return nil, Proof{}, n.stopped()
		}
	}
	term, leading := n.leads()
	if !leading {
		return nil, Proof{}, n.notLeader()
	}
	n.metrics.proofs.Inc()
	pending = make(chan error, 1)
	n.futures.Go(func() {
		f := n.raft.Barrier(enqueueTimeout)
		endWith(f, n.raftDown)
		pending <- f.Error()
	})
	select {
	case err := <-pending:
		if err != nil {
			return nil, Proof{}, n.proofError(err)
		}
	case <-timer.C:
		return pending, Proof{}, api.Errorf(api.NotReady, "leadership was not proven within %v", n.cfg.ApplyTimeout)
	case <-ctx.Done():
		return nil, Proof{}, n.stopped()
	}
	state := n.State()
	if err := n.usable(); err != nil {
		return nil, Proof{}, err // halted: the barrier passed a machine that stood still
	}
	if now, leading := n.leads(); !leading || now != term {
		return nil, Proof{}, n.notLeader()
	}
	return nil, Proof{Term: term, State: state}, nil
}

// proofError is why a barrier failed; a read has no unknown outcome.
func (n *Node) proofError(err error) error {
	switch {
	case errors.Is(err, raft.ErrNotLeader), errors.Is(err, raft.ErrLeadershipLost):
		return n.notLeader()
	case errors.Is(err, raft.ErrLeadershipTransferInProgress):
		return api.Errorf(api.NoLeader, "leadership is being transferred, try again")
	case errors.Is(err, raft.ErrEnqueueTimeout):
		return api.Errorf(api.NotReady, "the leader is busy: leadership was not proven")
	case errors.Is(err, raft.ErrRaftShutdown):
		return n.stopped()
	}
	return api.Errorf(api.NotReady, "leadership was not proven: %v", err)
}

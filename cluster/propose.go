package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/hashicorp/raft"

	"github.com/zerokeeper/zero/fsm"
	"github.com/zerokeeper/zero/transport/api"
)

const (
	maxProposals   = 4096        // that wait for their outcome at once
	enqueueTimeout = time.Second // to hand an entry to raft's main loop
)

// Propose writes a command and waits until it is applied here. It may be called
// on the leader only.
//
// A nil error means that the command is in the log for good and was applied
// once; what the state machine answered, a refusal too, is the Result. Of the
// errors, OutcomeUnknown means that the command may or may not take effect,
// perhaps later; every other means that it never will.
//
// The header's time is stamped when it is zero. Its term is left as it is: a
// client's command is good in any term, and a refusal because of the term would
// be remembered in its session. What a leader decides goes by ProposeInTerm.
func (n *Node) Propose(ctx context.Context, h fsm.Header, c fsm.Command) (fsm.Result, error) {
	start := time.Now()
	result, err := n.propose(ctx, 0, h, c)
	n.metrics.proposed(start, result.Code != 0, err)
	return result, err
}

// ProposeInTerm is Propose for what the leader of a term decided: it is refused,
// here or by the state machine, unless this node still leads in that term.
func (n *Node) ProposeInTerm(ctx context.Context, term uint64, h fsm.Header, c fsm.Command) (fsm.Result, error) {
	start := time.Now()
	if term == 0 {
		return fsm.Result{}, api.Errorf(api.BadRequest, "a proposal in term 0: name the term")
	}
	h.Term = term
	result, err := n.propose(ctx, term, h, c)
	n.metrics.proposed(start, result.Code != 0, err)
	return result, err
}

func (n *Node) propose(ctx context.Context, in uint64, h fsm.Header, c fsm.Command) (fsm.Result, error) {
	if err := n.usable(); err != nil {
		return fsm.Result{}, err
	}
	term, leading := n.leads()
	if !leading || (in != 0 && term != in) {
		return fsm.Result{}, n.notLeader()
	}
	if in == 0 {
		if err := n.stores.space.alarm(); err != nil {
			return fsm.Result{}, err
		}
	}
	if h.Time == 0 {
		h.Time = n.cfg.Now().UnixNano()
	}
	entry, err := fsm.Encode(h, c)
	if err != nil {
		return fsm.Result{}, api.Errorf(api.TooLarge, "propose: %v", err)
	}
	select {
	case n.proposals <- struct{}{}:
		defer func() { <-n.proposals }()
	default:
		return fsm.Result{}, api.Errorf(api.Busy, "propose: %d commands wait already", maxProposals)
	}
	return n.commit(ctx, entry)
}

// commit hands an entry to raft and waits for its outcome, but at most
// ApplyTimeout: raft's own timeout ends with the queue, its futures wait for
// ever.
func (n *Node) commit(ctx context.Context, entry []byte) (fsm.Result, error) {
	if err := ctx.Err(); err != nil {
		return fsm.Result{}, notDone(err)
	}
	ctx, cancel := context.WithTimeout(ctx, n.cfg.ApplyTimeout)
	defer cancel()
	future := n.raft.Apply(entry, untilDeadline(ctx, enqueueTimeout))
	if err := n.await(ctx, future); err != nil {
		return fsm.Result{}, n.proposalError(err)
	}
	o, ok := future.Response().(outcome)
	if !ok || o.err != nil {
		return fsm.Result{}, api.Errorf(api.OutcomeUnknown, "outcome unknown: this keeper stopped while it applied the command")
	}
	return o.result, nil
}

// proposalError sorts raft's errors: definitely not done, or unknown.
func (n *Node) proposalError(err error) error {
	switch {
	case errors.Is(err, raft.ErrNotLeader):
		return n.notLeader()
	case errors.Is(err, raft.ErrLeadershipTransferInProgress):
		return api.Errorf(api.NoLeader, "leadership is being transferred, try again")
	case errors.Is(err, raft.ErrEnqueueTimeout):
		return api.Errorf(api.Busy, "the leader is busy: the command was not taken within %v", enqueueTimeout)
	}
	// ErrLeadershipLost, ErrRaftShutdown, a store error, our own deadline: the
	// entry may be in a log that survives.
	return api.Errorf(api.OutcomeUnknown, "outcome unknown: %v", err)
}

// notDone is the error of a request whose time was over before it began.
func notDone(err error) error {
	if errors.Is(err, context.Canceled) {
		return api.Errorf(api.Cancelled, "cancelled before it was proposed")
	}
	return api.Errorf(api.Deadline, "deadline exceeded before it was proposed")
}

// notLeader is the error that leads to the leader: NotLeader with its hint, or
// NoLeader.
func (n *Node) notLeader() error {
	hint := n.Leader()
	if hint.ID == "" || hint.ID == n.ID() {
		return api.Errorf(api.NoLeader, "no leader: an election is going on, or too few keepers can reach each other")
	}
	data, err := json.Marshal(hint)
	if err != nil {
		return api.Errorf(api.NoLeader, "no leader: %v", err)
	}
	return &api.Error{Code: api.NotLeader, Msg: "not the leader: ask " + hint.Address, Data: string(data)}
}

// await waits for a future within ctx. The goroutine that reads the future ends
// with it; Close waits for it.
func (n *Node) await(ctx context.Context, f raft.Future) error {
	done := make(chan error, 1)
	endWith(f, n.raftDown)
	n.futures.Go(func() { done <- f.Error() })
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	case <-n.dead:
		return raft.ErrRaftShutdown
	}
}

// untilDeadline is the time left in ctx, at most limit and never zero, which
// raft would take for no limit.
func untilDeadline(ctx context.Context, limit time.Duration) time.Duration {
	if deadline, ok := ctx.Deadline(); ok {
		limit = min(limit, time.Until(deadline))
	}
	return max(limit, time.Millisecond)
}

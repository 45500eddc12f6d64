package cluster

import (
	"context"
	"time"

	"github.com/hashicorp/raft"

	"github.com/zerokeeper/zero/fsm"
	"github.com/zerokeeper/zero/transport/api"
)

// ProposeRowInTerm is ProposeInTerm for commands of which each is decided on what
// the one before it does: they stand in the log in this order, and share what its
// syncs cost. The results are those of as many as were applied for sure; the error
// is of the first that was not, and what comes behind that one is as unknown as it is.
// A command that is refused does not keep the next from being tried: each has to be
// compare-and-set on its predecessor.
func (n *Node) ProposeRowInTerm(ctx context.Context, term uint64, row ...fsm.Command) ([]fsm.Result, error) {
	if err := n.usable(); err != nil {
		return nil, err
	}
	if now, leading := n.leads(); !leading || term == 0 || now != term {
		return nil, n.notLeader()
	}
	ctx, cancel := context.WithTimeout(ctx, n.cfg.ApplyTimeout)
	defer cancel()
	if err := ctx.Err(); err != nil {
		return nil, notDone(err)
	}
	entries := make([][]byte, len(row))
	for i, c := range row {
		entry, err := fsm.Encode(fsm.Header{Term: term, Time: n.cfg.Now().UnixNano()}, c)
		if err != nil {
			return nil, api.Errorf(api.TooLarge, "propose: %v", err)
		}
		entries[i] = entry
	}
	began := time.Now()
	futures := make([]raft.ApplyFuture, len(row))
	for i, entry := range entries {
		select {
		case n.proposals <- struct{}{}:
			defer func() { <-n.proposals }()
		default:
			if i == 0 {
				return nil, api.Errorf(api.Busy, "propose: %d commands wait already", maxProposals)
			}
			return n.results(ctx, began, futures[:i])
		}
		futures[i] = n.raft.Apply(entry, untilDeadline(ctx, enqueueTimeout))
	}
	return n.results(ctx, began, futures)
}

// results waits for the outcomes, in order.
func (n *Node) results(ctx context.Context, began time.Time, futures []raft.ApplyFuture) ([]fsm.Result, error) {
	var results []fsm.Result
	for _, f := range futures {
		if err := n.await(ctx, f); err != nil {
			err = n.proposalError(err)
			n.metrics.proposed(began, false, err)
			return results, err
		}
		o, ok := f.Response().(outcome)
		if !ok || o.err != nil {
			return results, api.Errorf(api.OutcomeUnknown, "outcome unknown: this keeper stopped while it applied the command")
		}
		n.metrics.proposed(began, o.result.Code != 0, nil)
		results = append(results, o.result)
	}
	return results, nil
}

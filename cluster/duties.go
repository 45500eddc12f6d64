package cluster

import (
	"context"
	"time"

	"github.com/hashicorp/raft"

	"github.com/zerokeeper/zero/fsm"
	"github.com/zerokeeper/zero/transport/api"
)

const (
	dutyInterval = 500 * time.Millisecond
	promoteLag   = 64 // entries that a non-voter may be behind to be promoted
	promoteTwice = 2  // looks in a row at which it must be that close
)

// duties are what the leader does for the group itself: it names the cluster,
// promotes non-voters and forgets members that were removed. It returns only
// when its term is over: what fails is tried again.
func (n *Node) duties(ctx context.Context, term uint64) error {
	looks := make(map[raft.ServerID]int) // looks in a row at which a non-voter was close
	for ctx.Err() == nil {
		if err := n.nameCluster(ctx, term); err != nil && ctx.Err() == nil {
			n.log.Warn("cannot name the cluster yet", "error", err)
		}
		n.forgetRemoved(ctx, term)
		n.promote(ctx, looks)
		sleep(ctx, dutyInterval)
	}
	return nil
}

// nameCluster gives the cluster its id, once in its life.
func (n *Node) nameCluster(ctx context.Context, term uint64) error {
	if n.State().ClusterID() != "" {
		return nil
	}
	result, err := n.ProposeInTerm(ctx, term, fsm.Header{}, &fsm.InitCluster{ClusterID: randomID()})
	if err != nil {
		return err
	}
	return refused(result)
}

// forgetRemoved drops the records of members that are gone from raft's
// configuration: a removal that stopped half way.
func (n *Node) forgetRemoved(ctx context.Context, term uint64) {
	if n.group.lock(ctx) != nil {
		return
	}
	defer n.group.unlock()
	for _, id := range strangers(n.configuration(), n.State()) {
		if err := n.forget(ctx, term, id); err != nil && ctx.Err() == nil {
			n.log.Warn("cannot forget a removed member yet", "member", id, "error", err)
		}
	}
}

// promote makes voters of the non-voters that have caught up.
func (n *Node) promote(ctx context.Context, looks map[raft.ServerID]int) {
	for _, s := range n.configuration().Servers {
		if s.Suffrage == raft.Voter || ctx.Err() != nil {
			delete(looks, s.ID)
			continue
		}
		if !n.caughtUpAt(ctx, s) {
			looks[s.ID] = 0
			continue
		}
		if looks[s.ID]++; looks[s.ID] < promoteTwice {
			continue
		}
		if err := n.makeVoter(ctx, s); err != nil {
			n.log.Warn("cannot promote a keeper yet", "member", s.ID, "error", err)
			continue
		}
		n.log.Info("promoted a keeper to voter", "member", s.ID, "address", s.Address)
	}
}

// caughtUpAt asks a non-voter how far it is.
func (n *Node) caughtUpAt(ctx context.Context, s raft.Server) bool {
	index := n.applier.index.Load()
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	status, err := n.statusOf(ctx, s.ID)
	if err != nil {
		n.log.Debug("cannot ask a non-voter how far it is", "member", s.ID, "error", err)
		return false
	}
	return status.MemberID == string(s.ID) && status.ClusterID == n.ClusterID() && status.Index+promoteLag >= index
}

// statusOf asks a member for its own view.
func (n *Node) statusOf(ctx context.Context, id raft.ServerID) (api.NodeStatusAnswer, error) {
	if n.cfg.Peers == nil {
		return api.NodeStatusAnswer{}, api.Errorf(api.NetConnect, "this keeper has no client to ask others with")
	}
	return n.cfg.Peers.Status(ctx, n.book.address(id))
}

// makeVoter promotes the server unless it was changed or removed meanwhile.
func (n *Node) makeVoter(ctx context.Context, s raft.Server) error {
	ctx, cancel := context.WithTimeout(ctx, n.cfg.ApplyTimeout)
	defer cancel()
	if err := n.group.lock(ctx); err != nil {
		return err
	}
	defer n.group.unlock()
	if now, ok := find(n.configuration(), s.ID); !ok || now != s || n.State().Member(string(s.ID)) == nil {
		return api.Errorf(api.NotReady, "its address changed, or it did not register yet")
	}
	if err := n.await(ctx, n.raft.AddVoter(s.ID, s.Address, 0, untilDeadline(ctx, enqueueTimeout))); err != nil {
		return n.configurationError(err)
	}
	return nil
}

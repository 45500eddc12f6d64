package cluster

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/hashicorp/raft"

	"github.com/zerokeeper/zero/fsm"
	"github.com/zerokeeper/zero/transport/api"
)

// HandleJoin answers KeeperJoin on the leader: a keeper that is new becomes a
// non-voter (duties promote it when it has caught up), one that is known has its
// new address and record written down. Forbidden, BadRequest and ForeignCluster
// are for good; what to do stands in the message.
func (n *Node) HandleJoin(ctx context.Context, req api.KeeperJoinRequest) error {
	if err := checkJoin(req); err != nil {
		return err
	}
	if err := n.group.lock(ctx); err != nil {
		return err
	}
	defer n.group.unlock()
	proof, err := n.Prove(ctx)
	if err != nil {
		return err
	}
	if err := n.admit(req, proof.State); err != nil {
		n.log.Warn("refused a keeper", "name", req.Name, "member", req.MemberID, "address", req.Address, "reason", err)
		return err
	}
	if err := n.configure(ctx, req); err != nil {
		return err
	}
	return n.enrol(ctx, proof, req)
}

// checkJoin refuses what cannot be a member.
func checkJoin(req api.KeeperJoinRequest) error {
	if !validID(req.MemberID) {
		return api.Errorf(api.BadRequest, "join: member id %q: want 32 hex digits", req.MemberID)
	}
	_, err := starts(req.Incarnation)
	if err := errors.Join(checkName(req.Name), checkAddress(req.Address), checkHTTP(req.HTTP), err); err != nil {
		return api.Errorf(api.BadRequest, "join: %v", err)
	}
	if len(req.Version) > 256 {
		return api.Errorf(api.BadRequest, "join: a version of %d bytes", len(req.Version))
	}
	return nil
}

// admit decides whether the keeper may be a member.
func (n *Node) admit(req api.KeeperJoinRequest, state *fsm.State) error {
	own := n.ClusterID()
	if req.ClusterID != "" && own != "" && req.ClusterID != own {
		return api.Errorf(api.ForeignCluster, "keeper %s has a data directory of cluster %s, this is cluster %s: start it with an empty directory, or at its own cluster", req.Name, req.ClusterID, own)
	}
	config := n.configuration()
	_, member := find(config, raft.ServerID(req.MemberID))
	if !member && req.ClusterID != "" {
		return api.Errorf(api.Forbidden, "keeper %s (member %s) is not in the group any more: it was removed, or its join did not complete. Delete its data directory to let it join as a new member", req.Name, req.MemberID)
	}
	if !member && len(config.Servers) >= maxMembers {
		return api.Errorf(api.Forbidden, "the group has %d keepers already", len(config.Servers))
	}
	for _, s := range config.Servers {
		if string(s.Address) == req.Address && string(s.ID) != req.MemberID {
			return api.Errorf(api.Forbidden, "%s is the address of member %s. If that keeper's data directory was lost, remove the member first; it must not come back as the old one with an empty log", req.Address, s.ID)
		}
	}
	for _, m := range state.Members() {
		if m.Name == req.Name && m.ID != req.MemberID {
			return api.Errorf(api.Forbidden, "the name %s belongs to member %s at %s. If that keeper's data directory was lost, remove the member first; else choose another name", req.Name, m.ID, m.Address)
		}
	}
	return checkIncarnation(req, state.Member(req.MemberID))
}

// checkIncarnation refuses an older copy of a data directory, and the second of
// two copies. The error's data is the incarnation that is known.
func checkIncarnation(req api.KeeperJoinRequest, known *fsm.Member) error {
	if known == nil || !older(req.Incarnation, known.Incarnation) {
		return nil
	}
	return &api.Error{Code: api.Forbidden, Data: known.Incarnation, Msg: fmt.Sprintf("keeper %s (member %s) is known by its start %s, its data directory by %s: it is an older copy, or one of two. %s",
		req.Name, req.MemberID, known.Incarnation, req.Incarnation, condemnedHint)}
}

// configure brings the keeper into raft's configuration, or its address up to
// date there.
func (n *Node) configure(ctx context.Context, req api.KeeperJoinRequest) error {
	ctx, cancel := context.WithTimeout(ctx, n.cfg.ApplyTimeout)
	defer cancel()
	id, address := raft.ServerID(req.MemberID), raft.ServerAddress(req.Address)
	server, member := find(n.configuration(), id)
	var change raft.Future
	switch {
	case member && server.Address == address:
		return nil
	case member && server.Suffrage == raft.Voter:
		change = n.raft.AddVoter(id, address, 0, untilDeadline(ctx, enqueueTimeout))
	default:
		change = n.raft.AddNonvoter(id, address, 0, untilDeadline(ctx, enqueueTimeout))
	}
	if err := n.await(ctx, change); err != nil {
		return n.configurationError(err)
	}
	what := "a keeper joined, as a non-voter"
	if member {
		what = "a keeper has a new address"
	}
	n.log.Info(what, "name", req.Name, "member", req.MemberID, "address", req.Address)
	return nil
}

// configurationError sorts the errors of a change of the configuration.
func (n *Node) configurationError(err error) error {
	switch {
	case errors.Is(err, raft.ErrNotLeader), errors.Is(err, raft.ErrLeadershipLost):
		return n.notLeader()
	case errors.Is(err, raft.ErrEnqueueTimeout), errors.Is(err, raft.ErrLeadershipTransferInProgress):
		return api.Errorf(api.Busy, "the members cannot be changed now: %v", err)
	}
	return api.Errorf(api.NotReady, "change the members: %v", err)
}

// enrol writes the keeper's record, if it differs.
func (n *Node) enrol(ctx context.Context, proof Proof, req api.KeeperJoinRequest) error {
	record := fsm.RegisterMember{
		ID: req.MemberID, Name: req.Name, Address: req.Address, HTTP: req.HTTP, Version: req.Version, FeatureLevel: req.FeatureLevel, Incarnation: req.Incarnation,
	}
	if known := n.State().Member(req.MemberID); known != nil && *known == fsm.Member(record) {
		return nil
	}
	result, err := n.ProposeInTerm(ctx, proof.Term, fsm.Header{}, &record)
	if err != nil {
		return fmt.Errorf("register keeper %s: %w", req.Name, err)
	}
	return refused(result)
}

// refused is the error of a command that the state machine refused.
func refused(r fsm.Result) error {
	if r.Code == 0 {
		return nil
	}
	return api.Errorf(api.Code(r.Code), "%s", r.Msg)
}

// RemoveMember takes a keeper (id, name or address) out of the group for good.
// When that is the leader itself, it hands leadership over and answers NotLeader:
// the next one removes it.
func (n *Node) RemoveMember(ctx context.Context, who string) error {
	proof, err := n.Prove(ctx)
	if err != nil {
		return err
	}
	id, err := n.resolve(who)
	if err != nil {
		return err
	}
	if string(id) == n.ID() {
		if err := n.abdicate(ctx); err != nil {
			return fmt.Errorf("remove the leader: %w", err)
		}
		return n.notLeader()
	}
	if err := n.group.lock(ctx); err != nil {
		return err
	}
	defer n.group.unlock()
	if err := n.canSpare(ctx, id); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, n.cfg.ApplyTimeout)
	defer cancel()
	if err := n.await(ctx, n.raft.RemoveServer(id, 0, untilDeadline(ctx, enqueueTimeout))); err != nil {
		return n.configurationError(err)
	}
	n.log.Info("removed a member", "member", id)
	return n.forget(ctx, proof.Term, string(id))
}

// canSpare refuses to remove a voter when those that would be left and can be
// reached are no majority of them: the group would stop, and could not even
// take the change back.
func (n *Node) canSpare(ctx context.Context, id raft.ServerID) error {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	left, reached := 0, 0
	for _, s := range n.configuration().Servers {
		switch {
		case s.Suffrage != raft.Voter || s.ID == id:
		case string(s.ID) == n.ID():
			left, reached = left+1, reached+1
		default:
			left++
			if status, err := n.statusOf(ctx, s.ID); err == nil && status.MemberID == string(s.ID) {
				reached++
			}
		}
	}
	if reached < left/2+1 {
		return api.Errorf(api.NotReady, "without it %d of %d voters would be reachable, too few to go on: bring the others back first", reached, left)
	}
	return nil
}

// forget drops the record of a member that is not in the configuration.
func (n *Node) forget(ctx context.Context, term uint64, id string) error {
	result, err := n.ProposeInTerm(ctx, term, fsm.Header{}, &fsm.RemoveMember{ID: id})
	if err != nil {
		return err
	}
	if result.Code == fsm.CodeKeyMissing {
		return nil
	}
	return refused(result)
}

// strangers are recorded members that raft's configuration does not have.
func strangers(config raft.Configuration, state *fsm.State) []string {
	var ids []string
	for _, m := range state.Members() {
		if !slices.ContainsFunc(config.Servers, func(s raft.Server) bool { return string(s.ID) == m.ID }) {
			ids = append(ids, m.ID)
		}
	}
	return ids
}

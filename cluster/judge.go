package cluster

import (
	"fmt"

	"github.com/hashicorp/raft"
)

// judge decides on an incoming Raft connection.
func (n *Node) judge(p preamble) verdict {
	own := n.ClusterID()
	_, sibling := find(n.configuration(), raft.ServerID(p.sender))
	switch {
	case p.addressee != n.ID():
		return notAddressee
	case own != "" && p.cluster != "" && own != p.cluster:
		return otherCluster
	case own != "" && p.cluster == "" && !sibling:
		return notMember // else: one of us that did not apply the first command yet
	case older(n.stream.incarnation, p.known):
		// Whoever says so is not believed far enough to end this keeper, unless it
		// is one of us.
		if sibling && own != "" && p.cluster == own {
			n.older(p.known)
		}
		return olderHere
	case older(p.incarnation, n.incarnationOf(p.sender)):
		return olderSender
	}
	return accepted
}

// incarnationOf is the incarnation under which the group knows a member, as far
// as it was applied here; empty when it knows none.
func (n *Node) incarnationOf(id string) string {
	if m := n.State().Member(id); m != nil {
		if _, err := starts(m.Incarnation); err == nil {
			return m.Incarnation
		}
	}
	return ""
}

// older reports whether a directory that is at its start own is an older copy
// of one that is known by another start, or the second of two copies. At a
// normal restart the start before is known, which is lower.
func older(own, known string) bool {
	was, err := starts(known)
	if err != nil {
		return false // nothing is known
	}
	now, err := starts(own)
	return err != nil || now < was || (now == was && own != known)
}

// older ends this keeper for good when its directory is an older copy of the
// one that the group knows by known.
func (n *Node) older(known string) {
	own := n.stores.identity.get().Incarnation
	if older(own, known) {
		n.condemn(ErrOlderCopy, fmt.Sprintf("the group knows its start %s, this is start %s", known, own))
	}
}

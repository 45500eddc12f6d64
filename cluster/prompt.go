package cluster

import (
	"context"
	"time"

	"github.com/hashicorp/raft"
)

// promptStep is by how much Heartbeat is shortened to make raft look.
const promptStep = time.Microsecond

// promptLoop lets a follower act on a silent leader as soon as Heartbeat is
// over.
//
// raft v1.7.3 looks at the last contact only when a timer of one to two times
// Heartbeat fires, and starts it anew when the leader was heard within
// Heartbeat; with pre-vote, a majority must have looked before any of them can
// be elected. That takes 2.2 times Heartbeat from the death of a leader to the
// next on the average. ReloadConfig with a shorter Heartbeat makes a follower
// look at once, so shortening it by promptStep at the right moment takes the
// wait down to Heartbeat and a little. Nobody asks for an election any sooner
// than Heartbeat after the last contact.
func (n *Node) promptLoop(ctx context.Context) {
	heartbeat := n.cfg.Timing.Heartbeat
	for ctx.Err() == nil {
		due := heartbeat + time.Duration(n.place())*heartbeat/6
		silence := time.Since(n.raft.LastContact())
		switch {
		case n.raft.State() != raft.Follower || n.Leader().ID == "":
			sleep(ctx, heartbeat/4)
		case silence < due:
			sleep(ctx, due-silence)
		default:
			n.prompt(heartbeat)
			sleep(ctx, heartbeat/4)
		}
	}
}

// place is this node's place among the voters that follow, by member id. They
// look one after another: those that look at the same moment split the vote,
// and lose an election's time. The one whose look completes a majority wins.
func (n *Node) place() int {
	leader, place := n.Leader().ID, 0
	for _, s := range n.configuration().Servers {
		if s.Suffrage == raft.Voter && string(s.ID) != leader && string(s.ID) < n.ID() {
			place++
		}
	}
	return place
}

// prompt makes a follower look at its last contact now.
func (n *Node) prompt(heartbeat time.Duration) {
	for _, h := range []time.Duration{heartbeat, heartbeat - promptStep} {
		c := n.raft.ReloadableConfig()
		c.HeartbeatTimeout = h
		if err := n.raft.ReloadConfig(c); err != nil {
			n.log.Warn("cannot prompt an election, raft's own timer will", "error", err)
			return
		}
	}
}

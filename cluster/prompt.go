package cluster

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/hashicorp/raft"
)

// promptLoop lets a follower act on a silent leader as soon as Heartbeat is
// over.
//
// raft v1.7.3 looks at the last contact only when a timer of one to two times
// Heartbeat fires, and starts it anew when the leader was heard within
// Heartbeat; with pre-vote, a majority must have looked before any of them can
// be elected. That takes 2.2 times Heartbeat from the death of a leader to the
// next on the average. ReloadConfig with a shorter Heartbeat makes a follower
// look at once, so shortening it by a microsecond at the right moment takes the
// wait down to Heartbeat and a little. Nobody asks for an election any sooner
// than Heartbeat after the last contact.
func (n *Node) promptLoop(ctx context.Context) {
	heartbeat := n.cfg.Timing.Heartbeat
	for ctx.Err() == nil {
		// Followers that look at the same moment split the vote.
		due := heartbeat + rand.N(heartbeat/8)
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

// prompt makes a follower look at its last contact now.
func (n *Node) prompt(heartbeat time.Duration) {
	for _, h := range []time.Duration{heartbeat, heartbeat - time.Microsecond} {
		c := n.raft.ReloadableConfig()
		c.HeartbeatTimeout = h
		if err := n.raft.ReloadConfig(c); err != nil {
			n.log.Warn("cannot prompt an election, raft's own timer will", "error", err)
			return
		}
	}
}

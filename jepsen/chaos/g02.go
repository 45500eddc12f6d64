package chaos

import (
	"context"
	"time"
)

func init() {
	register(&Scenario{
		Name: "G2", Title: "a set under kills, pauses and starvation", Invariants: "I2 I3 I12 I14",
		Nodes: 5, AlsoNodes: []int{3}, Fabric: bridged, Args: smallLogs, Quiet: []string{`too many open files`},
		Play: func(ctx context.Context, r *Run) error {
			all := []nemesis{
				killed("leader killed", theLeader), killed("follower killed", aFollower),
				killed("minority killed", aMinority), killed("all killed", everybody),
				paused("leader paused", theLeader), paused("follower paused", aFollower),
				starved(), outOfMemory(), outOfFiles(), handedOver(),
			}
			return r.playSet(ctx, all, pace{on: time.Second, off: 500 * time.Millisecond})
		},
	})
	register(&Scenario{
		Name: "G2-pause", Title: "registers, and the leader stopped for 5 s", Invariants: "I1 I3 I12 I14",
		Nodes: 3, AlsoNodes: []int{5}, Fabric: bridged,
		Play: func(ctx context.Context, r *Run) error {
			return r.playPausedReads(ctx, 1, pace{on: 5 * time.Second, off: time.Second})
		},
	})
}

// smallLogs make keepers take snapshots and cut their logs often, so that both
// happen in runs of seconds.
var smallLogs = []string{"--snapshot-entries", "50", "--trailing-entries", "20", "--snapshot-interval", "500ms"}

const (
	setClients = 6
	setPause   = 40 * time.Millisecond
)

// playSet disturbs a quorum whose clients add elements.
func (r *Run) playSet(ctx context.Context, all []nemesis, p pace) error {
	w, err := r.startWorkload(ctx, setClients, setPause, new(additions).step)
	if err != nil {
		return err
	}
	defer w.stop()
	if err := r.disturb(ctx, all, p); err != nil {
		return err
	}
	return r.settle(ctx, w)
}

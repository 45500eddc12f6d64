package chaos

import (
	"context"
	"time"
)

// The controls (G18): keepers that are broken on purpose, each in the scenario
// whose checker must notice. Their names begin with the scenario's.
func init() {
	register(&Scenario{
		Name: "G18-nosync", Title: "power cuts without fsync", Invariants: "I2", Control: "nosync", Finds: "I2",
		Nodes: 3, Fabric: bridged, Volume: ext4,
		Play: func(ctx context.Context, r *Run) error {
			return r.playSet(ctx, []nemesis{powerCut("power cut of all", everybody)}, pace{on: 300 * time.Millisecond, off: 2 * time.Second})
		},
	})
	register(&Scenario{
		Name: "G18-staleread", Title: "reads by whichever keeper is asked, and the leader stopped", Invariants: "I1", Control: "staleread", Finds: "I1",
		Nodes: 3, Fabric: bridged,
		Play: func(ctx context.Context, r *Run) error {
			return r.playPausedReads(ctx, 1, pace{on: time.Second, off: time.Second})
		},
	})
	register(&Scenario{
		Name: "G18-wallclock", Title: "registrations that end by the wall clock", Invariants: "I9", Control: "wallclock", Finds: "I9",
		Nodes: 3, Fabric: bridged, Clock: true, Args: []string{"--lost-after", leaseTTL.String(), "--remove-after", "1h"},
		Play: func(ctx context.Context, r *Run) error {
			return r.playLeases(ctx, []nemesis{clockMoved("clock a day ahead", 24*time.Hour)}, pace{on: 2 * time.Second, off: 2 * time.Second})
		},
		Judge: judgeLeases,
	})
	register(&Scenario{
		Name: "G18-nosessions", Title: "retries that happen again", Invariants: "I10", Control: "nosessions", Finds: "I10",
		Nodes: 3, Fabric: shaped, Most: 0.5,
		Play: playCounters, Judge: judgeCounters,
	})
	register(&Scenario{
		Name: "G18-nosum", Title: "a flipped bit in a log value, and no checksums", Invariants: "I13", Control: "nosum", Finds: "I13",
		Nodes: 3, Fabric: bridged, Args: smallLogs, Quiet: damageLines,
		Play: func(ctx context.Context, r *Run) error {
			return r.playSet(ctx, []nemesis{damaged(bitInLogValue, mustRefuse)}, pace{on: 200 * time.Millisecond, off: 500 * time.Millisecond})
		},
	})
}

package chaos

import (
	"context"
	"time"

	"github.com/zerokeeper/zero/jepsen/fault"
)

func init() {
	register(&Scenario{
		Name: "G10", Title: "a set on failing disks", Invariants: "I2 I3 I12 I14",
		Nodes: 3, AlsoNodes: []int{5}, Fabric: bridged, Volume: ext4, Args: smallLogs, Quiet: diskLines,
		Play: func(ctx context.Context, r *Run) error {
			return r.playSet(ctx, []nemesis{
				diskFault(fault.DiskHung, theLeader), diskFault(fault.DiskFull, leaderOrFollower),
				diskFault(fault.DiskGone, leaderOrFollower), diskFault(fault.ReadOnly, leaderOrFollower), slowDisk(leaderOrFollower),
			}, pace{on: 2 * time.Second, off: time.Second})
		},
	})
	register(&Scenario{
		Name: "G10-calls", Title: "a set on disks that refuse calls", Invariants: "I2 I3 I12 I14",
		Nodes: 3, AlsoNodes: []int{5}, Fabric: bridged, Volume: fuse, Args: smallLogs, Quiet: diskLines,
		Play: func(ctx context.Context, r *Run) error {
			return r.playSet(ctx, []nemesis{
				diskFault(fault.WriteError, leaderOrFollower), diskFault(fault.SyncError, leaderOrFollower), diskFault(fault.WriteFull, leaderOrFollower),
				diskFault(fault.SlowSync, leaderOrFollower), diskFault(fault.TornWrite, leaderOrFollower), diskFault(fault.HungSync, aFollower),
			}, pace{on: 1200 * time.Millisecond, off: 600 * time.Millisecond})
		},
	})
}

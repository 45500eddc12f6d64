package chaos

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

func init() {
	register(&Scenario{
		Name: "G3", Title: "a set under power cuts", Invariants: "I2 I3 I12 I14",
		Nodes: 3, AlsoNodes: []int{5}, Fabric: bridged, Volume: ext4, Args: smallLogs, Quiet: diskLines,
		Play: func(ctx context.Context, r *Run) error {
			all := []nemesis{powerCut("power cut of one", theLeader), powerCut("power cut of a minority", aMinority), powerCut("power cut of all", everybody)}
			return r.playSet(ctx, all, pace{on: 800 * time.Millisecond, off: 1500 * time.Millisecond})
		},
	})
	register(&Scenario{
		Name: "G3-all", Longer: true, Title: "a set, and power cuts of all keepers at once", Invariants: "I2 I3 I12 I14",
		Nodes: 5, AlsoNodes: []int{3}, Fabric: bridged, Volume: ext4, Args: smallLogs, Quiet: diskLines,
		Play: func(ctx context.Context, r *Run) error {
			return r.playSet(ctx, []nemesis{powerCut("power cut of all", everybody)}, pace{on: 300 * time.Millisecond, off: 1500 * time.Millisecond})
		},
	})
}

// diskLines are what a keeper may say when its disk fails: it stops, and says why.
var diskLines = []string{
	`the Raft store failed`, `input/output error`, `no space left`, `read-only file system`, `stale file handle`, `the disk hangs`, `the disk is (nearly )?full`,
}

// powerCut cuts the power of disks with everything on them. What was not synced
// is gone afterwards.
func powerCut(name string, pick victims) nemesis {
	return nemesis{name: name, run: func(ctx context.Context, r *Run, rand *rand.Rand, on time.Duration) error {
		nodes, err := pick(ctx, r, rand)
		if err != nil {
			return err
		}
		journal := rand.IntN(2) == 0
		r.Timeline.Inject(name, "power of %s, journal flushed: %v", nodeNames(nodes), journal)
		for _, n := range nodes {
			n.ExpectEnd() // it may notice before it is killed
			if err := n.disk.PowerCut(journal); err != nil {
				return err
			}
		}
		dead := 0
		for _, n := range nodes {
			if err := os.WriteFile(filepath.Join(n.mount, "probe"), []byte("x"), 0o600); errors.Is(err, syscall.EIO) {
				dead++
			}
			if err := n.Kill(); err != nil {
				return err
			}
		}
		wait(ctx, on)
		for _, n := range nodes {
			if err := n.disk.Restore(); err != nil {
				return err
			}
		}
		if err := r.Quorum.revive(ctx); err != nil {
			return err
		}
		r.Timeline.Note("power is back")
		if dead == len(nodes) {
			r.Timeline.Bite(name, fmt.Sprintf("%d disks were gone under running keepers", dead))
		}
		return nil
	}}
}

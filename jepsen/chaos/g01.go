package chaos

import (
	"context"
	"time"
)

func init() {
	register(&Scenario{
		Name: "G1", Title: "registers under partitions", Invariants: "I1 I3 I12 I14",
		Nodes: 5, AlsoNodes: []int{3}, Fabric: bridged,
		Play: func(ctx context.Context, r *Run) error {
			return r.playRegisters(ctx, partitions(), pace{on: 2 * time.Second, off: 700 * time.Millisecond})
		},
	})
	register(&Scenario{
		Name: "G1-lines", Title: "registers on bad lines", Invariants: "I1 I3 I12 I14",
		Nodes: 3, AlsoNodes: []int{5}, Fabric: shaped,
		Play: func(ctx context.Context, r *Run) error {
			return r.playRegisters(ctx, badLines(), pace{on: 1200 * time.Millisecond, off: 300 * time.Millisecond})
		},
	})
}

// registerClients is how many clients read and write registers, each about every
// registerPause.
const (
	registerClients = 8
	registerPause   = 40 * time.Millisecond
)

// playRegisters disturbs a quorum whose clients read, write and compare-and-set.
func (r *Run) playRegisters(ctx context.Context, all []nemesis, p pace) error {
	w, err := r.startWorkload(ctx, registerClients, registerPause, newRegisters().step)
	if err != nil {
		return err
	}
	defer w.stop()
	if err := r.disturb(ctx, all, p); err != nil {
		return err
	}
	return r.settle(ctx, w)
}

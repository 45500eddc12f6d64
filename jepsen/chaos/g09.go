package chaos

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/zerokeeper/zero/fsm"
)

func init() {
	lossless := &dataPlan{Proxies: 3, Databases: 3, Switch: []string{"auto_failover: true", "policy: lossless"}}
	register(&Scenario{
		Name: "G9", Title: "partitions across keepers, proxies, agents and databases", Invariants: "I3 I4 I5 I6 I8 I12 I14",
		Nodes: 3, AlsoNodes: []int{5}, Fabric: bridged, Data: lossless, Limit: 4 * time.Minute,
		Play: func(ctx context.Context, r *Run) error {
			return r.playSplits(ctx, dataFaults(mendedAfter), pace{on: 3 * time.Second, off: 600 * time.Millisecond})
		},
		Judge: judgeMoved, Quiet: errantAlarms,
	})
	register(&Scenario{
		Name: "G9-restart", Title: "the same with hosts that start their database again at once", Invariants: "I3 I4 I5 I6 I8 I12 I14",
		Nodes: 3, Fabric: bridged, Limit: 4 * time.Minute, Longer: true,
		Data: &dataPlan{Proxies: 3, Databases: 3, Switch: lossless.Switch, RestartAtOnce: true},
		Play: func(ctx context.Context, r *Run) error {
			return r.playSplits(ctx, dataFaults(mendedAfter), pace{on: 3 * time.Second, off: 600 * time.Millisecond})
		},
		Judge: judgeMoved, Quiet: errantAlarms,
	})
	register(&Scenario{
		Name: "G9-strict", Title: "the same, and no server may need a person", Invariants: "I3 I4 I5 I6 I8 I12 I14",
		Nodes: 3, AlsoNodes: []int{5}, Fabric: bridged, Data: lossless, Limit: 4 * time.Minute, Longer: true,
		Play: func(ctx context.Context, r *Run) error {
			return r.playSplits(ctx, dataFaults(inOrderAfter), pace{on: 3 * time.Second, off: 600 * time.Millisecond})
		},
		Judge: judgeMoved, Quiet: fencing,
	})
	register(&Scenario{
		Name: "G9-doubles", Title: "two partitions at once, or one and something dead or stopped", Invariants: "I3 I4 I5 I6 I8 I12 I14",
		Nodes: 3, AlsoNodes: []int{5}, Fabric: bridged, Data: lossless, Limit: 10 * time.Minute, Longer: true, Most: 0.2,
		Play: func(ctx context.Context, r *Run) error {
			return r.playSplits(ctx, doubleFaults(), pace{on: 4 * time.Second, off: time.Second})
		},
		Quiet: errantAlarms,
	})
	register(&Scenario{
		Name: "G9-available", Title: "the same where a failover may lose writes", Invariants: "I3 I4 I6 I8 I12 I14",
		Nodes: 3, AlsoNodes: []int{5}, Fabric: bridged, Limit: 4 * time.Minute, Longer: true,
		Data: &dataPlan{Proxies: 3, Databases: 3, Switch: []string{"auto_failover: true", "policy: available"}, MayLose: true},
		Play: func(ctx context.Context, r *Run) error {
			return r.playSplits(ctx, dataFaults(mendedAfter), pace{on: 3 * time.Second, off: 600 * time.Millisecond})
		},
		Judge: judgeMoved, Quiet: errantAlarms,
	})
	register(&Scenario{
		Name: "G9-calm", Title: "planned switches that nothing disturbs", Invariants: "I3 I4 I5 I6 I8 I12 I14",
		Nodes: 3, Fabric: bridged, Data: lossless, Longer: true, Limit: 4 * time.Minute,
		Play: func(ctx context.Context, r *Run) error {
			return r.playSplits(ctx, []nemesis{{name: "nothing", run: func(ctx context.Context, r *Run, _ *rand.Rand, on time.Duration) error {
				wait(ctx, on)
				return nil
			}}}, pace{on: 10 * time.Second, off: time.Second})
		},
	})
}

// playSplits disturbs the data plane while somebody moves the primary.
func (r *Run) playSplits(ctx context.Context, all []nemesis, p pace) error {
	wait(ctx, time.Second)
	if err := r.Data.moveOnce(ctx); err != nil {
		return err
	}
	m := r.Data.startMover(ctx, 1500*time.Millisecond)
	defer m.stop(r)
	return r.disturb(ctx, all, p)
}

// fencing is what an agent says when it kills its server, as it must when that cannot be made read-only in time.
// A replica that hears nothing of its source asks for a person, until it hears it again; so does a primary that no replica
// hears.
var fencing = []string{
	`\[ERROR\] zerokeeper\.keeper: the old primary is not writable after a rollback: see to its agent`,
	`\[ERROR\] zeroagent\.agent: this server needs a person: .*following of \S+ io thread: source not reachable`,
	`\[ERROR\] zeroagent\.agent: this server needs a person: .*alarm="this server does not receive from \S+ io thread: source not reachable`,
	`\[ERROR\] zeroagent\.agent: this server needs a person: .*alarm="commits wait for an acknowledgement: `,
	`\[ERROR\] zeroagent\.agent: killing the database server: .*"it could not be made read-only before its lease ends"`,
	`\[ERROR\] zeroagent\.agent: the database server is dead: its process is gone`,
}

// judgeMoved makes a run void in which no primary was moved as planned, or none was replaced.
func judgeMoved(_ context.Context, r *Run) {
	for _, kind := range []string{"planned", "failover"} {
		if done, _ := r.stats[fmt.Sprintf("switches %s %s", kind, fsm.StateDone)].(int); done == 0 {
			r.worse(Void, "no %s switch was done", kind)
		}
	}
}

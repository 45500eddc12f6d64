package chaos

import (
	"context"
	"time"
)

func init() {
	register(&Scenario{
		Name: "G9-calm", Title: "writes through proxies that nothing disturbs", Invariants: "I3 I4 I5 I8 I12 I14",
		Nodes: 3, Fabric: bridged, Longer: true, Limit: 3 * time.Minute,
		Data: &dataPlan{Proxies: 3, Databases: 3, Switch: []string{"auto_failover: true", "policy: lossless"}},
		Play: func(ctx context.Context, r *Run) error {
			wait(ctx, 3*time.Second)
			id, err := r.Data.StartSwitch(ctx, 1)
			if err != nil {
				return err
			}
			if _, err := r.Data.Ended(ctx, id); err != nil {
				return err
			}
			wait(ctx, time.Second)
			return nil
		},
	})
}

package ctl

import (
	"time"

	"github.com/spf13/cobra"

	"github.com/zerokeeper/zero/transport/api"
)

// dropReplicaCommand is "zeroctl group drop-replica".
func (a *app) dropReplicaCommand() *cobra.Command {
	request := api.ReplicaDropRequest{}
	cmd := &cobra.Command{
		Use: "drop-replica GROUP ADDRESS --reason TEXT", Short: "Take a replica that is gone for good out of the group's record", Args: cobra.ExactArgs(2),
		Long: `Takes a replica out of the record of a host group by force. A recorded replica may
have acknowledged writes, so a lossless failover waits for its word; one that is
gone for good never gives it.

By dropping it you say: this server will never again be counted on. A write that it
alone has acknowledged is lost if the primary is lost before another replica has
it. See first that the other replicas follow the primary and have caught up, and
that this server, should it run somewhere, does not reach the primary any more.

One that comes back and follows the primary is recorded again by itself.`,
		Example: "  zeroctl group drop-replica orders 10.0.0.3:3306 --reason \"host burnt down\"",
		RunE: func(cmd *cobra.Command, args []string) error {
			request.HostGroup, request.Address = args[0], args[1]
			if request.Reason == "" {
				return usage("--reason is empty: say why, it is kept")
			}
			done := a.progress("dropping %s from the record of %s", request.Address, request.HostGroup)
			defer done()
			if err := a.write(cmd.Context(), 0, api.ReplicaDrop, request, nil); err != nil {
				return err
			}
			done()
			return a.done("replica", request.Address, "dropped from the record")
		},
	}
	cmd.Flags().StringVar(&request.Reason, "reason", "", "why; it is kept")
	require(cmd, "reason")
	a.completeArg(cmd, a.groupNames)
	return cmd
}

// recordText shows a group whose commits wait for no acknowledgement.
func recordText(t *text, g api.Group) {
	if d := g.Degraded; d != nil {
		what := "commits wait for no acknowledgement"
		if d.Restoring {
			what = "commits are about to wait for acknowledgements again"
		}
		t.Marked(bad, "degraded since %s by %s: %s; %s", time.UnixMilli(d.SinceMS).UTC().Format(time.RFC3339), d.By, d.Why, what)
	}
}

// replicaCell is the state of a recorded replica.
func replicaCell(state string) cell {
	if state == "" || state == api.ReplicaMember {
		return cell{state, plain}
	}
	return cell{state, bad}
}

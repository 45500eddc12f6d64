package ctl

import (
	"cmp"
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/zerokeeper/zero/transport/api"
)

// stateDone is the state of a switch that went through; the other end is a
// rollback, whatever its record calls it.
const stateDone = "done"

// switchCommand is "zeroctl switch".
func (a *app) switchCommand() *cobra.Command {
	return group("switch", "Move the primary of a host group", a.switchStartCommand(), a.switchListCommand(), a.switchShowCommand(), a.switchAbortCommand(), a.switchAckCommand())
}

func (a *app) switchListCommand() *cobra.Command {
	var groupName string
	var limit int
	cmd := a.consistencyFlag(&cobra.Command{
		Use: "list", Short: "List switches, newest first", Args: cobra.NoArgs,
		Example: "  zeroctl switch list --group orders --limit 5",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if limit < 1 {
				return usage("--limit %d: want at least 1", limit)
			}
			switches, err := a.switches(cmd.Context(), groupName, limit)
			if err != nil {
				return err
			}
			return a.answer(view{JSON: map[string]any{"switches": switches}, Text: func(t *text) { switchTable(t, switches) }})
		},
	})
	cmd.Flags().StringVar(&groupName, "group", "", "only those of this host group")
	cmd.Flags().IntVar(&limit, "limit", 20, "how many at most")
	a.complete(cmd, "group", a.groupNames)
	return cmd
}

func (a *app) switches(ctx context.Context, groupName string, limit int) ([]api.Switch, error) {
	return pages(ctx, limit, func(ctx context.Context, page api.Page) ([]api.Switch, string, error) {
		var list api.SwitchListAnswer
		err := a.read(ctx, api.SwitchList, api.SwitchListRequest{HostGroup: groupName, Page: page}, &list)
		return list.Switches, list.Next, err
	})
}

// switchIDs is what a shell completes.
func (a *app) switchIDs(ctx context.Context) ([]string, error) {
	switches, err := a.switches(ctx, "", 20)
	out := make([]string, len(switches))
	for i, s := range switches {
		out[i] = s.ID + "\t" + s.HostGroup + " " + s.State
	}
	return out, err
}

// switchTable shows switches, a line each.
func switchTable(t *text, switches []api.Switch) {
	rows := make([][]any, 0, len(switches))
	for _, s := range switches {
		blackout := ""
		if s.BlackoutMS > 0 {
			blackout = millis(s.BlackoutMS)
		}
		rows = append(rows, []any{
			s.ID, s.HostGroup, s.Kind, fmt.Sprintf("%d → %d", s.FromIndex, s.ToIndex), stateCell(&s),
			clock(startOf(&s)), millis(s.TotalMS), blackout, s.RequestedBy, cmp.Or(s.Error, s.Reason),
		})
	}
	t.Table([]string{"ID", "GROUP", "KIND", "INDEX", "STATE", "STARTED (UTC)", "TOOK", "BLACKOUT", "BY", "ERROR OR REASON"}, rows)
}

func (a *app) switchShowCommand() *cobra.Command {
	cmd := a.consistencyFlag(&cobra.Command{
		Use: "show ID", Short: "Show what a switch did, step by step, and why", Args: cobra.ExactArgs(1),
		Long: `Shows the record of a switch: what came of it, each step with its time, every rule
that was checked with its input and verdict, every vote with its evidence, and
the position at which the old primary stopped.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			record, err := a.switchRecord(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			return a.answer(view{JSON: map[string]any{"switch": record}, Text: func(t *text) { switchText(t, record) }})
		},
	})
	a.completeArg(cmd, a.switchIDs)
	return cmd
}

func (a *app) switchRecord(ctx context.Context, id string) (*api.Switch, error) {
	var record api.Switch
	if err := a.read(ctx, api.SwitchShow, api.SwitchRef{ID: id}, &record); err != nil {
		return nil, err
	}
	return &record, nil
}

func (a *app) switchAbortCommand() *cobra.Command {
	var why string
	cmd := &cobra.Command{
		Use: "abort ID --reason TEXT", Short: "Stop a switch and roll it back", Args: cobra.ExactArgs(1),
		Long: `Asks that a switch is undone. Before its commit point it rolls back: writes go on
to the old primary. After it there is only forward, and the abort is refused.`,
		Example: "  zeroctl switch abort 42 --reason \"wrong group\"",
		RunE: func(cmd *cobra.Command, args []string) error {
			if why == "" {
				return usage("--reason is empty: say why, it is kept")
			}
			if err := a.write(cmd.Context(), 0, api.SwitchAbort, api.SwitchRef{ID: args[0], Reason: why}, nil); err != nil {
				return err
			}
			return a.done("switch", args[0], "is being rolled back")
		},
	}
	cmd.Flags().StringVar(&why, "reason", "", "why; it is kept")
	require(cmd, "reason")
	a.completeArg(cmd, a.switchIDs)
	return cmd
}

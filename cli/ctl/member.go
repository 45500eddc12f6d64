package ctl

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/zerokeeper/zero/transport/api"
)

// memberCommand is "zeroctl member".
func (a *app) memberCommand() *cobra.Command {
	return group("member", "The keepers of the group", a.memberListCommand(), a.memberRemoveCommand())
}

// memberListCommand lists the keepers, the unreachable ones included. Without a
// leader it still shows what each keeper of --keepers says of itself.
func (a *app) memberListCommand() *cobra.Command {
	return a.consistencyFlag(&cobra.Command{
		Use: "list", Short: "List the keepers and what each says of itself", Args: cobra.NoArgs,
		Example: "  zeroctl member list\n  zeroctl member list -o json | jq '.members[] | select(.reachable | not)'",
		RunE: func(cmd *cobra.Command, _ []string) error {
			done := a.progress("asking the keepers")
			defer done()
			var list api.MemberListAnswer
			problem := a.ask(cmd.Context(), api.MemberList, &list)
			members, err := a.askMembers(cmd.Context(), list.Members)
			if err != nil {
				return err
			}
			done()
			return a.answer(view{
				JSON: map[string]any{"members": members},
				Text: func(t *text) { memberTable(t, members) },
				Err:  problem,
			})
		},
	})
}

// memberRemoveCommand takes a keeper out of the group.
func (a *app) memberRemoveCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "remove NAME|ID|ADDRESS", Short: "Take a keeper out of the group for good", Args: cobra.ExactArgs(1),
		Long: `Takes a keeper out of the group for good: it stops, and its data directory is not
let in again. Delete the directory to let the keeper join as a new member. A
leader hands leadership over first. A keeper is not removed when those that are
left and can be reached would be no majority.`,
		Example: "  zeroctl member remove k2",
		RunE: func(cmd *cobra.Command, args []string) error {
			done := a.progress("removing keeper %s", args[0])
			defer done()
			if err := a.write(cmd.Context(), 0, api.MemberRemove, api.MemberRemoveRequest{Member: args[0]}, nil); err != nil {
				return err
			}
			done()
			return a.done("member", args[0], "removed")
		},
	}
	a.completeArg(cmd, a.memberNames)
	return cmd
}

// memberNames is what a shell completes.
func (a *app) memberNames(ctx context.Context) ([]string, error) {
	var list api.MemberListAnswer
	err := a.read(ctx, api.MemberList, struct{}{}, &list)
	var out []string
	for _, m := range list.Members {
		out = append(out, m.Name)
	}
	return out, err
}

// memberTable shows keepers.
func memberTable(t *text, members []member) {
	rows := make([][]any, 0, len(members))
	for _, m := range members {
		role := "voter"
		switch {
		case !m.Known:
			role = "unknown"
		case !m.Voter:
			role = "non-voter"
		}
		if !m.Reachable {
			rows = append(rows, []any{m.Name, m.ID, m.Endpoint, role, cell{"unreachable", bad}, "", "", "", m.Version, m.Error})
			continue
		}
		s, state := m.Status, cell{m.Status.State, plain}
		if s.State == "leader" {
			state.style = good
		}
		ready := cell{yesNo(s.Ready), plain}
		if !s.Ready {
			ready.style = bad
		}
		rows = append(rows, []any{m.Name, m.ID, m.Endpoint, role, state, s.Term, s.Index, ready, s.Version, ""})
	}
	t.Table([]string{"NAME", "ID", "ADDRESS", "ROLE", "STATE", "TERM", "APPLIED", "READY", "VERSION", "ERROR"}, rows)
}

package ctl

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/zerokeeper/zero/transport/api"
)

// leaderCommand is "zeroctl leader".
func (a *app) leaderCommand() *cobra.Command {
	return group("leader", "The leader of the keepers", a.leaderShowCommand(), a.leaderTransferCommand())
}

func (a *app) leaderShowCommand() *cobra.Command {
	return &cobra.Command{
		Use: "show", Short: "Show which keeper leads", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			leader, err := a.leader(cmd.Context())
			if err != nil {
				return err
			}
			return a.showLeader(leader)
		},
	}
}

// leader is the member that leads.
func (a *app) leader(ctx context.Context) (api.Member, error) {
	var list api.MemberListAnswer
	if err := a.read(ctx, api.MemberList, struct{}{}, &list); err != nil {
		return api.Member{}, err
	}
	for _, m := range list.Members {
		if m.Leader {
			return m, nil
		}
	}
	return api.Member{}, api.Errorf(api.NoLeader, "none of the %d members leads", len(list.Members))
}

func (a *app) showLeader(m api.Member) error {
	return a.answer(view{
		JSON: map[string]any{"leader": m},
		Text: func(t *text) {
			t.Fields("leader", m.Name, "id", m.ID, "address", m.Address, "http", m.HTTP, "version", m.Version)
		},
	})
}

func (a *app) leaderTransferCommand() *cobra.Command {
	var to string
	cmd := &cobra.Command{
		Use: "transfer", Short: "Let another keeper lead", Args: cobra.NoArgs,
		Long: "Moves leadership to the keeper that --to names by its name, id or address, or\nto the one that is furthest. Nothing else changes; no client notices.",
		Example: `  zeroctl leader transfer
  zeroctl leader transfer --to k2`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			done := a.progress("moving the leadership")
			defer done()
			if err := a.write(cmd.Context(), 0, api.LeaderTransfer, api.LeaderTransferRequest{To: to}, nil); err != nil {
				return err
			}
			leader, err := a.leader(cmd.Context())
			if err != nil {
				return err
			}
			done()
			return a.showLeader(leader)
		},
	}
	cmd.Flags().StringVar(&to, "to", "", "name, id or address of the keeper that shall lead")
	a.complete(cmd, "to", a.memberNames)
	return cmd
}

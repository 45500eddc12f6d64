package ctl

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"github.com/zerokeeper/zero/transport/api"
)

// thawTime is what the end of the leases may take beyond --timeout.
const thawTime = 5 * time.Second

// groupThawCommand is an operator's decision for a group that was frozen by a
// restore (R25).
func (a *app) groupThawCommand() *cobra.Command {
	request := api.GroupThawRequest{}
	cmd := &cobra.Command{
		Use: "thaw NAME --primary ADDRESS [--reason TEXT --yes]", Short: "Say who the primary of a frozen host group is", Args: cobra.ExactArgs(1),
		Long: `After a restore or a recovery of the keepers every host group is frozen: nobody may
write to it, until all its agents have told who its primary is. The keepers thaw it by
themselves then, most often within three seconds.

Where an agent will not come back, or the agents disagree, a person has to say who the
primary is. thaw shows what each agent knows and what speaks against that server; with
--yes it does it. What another server has taken as the primary meanwhile is lost then.
The server must not be a replica: to promote one, thaw the group with the primary that
it replicates from, and let "zeroctl switch start --failover" replace that.`,
		Example: `  zeroctl group thaw orders --primary 10.0.1.1:3306
  zeroctl group thaw orders --primary 10.0.1.1:3306 --reason "db3 burned" --yes`,
		RunE: func(cmd *cobra.Command, args []string) error {
			request.HostGroup = args[0]
			return a.groupThaw(cmd.Context(), request)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&request.Primary, "primary", "", "address of the datasource that is the primary")
	flags.StringVar(&request.Reason, "reason", "", "why it is known to be; it is kept")
	flags.BoolVar(&request.Apply, "yes", false, "do it")
	require(cmd, "primary")
	a.completeArg(cmd, a.groupNames)
	return cmd
}

func (a *app) groupThaw(ctx context.Context, request api.GroupThawRequest) error {
	switch {
	case request.Primary == "":
		return usage("--primary is empty: the address of a datasource")
	case request.Apply && request.Reason == "":
		return usage("--reason is missing: say why, it is kept")
	}
	var answer api.GroupThawAnswer
	if err := a.write(ctx, thawTime, api.GroupThaw, request, &answer); err != nil {
		return err
	}
	return a.answer(view{JSON: answer, Text: func(t *text) { thawText(t, request, answer) }})
}

func thawText(t *text, request api.GroupThawRequest, answer api.GroupThawAnswer) {
	t.Fields("group", request.HostGroup, "frozen", answer.Frozen)
	for i, w := range answer.Waits {
		if i == 0 {
			t.Title("THE KEEPERS WAIT FOR")
		}
		t.Line("%s", w)
	}
	if len(answer.Agents) > 0 {
		rows := make([][]any, 0, len(answer.Agents))
		for _, w := range answer.Agents {
			rows = append(rows, []any{w.Address, w.Says})
		}
		t.Title("WHAT THE AGENTS KNOW")
		t.Table([]string{"ADDRESS", "SAYS"}, rows)
	}
	for i, w := range answer.Warnings {
		if i == 0 {
			t.Title("WHAT SPEAKS AGAINST " + request.Primary)
		}
		t.Marked(bad, "! %s", w)
	}
	t.Line("")
	if answer.Done {
		t.Marked(good, "thawed   %s is the primary of %s", request.Primary, request.HostGroup)
		return
	}
	t.Line("Nothing was changed. With --reason and --yes %s becomes the primary of %s.", request.Primary, request.HostGroup)
}

// frozenText says loudly that nobody may write to a group, and whom it waits for.
func frozenText(t *text, g api.Group) {
	if g.Thawed != "" {
		t.Fields("thawed", g.Thawed)
	}
	if g.Frozen == "" {
		return
	}
	t.Line("")
	t.Marked(bad, "! FROZEN: nobody may write to it. %s", g.Frozen)
	for _, w := range g.Waits {
		t.Marked(bad, "! waits for %s", w)
	}
	for _, d := range g.Datasources {
		if d.Says != "" {
			t.Line("  %s: %s", d.Address, d.Says)
		}
	}
	t.Line("  An operator who knows the primary can decide: zeroctl group thaw %s --primary ADDRESS", g.Name)
}

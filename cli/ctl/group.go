package ctl

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/zerokeeper/zero/transport/api"
)

// groupCommand is "zeroctl group".
func (a *app) groupCommand() *cobra.Command {
	return group("group", "Host groups: a primary and its replicas", a.groupListCommand(), a.groupShowCommand(), a.groupMaintenanceCommand(), a.groupImportCommand(), a.groupThawCommand(), a.dropReplicaCommand())
}

func (a *app) groupListCommand() *cobra.Command {
	return a.consistencyFlag(&cobra.Command{
		Use: "list", Short: "List the host groups", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			groups, err := a.groups(cmd.Context(), "")
			if err != nil {
				return err
			}
			return a.answer(view{JSON: map[string]any{"groups": groups}, Text: func(t *text) { groupTable(t, groups) }})
		},
	})
}

func (a *app) groupShowCommand() *cobra.Command {
	cmd := a.consistencyFlag(&cobra.Command{
		Use: "show NAME", Short: "Show a host group and its datasources", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			groups, err := a.groups(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			if len(groups) == 0 {
				return api.Errorf(api.KeyMissing, "there is no host group %q; \"zeroctl group list\" shows all", args[0])
			}
			return a.answer(view{JSON: map[string]any{"groups": groups}, Text: func(t *text) { groupText(t, groups) }})
		},
	})
	a.completeArg(cmd, a.groupNames)
	return cmd
}

// groups lists the host groups, or those of one name.
func (a *app) groups(ctx context.Context, name string) ([]api.Group, error) {
	return pages(ctx, 0, func(ctx context.Context, page api.Page) ([]api.Group, string, error) {
		var list api.GroupListAnswer
		err := a.read(ctx, api.GroupList, api.GroupListRequest{Name: name, Page: page}, &list)
		return list.Groups, list.Next, err
	})
}

// groupNames is what a shell completes.
func (a *app) groupNames(ctx context.Context) ([]string, error) {
	groups, err := a.groups(ctx, "")
	out := make([]string, len(groups))
	for i, g := range groups {
		out[i] = g.Name + "\t" + g.Primary
	}
	return out, err
}

// groupTable shows groups, a line each.
func groupTable(t *text, groups []api.Group) {
	rows := make([][]any, 0, len(groups))
	for _, g := range groups {
		rows = append(rows, []any{g.Name, g.Cluster, g.Writable, g.Primary, len(g.Datasources), g.Stamp.Generation, g.OpenSwitch, g.LastSwitch})
	}
	t.Table([]string{"NAME", "CLUSTER", "WRITABLE", "PRIMARY", "DATASOURCES", "GENERATION", "OPEN SWITCH", "LAST SWITCH"}, rows)
}

// groupText shows groups with everything that is known.
func groupText(t *text, groups []api.Group) {
	for i, g := range groups {
		if i > 0 {
			t.Line("")
		}
		t.Fields("group", g.Name, "cluster", g.Cluster,
			"writable", fmt.Sprintf("%d, %s", g.Writable, g.Primary),
			"stamp", fmt.Sprintf("%s (epoch.generation.step), last committed generation %d", g.Stamp, g.Committed),
			"open switch", g.OpenSwitch, "last switch", g.LastSwitch, "policy", g.Policy, "failsafe", failsafeText(g), "hung after", hungAfter(g))
		frozenText(t, g)
		recordText(t, g)
		t.Line("")
		datasourceTable(t, groups[i:i+1])
		groupDetailText(t, &groups[i])
	}
}

// hungAfter is how long a group's primary may hang.
func hungAfter(g api.Group) string {
	if g.HungAfterMS == 0 {
		return "never (hung_after: 0)"
	}
	return (time.Duration(g.HungAfterMS) * time.Millisecond).String()
}

// datasourceTable shows the datasources of groups.
func datasourceTable(t *text, groups []api.Group) {
	var rows [][]any
	for _, g := range groups {
		for _, d := range g.Datasources {
			use := ""
			if d.Index == g.Writable {
				use = "writable"
			}
			agent := cell{d.Agent, plain}
			if d.Agent == api.StatusLost {
				agent.style = bad
			}
			access := "read-write"
			if d.ReadOnly {
				access = "read-only"
			}
			if d.Role == "" {
				access = "" // no agent has said
			}
			rows = append(rows, []any{g.Name, d.Index, d.Address, use, d.Role, access, replicaCell(d.Replica), agent, d.ServerID, cell{d.Alarm, bad}})
		}
	}
	t.Table([]string{"GROUP", "INDEX", "ADDRESS", "USE", "ROLE", "ACCESS", "RECORDED", "AGENT", "SERVER", "ALARM"}, rows)
}

// failsafeText says whether a group can write on without keepers; empty when it is
// not to.
func failsafeText(g api.Group) string {
	if !g.Failsafe {
		return ""
	}
	listen := 0
	for _, d := range g.Datasources {
		if d.Listen != "" {
			listen++
		}
	}
	if listen < len(g.Datasources) {
		return fmt.Sprintf("on, but only %d of %d agents listen: all have to", listen, len(g.Datasources))
	}
	return "on"
}

package ctl

import (
	"context"
	"fmt"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/zerokeeper/zero/transport/api"
)

// agentCommand is "zeroctl agent".
func (a *app) agentCommand() *cobra.Command {
	return group("agent", "The agents, one per database", a.agentListCommand(), a.agentLoadCommand(), a.agentBinlogCommand())
}

func (a *app) agentListCommand() *cobra.Command {
	return a.consistencyFlag(&cobra.Command{
		Use: "list", Short: "List the agents", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			agents, err := a.agents(cmd.Context())
			if err != nil {
				return err
			}
			return a.answer(view{JSON: map[string]any{"agents": agents}, Text: func(t *text) { agentTable(t, agents) }})
		},
	})
}

func (a *app) agents(ctx context.Context) ([]api.Agent, error) {
	return pages(ctx, 0, func(ctx context.Context, page api.Page) ([]api.Agent, string, error) {
		var list api.AgentListAnswer
		err := a.read(ctx, api.AgentList, api.AgentListRequest{Page: page}, &list)
		return list.Agents, list.Next, err
	})
}

// agentAddresses is what a shell completes.
func (a *app) agentAddresses(ctx context.Context) ([]string, error) {
	agents, err := a.agents(ctx)
	out := make([]string, len(agents))
	for i, g := range agents {
		out[i] = g.Address + "\t" + g.Role
	}
	return out, err
}

func (a *app) agentLoadCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "load ADDRESS", Short: "Show the load of a database's host", Args: cobra.ExactArgs(1),
		Long:    "Asks the agent of the datasource at ADDRESS, as the configuration names it, for\nthe load of its host now.",
		Example: "  zeroctl agent load 10.0.0.2:3306",
		RunE: func(cmd *cobra.Command, args []string) error {
			done := a.progress("asking the agent of %s", args[0])
			defer done()
			var load api.Load
			if err := a.read(cmd.Context(), api.AgentLoad, api.AgentRef{Address: args[0]}, &load); err != nil {
				return err
			}
			done()
			return a.answer(view{JSON: load, Text: func(t *text) { hostText(t, args[0], &load) }})
		},
	}
	a.completeArg(cmd, a.agentAddresses)
	return cmd
}

func hostText(t *text, address string, l *api.Load) {
	t.Fields("datasource", address,
		"load", fmt.Sprintf("%.2f %.2f %.2f (1, 5, 15 minutes; %s)", l.Load1, l.Load5, l.Load15, count(l.Cores, "core", "cores")),
		"memory", fmt.Sprintf("%s available of %s", bytesText(l.MemAvailable), bytesText(l.MemTotal)),
		"disk free", bytesText(l.DiskFree),
		"connections", strconv.Itoa(l.Connections))
}

func (a *app) agentBinlogCommand() *cobra.Command {
	role := api.BinlogMaster
	cmd := &cobra.Command{
		Use: "binlog ADDRESS", Short: "Show a binlog position of a database", Args: cobra.ExactArgs(1),
		Long: `Shows where the datasource at ADDRESS stands: with --role master its own binlog,
with --role slave what it has executed of its source's.`,
		Example: "  zeroctl agent binlog 10.0.0.1:3306 --role master\n  zeroctl agent binlog 10.0.0.2:3306 --role slave",
		RunE: func(cmd *cobra.Command, args []string) error {
			if role != api.BinlogMaster && role != api.BinlogSlave {
				return usage("--role %q: want %s or %s", role, api.BinlogMaster, api.BinlogSlave)
			}
			done := a.progress("asking the agent of %s", args[0])
			defer done()
			var position api.Binlog
			if err := a.read(cmd.Context(), api.AgentBinlog, api.AgentRef{Address: args[0], Role: role}, &position); err != nil {
				return err
			}
			done()
			return a.answer(view{JSON: position, Text: func(t *text) {
				t.Fields("datasource", args[0], "role", role)
				binlogText(t, &position)
			}})
		},
	}
	cmd.Flags().StringVar(&role, "role", role, "master or slave")
	a.completeArg(cmd, a.agentAddresses)
	a.complete(cmd, "role", func(context.Context) ([]string, error) { return []string{api.BinlogMaster, api.BinlogSlave}, nil })
	return cmd
}

// binlogText shows a position with the names that it has on the server.
func binlogText(t *text, b *api.Binlog) {
	t.Fields("position", binlogPosition(b),
		"gtid_binlog_pos", b.GTIDBinlogPos, "gtid_binlog_state", b.GTIDBinlogState,
		"gtid_slave_pos", b.GTIDSlavePos, "gtid_io_pos", b.GTIDIOPos)
}

// binlogPosition is file and offset.
func binlogPosition(b *api.Binlog) string {
	if b.File == "" {
		return "none"
	}
	return b.File + ":" + strconv.FormatUint(b.Position, 10)
}

// mysqlCell is what an agent last said of its database. One that is silent
// says nothing of it.
func mysqlCell(g *api.Agent) cell {
	switch {
	case g.Status != api.StatusUp:
		return cell{"unknown", plain}
	case g.MySQL.Status == 1:
		return cell{fmt.Sprintf("live, %d threads", g.MySQL.Connected), plain}
	}
	return cell{"dead", bad}
}

// loadText is the load that a heartbeat brought, if one came.
func loadText(ageMS int64, s api.SystemInfo) string {
	if ageMS < 0 {
		return ""
	}
	return fmt.Sprintf("%.2f", s.LoadAvg.Avg1Min)
}

// agentTable shows agents, a line each.
func agentTable(t *text, agents []api.Agent) {
	rows := make([][]any, 0, len(agents))
	for _, g := range agents {
		status := cell{g.Status, plain}
		if g.Status != api.StatusUp {
			status.style = bad
		}
		mysql := mysqlCell(&g)
		access := "read-write"
		if g.ReadOnly {
			access = "read-only"
		}
		if g.Role == "" {
			access = ""
		}
		rows = append(rows, []any{
			g.Address, g.ID, status, yesNo(g.Connected), age(g.AgeMS), mysql, g.Role, access,
			loadText(g.AgeMS, g.SystemInfo), g.Version, cell{g.Alarm, bad},
		})
	}
	t.Table([]string{"ADDRESS", "ID", "STATUS", "CONNECTED", "HEARTBEAT", "MYSQL", "ROLE", "ACCESS", "LOAD", "VERSION", "ALARM"}, rows)
}

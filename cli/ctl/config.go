package ctl

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/zerokeeper/zero/transport/api"
)

// configFlags are what several commands of "config" take.
type configFlags struct {
	cluster string
}

// configCommand is "zeroctl config".
func (a *app) configCommand() *cobra.Command {
	var f configFlags
	cmd := group("config", "The configuration of a cluster and its versions",
		a.configValidateCommand(), a.configPushCommand(), a.configListCommand(&f), a.configShowCommand(&f),
		a.configDiffCommand(&f), a.configRollbackCommand(&f))
	return cmd
}

// clusterFlag adds --cluster.
func clusterFlag(cmd *cobra.Command, f *configFlags) *cobra.Command {
	cmd.Flags().StringVar(&f.cluster, "cluster", "", "name of the cluster; may be left out when there is one")
	return cmd
}

func (a *app) configListCommand(f *configFlags) *cobra.Command {
	return clusterFlag(a.consistencyFlag(&cobra.Command{
		Use: "list", Short: "List the versions, newest first", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			configs, err := a.configs(cmd.Context(), f.cluster, 0)
			if err != nil {
				return err
			}
			return a.answer(view{JSON: map[string]any{"configs": configs}, Text: func(t *text) { configTable(t, configs) }})
		},
	}), f)
}

func (a *app) configs(ctx context.Context, cluster string, limit int) ([]api.ConfigInfo, error) {
	return pages(ctx, limit, func(ctx context.Context, page api.Page) ([]api.ConfigInfo, string, error) {
		var list api.ConfigListAnswer
		err := a.read(ctx, api.ConfigList, api.ConfigListRequest{Cluster: cluster, Page: page}, &list)
		return list.Configs, list.Next, err
	})
}

// configVersions is what a shell completes.
func (a *app) configVersions(f *configFlags) source {
	return func(ctx context.Context) ([]string, error) {
		configs, err := a.configs(ctx, f.cluster, 50)
		out := make([]string, len(configs))
		for i, c := range configs {
			out[i] = c.ConfigID + "\t" + c.Comment
		}
		return out, err
	}
}

// configTable shows versions, a line each.
func configTable(t *text, configs []api.ConfigInfo) {
	rows := make([][]any, 0, len(configs))
	for _, c := range configs {
		live, of := cell{}, ""
		if c.Live {
			live = cell{"live", good}
		}
		if c.Of != "" {
			of = "rollback to " + c.Of
		}
		rows = append(rows, []any{c.ConfigID, live, c.Cluster, clock(c.Time), c.Author, c.Size, c.Digest[:min(12, len(c.Digest))], of, c.Comment})
	}
	t.Table([]string{"VERSION", "LIVE", "CLUSTER", "TIME (UTC)", "AUTHOR", "BYTES", "DIGEST", "KIND", "COMMENT"}, rows)
}

func (a *app) configShowCommand(f *configFlags) *cobra.Command {
	cmd := clusterFlag(a.consistencyFlag(&cobra.Command{
		Use: "show [VERSION]", Short: "Print a version, or the live one", Args: cobra.MaximumNArgs(1),
		Long:    "Prints the YAML to the standard output and what is known about it to stderr, so\nthat it can be redirected, edited and pushed again.",
		Example: "  zeroctl config show > zero.yaml\n  zeroctl config show 1.0.3 --cluster prod",
		RunE: func(cmd *cobra.Command, args []string) error {
			request := api.ConfigShowRequest{Cluster: f.cluster}
			if len(args) == 1 {
				request.ConfigID = args[0]
			}
			shown, err := a.configShow(cmd.Context(), request)
			if err != nil {
				return err
			}
			if a.output == formatJSON {
				return a.answer(view{JSON: shown})
			}
			about := newText(a.streams.Err, a.streams.color(a.streams.ErrTTY))
			aboutConfig(about, shown)
			if err := about.flush(); err != nil {
				return fmt.Errorf("write about the version: %w", err)
			}
			return a.answer(view{Text: func(t *text) { t.Raw(shown.Content) }})
		},
	}), f)
	a.completeArg(cmd, a.configVersions(f))
	return cmd
}

func (a *app) configShow(ctx context.Context, request api.ConfigShowRequest) (*api.ConfigShowAnswer, error) {
	var shown api.ConfigShowAnswer
	if err := a.read(ctx, api.ConfigShow, request, &shown); err != nil {
		return nil, err
	}
	return &shown, nil
}

// aboutConfig is what is known about a version, and who has it.
func aboutConfig(t *text, c *api.ConfigShowAnswer) {
	version := c.ConfigID
	if c.Live {
		version += ", live"
	}
	if c.Of != "" {
		version += ", a rollback to " + c.Of
	}
	t.Fields("version", version, "cluster", c.Cluster, "time", clock(c.Time), "author", c.Author, "comment", c.Comment, "digest", c.Digest)
	if len(c.Proxies) > 0 {
		ackTable(t, c.Proxies)
	}
}

// ackTable shows what proxies answered to a version.
func ackTable(t *text, acks []api.ProxyAck) {
	rows := make([][]any, 0, len(acks))
	for _, p := range acks {
		applied := cell{"applied", good}
		if !p.Applied {
			applied = cell{"not applied", bad}
		}
		rows = append(rows, []any{p.ID, applied, p.Error})
	}
	t.Table([]string{"PROXY", "RESULT", "ERROR"}, rows)
}

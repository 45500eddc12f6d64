package ctl

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/zerokeeper/zero/transport/api"
)

// proxyCommand is "zeroctl proxy".
func (a *app) proxyCommand() *cobra.Command {
	return group("proxy", "The proxies", a.proxyListCommand(), a.proxyActivateCommand(), a.proxyUnregisterCommand())
}

func (a *app) proxyListCommand() *cobra.Command {
	return a.consistencyFlag(&cobra.Command{
		Use: "list", Short: "List the proxies", Args: cobra.NoArgs,
		Long: `Lists the proxies with their status: ready (registered, without a configuration
yet), up, lost (its heartbeats stopped), unreg (taken off the list).`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			proxies, err := a.proxies(cmd.Context())
			if err != nil {
				return err
			}
			return a.answer(view{JSON: map[string]any{"proxies": proxies}, Text: func(t *text) { proxyTable(t, proxies) }})
		},
	})
}

func (a *app) proxies(ctx context.Context) ([]api.Proxy, error) {
	return pages(ctx, 0, func(ctx context.Context, page api.Page) ([]api.Proxy, string, error) {
		var list api.ProxyListAnswer
		err := a.read(ctx, api.ProxyList, api.ProxyListRequest{Page: page}, &list)
		return list.Proxies, list.Next, err
	})
}

// proxyIDs is what a shell completes.
func (a *app) proxyIDs(ctx context.Context) ([]string, error) {
	proxies, err := a.proxies(ctx)
	out := make([]string, len(proxies))
	for i, p := range proxies {
		out[i] = p.ID + "\t" + p.Address + " " + p.Status
	}
	return out, err
}

func (a *app) proxyActivateCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "activate ID", Short: "Let a proxy fetch its configuration and serve", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			done := a.progress("activating proxy %s", args[0])
			defer done()
			if err := a.write(cmd.Context(), 0, api.ProxyActivate, api.ProxyRef{ID: args[0]}, nil); err != nil {
				return err
			}
			done()
			return a.done("proxy", args[0], "activated")
		},
	}
	a.completeArg(cmd, a.proxyIDs)
	return cmd
}

func (a *app) proxyUnregisterCommand() *cobra.Command {
	ref := api.ProxyRef{}
	cmd := &cobra.Command{
		Use: "unregister ID --reason TEXT", Short: "Take a proxy off the list", Args: cobra.ExactArgs(1),
		Long: `Takes a proxy off the list: it stops to serve, and switches no longer ask it. The
last proxy that is up is not unregistered without --force.`,
		Example: "  zeroctl proxy unregister p2 --reason \"host is replaced\"",
		RunE: func(cmd *cobra.Command, args []string) error {
			ref.ID = args[0]
			if ref.Reason == "" {
				return usage("--reason is empty: say why, it is kept")
			}
			done := a.progress("unregistering proxy %s", ref.ID)
			defer done()
			if err := a.write(cmd.Context(), 0, api.ProxyDrop, ref, nil); err != nil {
				return err
			}
			done()
			return a.done("proxy", ref.ID, "unregistered")
		},
	}
	cmd.Flags().StringVar(&ref.Reason, "reason", "", "why; it is kept")
	cmd.Flags().BoolVar(&ref.Force, "force", false, "also when it is the last proxy that is up")
	require(cmd, "reason")
	a.completeArg(cmd, a.proxyIDs)
	return cmd
}

// require marks flags that must be given.
func require(cmd *cobra.Command, flags ...string) {
	for _, f := range flags {
		// It fails only for a flag that is not there.
		_ = cmd.MarkFlagRequired(f)
	}
}

// done says that something was done to a thing.
func (a *app) done(kind, name, what string) error {
	return a.answer(view{
		JSON: map[string]string{kind: name, "result": what},
		Text: func(t *text) { t.Line("%s %s %s", kind, name, what) },
	})
}

// proxyTable shows proxies, a line each.
func proxyTable(t *text, proxies []api.Proxy) {
	rows := make([][]any, 0, len(proxies))
	for _, p := range proxies {
		status := cell{p.Status, plain}
		if p.Status != api.StatusUp {
			status.style = bad
		}
		rows = append(rows, []any{
			p.ID, p.Cluster, p.Address, status, yesNo(p.Connected), age(p.AgeMS), p.ConfVersion,
			loadText(p.AgeMS, p.SystemInfo), p.Version, cell{p.ConfError, bad},
		})
	}
	t.Table([]string{"ID", "CLUSTER", "ADDRESS", "STATUS", "CONNECTED", "HEARTBEAT", "CONFIG", "LOAD", "VERSION", "CONFIG ERROR"}, rows)
}

package ctl

import (
	"github.com/spf13/cobra"

	"github.com/zerokeeper/zero/cli/daemon"
	"github.com/zerokeeper/zero/cli/daemon/settings"
)

// versionCommand is "zeroctl version".
func (a *app) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Show the version of zeroctl and, with --keepers, of the keepers", Args: cobra.NoArgs,
		Example: "  zeroctl version\n  zeroctl version --keepers k1:7001,k2:7001,k3:7001",
		RunE: func(cmd *cobra.Command, _ []string) error {
			build := daemon.ThisBuild()
			answer := map[string]any{"zeroctl": build}
			var nodes []node
			if a.settings.Source("keepers") != settings.FromDefault {
				done := a.progress("asking the keepers")
				defer done()
				var err error
				if nodes, err = a.askNodes(cmd.Context(), a.keepers); err != nil {
					return err
				}
				done()
				answer["keepers"] = nodes
			}
			return a.answer(view{JSON: answer, Err: noneReachable(nodes), Text: func(t *text) {
				t.Line("zeroctl %s", build)
				for _, n := range nodes {
					if !n.Reachable {
						t.Line("keeper %s: %s", n.Endpoint, n.Error)
						continue
					}
					t.Line("keeper %s (%s): %s", n.Status.Name, n.Endpoint, n.Status.Version)
				}
			}})
		},
	}
}

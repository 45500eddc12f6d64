package ctl

import (
	"context"
	"strings"

	"github.com/spf13/cobra"

	"github.com/zerokeeper/zero/transport/api"
	"github.com/zerokeeper/zero/transport/conf"
)

// liveName stands for the live version in "config diff".
const liveName = "live"

func (a *app) configDiffCommand(f *configFlags) *cobra.Command {
	cmd := clusterFlag(a.consistencyFlag(&cobra.Command{
		Use: "diff A [B]", Short: "Show what changes from one version or file to another", Args: cobra.RangeArgs(1, 2),
		Long: `Shows what changes from A to B, or from the live version to A. Each is a version
(1.0.3), "live", a file, or - for the standard input. Two files are compared
without a keeper.`,
		Example: `  zeroctl config diff zero.yaml          # what would a push change?
  zeroctl config diff 1.0.2 1.0.3
  zeroctl config diff 1.0.2 live`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 1 {
				args = []string{liveName, args[0]}
			}
			return a.configDiff(cmd.Context(), f.cluster, args[0], args[1])
		},
	}), f)
	a.completeArg(cmd, a.configVersions(f))
	cmd.ValidArgsFunction = withFiles(cmd.ValidArgsFunction)
	return cmd
}

// withFiles lets a shell complete files too.
func withFiles(inner cobra.CompletionFunc) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, prefix string) ([]string, cobra.ShellCompDirective) {
		out, _ := inner(cmd, nil, prefix)
		return out, cobra.ShellCompDirectiveDefault
	}
}

// configDiff compares two texts.
func (a *app) configDiff(ctx context.Context, cluster, from, to string) error {
	if from == "-" && to == "-" {
		return usage("only one of the two can be the standard input")
	}
	before, err := a.contentOf(ctx, cluster, from)
	if err != nil {
		return err
	}
	after, err := a.contentOf(ctx, cluster, to)
	if err != nil {
		return err
	}
	diff := conf.Diff(before, after)
	return a.answer(view{
		JSON: map[string]any{"from": from, "to": to, "equal": diff == "", "diff": diff},
		Text: func(t *text) {
			if diff == "" {
				t.Line("%s and %s are equal", from, to)
				return
			}
			diffText(t, diff, from, to)
		},
	})
}

// diffText shows a unified diff under the names that were given.
func diffText(t *text, diff, from, to string) {
	t.Marked(bad, "--- %s", from)
	t.Marked(good, "+++ %s", to)
	number := 0
	for line := range strings.Lines(diff) {
		line = strings.TrimSuffix(line, "\n")
		number++
		switch {
		case number <= 2: // the diff's own names
		case strings.HasPrefix(line, "+"):
			t.Marked(good, "%s", line)
		case strings.HasPrefix(line, "-"):
			t.Marked(bad, "%s", line)
		default:
			t.Line("%s", line)
		}
	}
}

// contentOf is a version's content or a file's.
func (a *app) contentOf(ctx context.Context, cluster, name string) ([]byte, error) {
	request := api.ConfigShowRequest{Cluster: cluster}
	if _, err := conf.ParseVersion(name); err == nil {
		request.ConfigID = name
	} else if name != liveName {
		return a.readFile(name)
	}
	shown, err := a.configShow(ctx, request)
	if err != nil {
		return nil, err
	}
	return []byte(shown.Content), nil
}

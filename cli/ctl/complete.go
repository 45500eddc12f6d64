package ctl

import (
	"context"
	"time"

	"github.com/spf13/cobra"
)

// completeTimeout bounds what a shell waits for while it completes.
const completeTimeout = time.Second

// source lists what a shell may complete.
type source func(ctx context.Context) ([]string, error)

// candidates asks a source. A shell gets nothing when the keepers do not answer.
func (a *app) candidates(cmd *cobra.Command, s source) ([]string, cobra.ShellCompDirective) {
	ctx, cancel := context.WithTimeout(cmd.Context(), completeTimeout)
	defer cancel()
	out, err := s(ctx)
	if err != nil {
		cobra.CompDebugln("zeroctl: "+err.Error(), false)
		return nil, cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveError
	}
	return out, cobra.ShellCompDirectiveNoFileComp
}

// complete lets a shell complete a flag.
func (a *app) complete(cmd *cobra.Command, flag string, s source) {
	// It fails only for a flag that is not there; a test completes each.
	_ = cmd.RegisterFlagCompletionFunc(flag, func(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
		return a.candidates(cmd, s)
	})
}

// completeArg lets a shell complete the first argument.
func (a *app) completeArg(cmd *cobra.Command, s source) {
	cmd.ValidArgsFunction = func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		if len(args) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return a.candidates(cmd, s)
	}
}

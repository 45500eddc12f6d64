package ctl

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/zerokeeper/zero/cli/daemon"
	"github.com/zerokeeper/zero/cli/daemon/settings"
)

// DefaultKeeper is where a keeper of this host listens.
const DefaultKeeper = "127.0.0.1:7001"

// Dependencies are what zeroctl needs of the rest of the world.
type Dependencies struct {
	Connect  func(Connection) (Keepers, error)
	Discover Discover
	Now      func() time.Time
}

// app is one run of zeroctl.
type app struct {
	deps     Dependencies
	streams  Streams
	settings *settings.Set
	client   Keepers
	entered  bool // the command line was accepted
	busy     bool // progress is shown

	keepers     []string
	output      string
	timeout     time.Duration
	consistency string
	verbose     bool
}

// Main runs zeroctl with arguments and returns its exit code.
func Main(ctx context.Context, args []string, streams Streams, deps Dependencies) int {
	a := &app{deps: deps, streams: streams, keepers: []string{DefaultKeeper}, output: formatTable, timeout: 10 * time.Second}
	root, err := a.command()
	if err != nil {
		newPrinter(formatTable, &streams).Failure(err)
		return ExitFailed
	}
	root.SetArgs(args)
	ran, err := root.ExecuteContextC(ctx)
	if a.client != nil {
		// The answers are in; an error of the goodbye changes nothing.
		_ = a.client.Close()
	}
	if err == nil {
		return ExitOK
	}
	if _, known := errors.AsType[*exitError](err); !a.entered && !known {
		err = usage("%w", err)
	}
	if _, said := errors.AsType[*saidError](err); !said {
		newPrinter(formatOf(a.output, args), &a.streams).Failure(err)
	}
	if exitOf(err) == ExitUsage {
		howTo(streams.Err, ran)
	}
	return exitOf(err)
}

// howTo says how the command that was asked for is used.
func howTo(w io.Writer, cmd *cobra.Command) {
	if !cmd.HasParent() || !cmd.Runnable() {
		fmt.Fprintf(w, "%s --help shows the commands and flags.\n", cmd.CommandPath())
		return
	}
	fmt.Fprintf(w, "want: %s\n%s --help shows more.\n", cmd.UseLine(), cmd.CommandPath())
}

// saidError is an error that the answer has shown already.
type saidError struct{ err error }

func (e *saidError) Error() string { return e.err.Error() }
func (e *saidError) Unwrap() error { return e.err }

// answer prints a view. A view with an error is shown with it, and the error
// becomes the command's.
func (a *app) answer(v view) error {
	if err := newPrinter(a.output, &a.streams).Answer(v); err != nil {
		return err
	}
	if v.Err == nil {
		return nil
	}
	if a.output == formatJSON {
		return &saidError{v.Err}
	}
	return v.Err
}

// formatOf finds the format for an error: also when the command line was
// refused before -o was read.
func formatOf(output string, args []string) string {
	for i, arg := range args {
		switch {
		case arg == "--":
			return output
		case arg == "-ojson", arg == "-o=json", arg == "--output=json":
			return formatJSON
		case (arg == "-o" || arg == "--output") && i+1 < len(args) && args[i+1] == formatJSON:
			return formatJSON
		}
	}
	return output
}

// table is zeroctl's own flags.
func (a *app) table() []settings.Flag {
	return []settings.Flag{
		{Name: "keepers", Value: &a.keepers, Arg: "host:port,...", Usage: "machine ports of the keepers, any or all of them"},
		{Name: "output", Short: "o", Value: &a.output, Arg: "format", Usage: "table for people or json for programs"},
		{Name: "timeout", Value: &a.timeout, Arg: "duration", Usage: "how long one request may take, redirects and retries included"},
		{Name: "verbose", Value: &a.verbose, Usage: "log on stderr how the keepers are reached"},
	}
}

// command is the tree.
func (a *app) command() (*cobra.Command, error) {
	root := &cobra.Command{
		Use:   "zeroctl",
		Short: "Operate a fleet of MySQL proxies from anywhere",
		Long: `zeroctl asks the keepers, any of them: it finds the leader itself.

It prints tables for people and, with -o json, one object for programs. Its exit
codes are stable: "zeroctl help exit-codes" lists them. Every flag below "Global
Flags" is also an environment variable (--keepers is ZERO_KEEPERS) and a key of
/etc/zero/zeroctl.yaml.`,
		Example: `  export ZERO_KEEPERS=k1:7001,k2:7001,k3:7001
  zeroctl status
  zeroctl switch start --group orders --to 1 --reason "kernel update"
  zeroctl config push zero.yaml --comment "more connections"`,
		Version: daemon.ThisBuild().String(), Args: cobra.NoArgs, SilenceUsage: true, SilenceErrors: true,
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error { return a.load(cmd) },
		RunE:              func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SetIn(a.streams.In)
	root.SetOut(a.streams.Out)
	root.SetErr(a.streams.Err)
	root.SetVersionTemplate("{{.Name}} {{.Version}}\n")
	set, err := settings.New("zeroctl", a.table(), root.PersistentFlags())
	if err != nil {
		return nil, err
	}
	a.settings = set
	root.AddCommand(
		a.statusCommand(), a.memberCommand(), a.leaderCommand(), a.configCommand(), a.groupCommand(),
		a.proxyCommand(), a.agentCommand(), a.sectionCommand(), a.switchCommand(), a.brakeCommand(), a.snapshotCommand(),
		a.versionCommand(), &cobra.Command{Use: "exit-codes", Short: "What zeroctl's exit codes mean", Long: exitHelp()},
	)
	if err := root.RegisterFlagCompletionFunc("output", cobra.FixedCompletions([]string{formatTable, formatJSON}, cobra.ShellCompDirectiveNoFileComp)); err != nil {
		return nil, fmt.Errorf("complete --output: %w", err)
	}
	return root, nil
}

// group is a command that only has commands below it. An unknown one is an
// error, not a page of help.
func group(use, short string, below ...*cobra.Command) *cobra.Command {
	cmd := &cobra.Command{Use: use, Short: short, Args: cobra.NoArgs, RunE: func(cmd *cobra.Command, _ []string) error {
		return usage("%s needs a command: %s", cmd.CommandPath(), strings.Join(names(below), ", "))
	}}
	cmd.AddCommand(below...)
	return cmd
}

func names(cmds []*cobra.Command) []string {
	out := make([]string, len(cmds))
	for i, c := range cmds {
		out[i] = c.Name()
	}
	return out
}

// cobraOwn are the commands that cobra adds. They work with bad settings too.
var cobraOwn = []string{"help", "completion"}

// load reads the settings and checks them. While a shell completes, bad
// settings are no error: there is nobody to read it.
func (a *app) load(cmd *cobra.Command) error {
	for c := cmd; c != nil; c = c.Parent() {
		if slices.Contains(cobraOwn, c.Name()) {
			a.entered = true
			return nil
		}
	}
	err := a.settings.Load(a.streams.LookupEnv)
	if cmd.Name() == cobra.ShellCompRequestCmd || cmd.Name() == cobra.ShellCompNoDescRequestCmd {
		a.entered = true
		return nil
	}
	if err != nil {
		return usage("%w", err)
	}
	if a.output != formatTable && a.output != formatJSON {
		return usage("-o %q: want %s or %s", a.output, formatTable, formatJSON)
	}
	if a.timeout <= 0 {
		return usage("--timeout must be above 0")
	}
	if len(a.keepers) == 0 || len(a.keepers) > maxKeepers {
		return usage("--keepers: want 1 to %d addresses, host:port", maxKeepers)
	}
	for _, address := range a.keepers {
		if err := checkAddress(address); err != nil {
			return usage("--keepers: %w", err)
		}
	}
	// Cobra would look only after this, and the error has no type.
	if err := cmd.ValidateRequiredFlags(); err != nil {
		return usage("%w", err)
	}
	a.entered = true
	return nil
}

// consistencyFlag adds --consistency to a command that reads.
func (a *app) consistencyFlag(cmd *cobra.Command) *cobra.Command {
	cmd.Flags().StringVar(&a.consistency, "consistency", "linearizable", "linearizable, leader or stale; stale is answered by any keeper, also without a leader")
	inner := cmd.RunE
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		switch a.consistency {
		case "linearizable", "leader", "stale":
			return inner(cmd, args)
		}
		return usage("--consistency %q: want linearizable, leader or stale", a.consistency)
	}
	// A fixed list cannot fail to register: the flag was added above.
	_ = cmd.RegisterFlagCompletionFunc("consistency", cobra.FixedCompletions([]string{"linearizable", "leader", "stale"}, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

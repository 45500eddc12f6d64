package ctl

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/zerokeeper/zero/transport/api"
)

// pollEvery is how often a switch that runs is looked at.
const pollEvery = 100 * time.Millisecond

// noteColumn is where the notes of the steps begin.
const noteColumn = len("15:04:05.000" + gap + "rolling-back")

// startFlags are those of "switch start".
type startFlags struct {
	group, reason string
	to, from      int
	noWait        bool
	failover      bool
	dryRun        bool
	policy        string
	wait          time.Duration
}

func (a *app) switchStartCommand() *cobra.Command {
	f := startFlags{wait: 5 * time.Minute}
	cmd := &cobra.Command{
		Use: "start --group NAME [--to INDEX] --reason TEXT", Short: "Move the primary of a host group to another datasource", Args: cobra.NoArgs,
		Long: `Asks for a planned switch and shows each step as it happens, until it is done (exit
code 0) or rolled back (1, with the reason). Proxies hold writes meanwhile; clients
see a pause, not an error.

With --failover the primary is taken to be lost: nothing is asked of it, and the
replica that received most takes its place unless --to names one. What a lossless
group cannot show to be complete is refused; --policy available promotes the best
and records what may be missing.

With --dry-run nothing is begun: every rule that would be examined is, and shown with its
input and verdict. Exit code 0: it would go on to hold the writes; 4: it would be refused.

Ctrl-C ends the watching, not the switch: "zeroctl switch abort" does that.`,
		Example: `  zeroctl switch start --group orders --to 1 --reason "kernel update of db1"
  zeroctl switch start --group orders --from 0 --to 1 --reason "drill" -o json
  zeroctl switch start --group orders --failover --reason "db1 burns"
  zeroctl switch start --group orders --to 1 --dry-run`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.switchStart(cmd.Context(), f, cmd.Flags().Changed("from"), cmd.Flags().Changed("to"))
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&f.group, "group", "", "host group")
	flags.IntVar(&f.to, "to", 0, "index of the datasource that becomes the primary")
	flags.IntVar(&f.from, "from", 0, "refuse unless this index is the primary now")
	flags.StringVar(&f.reason, "reason", "", "why; it is kept")
	flags.BoolVar(&f.noWait, "no-wait", false, "return when the switch was accepted")
	flags.DurationVar(&f.wait, "wait", f.wait, "how long to watch the switch; it goes on after that")
	flags.BoolVar(&f.dryRun, "dry-run", false, "examine every rule, and begin nothing")
	flags.BoolVar(&f.failover, "failover", false, "the primary is lost: do not ask it")
	flags.StringVar(&f.policy, "policy", "", "of this failover, instead of the group's: lossless or available")
	require(cmd, "group")
	a.complete(cmd, "group", a.groupNames)
	return cmd
}

func (a *app) switchStart(ctx context.Context, f startFlags, fromGiven, toGiven bool) error {
	request := api.SwitchStartRequest{HostGroup: f.group, ToIndex: f.to, Reason: f.reason, Policy: f.policy}
	if f.failover {
		request.Kind = api.KindFailover
	}
	if fromGiven {
		request.FromIndex = &f.from
	}
	switch {
	case f.group == "":
		return usage("--group is empty")
	case f.reason == "" && !f.dryRun:
		return usage("--reason is empty: say why, it is kept")
	case !toGiven && !f.failover:
		return usage("--to is missing: the index of the new primary; only with --failover may the keepers choose")
	case f.policy != "" && !f.failover:
		return usage("--policy is for --failover")
	case f.policy != "" && f.policy != api.PolicyLossless && f.policy != api.PolicyAvailable:
		return usage("--policy %q: want %s or %s", f.policy, api.PolicyLossless, api.PolicyAvailable)
	case f.to < 0 || f.from < 0:
		return usage("--to and --from are indexes: 0, 1, …")
	case f.wait <= 0:
		return usage("--wait must be above 0; --no-wait does not wait")
	}
	if !toGiven {
		request.ToIndex = api.AnyIndex
	}
	if f.dryRun {
		request.Reason = cmp.Or(f.reason, "dry run")
		return a.switchDryRun(ctx, request)
	}
	var started api.SwitchStarted
	if err := a.write(ctx, 0, api.SwitchStart, request, &started); err != nil {
		return err
	}
	if f.noWait {
		return a.answer(view{JSON: started, Text: func(t *text) {
			t.Line("switch %s accepted, generation %d; \"zeroctl switch show %s\" shows how it goes", started.ID, started.Generation, started.ID)
		}})
	}
	record, err := a.watchSwitch(ctx, started.ID, f.wait)
	if err != nil {
		return err
	}
	return a.switchEnd(record)
}

// switchEnd shows how a switch ended.
func (a *app) switchEnd(record *api.Switch) error {
	v := view{JSON: map[string]any{"switch": record}, Text: func(t *text) {
		t.Line("")
		if record.State == stateDone {
			t.Marked(good, "%s", verdict(record))
		} else {
			t.Marked(bad, "Not done: the primary of %s did not move by this switch; it was %s.", record.HostGroup, place(record.FromIndex, record.From))
		}
		t.Line("zeroctl switch show %s has the whole record.", record.ID)
	}}
	if record.State != stateDone {
		v.Err = failed(record.Code, "switch %s of %s was not done: %s", record.ID, record.HostGroup, why(record))
	}
	return a.answer(v)
}

// watchSwitch shows each step as it happens and returns the record when the
// switch is over. While no keeper answers it goes on asking: a new leader
// finishes the switch.
func (a *app) watchSwitch(ctx context.Context, id string, wait time.Duration) (*api.Switch, error) {
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	ticker := time.NewTicker(pollEvery)
	defer ticker.Stop()
	shown, silent := 0, false
	for {
		record, err := a.switchRecord(ctx, id)
		switch {
		case ctx.Err() != nil:
			return nil, a.watchEnded(ctx, id, wait)
		case err == nil:
			silent = false
			if shown, err = a.showSteps(record, shown); err != nil {
				return nil, err
			}
			if !record.Open {
				return record, nil
			}
		case !passing(err):
			return nil, fmt.Errorf("switch %s was accepted, but cannot be watched: %w", id, err)
		case !silent:
			silent = true
			fmt.Fprintf(a.streams.Err, "no keeper answers (%s); asking on\n", printable(err.Error(), false))
		}
		select {
		case <-ctx.Done():
			return nil, a.watchEnded(ctx, id, wait)
		case <-ticker.C:
		}
	}
}

// watchEnded is why the watching ended before the switch did.
func (a *app) watchEnded(ctx context.Context, id string, wait time.Duration) error {
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return failed(api.Deadline, "switch %s is not over after %s and goes on: \"zeroctl switch show %s\" shows it, \"zeroctl switch abort %s\" stops it", id, wait, id, id)
	}
	return failed(api.Cancelled, "interrupted; switch %s goes on: \"zeroctl switch show %s\" shows it, \"zeroctl switch abort %s\" stops it", id, id, id)
}

// passing reports whether an error may go away by itself.
func passing(err error) bool {
	return exitOf(err) == ExitUnreachable || errors.Is(err, context.DeadlineExceeded) ||
		errors.Is(err, api.ErrDeadline) || errors.Is(err, api.ErrBusy) || errors.Is(err, api.ErrRateLimited)
}

// showSteps prints the steps that were not shown yet: on stdout for people, on
// a terminal's stderr beside JSON.
func (a *app) showSteps(record *api.Switch, shown int) (int, error) {
	out, color := a.streams.Out, a.streams.color(a.streams.OutTTY)
	if a.output == formatJSON {
		if !a.streams.ErrTTY {
			return len(record.Steps), nil
		}
		out, color = a.streams.Err, a.streams.color(true)
	}
	t := newText(out, color)
	if shown == 0 {
		t.Line("switch %s of %s: %s → %s", record.ID, record.HostGroup, place(record.FromIndex, record.From), place(record.ToIndex, record.To))
	}
	for i := shown; i < len(record.Steps); i++ {
		step := record.Steps[i]
		line := step.Time.UTC().Format("15:04:05.000") + gap + step.State
		if step.Note != "" {
			line = pad(line, noteColumn) + gap + step.Note
		}
		t.Line("%s", line)
	}
	if err := t.flush(); err != nil {
		return 0, fmt.Errorf("show the steps: %w", err)
	}
	return max(shown, len(record.Steps)), nil
}

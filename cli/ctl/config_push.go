package ctl

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/zerokeeper/zero/transport/api"
	"github.com/zerokeeper/zero/transport/conf"
)

// pushWait is how long proxies have to apply a version, unless --wait says
// another; maxPushWait bounds that.
const (
	pushWait    = 10 * time.Second
	maxPushWait = 10 * time.Minute
)

// pushFlags are those of "config push".
type pushFlags struct {
	comment, expect string
	edit, dev       bool
	wait            time.Duration
}

func (a *app) configPushCommand() *cobra.Command {
	f := pushFlags{wait: pushWait}
	cmd := devFlag(&cobra.Command{
		Use: "push FILE", Short: "Publish a configuration and wait for the proxies", Args: cobra.ExactArgs(1),
		Long: `Checks the file, publishes it as a new version and waits until every connected
proxy has applied it. When a proxy refuses it, the keepers return to the version
before, and the exit code is 4; with push_when_fail they do not, and it is 5.

A push never moves the primary of a host group: use "zeroctl switch start".`,
		Example: `  zeroctl config push zero.yaml --comment "two more replicas"
  zeroctl config show | sed s/1024/2048/ | zeroctl config push - --edit --expect 1.0.3`,
		RunE: func(cmd *cobra.Command, args []string) error { return a.configPush(cmd.Context(), args[0], f) },
	}, &f.dev)
	cmd.Flags().StringVar(&f.comment, "comment", "", "what for; it is kept with the version")
	cmd.Flags().BoolVar(&f.edit, "edit", false, "a small change: raises the last digit of the version, not the first")
	cmd.Flags().StringVar(&f.expect, "expect", "", "refuse unless this is the live version")
	cmd.Flags().DurationVar(&f.wait, "wait", pushWait, "how long the proxies have to apply it")
	return cmd
}

func (a *app) configPush(ctx context.Context, name string, f pushFlags) error {
	if err := checkWait(f.wait); err != nil {
		return err
	}
	if f.expect != "" {
		if _, err := conf.ParseVersion(f.expect); err != nil {
			return usage("--expect: %w", err)
		}
	}
	content, err := a.readFile(name)
	if err != nil {
		return err
	}
	if _, err := conf.Parse(content, conf.Options{Dev: f.dev}); err != nil {
		if wrong, ok := errors.AsType[*conf.Errors](err); ok {
			return invalid(name, wrong)
		}
		return badInput("%s: %w", name, err)
	}
	request := api.ConfigPushRequest{Content: string(content), Comment: f.comment, Edit: f.edit, Expect: f.expect, WaitMS: f.wait.Milliseconds()}
	done := a.progress("pushing %s; waiting for the proxies", name)
	defer done()
	var pushed api.ConfigPushAnswer
	if err := a.write(ctx, f.wait, api.ConfigPush, request, &pushed); err != nil {
		return err
	}
	done()
	return a.pushed(&pushed)
}

// checkWait holds --wait to what the keepers take.
func checkWait(wait time.Duration) error {
	if wait < time.Millisecond || wait > maxPushWait {
		return usage("--wait %s: want 1ms to %s", wait, maxPushWait)
	}
	return nil
}

// pushed shows what became of a new version.
func (a *app) pushed(p *api.ConfigPushAnswer) error {
	v := view{JSON: p, Text: func(t *text) { pushedText(t, p) }}
	if p.RolledBack != "" {
		v.Err = &exitError{code: ExitRefused, api: api.ConfigCheck, err: fmt.Errorf(
			"version %s was refused by %s; version %s with the content from before is live", p.ConfigID, cmp.Or(refusers(p.Proxies), "a proxy"), p.RolledBack)}
	}
	if missing := refusers(p.Proxies); v.Err == nil && missing != "" {
		v.Err = unhealthy("version %s is live, but %s did not apply it", p.ConfigID, missing)
	}
	return a.answer(v)
}

// refusers names the proxies that did not apply a version.
func refusers(acks []api.ProxyAck) string {
	var out []string
	for _, p := range acks {
		if !p.Applied {
			out = append(out, fmt.Sprintf("proxy %s (%s)", p.ID, p.Error))
		}
	}
	return strings.Join(out, ", ")
}

func pushedText(t *text, p *api.ConfigPushAnswer) {
	applied := 0
	for _, ack := range p.Proxies {
		if ack.Applied {
			applied++
		}
	}
	for _, w := range p.Warnings {
		t.Line("warning: %s", w)
	}
	state := "live"
	if p.RolledBack != "" {
		state = "rolled back"
	}
	t.Line("version %s of cluster %s is %s; %d of %s applied it", p.ConfigID, p.Cluster, state, applied, count(len(p.Proxies), "proxy", "proxies"))
	if applied < len(p.Proxies) {
		ackTable(t, p.Proxies)
		if p.RolledBack == "" {
			t.Line("A proxy that was not reached fetches it when it is back; one that refused it keeps what it has.")
		}
	}
}

func (a *app) configRollbackCommand(f *configFlags) *cobra.Command {
	var comment string
	wait := pushWait
	cmd := clusterFlag(&cobra.Command{
		Use: "rollback [VERSION]", Short: "Publish the content of an older version again", Args: cobra.MaximumNArgs(1),
		Long: `Publishes the content of VERSION, or of the version before the live one, as a new
version. It never moves the primary of a host group.`,
		Example: "  zeroctl config rollback\n  zeroctl config rollback 1.0.3 --comment \"too many connections\"",
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := checkWait(wait); err != nil {
				return err
			}
			request := api.ConfigRollbackRequest{Cluster: f.cluster, Comment: comment, WaitMS: wait.Milliseconds()}
			if len(args) == 1 {
				if _, err := conf.ParseVersion(args[0]); err != nil {
					return badInput("VERSION: %w", err)
				}
				request.ConfigID = args[0]
			}
			done := a.progress("rolling back; waiting for the proxies")
			defer done()
			var pushed api.ConfigPushAnswer
			if err := a.write(cmd.Context(), wait, api.ConfigRollback, request, &pushed); err != nil {
				return err
			}
			done()
			return a.pushed(&pushed)
		},
	}, f)
	cmd.Flags().StringVar(&comment, "comment", "", "what for; it is kept with the version")
	cmd.Flags().DurationVar(&wait, "wait", wait, "how long the proxies have to apply it")
	a.completeArg(cmd, a.configVersions(f))
	return cmd
}

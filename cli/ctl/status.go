package ctl

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/zerokeeper/zero/transport/api"
)

// statusAnswer is the JSON of "zeroctl status".
type statusAnswer struct {
	Healthy bool     `json:"healthy"`
	Trouble []string `json:"trouble"` // the keepers' problems, then what zeroctl saw itself
	Keepers []member `json:"keepers"`
	*api.ClusterViewAnswer
}

// statusCommand is "zeroctl status".
func (a *app) statusCommand() *cobra.Command {
	return a.consistencyFlag(&cobra.Command{
		Use: "status", Short: "Show the whole cluster and what needs a look", Args: cobra.NoArgs,
		Long: `Shows keepers, host groups, proxies and agents, and first of all what an operator
should look at. It ends with exit code 5 when there is anything, or when keepers
answer but have no leader, and with 2 when no keeper answers.`,
		Example: "  zeroctl status\n  zeroctl status --consistency stale    # also without a leader\n  zeroctl status >/dev/null || page-somebody",
		RunE:    func(cmd *cobra.Command, _ []string) error { return a.status(cmd.Context()) },
	})
}

func (a *app) status(ctx context.Context) error {
	done := a.progress("asking the keepers")
	defer done()
	var cluster api.ClusterViewAnswer
	problem := a.ask(ctx, api.ClusterView, &cluster)
	members, err := a.askMembers(ctx, cluster.Members)
	if err != nil {
		return err
	}
	done()
	if problem != nil {
		return a.statusWithout(members, problem)
	}
	s := statusAnswer{Keepers: members, ClusterViewAnswer: &cluster}
	s.Trouble = append(append([]string{}, cluster.Problems...), troubles(members)...)
	s.Healthy = len(s.Trouble) == 0
	v := view{JSON: s, Text: func(t *text) { statusText(t, &s) }}
	if !s.Healthy {
		v.Err = unhealthy("%s", count(len(s.Trouble), "thing needs a look", "things need a look"))
	}
	return a.answer(v)
}

// statusWithout is the status when the cluster itself gave none: what each
// keeper says. Keepers that answer without a leader are unhealthy, not
// unreachable.
func (a *app) statusWithout(members []member, problem error) error {
	reachable := 0
	for _, m := range members {
		if m.Reachable {
			reachable++
		}
	}
	if exit := exitOf(problem); reachable > 0 && (exit == ExitUnreachable || errors.Is(problem, api.ErrDeadline) || errors.Is(problem, context.DeadlineExceeded)) {
		problem = &exitError{code: ExitUnhealthy, api: codeOf(problem), err: fmt.Errorf("%d of %d keepers answer, but the cluster does not: %w", reachable, len(members), problem)}
	}
	s := statusAnswer{Keepers: members, Trouble: append([]string{problem.Error()}, troubles(members)...)}
	return a.answer(view{JSON: s, Err: problem, Text: func(t *text) {
		memberTable(t, members)
	}})
}

// statusText shows the cluster, what needs a look first.
func statusText(t *text, s *statusAnswer) {
	reachable, voters := 0, 0
	for _, m := range s.Keepers {
		if m.Known && m.Reachable {
			reachable++
		}
		if m.Known && m.Voter {
			voters++
		}
	}
	t.Fields("cluster", fmt.Sprintf("%s (epoch %d)", s.ClusterID, s.Epoch),
		"leader", fmt.Sprintf("%s (%s)", s.Leader.Name, s.Leader.Address),
		"keepers", fmt.Sprintf("%d of %d reachable, %s", reachable, len(s.Members), count(voters, "voter", "voters")))
	if s.Brake != nil {
		t.Marked(bad, "THE BRAKE IS ON  %s", holdText(s.Brake))
	}
	if s.Healthy {
		t.Marked(good, "healthy  nothing needs a look")
	}
	for i, trouble := range s.Trouble {
		if i == 0 {
			t.Title("NEEDS A LOOK")
		}
		t.Marked(bad, "! %s", trouble)
	}
	t.Title("KEEPERS")
	memberTable(t, s.Keepers)
	if len(s.Groups) > 0 {
		t.Title("HOST GROUPS")
		groupTable(t, s.Groups)
		t.Title("DATASOURCES")
		datasourceTable(t, s.Groups)
	}
	if len(s.Proxies) > 0 {
		t.Title("PROXIES")
		proxyTable(t, s.Proxies)
	}
	if len(s.Agents) > 0 {
		t.Title("AGENTS")
		agentTable(t, s.Agents)
	}
}

// count is a number with its noun.
func count(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

package ctl

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	"github.com/zerokeeper/zero/transport/api"
)

// startOf is when a switch was requested.
func startOf(s *api.Switch) time.Time {
	if len(s.Steps) == 0 {
		return time.Time{}
	}
	return s.Steps[0].Time
}

// stateCell is the state of a switch.
func stateCell(s *api.Switch) cell {
	switch {
	case s.Open:
		return cell{s.State, plain}
	case s.State == stateDone:
		return cell{s.State, good}
	case s.State == stateSuperseded:
		return cell{s.State, plain}
	}
	return cell{s.State, bad}
}

// why is the reason for which a switch ended without being done.
func why(s *api.Switch) string {
	text := cmp.Or(s.Error, s.Code.String())
	if s.Error != "" && s.Code != api.OK {
		text = fmt.Sprintf("%s (%d, %s)", s.Error, int32(s.Code), s.Code)
	}
	return text
}

// verdict is what came of a switch, in one sentence.
func verdict(s *api.Switch) string {
	from, to := place(s.FromIndex, s.From), place(s.ToIndex, s.To)
	switch {
	case s.Open:
		return fmt.Sprintf("In progress (%s): the primary of %s moves from %s to %s.", s.State, s.HostGroup, from, to)
	case s.State == stateDone && s.BlackoutMS > 0:
		return fmt.Sprintf("Done: the primary of %s moved from %s to %s in %s; writes were held for %s.", s.HostGroup, from, to, millis(s.TotalMS), millis(s.BlackoutMS))
	case s.State == stateDone:
		return fmt.Sprintf("Done: the primary of %s moved from %s to %s in %s.", s.HostGroup, from, to, millis(s.TotalMS))
	case s.State == stateSuperseded:
		return fmt.Sprintf("Superseded: the primary of %s was given to %s, but that was lost before it took writes; %s.", s.HostGroup, to, strings.TrimSuffix(s.Error, "."))
	}
	return fmt.Sprintf("Not done (%s): %s. The primary of %s did not move by this switch: it was %s.", s.State, strings.TrimSuffix(why(s), "."), s.HostGroup, from)
}

// place is an index with its address.
func place(index int, address string) string {
	if address == "" {
		return fmt.Sprintf("index %d", index)
	}
	return fmt.Sprintf("%d (%s)", index, address)
}

// switchText shows a record to somebody who was asleep.
func switchText(t *text, s *api.Switch) {
	style := plain
	if !s.Open {
		style = stateCell(s).style
	}
	t.Marked(style, "%s", verdict(s))
	storyText(t, s)
	t.Line("")
	blackout := ""
	if s.BlackoutMS > 0 {
		blackout = millis(s.BlackoutMS) + " without writes, from stopping to recovering"
	}
	fenced := ""
	switch s.Fenced {
	case api.FencedConfirmed:
		fenced = "its agent confirmed that it is read-only"
	case api.FencedDead:
		fenced = "its agent confirmed that the server's process is gone"
	case api.LeaseOut:
		fenced = "not reached: its lease must be over"
	}
	t.Fields("switch", s.ID, "group", s.HostGroup, "cluster", s.Cluster,
		"kind", s.Kind, "requested by", s.RequestedBy, "reason", s.Reason,
		"from", place(s.FromIndex, s.From), "to", place(s.ToIndex, s.To),
		"generation", fmt.Sprint(s.Generation), "supersedes", s.Supersedes, "policy", s.Policy, "state", s.State,
		"old primary", fenced, "may be lost", s.MayBeLost,
		"took", millis(s.TotalMS), "blackout", blackout, "acknowledged", ackText(s))
	t.Title("STEPS (UTC)")
	stepTable(t, s)
	if len(s.Checks) > 0 {
		t.Title(checksTitle(s.Checks))
		checkTable(t, s.Checks)
	}
	if s.VoteRule != "" || len(s.Votes) > 0 {
		t.Title("VOTES")
		t.Line("rule: %s", cmp.Or(s.VoteRule, "-"))
		if len(s.Votes) > 0 {
			voteTable(t, s.Votes)
		}
	}
	if len(s.Proxies) > 0 {
		t.Title("PROXIES")
		rows := make([][]any, 0, len(s.Proxies))
		for _, p := range s.Proxies {
			rows = append(rows, []any{p.Proxy, p.How, p.Note})
		}
		t.Table([]string{"PROXY", "WRITES NO MORE", "NOTE"}, rows)
	}
	if len(s.Replicas) > 0 {
		t.Title("WHAT THE REPLICAS HAD RECEIVED")
		rows := make([][]any, 0, len(s.Replicas))
		for _, r := range s.Replicas {
			stopped := cell{"no", bad}
			if r.Stopped {
				stopped = cell{"yes", good}
			}
			rows = append(rows, []any{r.Address, stopped, r.Received, r.Note})
		}
		t.Table([]string{"REPLICA", "RECEIVES NO MORE", "GTID", "NOTE"}, rows)
	}
	if s.Position != nil {
		t.Title("WHERE THE OLD PRIMARY STOPPED")
		binlogText(t, s.Position)
	}
	if len(s.Hooks) > 0 {
		t.Title("HOOKS")
		hookTable(t, s.Hooks)
	}
}

// took is how long a step took; the one that is on has not yet.
func took(ms float64) string {
	if ms <= 0 {
		return ""
	}
	return millis(ms)
}

func stepTable(t *text, s *api.Switch) {
	rows := make([][]any, 0, len(s.Steps))
	for i, step := range s.Steps {
		rows = append(rows, []any{clock(step.Time), step.State, took(step.TookMS), heldCell(s.Steps, i, s.Supersedes), step.Term, step.Note})
	}
	t.Table([]string{"TIME", "STEP", "TOOK", "WRITES", "TERM", "OUTCOME"}, rows)
}

func checkTable(t *text, checks []api.Check) {
	rows := make([][]any, 0, len(checks))
	for _, c := range checks {
		result := cell{"ok", good}
		if !c.OK {
			result = cell{"FAILED", bad}
		}
		rows = append(rows, []any{c.Rule, result, c.Input, c.Detail})
	}
	t.Table([]string{"RULE", "VERDICT", "INPUT", "DETAIL"}, rows)
}

func voteTable(t *text, votes []api.SwitchVote) {
	rows := make([][]any, 0, len(votes))
	for _, v := range votes {
		vote := cell{"no", plain}
		switch {
		case v.NoAnswer != "":
			vote = cell{"none", weak}
		case v.Vote:
			vote = cell{"yes", good}
		}
		last := "never"
		if v.LastSuccess != nil {
			last = clock(*v.LastSuccess)
		}
		if v.NoAnswer != "" {
			rows = append(rows, []any{v.Proxy, vote, "", "", "", v.NoAnswer})
			continue
		}
		rows = append(rows, []any{v.Proxy, vote, last, v.Failures, yesNo(v.TargetReachable), v.Error})
	}
	t.Table([]string{"PROXY", "VOTE", "LAST REACHED PRIMARY (UTC)", "FAILED PROBES", "REACHES TARGET", "ERROR"}, rows)
}

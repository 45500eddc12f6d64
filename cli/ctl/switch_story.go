package ctl

import (
	"fmt"
	"strings"

	"github.com/zerokeeper/zero/transport/api"
)

// States between which writes are held.
const (
	stateStopping   = "stopping"
	stateRecovering = "recovering"
	stateRepointing = "repointing"
	stateRolledBack = "rolled-back"
	stateSuperseded = "superseded"
)

// storyText tells in a few lines what somebody wants to know who was asleep:
// whether clients can write, whether anything may be lost, what is left to do.
func storyText(t *text, s *api.Switch) {
	for _, warning := range s.Warnings {
		t.Marked(bad, "! When it was asked for: %s", warning)
	}
	if s.Kind == api.KindFailover && s.State == stateDone {
		switch {
		case s.MayBeLost != "":
			t.Marked(bad, "! Acknowledged writes may be lost: %s.", strings.TrimSuffix(s.MayBeLost, "."))
		case s.Position != nil:
			t.Marked(good, "No acknowledged write is missing: %s has all that the old primary had.", place(s.ToIndex, s.To))
		default:
			t.Marked(good, "%s has all that any replica had received: no write is missing that was acknowledged with semi-sync on.", place(s.ToIndex, s.To))
		}
	}
	if !s.Open && s.State == stateRolledBack && s.Kind == api.KindFailover && s.BlackoutMS == 0 {
		t.Line("Nothing was touched. If the primary is gone, nobody can write: see the failed rules below.")
	}
	var failed []string
	for _, h := range s.Hooks {
		if !h.OK && !(h.Event == "switch/before" && s.Code == api.HookVeto) { // that one did what it is for
			failed = append(failed, h.Hook+" at "+h.Event)
		}
	}
	if len(failed) > 0 {
		t.Marked(bad, "! Hooks failed, somebody may not know of it: %s.", strings.Join(failed, ", "))
	}
	if s.AckPending != nil {
		t.Marked(bad, "! To do: look, then \"zeroctl switch ack %s --reason …\". Until then, or until %s, %s is not failed over by itself again.", s.ID, clock(s.AckPending.Until), s.HostGroup)
	}
}

// heldCell says for a step whether clients' writes were held in it.
func heldCell(steps []api.SwitchStep, i int, supersedes string) cell {
	stopped, over := supersedes != "", false
	for _, step := range steps[:i+1] {
		switch step.State {
		case stateStopping:
			stopped = true
		case stateRepointing, stateDone, stateRolledBack:
			stopped, over = false, true
		case stateRecovering: // one proxy after the other
			if stopped && step.State == steps[i].State {
				return cell{"held, then on", plain}
			}
		case stateSuperseded:
			return cell{"held on", plain}
		}
	}
	switch {
	case stopped:
		return cell{"held", bad}
	case over:
		return cell{"go on", plain}
	}
	return cell{"not held", plain}
}

func hookTable(t *text, hooks []api.SwitchHook) {
	rows := make([][]any, 0, len(hooks))
	for _, h := range hooks {
		result := cell{"ok", good}
		if !h.OK {
			result = cell{"FAILED", bad}
		}
		rows = append(rows, []any{h.Hook, h.Event, result, millis(h.TookMS), h.Tries, h.Keeper, h.Note})
	}
	t.Table([]string{"HOOK", "EVENT", "RESULT", "TOOK", "TRIES", "KEEPER", "NOTE"}, rows)
}

// checksTitle counts the rules.
func checksTitle(checks []api.Check) string {
	failed := 0
	for _, c := range checks {
		if !c.OK {
			failed++
		}
	}
	if failed == 0 {
		return fmt.Sprintf("RULES (%d, all ok)", len(checks))
	}
	return fmt.Sprintf("RULES (%d of %d FAILED)", failed, len(checks))
}

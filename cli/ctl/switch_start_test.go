package ctl

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/zerokeeper/zero/fsm"
	"github.com/zerokeeper/zero/transport/api"
)

// unfold answers SwitchShow with one more step of a record each time. Steps of
// which the error is not nil fail instead.
func unfold(record api.Switch, fail map[int]error) handler {
	shown := 0
	return func([]byte) (any, error) {
		shown++
		if err := fail[shown]; err != nil {
			return nil, err
		}
		n := min(shown, len(record.Steps))
		partial := record
		partial.Steps = record.Steps[:n]
		if n < len(record.Steps) {
			partial.State, partial.Open, partial.Code, partial.Error = record.Steps[n-1].State, true, api.OK, ""
		}
		return partial, nil
	}
}

// startArgs is a command line with more flags.
func startArgs(more ...string) []string {
	return append([]string{"switch", "start", "--group", "orders", "--to", "1", "--reason", "drill"}, more...)
}

func TestSwitchStartShowsEachStep(t *testing.T) {
	for _, test := range []struct {
		name   string
		record api.Switch
		fail   map[int]error
		exit   int
		say    []string // stdout, in this order
		err    string
	}{
		{
			"done", doneSwitch, nil, ExitOK,
			[]string{"switch sw-7 of orders", "requested", "preflight", "6 rules, all ok", "stopping", "promoting", "Done: the primary of orders moved", "writes were held for 12 ms"}, "",
		},
		{
			"rolled back", rolledBack, nil, ExitFailed,
			[]string{"requested", "voting", "rolling-back", "rolled-back", "Not done: the primary of orders did not move"},
			"was not done: 1 of 2 votes, more than 1 needed (2012",
		},
		{
			"a new leader meanwhile", doneSwitch, map[int]error{3: api.ErrNoLeader, 4: ErrUnreachable, 5: api.ErrDeadline}, ExitOK,
			[]string{"preflight", "stopping", "Done"}, "no keeper answers (no leader (2102)); asking on",
		},
		{
			"forgotten", doneSwitch, map[int]error{3: api.ErrKeyMissing}, ExitBadInput,
			[]string{"preflight"}, "switch sw-7 was accepted, but cannot be watched",
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := healthy()
				f.handlers[api.SwitchShow] = unfold(test.record, test.fail)
				got := run{fake: f}.do(startArgs()...)
				if got.code != test.exit {
					t.Errorf("exit %d, want %d", got.code, test.exit)
				}
				rest := got.out
				for _, part := range test.say {
					_, after, found := strings.Cut(rest, part)
					if !found {
						t.Fatalf("%q is not, or not in order, in:\n%s", part, got.out)
					}
					rest = after
				}
				if !strings.Contains(got.err, test.err) || (test.err == "" && got.err != "") {
					t.Errorf("stderr: %s, want %q", got.err, test.err)
				}
				if n := strings.Count(got.out, "  preflight"); n > 1 {
					t.Errorf("a step was shown %d times", n)
				}
				if n := strings.Count(got.err, "asking on"); n > 1 {
					t.Errorf("the silence was reported %d times", n)
				}
			})
		})
	}
}

func TestSwitchStartInJSON(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := healthy()
		f.handlers[api.SwitchShow] = unfold(rolledBack, nil)
		got := run{fake: f}.do(startArgs("-o", "json")...)
		var answer struct {
			Switch api.Switch
			Error  jsonError
		}
		if err := json.Unmarshal([]byte(got.out), &answer); err != nil {
			t.Fatalf("%v: %s", err, got.out)
		}
		if answer.Switch.State != "rolled-back" || answer.Error.Code != int32(api.TooFewVotes) || answer.Error.Exit != ExitFailed || got.code != ExitFailed {
			t.Errorf("exit %d: %+v", got.code, answer.Error)
		}
		if got.err != "" {
			t.Errorf("stderr without a terminal: %s", got.err)
		}
	})
}

// TestSwitchThatDoesNotEnd: the watching is bounded and can be interrupted; the
// operator learns that the switch goes on.
func TestSwitchThatDoesNotEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := healthy()
		f.handlers[api.SwitchShow] = say(openSwitch)
		started := time.Now()
		got := run{fake: f}.do(startArgs("--wait", "3s")...)
		if got.code != ExitFailed || !strings.Contains(got.err, "not over after 3s and goes on") || !strings.Contains(got.err, "zeroctl switch abort sw-7") {
			t.Errorf("exit %d: %s", got.code, got.err)
		}
		if took := time.Since(started); took != 3*time.Second {
			t.Errorf("it took %s", took)
		}
		ctx, cancel := context.WithTimeoutCause(t.Context(), time.Hour, nil)
		defer cancel()
		time.AfterFunc(time.Second, cancel)
		got = run{fake: f, ctx: ctx}.do(startArgs()...)
		if got.code != ExitFailed || !strings.Contains(got.err, "interrupted; switch sw-7 goes on") {
			t.Errorf("interrupted: exit %d: %s", got.code, got.err)
		}
	})
}

// TestStateNames holds this package to the state machine's words.
func TestStateNames(t *testing.T) {
	if stateDone != fsm.StateDone {
		t.Errorf("%q is %q in the state machine", stateDone, fsm.StateDone)
	}
	if n := len("12:00:00.000" + gap + fsm.StateRollingBack); noteColumn != n {
		t.Errorf("notes begin in column %d; the longest state ends in %d", noteColumn, n)
	}
}

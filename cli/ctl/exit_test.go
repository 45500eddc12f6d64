package ctl

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/zerokeeper/zero/transport/api"
)

// TestEveryCodeHasAnExit holds the table total: a new code needs a place in it.
func TestEveryCodeHasAnExit(t *testing.T) {
	for _, code := range api.Codes() {
		exit, ok := apiExit[code]
		if !ok {
			t.Errorf("%s (%d) has no exit code", code, int32(code))
			continue
		}
		if !slices.ContainsFunc(exitText, func(e struct {
			code  int
			name  string
			means string
		}) bool {
			return e.code == exit
		}) {
			t.Errorf("%s has exit code %d, which is not documented", code, exit)
		}
	}
	if len(apiExit) != len(api.Codes()) {
		t.Errorf("%d codes have an exit, there are %d", len(apiExit), len(api.Codes()))
	}
}

func TestExitCodes(t *testing.T) {
	for _, test := range []struct {
		name string
		err  error
		exit int
		code api.Code
	}{
		{"nothing", nil, 0, api.OK},
		{"something", errors.New("x"), 1, api.Common},
		{"unreachable", fmt.Errorf("x: %w", ErrUnreachable), 2, api.NetConnect},
		{"no leader", api.ErrNoLeader, 2, api.NoLeader},
		{"bad input", badInput("x"), 3, api.BadRequest},
		{"not found", fmt.Errorf("x: %w", api.ErrKeyMissing), 3, api.KeyMissing},
		{"busy", api.ErrBusy, 4, api.Busy},
		{"switch in progress", api.ErrorOf(api.SwitchInProgress, "x", ""), 4, api.SwitchInProgress},
		{"unhealthy", unhealthy("x"), 5, api.ClusterStatus},
		{"usage", usage("x"), 64, api.BadRequest},
		{"outcome unknown", api.ErrOutcomeUnknown, 1, api.OutcomeUnknown},
		{"rolled back", failed(api.TooFewVotes, "x"), 1, api.TooFewVotes},
		{"deadline", context.DeadlineExceeded, 1, api.Deadline},
		{"a code of a newer keeper", api.ErrorOf(2999, "x", ""), 1, 2999},
		{"shown already", &saidError{unhealthy("x")}, 5, api.ClusterStatus},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := exitOf(test.err); got != test.exit {
				t.Errorf("exit %d, want %d", got, test.exit)
			}
			if got := codeOf(test.err); got != test.code {
				t.Errorf("code %d, want %d", got, test.code)
			}
		})
	}
}

// TestRunsExit runs zeroctl for what only a run can show.
func TestRunsExit(t *testing.T) {
	for _, test := range []struct {
		name string
		args string
		env  map[string]string
		fake *fake
		exit int
		say  string
	}{
		{"help", "--help", nil, nil, 0, ""},
		{"help of exit codes", "help exit-codes", nil, nil, 0, ""},
		{"no command", "", nil, nil, 0, ""},
		{"unknown command", "nonsense", nil, nil, 64, "unknown command"},
		{"unknown command below", "switch nonsense", nil, nil, 64, "unknown command"},
		{"no command below", "switch", nil, nil, 64, "switch needs a command: start, list, show, abort"},
		{"unknown flag", "status --nonsense", nil, nil, 64, "unknown flag"},
		{"missing argument", "group show", nil, nil, 64, "accepts 1 arg"},
		{"missing flag", "switch start --group g --to 1", nil, nil, 64, "--reason is empty"},
		{"empty reason", "switch abort sw-1 --reason=", nil, nil, 64, "say why"},
		{"format", "status -o yaml", nil, nil, 64, "want table or json"},
		{"timeout", "status --timeout 0s", nil, nil, 64, "above 0"},
		{"keepers", "status --keepers k1", nil, nil, 64, "want host:port"},
		{"port", "status --keepers k1:99999", nil, nil, 64, "1 to 65535"},
		{"consistency", "group list --consistency eventual", nil, nil, 64, "linearizable, leader or stale"},
		{"role", "agent binlog a:1 --role replica", nil, nil, 64, "want master or slave"},
		{"wait", "switch start --group g --to 1 --reason r --wait 0s", nil, nil, 64, "--no-wait"},
		{"environment", "status", map[string]string{"ZERO_TIMEOUT": "soon"}, nil, 64, "ZERO_TIMEOUT"},
		{"expect", "config push x --expect one", nil, nil, 64, "a.b.c"},
		{"no such file", "config push /nonexistent/zero.yaml", nil, nil, 3, "no such file"},
		{"bad version", "config rollback one", nil, nil, 3, "a.b.c"},
		{"no such group", "group show x", nil, &fake{handlers: map[string]handler{api.GroupList: say(api.GroupListAnswer{})}}, 3, `no host group "x"`},
		{"unreachable", "group list", nil, &fake{down: ErrUnreachable}, 2, "--keepers"},
		{"older keeper", "group list", nil, &fake{}, 1, "older than this zeroctl"},
		{"interrupted", "group list", nil, &fake{down: context.Canceled}, 1, "canceled"},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := run{fake: test.fake, env: test.env}.do(strings.Fields(test.args)...)
			if got.code != test.exit {
				t.Errorf("exit %d, want %d", got.code, test.exit)
			}
			if !strings.Contains(got.err, test.say) {
				t.Errorf("%q is not in: %s", test.say, got.err)
			}
		})
	}
}

// TestErrorsAreJSON: also when the command line was refused.
func TestErrorsAreJSON(t *testing.T) {
	for _, args := range []string{"nonsense -o json", "status -o json --nonsense", "status --output=json --timeout 0s", "group list -ojson"} {
		got := run{fake: &fake{down: ErrUnreachable}}.do(strings.Fields(args)...)
		if !strings.HasPrefix(got.out, "{\n  \"error\": {\n    \"code\": ") {
			t.Errorf("%s: %s", args, got.out)
		}
	}
}

func TestExitCodesAreDocumented(t *testing.T) {
	help := run{}.do("help", "exit-codes").out
	for _, e := range exitText {
		if !strings.Contains(help, fmt.Sprintf("%-3d %-12s %s", e.code, e.name, e.means)) {
			t.Errorf("exit code %d is not in: %s", e.code, help)
		}
	}
	for _, code := range api.Codes() {
		if !strings.Contains(help, fmt.Sprintf("%-5d %s", int32(code), code)) {
			t.Errorf("code %d is not in the help", int32(code))
		}
	}
}

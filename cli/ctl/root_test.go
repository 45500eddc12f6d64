package ctl

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/zerokeeper/zero/transport/api"
)

func TestKeepersComeFromFlagEnvironmentAndFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "zeroctl.yaml")
	if err := os.WriteFile(file, []byte("keepers: [f1:1, f2:2]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	env := map[string]string{"ZERO_KEEPERS": "e1:1,e2:2"}
	for _, test := range []struct {
		name string
		args []string
		env  map[string]string
		want []string
	}{
		{"default", nil, nil, []string{DefaultKeeper}},
		{"file", []string{"--config", file}, nil, []string{"f1:1", "f2:2"}},
		{"environment over file", []string{"--config", file}, env, []string{"e1:1", "e2:2"}},
		{"flag over environment", []string{"--config", file, "--keepers", "a:1"}, env, []string{"a:1"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			f := healthy()
			got := run{fake: f, env: test.env}.do(append([]string{"group", "list"}, test.args...)...)
			if got.code != 0 || !slices.Equal(f.opened.Endpoints, test.want) {
				t.Errorf("exit %d, keepers %v, want %v\n%s", got.code, f.opened.Endpoints, test.want, got.err)
			}
			if !f.closed {
				t.Error("the client was not closed")
			}
		})
	}
	if err := os.WriteFile(file, []byte("output: json\nkeeper: a:1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := (run{}).do("status", "--config", file); got.code != ExitUsage || !strings.Contains(got.err, "line 2") || !strings.Contains(got.err, `did you mean "keepers"?`) {
		t.Errorf("an unknown key: exit %d, %s", got.code, got.err)
	}
}

func TestConsistency(t *testing.T) {
	f := healthy()
	if got := (run{fake: f}).do("group", "list", "--consistency", "stale"); got.code != 0 || f.opened.Consistency != "stale" {
		t.Errorf("exit %d, consistency %q", got.code, f.opened.Consistency)
	}
	if got := (run{fake: f}).do("switch", "abort", "x", "--reason", "y", "--consistency", "stale"); got.code != ExitUsage {
		t.Errorf("a write takes --consistency: exit %d", got.code)
	}
}

// TestWritesAreWrites: what changes something goes through the session that
// makes it happen once, and nothing else does.
func TestWritesAreWrites(t *testing.T) {
	file := writeFile(t, validConfig)
	for _, test := range []struct {
		args  []string
		name  string
		write bool
		body  string
	}{
		{[]string{"member", "remove", "k2"}, api.MemberRemove, true, `{"member":"k2"}`},
		{[]string{"leader", "transfer", "--to", "k2"}, api.LeaderTransfer, true, `{"to":"k2"}`},
		{[]string{"group", "drop-replica", "g", "a:1", "--reason", "gone"}, api.ReplicaDrop, true, `{"hostGroup":"g","address":"a:1","reason":"gone"}`},
		{[]string{"proxy", "activate", "p1"}, api.ProxyActivate, true, `{"id":"p1"}`},
		{[]string{"proxy", "unregister", "p1", "--reason", "disk", "--force"}, api.ProxyDrop, true, `{"id":"p1","reason":"disk","force":true}`},
		{[]string{"switch", "start", "--group", "g", "--to", "0", "--reason", "r", "--no-wait"}, api.SwitchStart, true, `{"hostGroup":"g","toIndex":0,"reason":"r"}`},
		{[]string{"switch", "start", "--group", "g", "--to", "1", "--from", "0", "--reason", "r", "--no-wait"}, api.SwitchStart, true, `{"hostGroup":"g","fromIndex":0,"toIndex":1,"reason":"r"}`},
		{[]string{"switch", "abort", "sw-7", "--reason", "r"}, api.SwitchAbort, true, `{"id":"sw-7","reason":"r"}`},
		{[]string{"config", "push", file, "--edit", "--expect", "1.0.3", "--wait", "2s"}, api.ConfigPush, true, `"edit":true,"expect":"1.0.3","waitMs":2000`},
		{[]string{"config", "rollback", "1.0.2", "--cluster", "prod"}, api.ConfigRollback, true, `{"cluster":"prod","configId":"1.0.2","waitMs":10000}`},
		{[]string{"config", "show", "1.0.2"}, api.ConfigShow, false, `{"configId":"1.0.2"}`},
		{[]string{"switch", "list", "--group", "g", "--limit", "3"}, api.SwitchList, false, `{"hostGroup":"g","limit":3}`},
		{[]string{"agent", "binlog", "a:1"}, api.AgentBinlog, false, `{"address":"a:1","role":"master"}`},
		{[]string{"snapshot", "save", filepath.Join(t.TempDir(), "s")}, api.SnapshotSave, false, `{}`},
	} {
		t.Run(strings.Join(test.args[:2], " "), func(t *testing.T) {
			f := healthy()
			if got := (run{fake: f}).do(test.args...); got.code != 0 && got.code != ExitUnhealthy {
				t.Fatalf("exit %d: %s", got.code, got.err)
			}
			for _, c := range f.calls {
				if c.Name == test.name {
					if c.Write != test.write || !strings.Contains(c.Body, test.body) {
						t.Errorf("%+v, want a write: %v, with %s", c, test.write, test.body)
					}
					return
				}
			}
			t.Errorf("%s was not asked: %+v", test.name, f.calls)
		})
	}
}

func TestPages(t *testing.T) {
	f := healthy()
	f.handlers[api.ProxyList] = func(body []byte) (any, error) {
		if strings.Contains(string(body), `"cursor":"p1"`) {
			return api.ProxyListAnswer{Proxies: []api.Proxy{proxyTwo}}, nil
		}
		return api.ProxyListAnswer{Proxies: []api.Proxy{proxyOne}, Next: "p1"}, nil
	}
	if got := (run{fake: f}).do("proxy", "list"); got.code != 0 || strings.Count(got.out, "\n") != 3 {
		t.Errorf("exit %d: %s", got.code, got.out)
	}
	f.handlers[api.ProxyList] = say(api.ProxyListAnswer{Proxies: []api.Proxy{proxyOne}, Next: "p1"})
	if got := (run{fake: f}).do("proxy", "list"); got.code != ExitFailed || !strings.Contains(got.err, "does not go on") {
		t.Errorf("a list without an end: exit %d: %s", got.code, got.err)
	}
	f.handlers[api.SwitchList] = say(api.SwitchListAnswer{Switches: []api.Switch{openSwitch, doneSwitch}, Next: "more"})
	if got := (run{fake: f}).do("switch", "list", "--limit", "1"); got.code != 0 || strings.Count(got.out, "\n") != 2 {
		t.Errorf("--limit 1: exit %d: %s", got.code, got.out)
	}
}

func TestCompletion(t *testing.T) {
	for _, shell := range []string{"bash", "zsh", "fish", "powershell"} {
		if got := (run{}).do("completion", shell); got.code != 0 || !strings.Contains(got.out, "zeroctl") {
			t.Errorf("%s: exit %d", shell, got.code)
		}
	}
	for _, test := range []struct {
		name string
		args []string
		want string
	}{
		{"command", []string{"swi"}, "switch"},
		{"group", []string{"switch", "start", "--group", ""}, "orders\t10.0.1.1:3306"},
		{"group name", []string{"group", "show", ""}, "orders"},
		{"keeper", []string{"leader", "transfer", "--to", ""}, "k2"},
		{"proxy", []string{"proxy", "activate", ""}, "p2\t10.0.2.2:3306 lost"},
		{"agent", []string{"agent", "load", ""}, "10.0.1.2:3306"},
		{"switch", []string{"switch", "show", ""}, "sw-8\torders rolled-back"},
		{"version", []string{"config", "show", ""}, "1.0.3\tmore connections"},
		{"version or file", []string{"config", "diff", ""}, "1.0.2"},
		{"role", []string{"agent", "binlog", "x:1", "--role", ""}, "slave"},
		{"format", []string{"status", "-o", ""}, "json"},
		{"consistency", []string{"status", "--consistency", ""}, "stale"},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := run{fake: healthy()}.do(append([]string{cobra.ShellCompRequestCmd}, test.args...)...)
			if got.code != 0 || !strings.Contains(got.out, test.want) {
				t.Errorf("exit %d, %q is not in: %s", got.code, test.want, got.out)
			}
		})
	}
	if got := (run{fake: &fake{down: ErrUnreachable}}).do(cobra.ShellCompRequestCmd, "group", "show", ""); got.code != 0 {
		t.Errorf("without keepers: exit %d: %s", got.code, got.err)
	}
}

// TestEveryCommandIsDescribed: help is what an operator has at night.
func TestEveryCommandIsDescribed(t *testing.T) {
	a := &app{}
	root, err := a.command()
	if err != nil {
		t.Fatal(err)
	}
	var visit func(*cobra.Command)
	visit = func(cmd *cobra.Command) {
		if cmd.Short == "" || strings.HasSuffix(cmd.Short, ".") {
			t.Errorf("%s: short %q", cmd.CommandPath(), cmd.Short)
		}
		for _, below := range cmd.Commands() {
			visit(below)
		}
	}
	visit(root)
}

// Whoever got the arguments wrong is told how that command wants them.
func TestUsageNamesTheCommand(t *testing.T) {
	for _, args := range [][]string{{"group", "maintenance", "orders"}, {"group", "drop-replica"}, {"brake"}} {
		got := (run{}).do(args...)
		want := "zeroctl " + strings.Join(args[:min(len(args), 2)], " ")
		if got.code != ExitUsage || !strings.Contains(got.err, "want: "+want) || !strings.Contains(got.err, want+" --help") {
			t.Errorf("%v: %d %s", args, got.code, got.err)
		}
	}
}

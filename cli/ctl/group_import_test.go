package ctl

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/zerokeeper/zero/transport/api"
	"github.com/zerokeeper/zero/transport/conf"
)

func discoverer(t *testing.T, found Topology, wantPassword string) Discover {
	return func(ctx context.Context, r DiscoverRequest) (*Topology, error) {
		if _, ok := ctx.Deadline(); !ok {
			t.Error("the discovery has no deadline")
		}
		if r.Primary != "10.0.1.1:3306" || r.User != "zero" || r.Password.Reveal() != wantPassword {
			t.Errorf("asked with %q %q", r.Primary, r.User)
		}
		copied := found
		return &copied, nil
	}
}

var setup = Topology{
	Primary:  Server{Address: "10.0.1.1:3306", Version: "10.11.6-MariaDB", Reachable: true},
	Replicas: []Server{{Address: "10.0.1.2:3306", Version: "10.11.6-MariaDB\nevil: true", ReadOnly: true, Reachable: true}, {Address: "10.0.1.3:3306"}},
}

func importArgs(ref string, more ...string) []string {
	return append([]string{"group", "import", "--primary", "10.0.1.1:3306", "--user", "zero", "--password-ref", ref, "--group", "orders", "--cluster", "prod"}, more...)
}

// TestGroupImport: what is printed can be pushed.
func TestGroupImport(t *testing.T) {
	secret := filepath.Join(t.TempDir(), "db.pw")
	if err := os.WriteFile(secret, []byte("hunter2\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	ref := "${file:" + secret + "}"
	got := run{discover: discoverer(t, setup, "hunter2")}.do(importArgs(ref)...)
	if got.code != 0 || got.err != "" || strings.Contains(got.out, "hunter2") {
		t.Fatalf("exit %d: %s%s", got.code, got.out, got.err)
	}
	parsed, err := conf.Parse([]byte(got.out), conf.Options{})
	if err != nil {
		t.Fatalf("%v\n%s", err, got.out)
	}
	group, ok := parsed.HostGroup("orders")
	if !ok || parsed.Name != "prod" || len(group.Write) != 2 || len(group.Read) != 1 || group.Write[0].Address != "10.0.1.1:3306" {
		t.Errorf("cluster %q, group %+v", parsed.Name, group)
	}
	golden(t, "import.yaml", strings.ReplaceAll(got.out, secret, "/etc/zero/db.pw"))
}

func TestGroupImportFindings(t *testing.T) {
	found := setup
	found.Findings = []Finding{
		{Server: "10.0.1.2:3306", Rule: "using_gtid", Problem: true, Input: "No", Detail: "set MASTER_USE_GTID=slave_pos"},
		{Server: "10.0.1.1:3306", Rule: "semi_sync", Input: "off"},
	}
	r := run{discover: discoverer(t, found, "pw"), env: map[string]string{"DB_PW": "pw"}}
	got := r.do(importArgs("${env:DB_PW}")...)
	if got.code != ExitUnhealthy || !strings.Contains(got.out, "host_groups:") ||
		!strings.Contains(got.err, "10.0.1.2:3306: problem: using_gtid is No\n    set MASTER_USE_GTID") ||
		!strings.Contains(got.err, "10.0.1.1:3306: advice: semi_sync is off") {
		t.Errorf("exit %d: %s%s", got.code, got.out, got.err)
	}
	got = r.do(importArgs("${env:DB_PW}", "-o", "json")...)
	var answer struct {
		Config   string
		Topology Topology
		Error    jsonError
	}
	if err := json.Unmarshal([]byte(got.out), &answer); err != nil {
		t.Fatal(err)
	}
	if len(answer.Topology.Findings) != 2 || answer.Error.Exit != ExitUnhealthy || !strings.Contains(answer.Config, "host_groups:") || got.err != "" {
		t.Errorf("%+v\n%s", answer, got.err)
	}
}

func TestGroupImportFails(t *testing.T) {
	nobody := func(context.Context, DiscoverRequest) (*Topology, error) {
		return nil, failed(api.MySQLUnreachable, "look at it: %w", errors.New("connection refused"))
	}
	for _, test := range []struct {
		name string
		args []string
		exit int
		say  string
	}{
		{"literal password", importArgs("hunter2"), ExitBadInput, "${file:/path} or ${env:NAME}"},
		{"no such variable", importArgs("${env:NO_SUCH}"), ExitBadInput, "NO_SUCH"},
		{"no address", []string{"group", "import", "--primary", "db1"}, ExitBadInput, "--primary"},
		{"no primary", []string{"group", "import"}, ExitUsage, `"primary" not set`},
		{"unreachable", []string{"group", "import", "--primary", "10.0.1.1:3306"}, ExitFailed, "connection refused"},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := run{discover: nobody}.do(test.args...)
			if got.code != test.exit || !strings.Contains(got.err, test.say) || strings.Contains(got.err, "hunter2") {
				t.Errorf("exit %d, want %d with %q: %s", got.code, test.exit, test.say, got.err)
			}
		})
	}
}

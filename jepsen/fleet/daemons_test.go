package fleet

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// actors makes a directory in which zero's programs are this test binary; see actDaemon.
func actors(t *testing.T) string {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for _, name := range Programs {
		if err := os.Symlink(self, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func argsOf(t *testing.T, url string) map[string]string {
	t.Helper()
	_, body, err := Get(limited(t), url)
	if err != nil {
		t.Fatal(err)
	}
	var args map[string]string
	if err := json.Unmarshal(body, &args); err != nil {
		t.Fatal(err)
	}
	return args
}

func wantArgs(t *testing.T, who string, got, want map[string]string) {
	t.Helper()
	for name, value := range want {
		if got[name] != value {
			t.Errorf("%s: --%s is %q, want %q", who, name, got[name], value)
		}
	}
}

func TestDaemons(t *testing.T) {
	t.Setenv("GORACE", "atexit_sleep_ms=0") // a program built with -race sleeps a second at its end
	ctx := limited(t)
	f := ForTest(t, Options{TempDir: t.TempDir(), BinDir: actors(t)})
	if _, err := f.Leader(ctx); err == nil {
		t.Error("a fleet without keepers has a leader")
	}
	keepers, err := f.StartKeepers(ctx, 3, "--extra", "e")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.StartKeepers(ctx, 3); err == nil {
		t.Error("a fleet has two quorums")
	}
	addrs := keepers[0].Addr() + "," + keepers[1].Addr() + "," + keepers[2].Addr()
	if f.KeeperAddrs() != addrs {
		t.Errorf("keepers %q, want %q", f.KeeperAddrs(), addrs)
	}
	for i, k := range keepers {
		wantArgs(t, k.Name(), argsOf(t, k.URL("/args")), map[string]string{
			"name": []string{"k1", "k2", "k3"}[i], "data": filepath.Join(k.Dir(), "data"), "listen": k.Addr(), "http": k.HTTP(),
			"bootstrap-expect": "3", "join": addrs, "extra": "e",
		})
	}
	leader, err := f.Leader(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if leader.Name() != "k1" {
		t.Errorf("%s leads, want k1", leader.Name())
	}
	// A paused keeper must not keep the others from being asked.
	if err := keepers[2].Pause(ctx); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Leader(ctx); err != nil {
		t.Errorf("with a paused follower: %v", err)
	}
	if err := keepers[2].Resume(); err != nil {
		t.Fatal(err)
	}

	p, err := f.StartProxy(ctx, ProxyConfig{Name: "p1", Cluster: "shop", Args: []string{"--extra", "e"}})
	if err != nil {
		t.Fatal(err)
	}
	wantArgs(t, "p1", argsOf(t, p.URL("/args")), map[string]string{"name": "p1", "data": filepath.Join(p.Dir(), "data"),
		"keepers": addrs, "cluster": "shop", "mysql": p.MySQL(), "http": p.HTTP(), "extra": "e"})

	m := &Maria{host: "127.0.0.1", port: 3306, socket: filepath.Join(f.Dir(), "db1", "mysqld.sock")}
	a, err := f.StartAgent(ctx, AgentConfig{Name: "a1", Maria: m, Account: Account{"zero_agent", "agent's"},
		Replication: Account{"zero_repl", "replica's"}})
	if err != nil {
		t.Fatal(err)
	}
	got := argsOf(t, a.URL("/args"))
	wantArgs(t, "a1", got, map[string]string{"name": "a1", "data": filepath.Join(a.Dir(), "data"), "keepers": addrs,
		"mysql": "127.0.0.1:3306", "socket": m.Socket(), "user": "zero_agent", "replication-user": "zero_repl", "http": a.HTTP()})
	for flag, want := range map[string]string{"password-ref": "agent's", "replication-password-ref": "replica's"} {
		path, ok := strings.CutPrefix(got[flag], "${file:")
		password, err := os.ReadFile(strings.TrimSuffix(path, "}"))
		if !ok || err != nil || string(password) != want {
			t.Errorf("--%s is %q and leads to %q, %v; want %q", flag, got[flag], password, err, want)
		}
	}
	if _, err := f.Secret("../x", "s"); err == nil {
		t.Error("a secret was written outside of the fleet's directory")
	}
	if _, err := f.StartAgent(ctx, AgentConfig{Name: "a2"}); err == nil {
		t.Error("an agent without a server was started")
	}

	res, err := f.ZeroctlInput(ctx, "host_groups: []\n", "config", "push", "-")
	if err != nil {
		t.Fatal(err)
	}
	if want := "--keepers " + addrs + " config push -\n"; res.Stdout != want || res.Stderr != "host_groups: []\n" || res.Code != 4 {
		t.Errorf("zeroctl: got %+v, want %q", res, want)
	}
}

func TestBinDir(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("ZERO_BIN", dir)
	f := ForTest(t, Options{TempDir: t.TempDir()})
	if got, err := f.BinDir(limited(t)); err != nil || got != dir {
		t.Errorf("with ZERO_BIN: %q, %v, want %q", got, err, dir)
	}
	g := ForTest(t, Options{TempDir: t.TempDir(), BinDir: "/opt/zero"})
	if got, err := g.BinDir(limited(t)); err != nil || got != "/opt/zero" {
		t.Errorf("with Options.BinDir: %q, %v", got, err)
	}
	t.Setenv("ZERO_BIN", "")
	t.Chdir(t.TempDir())
	h := ForTest(t, Options{TempDir: t.TempDir()})
	if _, err := h.BinDir(limited(t)); err == nil || !strings.Contains(err.Error(), "ZERO_BIN") {
		t.Errorf("outside of the sources: %v, want advice", err)
	}
}

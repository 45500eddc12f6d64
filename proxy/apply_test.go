package proxy

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/zerokeeper/zero/proxy/gate"
	"github.com/zerokeeper/zero/transport/api"
	"github.com/zerokeeper/zero/transport/durable"
)

const userApp = "users:\n  - name: app\n    password: app-password\n    host_group: orders\n"

// TestConfigIsRefused: whole or not at all, and the heartbeat says why.
func TestConfigIsRefused(t *testing.T) {
	secret := strings.ReplaceAll(docAB, "password: probe-password", "password: ${file:/etc/zero/probe.pw}")
	for _, test := range []struct {
		name    string
		content string
		id      string
		dev     bool
		want    string
	}{
		{"another cluster", strings.ReplaceAll(docAB, "shop", "other"), "2.0.0", true, `of cluster "other"`},
		{"not YAML", "basic: [", "2.0.0", true, "line 1"},
		{"unknown key", docAB + "nope: 1\n", "2.0.0", true, "nope"},
		{"a literal password", docAB, "2.0.0", false, "literal"},
		{"a secret that is not there", secret, "2.0.0", false, "password of host group orders"},
		{"no version", docAB, "two", true, "version"},
		{"a group's memory that is damaged", document("", "orders "+addrA, "broken "+addrC), "2.0.0", true, "move it away"},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := newRig(t, func(c *Config) {
				c.ReadSecretFile = func(string) ([]byte, error) { return nil, fs.ErrNotExist }
			})
			ok(t, os.WriteFile(filepath.Join(r.dir, "groups", "broken.json"), []byte("{"), 0o600))
			ok(t, r.push("1.0.0", docAB+userApp))
			ok(t, r.hear(grant(stamp(1, api.StepIdle), 0, 0, addrA, true)))
			r.cfg.Dev = test.dev
			err := r.push(test.id, test.content)
			refused(t, err, api.ConfigCheck)
			if err == nil || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "probe-password") {
				t.Errorf("the refusal %v, want one with %q and no secret", err, test.want)
			}
			r.is(addrA, true)
			if _, found := r.LookupUser("app"); !found {
				t.Error("the users are gone")
			}
			if n := len(r.Groups()); n != 1 {
				t.Errorf("%d host groups", n)
			}
			if b := r.heartbeat(1, api.StatusUp); b.ConfVersion != "1.0.0" || !strings.Contains(b.ConfError, test.want) {
				t.Errorf("the heartbeat says %q, %q", b.ConfVersion, b.ConfError)
			}
			if r.wants(test.id) {
				t.Error("it would be fetched again")
			}
			r.cfg.RetryRefused = time.Nanosecond
			if !r.wants(test.id) {
				t.Error("it would never be tried again")
			}
			r.cfg.Dev = true
			ok(t, r.push("3.0.0", docAB))
			if b := r.heartbeat(2, api.StatusUp); b.ConfVersion != "3.0.0" || b.ConfError != "" {
				t.Errorf("after a good one the heartbeat says %q, %q", b.ConfVersion, b.ConfError)
			}
		})
	}
}

// TestConfigNeedsTheDisk: what cannot be kept is not applied.
func TestConfigNeedsTheDisk(t *testing.T) {
	r := up(t)
	path := filepath.Join(r.dir, "config.json")
	ok(t, os.Remove(path))
	ok(t, os.MkdirAll(filepath.Join(path, "x"), 0o700)) // a directory is not replaced by a file
	if err := r.push("2.0.0", document("", "orders "+addrA, "other "+addrC)); err == nil || !strings.Contains(err.Error(), "keep the configuration") {
		t.Errorf("applied without keeping it: %v", err)
	}
	if b := r.heartbeat(1, api.StatusUp); b.ConfVersion != "1.0.0" || b.ConfError == "" || len(b.Stamps) != 1 {
		t.Errorf("%+v", b)
	}
}

func TestGroupsComeAndGo(t *testing.T) {
	r := newRig(t)
	ok(t, r.push("1.0.0", document(userApp, "orders "+addrA+" "+addrB)))
	ok(t, r.hear(grant(stamp(4, api.StepIdle), 3, 0, addrA, true)))
	g, _ := r.LookupGroup("orders")
	ticket, _ := g.Gate.TryAcquire()

	// Re-ordered, and another one added: nothing in flight notices.
	ok(t, r.push("2.0.0", document(userApp, "orders "+addrC+" "+addrB+" "+addrA, "more 127.0.0.1:4")))
	r.is(addrA, true)
	if !ticket.Valid() {
		t.Error("a transaction was cut off because the list has another order")
	}
	more, found := r.LookupGroup("more")
	if _, open, _ := more.Gate.Current(); !found || open {
		t.Errorf("the new group: found %v, open %v", found, open)
	}
	ok(t, r.hear(grant(stamp(5, api.StepIdle), 3, 2, addrA, true)))
	if !ticket.Valid() {
		t.Error("a transaction was cut off by the grant of the new list")
	}
	ticket.Release()
	refused(t, r.stopWriting(6, 0, addrA), api.IdentityMismatch)
	ok(t, r.stopWriting(6, 2, addrA))
	ok(t, r.rollback(6))
	ok(t, r.recover(6, 2, addrA))

	// Removed: who waits is turned away. It comes back as the one that it was.
	ok(t, r.push("3.0.0", document("", "more 127.0.0.1:4")))
	if _, found := r.LookupGroup("orders"); found {
		t.Error("a removed group is found")
	}
	if _, err := g.Gate.Acquire(t.Context(), 1); !errors.Is(err, gate.ErrClosed) {
		t.Errorf("its gate: %v", err)
	}
	if _, found := r.LookupUser("app"); found {
		t.Error("a removed user can log in")
	}
	ok(t, r.push("4.0.0", document("", "orders "+addrA)))
	r.is(addrA, false)
	if s := r.state(); s.Stamp.Generation != 6 {
		t.Errorf("it forgot generation 6: %+v", s)
	}
}

func TestRollbackConfig(t *testing.T) {
	r := newRig(t)
	back := func(id, as string) error {
		return r.give(api.Stamp{}, api.RollbackConfig, api.RollbackConfigRequest{ConfigID: id, NewConfigID: as})
	}
	refused(t, back("", ""), api.NothingToUndo)
	ok(t, r.push("1.0.0", docAB))
	refused(t, back("", ""), api.NothingToUndo)
	ok(t, r.push("2.0.0", document("", "orders "+addrA)))
	refused(t, back("0.9.0", "3.0.0"), api.NothingToUndo)
	r = r.restart()
	ok(t, back("1.0.0", "3.0.0"))
	ok(t, back("1.0.0", "3.0.0")) // asked again
	if now := r.live.Load(); now.ConfigID != "3.0.0" || now.Content != docAB {
		t.Errorf("it runs %q: %s", now.ConfigID, now.Content)
	}
	ok(t, back("", "")) // the seed's own: one level back, whatever it is called
	if id := r.live.Load().ConfigID; id != "2.0.0" {
		t.Errorf("it runs %q", id)
	}
}

// TestStartWithAConfigurationThatCannotBeUsed: it waits for another one, or for
// what was missing.
func TestStartWithAConfigurationThatCannotBeUsed(t *testing.T) {
	dir := t.TempDir()
	there := true
	change := func(c *Config) {
		c.Dev = false
		c.Getenv = func(string) (string, bool) { return "secret", there }
	}
	doc := strings.ReplaceAll(docAB, "password: probe-password", "password: ${env:PROBE_PW}")
	r := reopen(t, dir, change)
	ok(t, r.push("1.0.0", doc))
	ok(t, r.Close())
	there = false
	r = reopen(t, dir, change)
	if err := r.Ready(); err == nil || !strings.Contains(err.Error(), "PROBE_PW") {
		t.Errorf("ready: %v", err)
	}
	if b := r.heartbeat(1, r.Status()); b.ConfVersion != "" || b.ConfError == "" {
		t.Errorf("the heartbeat: %+v", b)
	}
	ok(t, r.hear())
	if r.Status() != api.StatusReady {
		t.Error("up without a configuration")
	}
	there = true
	ok(t, r.push("1.0.0", doc)) // the same version, now that the secret is there
	ok(t, r.hear(grant(stamp(1, api.StepIdle), 0, 0, addrA, true)))
	r.is(addrA, true)
	if r.kept.Previous != nil {
		t.Errorf("it would roll back to %+v", r.kept.Previous)
	}
}

func TestOpenRefuses(t *testing.T) {
	dir := t.TempDir()
	r := reopen(t, dir)
	ok(t, r.push("1.0.0", docAB))
	if _, err := Open(config(dir)); !errors.Is(err, durable.ErrInUse) {
		t.Errorf("a second proxy on the directory: %v", err)
	}
	ok(t, r.Close())
	other := config(dir)
	other.Cluster = "other"
	if _, err := Open(other); !errors.Is(err, ErrForeign) {
		t.Errorf("a proxy of another cluster: %v", err)
	}
	ok(t, os.WriteFile(filepath.Join(dir, "config.json"), []byte("{"), 0o600))
	if _, err := Open(config(dir)); !errors.Is(err, durable.ErrDamaged) {
		t.Errorf("a damaged file: %v", err)
	}
	file := filepath.Join(t.TempDir(), "file")
	ok(t, os.WriteFile(file, nil, 0o600))
	for name, change := range map[string]func(*Config){
		"no id":             func(c *Config) { c.ID = "" },
		"a path as id":      func(c *Config) { c.ID = "../p1" },
		"no cluster":        func(c *Config) { c.Cluster = "" },
		"no address":        func(c *Config) { c.Address = "" },
		"no directory":      func(c *Config) { c.DataDir = "" },
		"a file":            func(c *Config) { c.DataDir = file },
		"a negative time":   func(c *Config) { c.CallTimeout = -1 },
		"another one of it": func(c *Config) { c.RetryRefused = -1 },
	} {
		cfg := config(t.TempDir())
		change(&cfg)
		if p, err := Open(cfg); err == nil {
			t.Errorf("%s: it was opened", name)
			ok(t, p.Close())
		}
	}
}

func TestClip(t *testing.T) {
	for _, test := range []struct {
		text string
		n    int
		want string
	}{{"abc", 3, "abc"}, {"abcd", 3, "abc"}, {"aäb", 2, "a"}, {"ä", 1, ""}, {"", 0, ""}} {
		if got := clip(test.text, test.n); got != test.want {
			t.Errorf("clip(%q, %d) = %q, want %q", test.text, test.n, got, test.want)
		}
	}
}

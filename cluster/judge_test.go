package cluster

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestOlderCopyRefused(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	nodes := f.group(3)
	n := others(nodes, f.leader(nodes...))[0]
	rest := others(nodes, n)
	f.crash(n)
	backup := filepath.Join(t.TempDir(), "backup")
	if err := os.CopyFS(backup, os.DirFS(n.cfg.DataDir)); err != nil {
		t.Fatal(err)
	}
	n = f.restart(n)
	f.ready(n)
	f.crash(n)
	c := f.again(n)
	c.DataDir = backup
	old := f.mustOpen(c)
	wantFatal(t, old, ErrOlderCopy)
	f.close(old)
	for range 3 { // counted by its starts it would be the newest in the end
		if _, err := f.open(c); !errors.Is(err, ErrOlderCopy) || !strings.Contains(err.Error(), "member remove") {
			t.Errorf("an older copy is started again: %v", err)
		}
	}
	f.ready(f.restart(n)) // the right one is welcome
	f.leader(rest...)
}

// An older copy that cannot announce itself is noticed on the Raft connections,
// by whichever side dials, before it votes.
func TestOlderCopyDoesNotVote(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	dumb := false
	f.setup = func(name string, c *Config) {
		if dumb {
			c.Peers = new(directory) // that finds nobody
		}
	}
	nodes := f.group(3)
	n := others(nodes, f.leader(nodes...))[0]
	f.crash(n)
	backup := filepath.Join(t.TempDir(), "backup")
	if err := os.CopyFS(backup, os.DirFS(n.cfg.DataDir)); err != nil {
		t.Fatal(err)
	}
	n = f.restart(n)
	f.ready(n)
	rest := others(nodes, nil)
	rest = slices.DeleteFunc(rest, func(m *Node) bool { return m.ID() == n.ID() })
	f.mustPut("a", "1")
	f.eventually("both have it", func() bool { return get(rest[0].State(), "a") == "1" && get(rest[1].State(), "a") == "1" })
	f.crash(n)
	f.crash(f.leader(rest...)) // the one that is left and the copy would be a majority
	dumb = true
	c := f.again(n)
	c.DataDir = backup
	old := f.mustOpen(c)
	wantFatal(t, old, ErrOlderCopy)
	for _, m := range rest {
		if m.IsLeader() && m.usable() == nil {
			t.Errorf("%s was elected by an older copy", m.cfg.Name)
		}
	}
	f.close(old)
	if _, err := f.open(c); !errors.Is(err, ErrOlderCopy) {
		t.Errorf("an older copy is started again: %v", err)
	}
}

func TestOlder(t *testing.T) {
	for _, test := range []struct {
		own, known string
		want       bool
	}{
		{"3-a", "", false}, {"3-a", "nonsense", false}, {"3-a", "2-b", false}, {"3-a", "3-a", false},
		{"3-a", "3-b", true}, {"3-a", "4-b", true}, {"", "1-a", true},
	} {
		if got := older(test.own, test.known); got != test.want {
			t.Errorf("own %q, known %q: %v", test.own, test.known, got)
		}
	}
}

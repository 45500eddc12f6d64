package e2e

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/zerokeeper/zero/jepsen/stage"
	"github.com/zerokeeper/zero/transport/api"
)

// TestRestore puts back keepers of an older day, under load: the fleet went on
// after the copy was made, and what it knows counts (R25).
func TestRestore(t *testing.T) {
	ctx := limit(t, 2*time.Minute)
	s := newScene(t, ctx, stage.Config{Proxies: 1})
	s.play(t, ctx, []act{
		{"restored without a word", s.restoredSilently},
		{"recovered alone", s.recoveredAlone},
		{"stop", s.stopAll},
	})
}

// restoredSilently: all keepers come back with a copy from before two switches, and
// nobody says so. They hear of it from the fleet before anybody may write.
func (s *scene) restoredSilently(t *testing.T, ctx context.Context) {
	l := s.underLoad(t, ctx)
	saved := s.copyKeepers(t, ctx)
	s.switchTo(t, ctx, 2)
	s.switchTo(t, ctx, 1)
	l.more(t, ctx, 50)
	was := s.group(t, ctx)
	s.putBack(t, ctx, saved)
	startKeepers(t, ctx, s.Keepers)
	now := s.thawedAs(t, ctx, 1)
	if now.Stamp.Generation <= was.Stamp.Generation || now.Stamp.Epoch <= was.Stamp.Epoch {
		t.Errorf("the stamp is %s, it was %s before the restore", now.Stamp, was.Stamp)
	}
	t.Logf("stamp %s before, %s now; thawed %s", was.Stamp, now.Stamp, now.Thawed)
	l.goesOn(t, ctx)
	s.switchTo(t, ctx, 0)
}

// recoveredAlone: one keeper is left, of an older day, and is recovered. The group
// is frozen until the last agent has answered.
func (s *scene) recoveredAlone(t *testing.T, ctx context.Context) {
	l := s.underLoad(t, ctx)
	saved := s.copyKeepers(t, ctx)
	s.switchTo(t, ctx, 2)
	l.more(t, ctx, 50)
	s.putBack(t, ctx, saved)
	for i, k := range s.Keepers {
		if dir := filepath.Join(k.Dir(), "data"); i == 0 {
			s.zerokeeper(t, ctx, "recover", "--data", dir, "--listen", k.Addr(), "--alone", "--yes")
		} else if err := os.RemoveAll(dir); err != nil { // it joins as a new member
			t.Fatal(err)
		}
	}
	resume := pause(t, ctx, s.Agents[1].Proc)
	defer resume()
	if err := s.Keepers[0].Start(ctx); err != nil {
		t.Fatal(err)
	}
	for _, k := range s.Keepers[1:] { // their names are taken while their old selves are on the list; 0, or not there
		removed := run(t, ctx, s.Fleet, "zeroctl", "--keepers", s.Keepers[0].Addr(), "member", "remove", k.Name())
		t.Logf("member remove %s: %d %s", k.Name(), removed.Code, removed.Stderr)
	}
	for _, k := range s.Keepers[1:] {
		if err := k.Start(ctx); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, ctx, settled, "the group is frozen, and says whom it waits for", func(ctx context.Context) error {
		g := s.group(t, ctx)
		if want := s.Servers[1].Addr() + ": its agent is silent"; g.Frozen == "" || !slices.Contains(g.Waits, want) {
			return fmt.Errorf("frozen %q, waits for %q, want %q", g.Frozen, g.Waits, want)
		}
		return nil
	})
	has(t, "zeroctl status", s.ctl(t, ctx, exitUnhealthy, "status").Stdout, "FROZEN, nobody may write to it")
	has(t, "zeroctl group show", s.ctl(t, ctx, exitOK, "group", "show", stage.Group).Stdout, "! FROZEN")
	has(t, "a switch", s.ctl(t, ctx, exitRefused, startArgs(0)...).Stderr, "is frozen")
	has(t, "zeroctl group thaw", s.ctl(t, ctx, exitOK, "group", "thaw", stage.Group, "--primary", s.Servers[0].Addr()).Stdout, "Nothing was changed")
	for i := range s.Servers {
		if i != 1 { // whose agent stands still
			s.readOnly(t, ctx, i, "1")
		}
	}
	resume()
	t.Logf("thawed %s", s.thawedAs(t, ctx, 2).Thawed)
	l.goesOn(t, ctx)
	s.switchTo(t, ctx, 0)
}

// goesOn ends a load: writes go on, none is lost, and never were two writable.
func (l *losing) goesOn(t *testing.T, ctx context.Context) {
	t.Helper()
	l.more(t, ctx, 50)
	l.work.Stop()
	l.watch.end(t)
	primary := l.primary(t, ctx)
	for _, server := range l.Servers {
		if server != primary {
			if err := server.WaitCaughtUp(ctx, primary); err != nil {
				t.Fatal(err)
			}
		}
		loss, err := l.work.Examine(ctx, server.DB(), stage.Database)
		if err != nil || len(loss.Lost)+len(loss.Doubled)+len(loss.Partial) > 0 {
			t.Errorf("%s: %v, lost %v, doubled %v, in part %v", server.Name(), err, loss.Lost, loss.Doubled, loss.Partial)
		}
	}
}

// thawedAs waits until the group is not frozen any more, and that server its primary.
func (s *scene) thawedAs(t *testing.T, ctx context.Context, primary int) api.Group {
	t.Helper()
	var g api.Group
	eventually(t, ctx, settled, "the group is thawed", func(ctx context.Context) error {
		if g = s.group(t, ctx); g.Frozen != "" || g.Thawed == "" {
			return fmt.Errorf("it is frozen: %q, waits for %q", g.Frozen, g.Waits)
		}
		return nil
	})
	if g.Writable != primary {
		t.Fatalf("%s is the primary now, want server %d: %s", g.Primary, primary, g.Thawed)
	}
	s.readOnly(t, ctx, primary, "0")
	return g
}

// copyKeepers stops all keepers, copies their directories and starts them again.
func (s *scene) copyKeepers(t *testing.T, ctx context.Context) string {
	t.Helper()
	saved := t.TempDir()
	s.stopKeepers(t, ctx)
	for _, k := range s.Keepers {
		if err := os.CopyFS(filepath.Join(saved, k.Name()), os.DirFS(filepath.Join(k.Dir(), "data"))); err != nil {
			t.Fatal(err)
		}
	}
	stopped := time.Now()
	startKeepers(t, ctx, s.Keepers)
	eventually(t, ctx, settled, "the new leader has heard the agents, and no lease of before is about to end", func(ctx context.Context) error {
		if time.Since(stopped) < stage.Lease {
			return fmt.Errorf("only %v have passed", time.Since(stopped))
		}
		for _, d := range s.group(t, ctx).Datasources {
			if d.Role == "" || d.ReadOnly == (d.Role == "primary") {
				return fmt.Errorf("%s is %q, read-only %v", d.Address, d.Role, d.ReadOnly)
			}
		}
		return nil
	})
	return saved
}

// putBack stops all keepers and gives them the saved directories.
func (s *scene) putBack(t *testing.T, ctx context.Context, saved string) {
	t.Helper()
	s.stopKeepers(t, ctx)
	for _, k := range s.Keepers {
		dir := filepath.Join(k.Dir(), "data")
		if err := os.RemoveAll(dir); err != nil {
			t.Fatal(err)
		}
		if err := os.CopyFS(dir, os.DirFS(filepath.Join(saved, k.Name()))); err != nil {
			t.Fatal(err)
		}
	}
}

func (s *scene) stopKeepers(t *testing.T, ctx context.Context) {
	t.Helper()
	for _, k := range s.Keepers {
		if err := k.Kill(); err != nil {
			t.Fatal(err)
		}
	}
}

// zerokeeper runs an offline command, which must succeed.
func (s *scene) zerokeeper(t *testing.T, ctx context.Context, args ...string) {
	t.Helper()
	result := run(t, ctx, s.Fleet, "zerokeeper", args...)
	if result.Code != 0 {
		t.Fatalf("zerokeeper %s: exit %d: %s%s", strings.Join(args, " "), result.Code, result.Stdout, result.Stderr)
	}
	t.Logf("%s", result.Stdout)
}

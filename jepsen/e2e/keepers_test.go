package e2e

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/zerokeeper/zero/fsm"
	"github.com/zerokeeper/zero/jepsen/fleet"
	"github.com/zerokeeper/zero/transport/api"
)

// keeper starts a keeper beside those of the fleet; its HTTP port is the last of
// the flags.
func (q *quorum) keeper(t *testing.T, ctx context.Context, name string, flags ...string) *fleet.Proc {
	t.Helper()
	bin, err := q.f.BinDir(ctx)
	if err != nil {
		t.Fatal(err)
	}
	web := flags[len(flags)-1]
	p, err := q.f.NewProc(fleet.ProcConfig{
		Name: name, Path: filepath.Join(bin, "zerokeeper"), Args: flags,
		Ready: func(ctx context.Context) error {
			return fleet.WaitHTTP(ctx, "http://"+web+"/readyz", fleet.StatusOK)
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Start(ctx); err != nil {
		t.Fatal(err)
	}
	return p
}

// largest: the largest section is stored by way of a follower and is in every
// keeper's state; a byte more is refused.
func (q *quorum) largest(t *testing.T, ctx context.Context) {
	_, followers := q.leader(t, ctx)
	const id, section = "largest", "of all"
	data := strings.Repeat("x", fsm.MaxSection-len(id)-len(section))
	if err := plainPut(ctx, followers[0].Addr(), id, section, data); err != nil {
		t.Errorf("plain update of %d bytes: %v", len(data), err)
	}
	if got, err := plainGet(ctx, followers[1].Addr(), id, section); err != nil || got != data {
		t.Errorf("plain query: %d bytes, %v, want %d", len(got), err, len(data))
	}
	err := plainPut(ctx, followers[0].Addr(), id, section, data+"x")
	if !errors.Is(err, errFailed) || !strings.Contains(err.Error(), "at most") {
		t.Errorf("plain update of a byte too many: %v, want code 1 with the limit", err)
	}
	sameState(t, ctx, q.f, newClient(t, q.f))
}

// fourth: a keeper with an empty directory joins the group that is there, gets
// everything and becomes a voter.
func (q *quorum) fourth(t *testing.T, ctx context.Context) {
	if err := plainPut(ctx, q.f.Keepers()[0].Addr(), "before", "the fourth", "came"); err != nil {
		t.Fatal(err)
	}
	flags := append([]string{"--bootstrap-expect", "0", "--join", q.f.KeeperAddrs()}, q.flags(t, filepath.Join(q.f.Dir(), "k4", "data"), "k4")...)
	q.keeper(t, ctx, "k4", flags...)
	address := flags[len(flags)-3]
	client := newClient(t, q.f)
	eventually(t, ctx, settled, "what the fourth has", func(ctx context.Context) error {
		got, err := staleGet(ctx, client, address, "before", "the fourth")
		if err == nil && got != "came" {
			err = fmt.Errorf("it is %q", got)
		}
		return err
	})
	q.members(t, ctx, func(list []api.Member) error {
		for _, m := range list {
			if !m.Voter {
				return fmt.Errorf("%s is no voter yet", m.Name)
			}
		}
		if len(list) != 4 {
			return fmt.Errorf("%d members", len(list))
		}
		return nil
	})
}

// moves: a keeper comes back at another address, with the same directory.
func (q *quorum) moves(t *testing.T, ctx context.Context) {
	k := q.f.Keepers()[0]
	if err := k.Stop(ctx); err != nil {
		t.Fatal(err)
	}
	flags := append([]string{"--bootstrap-expect", "3", "--join", q.f.KeeperAddrs()}, q.flags(t, filepath.Join(k.Dir(), "data"), k.Name())...)
	q.keeper(t, ctx, "k1-moved", flags...)
	address := flags[len(flags)-3]
	q.members(t, ctx, func(list []api.Member) error {
		for _, m := range list {
			if m.Name == k.Name() && m.Address == address && m.Voter {
				return nil
			}
		}
		return fmt.Errorf("%s is not at %s: %+v", k.Name(), address, list)
	})
	program(t, ctx, q.f, exitOK, "zeroctl", "--keepers", address, "section", "put", "after", "the move", "x")
}

// members waits until the group is as cond wants it.
func (q *quorum) members(t *testing.T, ctx context.Context, cond func([]api.Member) error) {
	t.Helper()
	eventually(t, ctx, settled, "the members", func(ctx context.Context) error {
		var list api.MemberListAnswer
		if err := ask(ctx, q.f, &list, "member", "list"); err != nil {
			return err
		}
		return cond(list.Members)
	})
}

// dev: one keeper in memory needs nothing to be configured, takes literal
// passwords, and is gone when it stops.
func (q *quorum) dev(t *testing.T, ctx context.Context) {
	flags := q.flags(t, "", "dev") // no directory
	listen := flags[len(flags)-3]
	p := q.keeper(t, ctx, "dev", append([]string{"--dev"}, flags...)...)
	ctl := func(want int, args ...string) string {
		t.Helper()
		return program(t, ctx, q.f, want, "zeroctl", append([]string{"--keepers", listen}, args...)...).Stdout
	}
	ctl(exitOK, "section", "put", "a", "b", "c")
	if got := ctl(exitOK, "section", "get", "a", "b"); got != "c" {
		t.Errorf("section get: %q", got)
	}
	file := write(t, q.f, "dev.yaml", "basic:\n  config_name: dev\n  user: u\n  password: open sesame\nhost_groups:\n  - name: g\n    write: 127.0.0.1:3306\nusers:\n  - name: u\n    password: open sesame\n    host_group: g\n")
	ctl(exitBadInput, "config", "push", file)
	ctl(exitOK, "config", "push", "--dev", file)
	if err := p.Restart(ctx); err != nil {
		t.Fatal(err)
	}
	ctl(exitBadInput, "section", "get", "a", "b")
	entries, err := os.ReadDir(p.Dir())
	if err != nil || len(entries) != 0 {
		t.Errorf("a keeper in memory left %v behind, %v", entries, err)
	}
}

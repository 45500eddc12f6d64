package e2e

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/zerokeeper/zero/jepsen/fleet"
)

// back bounds how long writing may be impossible after a keeper died.
const back = 5 * time.Second

// TestQuorum plays with three keepers and nothing else.
func TestQuorum(t *testing.T) {
	ctx := limit(t, 90*time.Second)
	q := &quorum{f: newFleet(t)}
	if _, err := q.f.StartKeepers(ctx, 3); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name string
		run  func(*testing.T, context.Context)
	}{
		{"golden frames", q.frames},
		{"followers redirect and forward", q.followers},
		{"leadership moves", q.leadership},
		{"kill -9 each", q.killEach},
		{"two of three dead", q.twoDead},
		{"directories", q.directories},
		{"one keeper in memory", q.dev},
		{"largest section", q.largest},
		{"a fourth keeper", q.fourth},
		{"another address", q.moves},
	} {
		if !t.Run(test.name, func(t *testing.T) { test.run(t, ctx) }) {
			return // the next begins with a quorum that works
		}
	}
}

// quorum is three keepers.
type quorum struct{ f *fleet.Fleet }

// leader waits for the leader, and returns the others too.
func (q *quorum) leader(t *testing.T, ctx context.Context) (leader *fleet.Keeper, followers []*fleet.Keeper) {
	t.Helper()
	leader, err := q.f.Leader(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return leader, slices.DeleteFunc(q.f.Keepers(), func(k *fleet.Keeper) bool { return k == leader })
}

// anotherLeads waits until a keeper leads that is not this one, which may hang.
func anotherLeads(t *testing.T, ctx context.Context, f *fleet.Fleet, than *fleet.Keeper) {
	t.Helper()
	eventually(t, ctx, back, "another leader than "+than.Name(), func(ctx context.Context) error {
		for _, k := range f.Keepers() {
			if k == than {
				continue
			}
			if status, _, err := fleet.Get(ctx, k.URL("/leaderz")); err == nil && status == http.StatusOK {
				return nil
			}
		}
		return errors.New("none of the others leads")
	})
}

// frames replays the golden frames against every keeper, by a client that shares
// no code with it.
func (q *quorum) frames(t *testing.T, ctx context.Context) {
	script, err := filepath.Abs("../../transport/testdata/replay_frames.py")
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range q.f.Keepers() {
		result, err := q.f.Run(ctx, "python3", script, k.Addr())
		if err != nil || result.Code != 0 {
			t.Errorf("%s: exit %d, %v: %s", k.Name(), result.Code, err, result.Stderr)
		}
		has(t, k.Name(), result.Stdout, "exchanges are as the file says")
	}
}

// followers: zeroctl that knows a follower only finds the leader, and a plain
// client that knows no redirect is served by any keeper.
func (q *quorum) followers(t *testing.T, ctx context.Context) {
	leader, followers := q.leader(t, ctx)
	for i, k := range followers {
		data := fmt.Sprintf("by way of %s", k.Name())
		program(t, ctx, q.f, exitOK, "zeroctl", "--keepers", k.Addr(), "section", "put", "redirected", k.Name(), data)
		got := program(t, ctx, q.f, exitOK, "zeroctl", "--keepers", k.Addr(), "section", "get", "redirected", k.Name())
		if got.Stdout != data {
			t.Errorf("zeroctl section get at %s: %q, want %q", k.Name(), got.Stdout, data)
		}
		if err := plainPut(ctx, k.Addr(), "forwarded", k.Name(), data); err != nil {
			t.Errorf("plain update at the follower %s: %v", k.Name(), err)
		}
		for _, at := range []*fleet.Keeper{followers[1-i], leader} {
			if got, err := plainGet(ctx, at.Addr(), "forwarded", k.Name()); err != nil || got != data {
				t.Errorf("plain query at %s: %q, %v, want %q", at.Name(), got, err, data)
			}
		}
	}
	_, err := plainGet(ctx, followers[0].Addr(), "forwarded", "nothing")
	if !errors.Is(err, errFailed) || !strings.Contains(err.Error(), "not existed") {
		t.Errorf("plain query of what is not there: %v, want code 1: not existed", err)
	}
	refusal(t, ctx, q.f, exitBadInput, 2016, "section", "get", "forwarded", "nothing")
}

// leadership moves on request and on SIGTERM, and no client of the redirecting
// kind notices.
func (q *quorum) leadership(t *testing.T, ctx context.Context) {
	leader, followers := q.leader(t, ctx)
	p := startPutters(t, ctx, q.f)
	for _, to := range []*fleet.Keeper{followers[0], followers[1], leader} {
		zeroctl(t, ctx, q.f, exitOK, "leader", "transfer", "--to", to.Name())
		shown := zeroctl(t, ctx, q.f, exitOK, "leader", "show")
		has(t, "leader show", shown.Stdout, to.Name(), to.Addr())
	}
	refusal(t, ctx, q.f, exitBadInput, 2016, "leader", "transfer", "--to", "nobody")

	leader, _ = q.leader(t, ctx)
	begin := time.Now()
	leader.ExpectEnd()
	if err := leader.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	anotherLeads(t, ctx, q.f, leader)
	took := time.Since(begin)
	status, err := leader.Wait(ctx)
	if err != nil || status.Code != 0 {
		t.Errorf("%s after SIGTERM: %v, %v, want exit 0", leader.Name(), status, err)
	}
	t.Logf("another keeper led %v after SIGTERM, the process ended after %v", took.Round(time.Millisecond), status.Time.Sub(begin).Round(time.Millisecond))
	if took > time.Second {
		t.Errorf("it took %v from SIGTERM to another leader: leadership was not handed over", took)
	}
	has(t, "log of the leader that stopped", leader.LogTail(50), "handed leadership over")
	p.end(t)
	if err := leader.Start(ctx); err != nil {
		t.Fatal(err)
	}
	p.verify(t, ctx, q.f)
}

// killEach kills every keeper in turn, and then the leader of the moment, while
// clients write: nothing acknowledged is lost.
func (q *quorum) killEach(t *testing.T, ctx context.Context) {
	p := startPutters(t, ctx, q.f)
	for _, k := range append(q.f.Keepers(), nil) {
		leader, _ := q.leader(t, ctx)
		role := "follower"
		if k == nil || k == leader {
			k, role = leader, "leader"
		}
		before, _ := p.count()
		if err := k.Kill(); err != nil {
			t.Fatal(err)
		}
		killed := time.Now()
		eventually(t, ctx, back, "writes after kill -9 of "+k.Name(), func(context.Context) error {
			n, latest := p.count()
			if n < before+20 || latest.Before(killed) {
				return fmt.Errorf("%d acknowledged since the kill", n-before)
			}
			return nil
		})
		t.Logf("kill -9 of %s (%s): 20 writes were acknowledged %v later", k.Name(), role, time.Since(killed).Round(time.Millisecond))
		if err := k.Start(ctx); err != nil {
			t.Fatal(err)
		}
	}
	p.end(t)
	n, _ := p.count()
	t.Logf("%d sections acknowledged", n)
	p.verify(t, ctx, q.f)
}

// twoDead: without a majority clients are told so, and after the restart of all
// everything is there.
func (q *quorum) twoDead(t *testing.T, ctx context.Context) {
	p := startPutters(t, ctx, q.f)
	eventually(t, ctx, back, "writes", func(context.Context) error {
		if n, _ := p.count(); n < 50 {
			return fmt.Errorf("%d acknowledged", n)
		}
		return nil
	})
	p.end(t)
	left, dead := q.leader(t, ctx)
	for _, k := range dead {
		if err := k.Kill(); err != nil {
			t.Fatal(err)
		}
	}
	// The first may be taken by a leader that does not know yet.
	err := plainPut(ctx, left.Addr(), "alone", "first", "x")
	if !errors.Is(err, errFailed) || !strings.HasSuffix(err.Error(), "no leader") && !strings.HasSuffix(err.Error(), "outcome unknown") {
		t.Errorf("plain update with two of three dead: %v, want code 1: no leader, or outcome unknown", err)
	}
	eventually(t, ctx, back, "the keeper that is left steps down", func(ctx context.Context) error {
		return fleet.WaitHTTP(ctx, left.URL("/readyz"), func(status int, body []byte) error {
			if status != http.StatusServiceUnavailable {
				return fmt.Errorf("/readyz is %d: %s", status, body)
			}
			return nil
		})
	})
	for name, err := range map[string]error{
		"update": plainPut(ctx, left.Addr(), "alone", "second", "x"),
		"query":  func() error { _, err := plainGet(ctx, left.Addr(), "alone", "second"); return err }(),
	} {
		if !errors.Is(err, errFailed) || !strings.HasSuffix(err.Error(), "no leader") {
			t.Errorf("plain %s without a leader: %v, want code 1: no leader", name, err)
		}
	}
	zeroctl(t, ctx, q.f, exitUnreachable, "--timeout", "1s", "section", "put", "alone", "third", "x")
	zeroctl(t, ctx, q.f, exitUnhealthy, "--timeout", "1s", "status")
	if err := left.Kill(); err != nil {
		t.Fatal(err)
	}
	zeroctl(t, ctx, q.f, exitUnreachable, "--timeout", "1s", "status")
	startKeepers(t, ctx, q.f.Keepers())
	p.verify(t, ctx, q.f)
}

// startKeepers starts keepers at the same time: none is ready without a
// majority.
func startKeepers(t *testing.T, ctx context.Context, keepers []*fleet.Keeper) {
	t.Helper()
	var all sync.WaitGroup
	for _, k := range keepers {
		all.Go(func() {
			if err := k.Start(ctx); err != nil {
				t.Error(err)
			}
		})
	}
	if all.Wait(); t.Failed() {
		t.FailNow()
	}
}

package e2e

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/zerokeeper/zero/jepsen/fleet"
	"github.com/zerokeeper/zero/jepsen/stage"
	"github.com/zerokeeper/zero/transport"
	"github.com/zerokeeper/zero/transport/api"
)

// switchesRefused: what cannot be is refused at once, with the reason, and
// spends nothing.
func (s *scene) switchesRefused(t *testing.T, ctx context.Context) {
	before := s.group(t, ctx)
	for _, test := range []struct {
		name string
		exit int
		code api.Code
		args []string
		want string
	}{
		{"unknown group", exitBadInput, api.KeyMissing, []string{"--group", "nowhere", "--to", "1"}, "nowhere"},
		{"from = to", exitRefused, api.InvalidSwitch, []string{"--group", stage.Group, "--to", "0"}, "both 0"},
		{"index out of range", exitRefused, api.InvalidSwitch, []string{"--group", stage.Group, "--to", "3"}, "0 to 2"},
		{"from is not the primary", exitRefused, api.InvalidSwitch, []string{"--group", stage.Group, "--to", "2", "--from", "1"}, "the writable index is 0"},
	} {
		t.Run(test.name, func(t *testing.T) {
			args := append([]string{"switch", "start", "--reason", "refused"}, test.args...)
			has(t, "switch start", refusal(t, ctx, s.Fleet, test.exit, int(test.code), args...), test.want)
		})
	}
	refusal(t, ctx, s.Fleet, exitBadInput, int(api.KeyMissing), "switch", "show", "nowhere-1")
	refusal(t, ctx, s.Fleet, exitBadInput, int(api.KeyMissing), "switch", "abort", "nowhere-1", "--reason", "x")
	if after := s.group(t, ctx); after.Stamp != before.Stamp || after.Writable != before.Writable || after.OpenSwitch != "" {
		t.Errorf("the group was %+v and is %+v", before, after)
	}

	done := s.switchTo(t, ctx, 1)
	s.push(t, ctx, s.edited(t, "frequency: 1s", "frequency: 1m"))
	has(t, "switch start in the cooldown", refusal(t, ctx, s.Fleet, exitRefused, int(api.TooFrequent), startArgs(0)...), done.ID, "switch.frequency")
	has(t, "abort of a switch that is over", refusal(t, ctx, s.Fleet, exitRefused, int(api.InvalidSwitch), "switch", "abort", done.ID, "--reason", "x"), "is over")
	s.push(t, ctx, s.Config)
	s.oneOfMany(t, ctx)
	s.switchTo(t, ctx, 0)
}

// oneOfMany: of switches that are asked for at the same time one is accepted, and
// of pushes that expect the same version one.
func (s *scene) oneOfMany(t *testing.T, ctx context.Context) {
	t.Helper()
	s.switchTo(t, ctx, 0)
	eventually(t, ctx, settled, "a switch", func(ctx context.Context) error {
		codes := atOnce(ctx, s.Fleet, startArgs(1), startArgs(2), startArgs(1), startArgs(2))
		switch done, refused := codes[exitOK], codes[exitRefused]; {
		case refused == 4:
			return errors.New("all were refused: the cooldown")
		case done != 1 || refused != 3:
			t.Fatalf("of 4 switches at once %d were done and %d refused: exit codes %v", done, refused, codes)
		}
		return nil
	})
	file := write(t, s.Fleet, "many.yaml", s.Config)
	push := []string{"config", "push", file, "--expect", s.versions(t, ctx)[0]}
	if codes := atOnce(ctx, s.Fleet, push, push, push, push); codes[exitOK] != 1 || codes[exitRefused] != 3 {
		t.Errorf("4 pushes that expect the same version: exit codes %v", codes)
	}
}

// atOnce runs zeroctl several times at the same time and counts the exit codes.
func atOnce(ctx context.Context, f *fleet.Fleet, commands ...[]string) map[int]int {
	var all sync.WaitGroup
	results := make(chan int, len(commands))
	for _, args := range commands {
		all.Go(func() {
			result, err := f.Zeroctl(ctx, args...)
			if err != nil {
				result.Code = -1
			}
			results <- result.Code
		})
	}
	all.Wait()
	close(results)
	counts := map[int]int{}
	for code := range results {
		counts[code]++
	}
	return counts
}

// votedDown: a proxy asks for a switch, and the others, which reach the primary,
// vote against it. The record has their evidence.
func (s *scene) votedDown(t *testing.T, ctx context.Context) {
	client, err := transport.NewClient(transport.ClientConfig{
		Endpoints: strings.Split(s.Fleet.KeeperAddrs(), ","),
		Hello:     api.HelloRequest{Role: api.RoleProxy, ID: "asker", Cluster: stage.Cluster, Address: "127.0.0.1:1", Incarnation: "1"},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	body := fmt.Sprintf(`{"hostGroup":%q,"fromIndex":0,"toIndex":1,"reason":"it does not answer me"}`, stage.Group)
	eventually(t, ctx, settled, api.ClusterDatasourcesSwitch, func(ctx context.Context) error {
		_, err := client.Call(ctx, api.ClusterDatasourcesSwitch, nil, []byte(body))
		if code, _ := api.CodeOf(err); code != api.TooFewVotes { // the cooldown is over soon
			return fmt.Errorf("it is answered %w, want code %d", err, api.TooFewVotes)
		}
		return nil
	})
	id := s.group(t, ctx).LastSwitch
	has(t, "switch show", s.ctl(t, ctx, exitOK, "switch", "show", id).Stdout, "Not done (rolled-back)", "it does not answer me", "proxy asker",
		"VOTES", "LAST REACHED PRIMARY", s.Proxies[0].Name(), s.Proxies[1].Name())
	record, err := s.record(ctx, id)
	if err != nil || len(record.Votes) != len(s.Proxies) {
		t.Errorf("%d votes, %v", len(record.Votes), err)
	}
	for _, v := range record.Votes {
		if v.Vote || v.NoAnswer != "" || v.Failures != 0 || v.LastSuccess == nil || !v.TargetReachable || v.FromIndex != 0 || v.ToIndex != 1 {
			t.Errorf("the vote of %s: %+v", v.Proxy, v)
		}
	}
}

// drainTimeout: a transaction that stays open past drain_timeout makes the
// switch go back. It commits all the same, and whoever was held goes on.
func (s *scene) drainTimeout(t *testing.T, ctx context.Context) {
	d := s.holdSwitch(t, ctx, "drain")
	has(t, "a second switch", refusal(t, ctx, s.Fleet, exitRefused, int(api.SwitchInProgress), startArgs(2)...), d.id)
	has(t, "a push meanwhile", refusal(t, ctx, s.Fleet, exitRefused, int(api.SwitchInProgress), "config", "push",
		write(t, s.Fleet, "meanwhile.yaml", s.edited(t, fmt.Sprintf("write: %q", strings.Join(s.addresses(), ", ")), fmt.Sprintf("write: %q", strings.Join(s.addresses()[:2], ", "))))), stage.Group)
	record := s.reaches(t, ctx, settled, d.id, over)
	if record.State != "rolled-back" || record.Code != api.DrainTimeout || !strings.Contains(record.Error, "drain_timeout") {
		t.Errorf("the switch is %s with code %d: %s", record.State, record.Code, record.Error)
	}
	text := s.ctl(t, ctx, exitOK, "switch", "show", d.id).Stdout
	has(t, "switch show", text, "Not done (rolled-back)", "rolling-back", "1 still in flight", s.Proxies[0].Name(), "skipped: operator")
	d.verify(t, ctx)
}

// abort: an operator stops a switch while it drains.
func (s *scene) abort(t *testing.T, ctx context.Context) {
	d := s.holdSwitch(t, ctx, "abort")
	asked := time.Now()
	s.ctl(t, ctx, exitOK, "switch", "abort", d.id, "--reason", "wrong evening")
	record := s.reaches(t, ctx, settled, d.id, over)
	t.Logf("rolled back %v after the abort", time.Since(asked).Round(time.Millisecond))
	if record.State != "rolled-back" || record.Code != api.SwitchAborted || !strings.Contains(record.Error, "wrong evening") {
		t.Errorf("the switch is %s with code %d: %s", record.State, record.Code, record.Error)
	}
	d.verify(t, ctx)
}

// held is a switch that waits for an open transaction, and clients that wait for
// the switch.
type held struct {
	scene *scene
	id    string
	note  string
	open  *sql.Conn // in a transaction, until commit

	committed bool

	wg   sync.WaitGroup
	mu   sync.Mutex
	errs []error
}

const heldWriters = 4

// holdSwitch opens a transaction through the first proxy, starts a switch that
// has to wait for it, and writes through both.
func (s *scene) holdSwitch(t *testing.T, ctx context.Context, note string) *held {
	t.Helper()
	s.notes(t, ctx)
	d := &held{scene: s, note: note, open: s.client(t, ctx, s.Proxies[0])}
	var conns []*sql.Conn
	for i := range heldWriters {
		conns = append(conns, s.client(t, ctx, s.Proxies[i%len(s.Proxies)]))
	}
	do(t, ctx, d.open, "BEGIN", insert(note))
	d.id = s.started(t, ctx, 1)
	s.gauge(t, ctx, "zero_proxy_group_open", 0)
	for _, conn := range conns {
		d.wg.Go(func() {
			if _, err := conn.ExecContext(ctx, insert(note)); err != nil {
				d.mu.Lock()
				defer d.mu.Unlock()
				d.errs = append(d.errs, err)
			}
		})
	}
	s.gauge(t, ctx, "zero_proxy_group_held", heldWriters)
	return d
}

// gauge waits until the proxies' metrics of the host group add up to that.
func (s *scene) gauge(t *testing.T, ctx context.Context, metric string, want int) {
	t.Helper()
	value := regexp.MustCompile(`(?m)^` + metric + `\{host_group="` + stage.Group + `"[^}]*\} (\d+)$`)
	eventually(t, ctx, 5*time.Second, metric, func(ctx context.Context) error {
		sum := 0
		for _, p := range s.Proxies {
			_, body, err := fleet.Get(ctx, p.URL("/metrics"))
			if err != nil {
				return err
			}
			found := value.FindSubmatch(body)
			if found == nil {
				return fmt.Errorf("%s has no such metric", p.Name())
			}
			n, err := strconv.Atoi(string(found[1]))
			if err != nil {
				return err
			}
			sum += n
		}
		if sum != want {
			return fmt.Errorf("it is %d, not %d", sum, want)
		}
		return nil
	})
}

// commit ends the open transaction, for which the switch waits.
func (d *held) commit(t *testing.T, ctx context.Context) {
	t.Helper()
	if !d.committed {
		do(t, ctx, d.open, insert(d.note), "COMMIT")
		d.committed = true
	}
}

// verify: the primary is where it was, the open transaction goes on and commits,
// the held writes were done once, and nothing is lost.
func (d *held) verify(t *testing.T, ctx context.Context) {
	t.Helper()
	d.verifyAt(t, ctx, 0)
}

// verifyAt is verify when the primary is to be another.
func (d *held) verifyAt(t *testing.T, ctx context.Context, writable int) {
	t.Helper()
	d.wg.Wait()
	for _, err := range d.errs {
		t.Errorf("a held write: %v", err)
	}
	d.commit(t, ctx)
	do(t, ctx, d.open, insert(d.note))
	if g := d.scene.group(t, ctx); g.Writable != writable || g.OpenSwitch != "" || g.LastSwitch != d.id {
		t.Errorf("the group after the switch, whose writable should be %d: %+v", writable, g)
	}
	d.scene.noted(t, ctx, d.note, heldWriters+3)
}

package e2e

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/zerokeeper/zero/jepsen/fleet"
	"github.com/zerokeeper/zero/jepsen/load"
	"github.com/zerokeeper/zero/jepsen/stage"
	"github.com/zerokeeper/zero/transport/api"
)

// Bounds of a group whose only acknowledging replica is lost. Writes go on after
// three seconds; the machine of the tests is given more.
const (
	degradesIn = 8 * time.Second
	restoredIn = 20 * time.Second
)

// TestSemiSync (R17, R19, R20): who acknowledges is recorded, and what happens when
// nobody does is decided by the policy.
func TestSemiSync(t *testing.T) {
	ctx := limit(t, 3*time.Minute)
	s := newScene(t, ctx, stage.Config{Proxies: 1, Switch: []string{"  auto_failover: true", "  policy: available", "  auto_ack_after: 0"}})
	s.dropsOne(t, ctx)
	db, err := s.Open(s.Proxies[0])
	if err == nil {
		err = load.Prepare(ctx, db)
	}
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for _, a := range []act{
		{"the only replica that acknowledges is lost, available", func(t *testing.T, ctx context.Context) { s.degrades(t, ctx, db) }},
		{"the same, lossless", func(t *testing.T, ctx context.Context) { s.waits(t, ctx, db) }},
		{"failover with an unrecorded replica away", func(t *testing.T, ctx context.Context) { s.failsOverWithout(t, ctx, db) }},
		{"no failover with a recorded replica away", s.refusesWithout},
	} {
		if !t.Run(a.name, func(t *testing.T) { a.run(t, ctx) }) {
			return
		}
	}
}

// dropsOne loses the third server for good, and takes it out of the record.
func (s *scene) dropsOne(t *testing.T, ctx context.Context) {
	t.Helper()
	drop := []string{"group", "drop-replica", stage.Group, s.Servers[2].Addr(), "--reason", "it is gone"}
	refusal(t, ctx, s.Fleet, exitRefused, int(api.InvalidSwitch), drop...)
	s.loses(t, ctx, 2)
	eventually(t, ctx, restoredIn, "it is dropped", func(ctx context.Context) error { return s.Zeroctl(ctx, nil, drop...) })
}

// loses kills a server and its agent.
func (s *scene) loses(t *testing.T, ctx context.Context, i int) {
	t.Helper()
	for _, p := range []*fleet.Proc{s.Agents[i].Proc, s.Servers[i].Proc} {
		if err := p.Kill(); err != nil {
			t.Fatal(err)
		}
	}
}

// writeRow writes a row and returns when it is acknowledged.
func writeRow(ctx context.Context, db *sql.DB) error {
	_, err := db.ExecContext(ctx, "INSERT INTO semisync(v) VALUES (1)")
	return err
}

// degrades: writes go on soon, and everybody is told; it ends when the replica is back.
func (s *scene) degrades(t *testing.T, ctx context.Context, db *sql.DB) {
	if _, err := db.ExecContext(ctx, "CREATE TABLE semisync(id INT PRIMARY KEY AUTO_INCREMENT, v INT)"); err != nil {
		t.Fatal(err)
	}
	// MariaDB logs a replicated DDL statement and its position apart: a replica that is killed between has to be built anew.
	if err := s.CaughtUp(ctx, 0); err != nil {
		t.Fatal(err)
	}
	killed := time.Now()
	if err := s.Servers[1].Kill(); err != nil {
		t.Fatal(err)
	}
	if err := writeRow(ctx, db); err != nil {
		t.Fatal(err)
	}
	took := time.Since(killed)
	t.Logf("a write was acknowledged %v after the only acknowledging replica was killed", took.Round(time.Millisecond))
	if took > degradesIn {
		t.Errorf("it took %v, want %v", took, degradesIn)
	}
	g := s.group(t, ctx)
	if g.Degraded == nil || !strings.Contains(g.Degraded.Why, "commits wait for an acknowledgement") || g.Degraded.SinceMS < killed.UnixMilli() {
		t.Errorf("the group is shown as %+v", g.Degraded)
	}
	if result := s.ctl(t, ctx, exitUnhealthy, "status"); !strings.Contains(result.Stdout, "is degraded since") {
		t.Errorf("status:\n%s", result.Stdout)
	}
	recorded := s.firstLine(t, regexp.MustCompile(`^(\S+) \[WARN\].*the group is degraded: .*`))
	off := s.firstLine(t, regexp.MustCompile(`^(\S+) \[WARN\].*semi-sync is turned off: the group is recorded.*`))
	if recorded == "" || off == "" || recorded > off { // R20
		t.Errorf("it was recorded at %q, and semi-sync turned off at %q", recorded, off)
	}
	refused := s.ctl(t, ctx, exitFailed, startArgs(1, "--failover", "--policy", "lossless")...)
	if text := refused.Stdout + refused.Stderr; !strings.Contains(text, "degraded since") {
		t.Errorf("a lossless failover was refused with %s", text)
	}

	back := time.Now()
	s.startServer(t, ctx, 1)
	s.cleared(t, ctx)
	t.Logf("semi-sync is on again, and recorded, %v after the replica's start", time.Since(back).Round(time.Millisecond))
	if on, err := s.Servers[0].Value(ctx, "SELECT @@global.rpl_semi_sync_master_enabled"); err != nil || on != "1" {
		t.Errorf("semi-sync is %q, %v", on, err)
	}
}

// firstLine is the time of the first line of all logs that matches, "" without one.
func (s *scene) firstLine(t *testing.T, pattern *regexp.Regexp) string {
	t.Helper()
	first := ""
	for _, line := range grep(t, s.Fleet, regexp.MustCompile(pattern.String())) {
		_, text, _ := strings.Cut(line, ": ")
		if m := pattern.FindStringSubmatch(text); m != nil && (first == "" || m[1] < first) {
			first = m[1]
		}
	}
	return first
}

// cleared waits until the group is degraded no more and the second server is a member.
func (s *scene) cleared(t *testing.T, ctx context.Context) {
	t.Helper()
	eventually(t, ctx, restoredIn, "semi-sync is restored", func(ctx context.Context) error {
		g := s.group(t, ctx)
		if g.Degraded != nil || g.Datasources[1].Replica != api.ReplicaMember {
			return fmt.Errorf("degraded is %+v, the replica is %q", g.Degraded, g.Datasources[1].Replica)
		}
		clients, err := s.Servers[0].Row(ctx, "SHOW GLOBAL STATUS LIKE 'Rpl_semi_sync_master_clients'")
		if err == nil && clients["Value"] != "1" {
			err = fmt.Errorf("%s replicas acknowledge", clients["Value"])
		}
		return err
	})
}

// waits: under lossless the write waits, and an alarm says why; nothing is degraded.
func (s *scene) waits(t *testing.T, ctx context.Context, db *sql.DB) {
	file := filepath.Join(s.Fleet.Dir(), "lossless.yaml")
	if err := os.WriteFile(file, []byte(strings.Replace(s.Config, "policy: available", "policy: lossless", 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	s.ctl(t, ctx, exitOK, "config", "push", file)
	if err := s.Servers[1].Kill(); err != nil {
		t.Fatal(err)
	}
	written := make(chan error, 1)
	go func() { written <- writeRow(ctx, db) }()
	eventually(t, ctx, degradesIn, "an alarm", func(ctx context.Context) error {
		g := s.group(t, ctx)
		if alarm := g.Datasources[0].Alarm; !strings.Contains(alarm, "commits wait for an acknowledgement: no replica") || g.Policy != api.PolicyLossless {
			return fmt.Errorf("it is %q, the policy %s", alarm, g.Policy)
		}
		return nil
	})
	if result := s.ctl(t, ctx, exitUnhealthy, "status"); !strings.Contains(result.Stdout, "policy lossless") {
		t.Errorf("status:\n%s", result.Stdout)
	}
	select {
	case err := <-written:
		t.Errorf("the write ended, with %v, though nobody acknowledged it", err)
	default:
	}
	if g := s.group(t, ctx); g.Degraded != nil {
		t.Errorf("degraded: %+v", g.Degraded)
	}
	s.startServer(t, ctx, 1)
	select {
	case err := <-written:
		if err != nil {
			t.Errorf("the write that waited: %v", err)
		}
	case <-time.After(restoredIn):
		t.Fatal("the write is not acknowledged, though the replica is back")
	}
	s.cleared(t, ctx)
}

// failsOverWithout: the third server is away, and not recorded: it does not count.
func (s *scene) failsOverWithout(t *testing.T, ctx context.Context, db *sql.DB) {
	if err := s.Servers[0].Kill(); err != nil {
		t.Fatal(err)
	}
	var id string
	eventually(t, ctx, failedOver, "a lossless failover", func(ctx context.Context) error {
		g := s.group(t, ctx)
		if id = g.LastSwitch; g.Writable != 1 || g.OpenSwitch != "" {
			return fmt.Errorf("index %d is writable, switch %q is open", g.Writable, g.OpenSwitch)
		}
		return nil
	})
	record, err := s.record(ctx, id)
	if err != nil {
		t.Fatal(err)
	}
	if record.Policy != api.PolicyLossless || record.MayBeLost != "" || record.State != "done" {
		t.Errorf("the failover: %+v", record)
	}
	s.startServer(t, ctx, 0)
	s.follows(t, ctx, 0)
	bounded, cancel := context.WithTimeout(ctx, restoredIn)
	defer cancel()
	if err := writeRow(bounded, db); err != nil {
		t.Errorf("a write when the old primary follows: %v", err)
	}
	s.member(t, ctx, 0)
}

func (s *scene) member(t *testing.T, ctx context.Context, i int) {
	t.Helper()
	eventually(t, ctx, restoredIn, s.Servers[i].Name()+" is a member of the record", func(ctx context.Context) error {
		if state := s.group(t, ctx).Datasources[i].Replica; state != api.ReplicaMember {
			return fmt.Errorf("it is %q", state)
		}
		return nil
	})
}

// refusesWithout: the third server is recorded again, and away: it counts.
func (s *scene) refusesWithout(t *testing.T, ctx context.Context) {
	started := make(chan error, 1)
	go func() { started <- s.Agents[2].Start(ctx) }() // it is ready when its server is
	s.startServer(t, ctx, 2)
	if err := <-started; err != nil {
		t.Fatal(err)
	}
	s.member(t, ctx, 2)
	s.loses(t, ctx, 2)
	if err := s.Servers[1].Kill(); err != nil {
		t.Fatal(err)
	}
	eventually(t, ctx, failedOver, "a failover that is refused", func(ctx context.Context) error {
		var list api.SwitchListAnswer
		if err := ask(ctx, s.Fleet, &list, "switch", "list", "--group", stage.Group, "--limit", "1"); err != nil {
			return err
		}
		if len(list.Switches) == 0 || list.Switches[0].Code != api.MayLoseWrites || !strings.Contains(list.Switches[0].Error, s.Servers[2].Addr()) {
			return errors.New("none is")
		}
		return nil
	})
	if g := s.group(t, ctx); g.Writable != 1 {
		t.Errorf("index %d is writable", g.Writable)
	}
}

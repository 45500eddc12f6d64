package e2e

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/zerokeeper/zero/jepsen/fleet"
	"github.com/zerokeeper/zero/jepsen/load"
	"github.com/zerokeeper/zero/jepsen/stage"
	"github.com/zerokeeper/zero/transport/api"
)

// The bounds of a failover, and of the old primary's way back.
const (
	failedOver = 10 * time.Second
	rejoined   = 15 * time.Second
)

// perProxy is how many connections of the load each proxy has.
const perProxy = 6

// TestFailover plays with primaries that are gone, under load, with nobody who
// orders anything.
func TestFailover(t *testing.T) {
	ctx := limit(t, 3*time.Minute)
	s := newScene(t, ctx, stage.Config{Switch: []string{"  auto_failover: true", "  policy: lossless", "  auto_ack_after: 0"}})
	s.play(t, ctx, []act{
		{"primary killed", s.primaryKilled},
		{"primary's host lost", s.hostLost},
		{"writes that nobody acknowledged", s.unacknowledged},
		{"stop", func(t *testing.T, ctx context.Context) { // after an errant server nothing is healthy
			t.Run("errant", func(t *testing.T) { s.errant(t, ctx) })
			s.stopAll(t, ctx)
		}},
	})
}

// primaryKilled: mysqld of the primary is killed, its agent lives. Another takes
// its place; when the old one is started again it follows, and can be the primary
// once more.
func (s *scene) primaryKilled(t *testing.T, ctx context.Context) {
	l := s.underLoad(t, ctx)
	old := s.group(t, ctx).Writable
	killed := time.Now()
	if err := s.Servers[old].Kill(); err != nil {
		t.Fatal(err)
	}
	record := l.failsOver(t, ctx, killed, old)
	if record.Fenced != api.FencedDead {
		t.Errorf("the old primary is %q, want %q: its agent lives", record.Fenced, api.FencedDead)
	}
	begin := time.Now()
	s.startServer(t, ctx, old)
	s.follows(t, ctx, old)
	t.Logf("%s follows %v after its start", s.Servers[old].Name(), time.Since(begin).Round(time.Millisecond))
	s.healthy(t, ctx)
	back := s.switchTo(t, ctx, old)
	t.Logf("switched back: writes were stopped for %.0f ms", back.BlackoutMS)
	l.verify(t, ctx, s.Servers)
}

// hostLost: agent and mysqld of the primary are gone at once, and nobody is left to
// say so. The keepers wait until the agent's lease must be over.
func (s *scene) hostLost(t *testing.T, ctx context.Context) {
	l := s.underLoad(t, ctx)
	old := s.group(t, ctx).Writable
	agent, server := s.Agents[old], s.Servers[old]
	lost := []*fleet.Proc{agent.Proc, server.Proc}
	killed := time.Now()
	for _, p := range lost {
		p.ExpectEnd()
		if err := p.Signal(syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
	}
	for _, p := range lost {
		if err := p.Kill(); err != nil { // waits
			t.Fatal(err)
		}
	}
	record := l.failsOver(t, ctx, killed, old)
	if record.Fenced != api.LeaseOut {
		t.Errorf("the old primary is %q, want %q: nobody could tell", record.Fenced, api.LeaseOut)
	}
	begin := time.Now()
	started := make(chan error, 1)
	go func() { started <- agent.Start(ctx) }() // it is ready when its server is
	// The host starts the agent first, and mysqld when the agent knows what it is.
	eventually(t, ctx, rejoined, agent.Name()+" knows that another is the primary", func(context.Context) error {
		options, err := s.ServerOptions(old)
		if err == nil && !slices.Contains(options, "--init_rpl_role=SLAVE") {
			err = fmt.Errorf("the server would be started with %v", options)
		}
		return err
	})
	s.startServer(t, ctx, old)
	if err := <-started; err != nil {
		t.Fatal(err)
	}
	s.follows(t, ctx, old)
	t.Logf("%s follows %v after its agent's start", server.Name(), time.Since(begin).Round(time.Millisecond))
	l.verify(t, ctx, s.Servers)
}

// unacknowledged: the primary dies with transactions in its binary log that no
// replica has. Started as its agent says, it takes them back and follows.
func (s *scene) unacknowledged(t *testing.T, ctx context.Context) {
	l := s.underLoad(t, ctx)
	old := s.group(t, ctx).Writable
	l.failsOver(t, ctx, s.killAhead(t, ctx, old), old)
	s.startServer(t, ctx, old)
	s.follows(t, ctx, old)
	l.verify(t, ctx, s.Servers)
}

// errant is the same with a server that is started plainly: it keeps them. It stays
// read-only and follows nobody, its agent saves them, and a person is told.
func (s *scene) errant(t *testing.T, ctx context.Context) {
	l := s.underLoad(t, ctx)
	old := s.group(t, ctx).Writable
	l.failsOver(t, ctx, s.killAhead(t, ctx, old), old)
	if err := s.Servers[old].Start(ctx); err != nil {
		t.Fatal(err)
	}
	eventually(t, ctx, rejoined, "an alarm", func(ctx context.Context) error {
		alarm := s.group(t, ctx).Datasources[old].Alarm
		if !strings.Contains(alarm, "errant transactions") || !strings.Contains(alarm, "were saved in") {
			return fmt.Errorf("it is %q", alarm)
		}
		return nil
	})
	s.readOnly(t, ctx, old, "1")
	if row, err := s.Servers[old].Row(ctx, "SHOW SLAVE STATUS"); err != nil && !errors.Is(err, sql.ErrNoRows) || row["Slave_IO_Running"] == "Yes" {
		t.Errorf("an errant server replicates from %s, %v", row["Master_Port"], err)
	}
	saved, err := filepath.Glob(filepath.Join(s.Agents[old].Dir(), "data", "errant", "errant-*", "binlog.*"))
	if err != nil || len(saved) == 0 {
		t.Errorf("no binary log was saved: %v", err)
	}
	l.verify(t, ctx, slices.Delete(slices.Clone(s.Servers), old, old+1))
}

// killAhead kills the primary when it has written what no replica has received, and
// says when. The replicas' agents stand still meanwhile, or they would start the
// replication again.
func (s *scene) killAhead(t *testing.T, ctx context.Context, primary int) (killed time.Time) {
	t.Helper()
	for i, server := range s.Servers {
		if i == primary {
			continue
		}
		defer pause(t, ctx, s.Agents[i].Proc)()
		if err := server.Exec(ctx, "STOP SLAVE IO_THREAD"); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, ctx, settled, "writes that no replica has", func(ctx context.Context) error {
		for i, server := range s.Servers {
			if i == primary {
				continue
			}
			row, err := server.Row(ctx, "SHOW SLAVE STATUS")
			if err != nil {
				return err
			}
			has, err := s.Servers[primary].Value(ctx, "SELECT @@gtid_binlog_pos")
			if err != nil {
				return err
			}
			if has == row["Gtid_IO_Pos"] {
				return fmt.Errorf("%s has all of %s", server.Name(), has)
			}
		}
		return nil
	})
	killed = time.Now()
	if err := s.Servers[primary].Kill(); err != nil {
		t.Fatal(err)
	}
	return killed
}

// startServer starts a server as its host would: when its agent says so, with what that wrote for it.
func (s *scene) startServer(t *testing.T, ctx context.Context, i int) {
	t.Helper()
	eventually(t, ctx, rejoined, s.Servers[i].Name()+" may be started", func(ctx context.Context) error {
		status, body, err := fleet.Get(ctx, s.Agents[i].URL("/startz"))
		if err != nil {
			return err
		}
		return fleet.StatusOK(status, body)
	})
	options, err := s.ServerOptions(i)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Servers[i].Start(ctx, options...); err != nil {
		t.Fatal(err)
	}
}

// follows waits until a server is a read-only replica of the primary.
func (s *scene) follows(t *testing.T, ctx context.Context, i int) {
	t.Helper()
	source := strconv.Itoa(s.primary(t, ctx).Port())
	eventually(t, ctx, rejoined, s.Servers[i].Name()+" follows", func(ctx context.Context) error {
		row, err := s.Servers[i].Row(ctx, "SHOW SLAVE STATUS")
		if err != nil {
			return err
		}
		readOnly, err := s.Servers[i].Value(ctx, "SELECT @@global.read_only")
		if err == nil && (row["Master_Port"] != source || row["Slave_IO_Running"] != "Yes" || row["Slave_SQL_Running"] != "Yes" || readOnly != "1") {
			err = fmt.Errorf("read_only %s, source %s (want %s), IO %s %s, SQL %s %s", readOnly, row["Master_Port"], source,
				row["Slave_IO_Running"], row["Last_IO_Error"], row["Slave_SQL_Running"], row["Last_SQL_Error"])
		}
		return err
	})
}

// losing is a load on all proxies, whose primary is going to be lost.
type losing struct {
	*scene
	work  *load.Load
	watch *watcher
	// lost is when the primary was; over is when its failover was done. Zero before.
	lost, over time.Time
}

// underLoad starts the load, and a look at who is writable.
func (s *scene) underLoad(t *testing.T, ctx context.Context) *losing {
	t.Helper()
	var dbs []*sql.DB
	for _, p := range s.Proxies {
		db, err := s.Open(p)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = db.Close() })
		dbs = append(dbs, db)
	}
	err := s.primary(t, ctx).Exec(ctx, "DROP TABLE IF EXISTS "+stage.Database+"."+load.Table) // of the act before
	if err == nil {
		err = load.Prepare(ctx, dbs[0])
	}
	if err != nil {
		t.Fatal(err)
	}
	l := &losing{scene: s, watch: s.watchWritable(t, ctx)}
	l.work = load.Start(ctx, load.Config{DBs: dbs, Connections: perProxy, Every: 20 * time.Millisecond, Timeout: 20 * time.Second})
	t.Cleanup(l.work.Stop)
	l.more(t, ctx, 100)
	return l
}

// more waits for that many more acknowledged writes.
func (l *losing) more(t *testing.T, ctx context.Context, n int) {
	t.Helper()
	before, _ := l.work.Acknowledged()
	eventually(t, ctx, failedOver, "writes", func(context.Context) error {
		if now, _ := l.work.Acknowledged(); now < before+n {
			return fmt.Errorf("%d were acknowledged in the meantime, want %d", now-before, n)
		}
		return nil
	})
}

// failsOver waits until another server is the primary, writes go on and the
// failover is done, and returns its record.
func (l *losing) failsOver(t *testing.T, ctx context.Context, lost time.Time, old int) api.Switch {
	t.Helper()
	l.lost = lost
	var id string
	eventually(t, ctx, time.Until(lost.Add(failedOver)), "a failover", func(ctx context.Context) error {
		var list api.GroupListAnswer
		if err := ask(ctx, l.Fleet, &list, "group", "show", stage.Group); err != nil {
			return err
		}
		g := list.Groups[0]
		id = cmp.Or(g.OpenSwitch, g.LastSwitch)
		if g.Writable == old {
			return fmt.Errorf("server %d is still the primary; the last switch is %q", old, id)
		}
		readOnly, err := l.Servers[g.Writable].Value(ctx, "SELECT @@global.read_only")
		if err == nil && readOnly != "0" {
			err = errors.New(l.Servers[g.Writable].Name() + " is the primary and read-only")
		}
		return err
	})
	l.more(t, ctx, 50)
	if took := time.Since(lost); took > failedOver {
		t.Errorf("writes went on %v after the loss, want %v", took.Round(time.Millisecond), failedOver)
	}
	gap := l.work.Gap(load.Span{From: lost, To: time.Now()})
	record := l.reaches(t, ctx, settled, id, over)
	l.over = time.Now()
	if record.Kind != api.KindFailover || record.State != "done" || record.FromIndex != old || record.Code != api.OK || record.MayBeLost != "" {
		t.Errorf("the switch is %s, a %s from %d, with code %d: %s %s", record.State, record.Kind, record.FromIndex, record.Code, record.Error, record.MayBeLost)
	}
	t.Logf("nothing was acknowledged for %v; the failover to %s was requested by %s, and is done %v after the loss: %s, blackout %.0f ms of it",
		gap.Round(time.Millisecond), l.Servers[record.ToIndex].Name(), record.RequestedBy, l.over.Sub(lost).Round(time.Millisecond), record.Fenced, record.BlackoutMS)
	for i, step := range record.Steps {
		t.Logf("  %-12s %6.0f ms after the loss %s", step.State, float64(record.Steps[i].Time.Sub(lost).Microseconds())/1000, step.Note)
	}
	return record
}

// verify ends the load. Clients lost only what was in flight, nothing that was
// acknowledged is lost or doubled on those servers, which have the same, and never
// were two writable.
func (l *losing) verify(t *testing.T, ctx context.Context, servers []*fleet.Maria) {
	t.Helper()
	l.more(t, ctx, 50)
	l.watch.end(t)
	l.work.Stop()
	span := l.work.Span()
	inFlight := l.work.Failures(load.Span{From: l.lost, To: l.over})
	counts := load.Count(inFlight)
	if all := l.work.Failures(span); len(all) != len(inFlight) || counts[load.Other] > 0 || len(inFlight) > perProxy*len(l.Proxies) {
		t.Errorf("%d errors, of these %d in the failover: %v; %d connections may have lost what was in flight", len(all), len(inFlight), counts, perProxy*len(l.Proxies))
		for _, f := range all[:min(len(all), 20)] {
			t.Errorf("%v after the loss, %s: %v", f.At.Sub(l.lost).Round(time.Millisecond), f.Kind, f.Err)
		}
	}
	l.nothingLost(t, ctx, servers)
	writes, rows := l.work.Acknowledged()
	t.Logf("%d writes, %d rows; clients saw %v; %d looks at the servers", writes, rows, counts, l.watch.looks)
}

// nothingLost: the load is over, and the servers have all of it, and the same.
func (l *losing) nothingLost(t *testing.T, ctx context.Context, servers []*fleet.Maria) {
	t.Helper()
	primary := l.primary(t, ctx)
	sums := map[string]bool{}
	for _, server := range servers {
		if server != primary {
			if err := server.WaitCaughtUp(ctx, primary); err != nil {
				t.Fatal(err)
			}
		}
		loss, err := l.work.Examine(ctx, server.DB(), stage.Database)
		if err != nil || len(loss.Lost)+len(loss.Doubled)+len(loss.Partial) > 0 {
			t.Errorf("%s: %v, lost %v, doubled %v, in part %v", server.Name(), err, loss.Lost, loss.Doubled, loss.Partial)
		}
		row, err := server.Row(ctx, "CHECKSUM TABLE "+stage.Database+"."+load.Table)
		if err != nil {
			t.Fatal(err)
		}
		sums[row["Checksum"]] = true
	}
	if len(sums) != 1 {
		t.Errorf("the servers differ: checksums %v", slices.Collect(maps.Keys(sums)))
	}
}

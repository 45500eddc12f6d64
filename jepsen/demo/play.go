package main

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/zerokeeper/zero/jepsen/fleet"
	"github.com/zerokeeper/zero/jepsen/load"
	"github.com/zerokeeper/zero/jepsen/stage"
)

// The shape of the load and of the play.
const (
	connections = 8                     // to each proxy
	clients     = 2 * connections       // to both
	every       = 40 * time.Millisecond // between two writes of a connection
	steady      = 10 * time.Second      // before each event: what is normal
	between     = 3 * time.Second       // before each of many switches
	after       = time.Second           // behind the end of a switch: still part of it
	killSpan    = 8 * time.Second       // from the kill of the leader: what clients saw of it
	putEvery    = 20 * time.Millisecond // between two tries to write through the keepers
	verifyLimit = 60 * time.Second      // for the replicas to catch up, and the count
)

// demo is one run.
type demo struct {
	fleet *fleet.Fleet
	stage *stage.Stage
	load  *load.Load
	dbs   []*sql.DB
	began time.Time

	switches int // how many to measure, instead of the play; 0: play
	primary  int // index of the server that is the primary at the end
	dead     *fleet.Maria
}

// say tells what happens.
func (d *demo) say(format string, args ...any) {
	fmt.Printf("%6.1fs  %s\n", time.Since(d.began).Seconds(), fmt.Sprintf(format, args...))
}

// play runs the scenes and makes the report.
func (d *demo) play(ctx context.Context) (*report, error) {
	var err error
	if d.stage, err = stage.Set(ctx, d.fleet, stage.Config{Say: d.say, Switch: []string{"  auto_failover: true"}}); err != nil {
		return nil, err
	}
	if err := d.startLoad(ctx); err != nil {
		return nil, err
	}
	defer d.load.Stop()
	r := &report{}
	if d.switches > 0 {
		err := d.manySwitches(ctx, r)
		d.load.Stop()
		return r, errors.Join(err, d.examine(ctx, r))
	}
	d.say("writing: %d connections to each of %d proxies, half of them transactions; %s of it to see what is normal", connections, len(d.stage.Proxies), steady)
	for _, scene := range []func(context.Context, *report) error{
		func(ctx context.Context, r *report) error { return d.plannedSwitch(ctx, r, 1, steady) },
		d.killLeader,
		func(ctx context.Context, r *report) error { return d.plannedSwitch(ctx, r, 0, steady) },
		d.killPrimary,
	} {
		if err := wait(ctx, steady); err != nil {
			return nil, err
		}
		if err := scene(ctx, r); err != nil {
			return nil, err
		}
	}
	d.load.Stop()
	if err := d.examine(ctx, r); err != nil {
		return r, err
	}
	return r, d.rejoin(ctx)
}

// manySwitches measures: planned switches there and back, as many as were asked
// for, with a pause before each.
func (d *demo) manySwitches(ctx context.Context, r *report) error {
	for i := range d.switches {
		if err := wait(ctx, between); err != nil {
			return err
		}
		if err := d.plannedSwitch(ctx, r, (i+1)%2, between); err != nil {
			return err
		}
	}
	d.primary = d.switches % 2
	return nil
}

func wait(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(d):
		return nil
	}
}

func (d *demo) startLoad(ctx context.Context) error {
	for _, p := range d.stage.Proxies {
		db, err := d.stage.Open(p)
		if err != nil {
			return err
		}
		db.SetMaxIdleConns(connections)
		d.dbs = append(d.dbs, db)
	}
	if err := load.Prepare(ctx, d.dbs[0]); err != nil {
		return err
	}
	d.load = load.Start(context.WithoutCancel(ctx), load.Config{DBs: d.dbs, Connections: connections, Every: every, Timeout: 30 * time.Second})
	return nil
}

// plannedSwitch moves the primary as an operator does. Nothing else happened in
// the time before it that is given as quiet.
func (d *demo) plannedSwitch(ctx context.Context, r *report, to int, quiet time.Duration) error {
	d.say("zeroctl switch start --group %s --to %d", stage.Group, to)
	begin := time.Now()
	var out string
	if err := d.stage.Zeroctl(ctx, &out, "-o", "json", "switch", "start", "--group", stage.Group, "--to", fmt.Sprint(to), "--reason", "demonstration"); err != nil {
		return err
	}
	end := time.Now()
	if err := wait(ctx, after); err != nil {
		return err
	}
	span := load.Span{From: begin, To: end.Add(after)}
	s := switchReport{Kind: "planned", Blackout: ms(d.load.Gap(span)), Steady: ms(d.load.Gap(load.Span{From: begin.Add(-quiet), To: begin}))}
	s.count(d.load.Failures(span))
	s.ID, s.Took = switchID(out), ms(end.Sub(begin))
	r.Switches = append(r.Switches, s)
	d.say("%s is the primary now: the longest pause between two acknowledged writes was %.0f ms (normal: %.0f ms), %d client errors", d.stage.Servers[to].Name(), s.Blackout, s.Steady, s.total())
	return nil
}

// switchID finds the switch's id in zeroctl's answer.
func switchID(out string) string {
	var answer struct {
		Switch struct {
			ID string `json:"id"`
		} `json:"switch"`
	}
	if json.Unmarshal([]byte(out), &answer) != nil {
		return ""
	}
	return answer.Switch.ID
}

// killLeader kills the leading keeper and measures how long nobody could write
// through the keepers, and whether clients of the proxies saw anything.
func (d *demo) killLeader(ctx context.Context, r *report) error {
	leader, err := d.fleet.Leader(ctx)
	if err != nil {
		return err
	}
	d.say("kill -9 of the leading keeper, %s", leader.Name())
	begin := time.Now()
	if err := leader.Kill(); err != nil {
		return err
	}
	for {
		attempt, cancel := context.WithTimeout(ctx, 20*time.Second)
		err := d.stage.Zeroctl(attempt, nil, "section", "put", "demo", "after-kill", "here again")
		cancel()
		if err == nil {
			break
		}
		if time.Since(begin) > killSpan {
			return fmt.Errorf("no keeper took a write %s after the leader was killed: %w", killSpan, err)
		}
		if err := wait(ctx, putEvery); err != nil {
			return err
		}
	}
	back := time.Since(begin)
	if err := wait(ctx, killSpan-time.Since(begin)); err != nil {
		return err
	}
	span := load.Span{From: begin, To: begin.Add(killSpan)}
	k := &keeperReport{Gap: ms(d.load.Gap(span)), Steady: ms(d.load.Gap(load.Span{From: begin.Add(-steady), To: begin})), PutAfter: ms(back)}
	k.count(d.load.Failures(span))
	r.KeeperKill = k
	d.say("another keeper leads: `zeroctl section put` worked again %.0f ms after the kill; through the proxies the longest pause was %.0f ms (normal: %.0f ms), %d client errors", k.PutAfter, k.Gap, k.Steady, k.total())
	if err := leader.Start(ctx); err != nil {
		return fmt.Errorf("restart %s: %w", leader.Name(), err)
	}
	d.say("%s is back", leader.Name())
	return d.stage.Healthy(ctx)
}

// examine counts the rows on every server, directly.
func (d *demo) examine(ctx context.Context, r *report) error {
	ctx, cancel := context.WithTimeout(ctx, verifyLimit)
	defer cancel()
	d.say("counting the rows on every server")
	if err := d.stage.CaughtUp(ctx, d.primary); err != nil {
		return err
	}
	for _, server := range d.stage.Servers {
		if server == d.dead {
			continue
		}
		loss, err := d.load.Examine(ctx, server.DB(), stage.Database)
		if err != nil {
			return fmt.Errorf("%s: %w", server.Name(), err)
		}
		r.RowsLost = max(r.RowsLost, len(loss.Lost))
		r.RowsDoubled = max(r.RowsDoubled, len(loss.Doubled))
		r.RowsPartial = max(r.RowsPartial, len(loss.Partial))
	}
	_, r.RowsAcknowledged = d.load.Acknowledged()
	whole := d.load.Span()
	writes, _ := d.load.Acknowledged()
	r.WritesPerSecond = float64(writes) / whole.To.Sub(whole.From).Seconds()
	r.LatencyP50, r.LatencyP99 = ms(d.load.Latency(whole, 50)), ms(d.load.Latency(whole, 99))
	failures := d.load.Failures(whole)
	r.ClientErrors = len(failures)
	for i, f := range failures {
		if i == 10 {
			d.say("… and %d more", len(failures)-i)
			break
		}
		d.say("client error (%s): %v", f.Kind, f.Err)
	}
	if r.RowsAcknowledged == 0 {
		return errors.New("no write was acknowledged: there is nothing to report")
	}
	return nil
}

// lookAround says where everything is.
func (d *demo) lookAround(w io.Writer) {
	keepers := d.fleet.KeeperAddrs()
	fmt.Fprintf(w, "\nEverything stays up for a look around, until Ctrl-C.\n\n  export ZERO_KEEPERS=%s\n", keepers)
	for _, command := range []string{"status", "member list", "group show " + stage.Group, "switch list", "switch show " + stage.Group + "-1", "agent list", "config show",
		"switch start --group " + stage.Group + " --to 1 --reason 'to see it'"} {
		fmt.Fprintf(w, "  bin/zeroctl %s\n", command)
	}
	for _, p := range d.stage.Proxies {
		fmt.Fprintf(w, "  mariadb -h 127.0.0.1 -P %s -u %s -p%s %s    # through %s\n", port(p.MySQL()), stage.AppUser, d.stage.Password(), stage.Database, p.Name())
	}
	for _, k := range d.stage.Keepers {
		fmt.Fprintf(w, "  curl %s\n", k.URL("/metrics"))
	}
	fmt.Fprintf(w, "  logs: %s/*.log\n", d.fleet.Dir())
}

package switches

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/zerokeeper/zero/jepsen/fleet"
	"github.com/zerokeeper/zero/jepsen/load"
	"github.com/zerokeeper/zero/jepsen/stage"
	"github.com/zerokeeper/zero/transport/api"
)

// The shape of the load.
const (
	writers  = 8                     // in all, to all proxies; half of them write transactions
	proxies  = 2                     // that they write through
	every    = 25 * time.Millisecond // between two writes of one
	between  = time.Second           // before each switch
	after    = time.Second           // behind the end of a switch: still part of it
	limit    = 30 * time.Second      // for one write, and for one switch
	verified = time.Minute           // for the replicas to catch up, and the count
)

// Arm is one build that is measured.
type Arm struct {
	Name   string
	BinDir string
}

// arm is one that runs: a stage of its own.
type arm struct {
	Arm
	opts    Options
	fleet   *fleet.Fleet
	stage   *stage.Stage
	dbs     []*sql.DB
	loads   []*load.Load
	primary int
	rows    *Rows
}

func (o Options) start(ctx context.Context, a Arm) (*arm, error) {
	f, err := fleet.New(fleet.Options{BinDir: a.BinDir, KeepOnFailure: true})
	if err != nil {
		return nil, err
	}
	r := &arm{Arm: a, opts: o, fleet: f, rows: &Rows{Build: a.Name}}
	err = r.set(ctx)
	if err != nil {
		f.Fail()
		return nil, errors.Join(fmt.Errorf("build %s: %w", a.Name, err), r.close())
	}
	return r, nil
}

func (r *arm) set(ctx context.Context) (err error) {
	r.stage, err = stage.Set(ctx, r.fleet, stage.Config{Proxies: proxies, Servers: r.opts.Servers, Lease: r.opts.Lease, Drain: r.opts.DrainTimeout})
	if err != nil {
		return err
	}
	for _, p := range r.stage.Proxies {
		db, err := r.stage.Open(p)
		if err != nil {
			return err
		}
		db.SetMaxIdleConns(writers)
		r.dbs = append(r.dbs, db)
	}
	return load.Prepare(ctx, r.dbs[0])
}

func (r *arm) close() error {
	var errs []error
	for _, db := range r.dbs {
		errs = append(errs, db.Close())
	}
	return errors.Join(append(errs, r.fleet.Close())...)
}

// write starts the load of one block.
func (r *arm) write(ctx context.Context) *load.Load {
	cfg := load.Config{DBs: r.dbs, Connections: writers / proxies, Every: every, Timeout: limit}
	if n := len(r.loads); n > 0 {
		cfg.After = r.loads[n-1].Last()
	}
	l := load.Start(context.WithoutCancel(ctx), cfg)
	r.loads = append(r.loads, l)
	return l
}

// block is some switches under load.
func (r *arm) block(ctx context.Context, count int, say func(string, ...any)) error {
	l := r.write(ctx)
	defer l.Stop()
	for range count {
		row, err := r.once(ctx, l)
		if err != nil {
			return fmt.Errorf("build %s: %w", r.Name, err)
		}
		r.rows.Switches = append(r.rows.Switches, row)
		say("%-8s %-10s pause %6.1f ms (record %6.1f, normally %5.1f) %s", r.Name, row.ID, row.Blackout, row.Record, row.Steady, row.steps())
	}
	return nil
}

// once is one switch to the other of the first two servers.
func (r *arm) once(ctx context.Context, l *load.Load) (Row, error) {
	begin := time.Now()
	if err := wait(ctx, between); err != nil {
		return Row{}, err
	}
	asked := time.Now()
	s, err := r.turn(ctx, (r.primary+1)%2)
	if err != nil {
		return Row{}, err
	}
	end := time.Now()
	if err := wait(ctx, after); err != nil {
		return Row{}, err
	}
	if s.State == "done" {
		r.primary = s.ToIndex
	}
	span := load.Span{From: asked, To: end.Add(after)}
	failures := l.Failures(span)
	row := Row{
		ID: s.ID, State: s.State, Error: s.Error, Blackout: ms(l.Gap(span)), Steady: ms(l.Gap(load.Span{From: begin, To: asked})),
		Record: s.BlackoutMS, Errors: len(failures), Steps: map[string]float64{},
	}
	for _, step := range s.Steps {
		row.Steps[step.State] = step.TookMS
	}
	for i := 0; i < len(failures) && i < 3; i++ {
		row.Failures = append(row.Failures, failures[i].Err.Error())
	}
	return row, nil
}

// turn asks for a switch as an operator does, and returns its record when it is over.
func (r *arm) turn(ctx context.Context, to int) (api.Switch, error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	result, err := r.fleet.Zeroctl(ctx, "-o", "json", "switch", "start", "--group", stage.Group, "--to", fmt.Sprint(to), "--reason", "measured")
	if err != nil {
		return api.Switch{}, err
	}
	var answer struct {
		Switch api.Switch `json:"switch"`
	}
	if err := json.Unmarshal([]byte(result.Stdout), &answer); err != nil || answer.Switch.ID == "" {
		return api.Switch{}, fmt.Errorf("zeroctl switch start: exit %d: %s%s", result.Code, result.Stdout, result.Stderr)
	}
	return answer.Switch, nil
}

// long is a switch beside a transaction that outlives drain_timeout: it must be
// rolled back, and nobody may see an error.
func (r *arm) long(ctx context.Context, say func(string, ...any)) error {
	l := r.write(ctx)
	defer l.Stop()
	tx, err := r.dbs[0].BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback() // after a commit it does nothing
	if _, err := tx.ExecContext(ctx, "INSERT INTO "+load.Table+" (op, part, note) VALUES (-1, 1, 'long')"); err != nil {
		return fmt.Errorf("long transaction: %w", err)
	}
	row, err := r.once(ctx, l)
	if err != nil {
		return err
	}
	if err := tx.Commit(); err != nil {
		row.Errors++
		row.Failures = append(row.Failures, "the long transaction: "+err.Error())
	}
	r.rows.Long = &row
	say("%-8s %-10s beside a transaction longer than drain_timeout (%v): %s, pause %.1f ms, %d errors", r.Name, row.ID, r.opts.DrainTimeout, row.State, row.Blackout, row.Errors)
	return nil
}

// count compares every server with what was acknowledged.
func (r *arm) count(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, verified)
	defer cancel()
	if err := r.stage.CaughtUp(ctx, r.primary); err != nil {
		return err
	}
	for _, server := range r.stage.Servers {
		lost, doubled := 0, 0
		for _, l := range r.loads {
			loss, err := l.Examine(ctx, server.DB(), stage.Database)
			if err != nil {
				return fmt.Errorf("build %s: %s: %w", r.Name, server.Name(), err)
			}
			lost += len(loss.Lost)
			doubled = max(doubled, len(loss.Doubled)) // of all loads, each time
		}
		r.rows.Lost, r.rows.Doubled = max(r.rows.Lost, lost), max(r.rows.Doubled, doubled)
	}
	for _, l := range r.loads {
		writes, _ := l.Acknowledged()
		r.rows.Acknowledged += writes
	}
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

// ms is a duration in milliseconds, to the hundredth.
func ms(d time.Duration) float64 {
	return float64(d.Round(10*time.Microsecond)) / float64(time.Millisecond)
}

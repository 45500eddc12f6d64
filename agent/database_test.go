package agent

import (
	"context"
	"errors"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"github.com/zerokeeper/zero/agent/mysql"
	"github.com/zerokeeper/zero/transport/api"
)

// database is a scripted server: it does what it is told at once, unless a test
// gives an operation an error or lets it hang.
type database struct {
	mu    sync.Mutex
	state mysql.State
	fail  map[string]error
	hang  map[string]bool // until ctx ends
	slow  chan struct{}   // State looks, and answers when this is closed; nil: at once
	calls []string
	gone  chan struct{} // of its process; nil: it cannot be found
	dead  bool

	rotated int // how often Rotate was called

	bypass []string
}

// replica is a healthy replica of the primary.
func replica() mysql.State {
	return mysql.State{Address: own, Reachable: true, Identity: "7", Version: "10.11.6-MariaDB", ReadOnly: true, GTIDBinlogState: "0-1-5", Replication: replicating(primary)}
}

// writable is a healthy primary.
func writable() mysql.State {
	return mysql.State{Address: own, Reachable: true, Identity: "7", Version: "10.11.6-MariaDB", GTIDBinlogState: "0-1-5", SemiSync: source(true)}
}

func fenced() mysql.State {
	s := writable()
	s.ReadOnly = true
	return s
}

func replicating(from string) *mysql.Replication {
	source, err := sourceOf(api.Datasource{Address: from})
	if err != nil {
		panic(err)
	}
	return &mysql.Replication{SourceHost: source.Host, SourcePort: source.Port, IORunning: "Yes", SQLRunning: "Yes", UsingGTID: "Slave_Pos"}
}

// begin counts a call and says how it ends.
func (d *database) begin(ctx context.Context, what string) error {
	d.mu.Lock()
	d.calls = append(d.calls, what)
	err, hang := d.fail[what], d.hang[what]
	d.mu.Unlock()
	if hang {
		<-ctx.Done()
		return ctx.Err()
	}
	return err
}

func (d *database) set(f func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	f()
}

func (d *database) called(what string) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	n := 0
	for _, c := range d.calls {
		if c == what {
			n++
		}
	}
	return n
}

func (d *database) Address() string { return own }

func (d *database) State(ctx context.Context) (mysql.State, error) {
	if err := d.begin(ctx, "State"); err != nil {
		return mysql.State{Address: own, Reachable: !errors.Is(err, mysql.ErrUnreachable)}, err
	}
	d.mu.Lock()
	state, slow := d.state, d.slow
	d.mu.Unlock()
	if slow != nil {
		<-slow
	}
	return state, nil
}

func (d *database) Load(ctx context.Context) (mysql.Load, error) {
	return mysql.Load{Load1: 0.5, Cores: 2, Connections: 3}, d.begin(ctx, "Load")
}

func (d *database) Binlog(ctx context.Context, role mysql.Role) (mysql.Binlog, error) {
	err := d.begin(ctx, "Binlog "+string(role))
	d.mu.Lock()
	defer d.mu.Unlock()
	return mysql.Binlog{File: "bin.000001", Position: 42, GTIDBinlogState: d.state.GTIDBinlogState, GTIDSlavePos: d.state.GTIDSlavePos}, err
}

func (d *database) Preflight(ctx context.Context, o mysql.PreflightOptions) ([]mysql.Finding, error) {
	return []mysql.Finding{{Rule: mysql.RuleLogBin, OK: true, Input: string(o.Role)}}, d.begin(ctx, "Preflight")
}

func (d *database) Fence(ctx context.Context, o mysql.FenceOptions) (mysql.FenceResult, error) {
	if o.Ready != nil {
		if err := o.Ready(ctx); err != nil {
			return mysql.FenceResult{}, err
		}
	}
	if err := d.begin(ctx, "Fence"); err != nil {
		return mysql.FenceResult{}, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.state.ReadOnly = true
	return mysql.FenceResult{ReadOnly: true, Killed: []mysql.Killed{{ID: 9, User: "app", Why: "open transaction"}},
		Binlog: mysql.Binlog{File: "bin.000001", Position: 42, GTIDBinlogPos: "0-1-5", GTIDBinlogState: d.state.GTIDBinlogState, GTIDSlavePos: d.state.GTIDSlavePos}}, nil
}

func (d *database) SetReadOnly(ctx context.Context) error {
	if err := d.begin(ctx, "SetReadOnly"); err != nil {
		return err
	}
	d.set(func() { d.state.ReadOnly = true })
	return nil
}

func (d *database) WaitPosition(ctx context.Context, gtid string, _ time.Duration) error {
	return d.begin(ctx, "WaitPosition")
}

func (d *database) Promote(ctx context.Context, may mysql.Permit) (mysql.Promoted, error) {
	if err := may.Await(ctx); err != nil {
		return mysql.Promoted{}, err
	}
	if err := d.begin(ctx, "Promote"); err != nil {
		return mysql.Promoted{}, err
	}
	d.set(func() { d.state.ReadOnly, d.state.Replication = false, nil })
	return mysql.Promoted{}, nil
}

func (d *database) Follow(ctx context.Context, s mysql.Source) (mysql.Following, error) {
	if s.Ready != nil {
		if err := s.Ready(ctx); err != nil {
			return mysql.Following{}, err
		}
	}
	if err := d.begin(ctx, "Follow"); err != nil {
		return mysql.Following{}, err
	}
	r := replicating(primary)
	r.SourceHost, r.SourcePort = s.Host, s.Port
	d.set(func() {
		d.state.ReadOnly, d.state.Replication = true, r
		d.state.SemiSync.ReplicaEnabled, d.state.SemiSync.ReplicaActive = !s.Async, !s.Async
	})
	return mysql.Following{Replication: r}, nil
}

// Rotate is counted, and is none of what a server is told: it changes nothing that it is.
func (d *database) Rotate(context.Context, uint64) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.rotated++
	return nil
}

func (d *database) StandBy(ctx context.Context) error { return d.begin(ctx, "StandBy") }

func (d *database) StopReceiving(ctx context.Context) (mysql.Received, error) {
	err := d.begin(ctx, "StopReceiving")
	d.mu.Lock()
	defer d.mu.Unlock()
	if err == nil && d.state.Replication != nil {
		r := *d.state.Replication
		r.IORunning = "No"
		d.state.Replication = &r
	}
	return mysql.Received{GTID: "0-1-7", Applied: "0-1-5"}, err
}

func (d *database) Drain(ctx context.Context, _ time.Duration) (mysql.Received, error) {
	return mysql.Received{GTID: "0-1-7", Applied: "0-1-7"}, d.begin(ctx, "Drain")
}

func (d *database) Resume(ctx context.Context) error {
	if err := d.begin(ctx, "Resume"); err != nil {
		return err
	}
	d.set(func() { d.state.Replication = replicating(primary) })
	return nil
}

func (d *database) ManagesSemiSync() bool { return true }

func (d *database) SemiSyncSource(ctx context.Context, on bool) error {
	if err := d.begin(ctx, "SemiSyncSource "+strconv.FormatBool(on)); err != nil {
		return err
	}
	d.set(func() { d.state.SemiSync = source(on) })
	return nil
}

func (d *database) AcknowledgeReceived(ctx context.Context, may mysql.Turn) (mysql.Acknowledged, error) {
	if err := d.begin(ctx, "AcknowledgeReceived"); err != nil {
		return mysql.Acknowledged{}, err
	}
	_, release, err := may(ctx)
	if err != nil {
		return mysql.Acknowledged{}, err
	}
	defer release()
	return mysql.Acknowledged{Waiting: 1, File: "bin.000001", Position: 42}, d.begin(ctx, "acknowledged")
}

func (d *database) SemiSyncReplica(ctx context.Context, on bool) error {
	if err := d.begin(ctx, "SemiSyncReplica "+strconv.FormatBool(on)); err != nil {
		return err
	}
	d.set(func() { d.state.SemiSync.ReplicaEnabled, d.state.SemiSync.ReplicaActive = on, on })
	return nil
}

// source is the semi-sync of a primary as the agent makes it.
func source(on bool) mysql.SemiSync {
	s := mysql.SemiSync{}.SourceOn()
	s.SourceEnabled, s.SourceActive = on, on
	return s
}

func (d *database) SourceState(context.Context, mysql.Source) (string, error) { return "0-1-5", nil }

func (d *database) SaveErrant(_ context.Context, _, dir string) (string, error) {
	return filepath.Join(dir, "errant-0-1-9"), nil
}

func (d *database) Attach(context.Context, string) (mysql.Process, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.gone == nil || d.dead {
		return mysql.Process{}, mysql.ErrNoProcess
	}
	return mysql.Process{PID: 42, Gone: d.gone}, nil
}

func (d *database) Greets(ctx context.Context) error { return d.begin(ctx, "Greets") }

func (d *database) Bypass(ctx context.Context) ([]string, error) {
	err := d.begin(ctx, "Bypass")
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.bypass, err
}

func (d *database) Kill(ctx context.Context, _ string) error {
	if err := d.begin(ctx, "Kill"); err != nil {
		return err
	}
	d.set(d.die)
	return nil
}

func (d *database) Dead(context.Context, string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.dead
}

// die is the end of the server's process. mu is held.
func (d *database) die() {
	if !d.dead {
		close(d.gone)
	}
	d.dead, d.hang = true, map[string]bool{}
	d.fail["State"], d.fail["SetReadOnly"] = mysql.ErrUnreachable, mysql.ErrUnreachable
}

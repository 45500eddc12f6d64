package agent

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/zerokeeper/zero/agent/mysql"
	"github.com/zerokeeper/zero/transport"
	"github.com/zerokeeper/zero/transport/api"
	"github.com/zerokeeper/zero/transport/lease"
	"github.com/zerokeeper/zero/transport/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	own     = "127.0.0.1:3301" // the server of the agent under test
	primary = "127.0.0.1:3302"
	other   = "127.0.0.1:3303"
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

// rig is an agent whose keeper is the test.
type rig struct {
	*Agent
	t    *testing.T
	dir  string
	db   *database
	call context.Context // of a keeper's connection
}

func config(dir string, db Database) Config {
	return Config{ID: "db1", DataDir: dir, Database: db, Version: "test"}
}

func newRig(t *testing.T, state mysql.State, change ...func(*Config)) *rig {
	t.Helper()
	return reopen(t, t.TempDir(), &database{state: state, fail: map[string]error{}, hang: map[string]bool{}, gone: make(chan struct{})}, change...)
}

// newLeased is a rig whose agent is past its start and has a long lease.
func newLeased(t *testing.T, state mysql.State, change ...func(*Config)) *rig {
	t.Helper()
	r := newRig(t, state, change...)
	r.secure()
	r.lend()
	return r
}

// lend gives the agent a lease, longer than the test.
func (r *rig) lend() { r.lease.grant(lease.Now(), lease.For(lease.Longest), stamp(1, 0)) }

func reopen(t *testing.T, dir string, db *database, change ...func(*Config)) *rig {
	t.Helper()
	cfg := config(dir, db)
	for _, f := range change {
		f(&cfg)
	}
	a, err := Open(cfg)
	ok(t, err)
	t.Cleanup(func() { _ = a.Close() }) // restart has closed it already
	a.mature()
	return &rig{Agent: a, t: t, dir: dir, db: db, call: asRole(t, api.RoleKeeper)}
}

// mature makes a memory count as one that was there for long (R16).
func (a *Agent) mature() {
	a.promises.mu.Lock()
	defer a.promises.mu.Unlock()
	a.promises.Fresh = 0
}

// restart is the next process on the same directory.
func (r *rig) restart() *rig {
	r.t.Helper()
	ok(r.t, r.Close())
	next := reopen(r.t, r.dir, r.db)
	next.secure()
	return next
}

// asRole is the context of a request that came over a connection of that role.
func asRole(t testing.TB, role string) context.Context {
	t.Helper()
	return asPrincipal(t, wire.Principal{Role: role})
}

func asPrincipal(t testing.TB, p wire.Principal) context.Context {
	t.Helper()
	got := make(chan context.Context, 1)
	a, b := net.Pipe()
	server, err := wire.NewInvoker(a, p, wire.Config{Handler: func(ctx context.Context, _ *wire.Request) (*wire.Response, error) {
		got <- context.WithoutCancel(ctx)
		return nil, nil
	}})
	ok(t, err)
	client, err := wire.NewInvoker(b, wire.Principal{}, wire.Config{})
	ok(t, err)
	var serving sync.WaitGroup
	serving.Go(func() { _ = server.Serve(context.Background()) }) // ends with the test
	serving.Go(func() { _ = client.Serve(context.Background()) })
	t.Cleanup(func() { server.Stop(nil); client.Stop(nil); serving.Wait() })
	_, err = client.Call(t.Context(), "Hi", nil, nil)
	ok(t, err)
	return <-got
}

func stamp(generation uint64, step uint8) api.Stamp {
	return api.Stamp{Generation: generation, Step: step}
}

func me() api.Datasource { return api.Datasource{Address: own, ServerID: "7"} }

// give is one order, as a keeper gives it.
func (r *rig) give(s api.Stamp, name string, body any) (api.AgentState, error) {
	r.t.Helper()
	return r.giveWithin(r.call, s, name, body)
}

func (r *rig) giveWithin(ctx context.Context, s api.Stamp, name string, body any) (api.AgentState, error) {
	r.t.Helper()
	data, err := json.Marshal(body)
	ok(r.t, err)
	meta := wire.Meta{{Key: api.MetaStamp, Value: s.String()}, {Key: api.MetaSwitchID, Value: "orders-1"}}
	resp, err := r.Handler()(ctx, &wire.Request{Name: name, Meta: meta, Body: data})
	var answer api.AgentState
	if err == nil {
		ok(r.t, json.Unmarshal(resp.Data, &answer))
	}
	return answer, err
}

func (r *rig) prepare(generation uint64) (api.AgentState, error) {
	return r.give(stamp(generation, api.StepStopping), api.PrepareDatasource, api.PrepareDatasourceRequest{HostGroup: "orders", Candidate: me()})
}

func (r *rig) fence(generation uint64) (api.AgentState, error) {
	return r.give(stamp(generation, api.StepFencing), api.FenceDatasource, api.FenceDatasourceRequest{HostGroup: "orders", Primary: me(), BoundMS: 1000})
}

func (r *rig) waitPosition(generation uint64, state string) (api.AgentState, error) {
	return r.give(stamp(generation, api.StepCatchingUp), api.WaitPosition, api.WaitPositionRequest{HostGroup: "orders", Candidate: me(), GTID: "0-1-5", State: state, TimeoutMS: 1000})
}

func (r *rig) promote(generation uint64) (api.AgentState, error) {
	r.lend()
	return r.give(stamp(generation, api.StepPromoting), api.PromoteDatasource, api.PromoteDatasourceRequest{HostGroup: "orders", Primary: me()})
}

func (r *rig) follow(s api.Stamp, of string) (api.AgentState, error) {
	return r.give(s, api.FollowDatasource, api.FollowDatasourceRequest{HostGroup: "orders", Replica: me(), Primary: api.Datasource{Address: of}, Acknowledge: true})
}

func (r *rig) restore(generation uint64) (api.AgentState, error) {
	r.lend()
	return r.give(stamp(generation, api.StepRollingBack), api.RestoreDatasource, api.RestoreDatasourceRequest{HostGroup: "orders", Primary: me()})
}

// grant names a primary.
func grant(s api.Stamp, committed uint64, address string, open bool) api.Grant {
	return api.Grant{HostGroup: "orders", Stamp: s, Committed: committed, Primary: api.Datasource{Address: address}, Open: open, Acknowledge: true}
}

// hear is one look at the server and what a grant makes of it.
func (r *rig) hear(g api.Grant) error {
	r.t.Helper()
	r.granted(lease.Now(), api.HeartbeatAnswer{LeaseMS: lease.Longest.Milliseconds(), Grants: []api.Grant{g}})
	_, err := r.ask(r.t.Context())
	return r.obey(r.t.Context(), g, err == nil, new(backoff))
}

// broken makes the memory impossible to write, until mended.
func (r *rig) broken() (mend func()) {
	r.t.Helper()
	path := filepath.Join(r.dir, "agent.json")
	if err := os.Rename(path, path+".away"); err != nil && !os.IsNotExist(err) {
		r.t.Fatal(err)
	}
	ok(r.t, os.MkdirAll(filepath.Join(path, "x"), 0o700)) // a directory is not replaced by a file
	return func() { ok(r.t, os.RemoveAll(path)) }
}

// did checks what the server was told, in order, questions left out.
func (r *rig) did(want ...string) {
	r.t.Helper()
	r.db.mu.Lock()
	defer r.db.mu.Unlock()
	got := slices.DeleteFunc(slices.Clone(r.db.calls), func(c string) bool { return c == "State" || c == "Greets" || c == "Bypass" })
	if !slices.Equal(got, want) {
		r.t.Errorf("the server was told %q, want %q", got, want)
	}
}

func ok(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// refused checks the code of a refusal.
func refused(t testing.TB, err error, code api.Code) {
	t.Helper()
	if got, msg := api.CodeOf(err); got != code {
		t.Errorf("code %d (%s), want %d (%s)", got, msg, code, code)
	}
}

// eventually waits for a condition, at most some seconds.
func eventually(t testing.TB, what string, done func() bool) {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for pause := time.Millisecond; !done(); pause = min(2*pause, 20*time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not in time: %s", what)
		}
		<-time.After(pause)
	}
}

var _ Link = (*transport.Client)(nil)

package agent

import (
	"context"
	"encoding/json"
	"net"
	"os"
	"path/filepath"
	"slices"
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

package keeper

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/zerokeeper/zero/cluster"
	"github.com/zerokeeper/zero/fsm"
	"github.com/zerokeeper/zero/transport"
	"github.com/zerokeeper/zero/transport/api"
	"github.com/zerokeeper/zero/transport/wire"
)

// groupTiming is quick, but bears two busy cores under the race detector. A
// keeper alone has nobody to wait for.
var (
	groupTiming = cluster.Timing{Heartbeat: 500 * time.Millisecond, Election: 500 * time.Millisecond, Lease: 500 * time.Millisecond, Commit: 50 * time.Millisecond}
	aloneTiming = cluster.Timing{Heartbeat: 10 * time.Millisecond, Election: 10 * time.Millisecond, Lease: 10 * time.Millisecond, Commit: 5 * time.Millisecond}
)

// member is one keeper of a test, its parts wired as the program zerokeeper
// wires them.
type member struct {
	t       *testing.T
	name    string
	address string
	node    *cluster.Node
	peers   *transport.Client
	tuning  tuning
	clock   *clock
	log     hclog.Logger

	keeper atomic.Pointer[Keeper] // of the moment: tests replace it
	stop   func()                 // ends its Run and waits for it

	mu    sync.Mutex
	conns map[*wire.Invoker]*Keeper // whose they are
}

// tuning is what a test changes of a keeper before it runs.
type tuning struct {
	config func(*Config)
	waits  func(*waits)
}

// startMember starts a keeper alone in memory, or one of a group with data
// directories when addresses are given.
func startMember(t *testing.T, log hclog.Logger, name string, listener net.Listener, clock *clock, group []string, tune tuning) *member {
	t.Helper()
	m := &member{t: t, name: name, address: listener.Addr().String(), tuning: tune, clock: clock, log: log.Named(name), conns: map[*wire.Invoker]*Keeper{}}
	mux, err := transport.NewMux(listener, transport.MuxConfig{})
	if err != nil {
		t.Fatal(err)
	}
	raftListener, frames := mux.Match(transport.PrefixRaft), mux.Match(transport.PrefixFrames)
	serving, stopServing := context.WithCancel(context.Background())
	var servers sync.WaitGroup
	serve := func(f func(context.Context) error) {
		servers.Go(func() {
			if err := f(serving); err != nil && serving.Err() == nil {
				t.Errorf("%s: %v", name, err)
			}
		})
	}
	serve(mux.Serve)
	endpoints := group
	if len(endpoints) == 0 {
		endpoints = []string{m.address}
	}
	m.peers, err = transport.NewClient(transport.ClientConfig{Endpoints: endpoints, Hello: api.HelloRequest{Role: api.RoleKeeper, ID: name, Address: m.address}})
	if err != nil {
		t.Fatal(err)
	}
	cfg := cluster.DefaultConfig()
	cfg.Name, cfg.Advertise, cfg.Listener, cfg.Timing, cfg.Now, cfg.Version = name, m.address, raftListener, groupTiming, clock.now, "test"
	cfg.Logger = m.log.Named("cluster")
	cfg.Logger.SetLevel(hclog.Info)
	cfg.Dev, cfg.BootstrapExpect, cfg.Join, cfg.Peers = len(group) == 0, len(group), group, cluster.PeersOver(m.peers)
	if cfg.Dev {
		cfg.Timing = aloneTiming
	} else {
		cfg.DataDir = t.TempDir()
	}
	if m.node, err = cluster.Open(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	m.replaceKeeper()
	server, err := transport.NewServer(transport.ServerConfig{
		Agent: sections{m},
		Hello: func(ctx context.Context, p wire.Principal, req *wire.Request) (wire.Principal, *wire.Response, error) {
			return m.keeper.Load().Hello(ctx, p, req)
		},
		Invoker: wire.Config{Handler: func(ctx context.Context, req *wire.Request) (*wire.Response, error) {
			return m.keeper.Load().Handler()(ctx, req)
		}},
		OnConnect: m.connected, OnClose: m.closed,
	})
	if err != nil {
		t.Fatal(err)
	}
	serve(func(ctx context.Context) error { return server.Serve(ctx, frames) })
	t.Cleanup(func() {
		m.stop()
		if err := m.node.Close(within(t)); err != nil {
			t.Errorf("%s: close: %v", name, err)
		}
		stopServing()
		servers.Wait()
		if err := m.peers.Close(); err != nil {
			t.Error(err)
		}
	})
	return m
}

func (m *member) connected(inv *wire.Invoker) {
	m.mu.Lock()
	k := m.keeper.Load()
	m.conns[inv] = k
	m.mu.Unlock()
	k.Connected(inv)
}

func (m *member) closed(inv *wire.Invoker, _ error) {
	m.mu.Lock()
	k := m.conns[inv]
	delete(m.conns, inv)
	m.mu.Unlock()
	k.Closed(inv)
}

// replaceKeeper runs a new Keeper on the same node, as a restart of the duties
// would. The one before must have been stopped.
func (m *member) replaceKeeper() {
	m.t.Helper()
	cfg := Config{Store: m.node, Group: m.node, Leadership: m.node, Peer: m.peers, Logger: m.log, Version: "test", Dev: true, HeartbeatInterval: 40 * time.Millisecond, Now: m.clock.now}
	if m.tuning.config != nil {
		m.tuning.config(&cfg)
	}
	k, err := New(cfg)
	if err != nil {
		m.t.Fatal(err)
	}
	k.waits = waits{grace: 2 * time.Second, role: 2 * time.Second, point: 2 * time.Second, inform: 2 * time.Second, restore: 3 * time.Second, repoint: 2 * time.Second, sweep: 50 * time.Millisecond, ahead: 5 * time.Millisecond}
	if m.tuning.waits != nil {
		m.tuning.waits(&k.waits)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var run sync.WaitGroup
	run.Go(func() {
		if err := k.Run(ctx); err != nil && ctx.Err() == nil && !errors.Is(err, api.ErrNotReady) {
			m.t.Errorf("%s: run: %v", m.name, err)
		}
	})
	m.stop = func() { cancel(); run.Wait() }
	m.mu.Lock()
	defer m.mu.Unlock()
	m.keeper.Store(k)
	for inv := range m.conns { // they come again, to the new one
		inv.Stop(errors.New("another keeper"))
	}
}

// sections is op 0 of the keeper of the moment.
type sections struct{ m *member }

func (s sections) Update(ctx context.Context, id, section, data []byte) error {
	return s.m.keeper.Load().Sections().Update(ctx, id, section, data)
}

func (s sections) Query(ctx context.Context, id, section []byte) (int64, []byte, bool, error) {
	return s.m.keeper.Load().Sections().Query(ctx, id, section)
}

// clock stamps proposals; tests move it on to end a cooldown.
type clock struct{ ahead atomic.Int64 }

func (c *clock) now() time.Time          { return time.Now().Add(time.Duration(c.ahead.Load())) }
func (c *clock) advance(d time.Duration) { c.ahead.Add(int64(d)) }

// fleet is a keeper, or three, and what is connected to them.
type fleet struct {
	t       *testing.T
	members []*member
	clock   *clock
	tape    *tape
	logs    *syncBuffer
	op      *transport.Client
	proxies []*actor
	agents  []*actor
}

// newFleet starts keepers, without anything connected.
func newFleet(t *testing.T, size int, tune tuning) *fleet {
	t.Helper()
	f := &fleet{t: t, clock: new(clock), tape: new(tape), logs: new(syncBuffer)}
	log := hclog.New(&hclog.LoggerOptions{Level: hclog.Debug, Output: f.logs, IndependentLevels: true})
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("log:\n%s\norders:\n%s", f.logs, f.tape)
		}
	})
	var listeners []net.Listener
	var addresses []string
	for range size {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		listeners, addresses = append(listeners, l), append(addresses, l.Addr().String())
	}
	group := addresses
	if size == 1 {
		group = nil
	}
	for i, l := range listeners {
		f.members = append(f.members, startMember(t, log, fmt.Sprintf("k%d", i+1), l, f.clock, group, tune))
	}
	f.op = f.client(api.HelloRequest{Role: api.RoleOperator, ID: "dba"}, nil)
	f.leader()
	return f
}

// settled waits until the keepers have recorded what they record of themselves.
func (f *fleet) settled() {
	f.t.Helper()
	eventually(f.t, "the keepers have recorded each other", func() bool {
		for _, m := range f.members {
			if state := f.state(); state.ClusterID() == "" || state.Member(m.node.ID()) == nil {
				return false
			}
		}
		return true
	})
}

// client is a client of all keepers, closed with the test.
func (f *fleet) client(hello api.HelloRequest, handler wire.Handler) *transport.Client {
	f.t.Helper()
	var endpoints []string
	for _, m := range f.members {
		endpoints = append(endpoints, m.address)
	}
	c, err := transport.NewClient(transport.ClientConfig{
		Endpoints: endpoints, Hello: hello, Handler: handler, BackoffMin: 2 * time.Millisecond, BackoffMax: 20 * time.Millisecond, GreyTime: 50 * time.Millisecond,
	})
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(func() {
		if err := c.Close(); err != nil {
			f.t.Error(err)
		}
	})
	return c
}

// leader waits for the keeper whose duties run.
func (f *fleet) leader() *member {
	f.t.Helper()
	var leader *member
	eventually(f.t, "a keeper leads", func() bool {
		for _, m := range f.members {
			if m.keeper.Load().leads() == nil {
				leader = m
			}
		}
		return leader != nil
	})
	return leader
}

// state is what the leader's node has applied.
func (f *fleet) state() *fsm.State { return f.leader().node.State() }

// ask sends a request of the operator's and decodes the answer into answer.
func (f *fleet) ask(name string, body, answer any) error {
	f.t.Helper()
	return send(f.t, f.op, name, nil, body, answer)
}

// must is ask for what must succeed, and happen once: also when the leader
// changes meanwhile.
func (f *fleet) must(name string, body, answer any) {
	f.t.Helper()
	if err := sendBy(f.t, f.op.NewSession().Do, name, nil, body, answer); err != nil {
		f.t.Fatalf("%s: %v", name, err)
	}
}

// send sends a request and decodes the data of the answer, if answer is not nil.
func send(t *testing.T, c *transport.Client, name string, meta wire.Meta, body, answer any) error {
	t.Helper()
	return sendBy(t, c.Call, name, meta, body, answer)
}

func sendBy(t *testing.T, do func(context.Context, string, wire.Meta, []byte) (*wire.Response, error), name string, meta wire.Meta, body, answer any) error {
	t.Helper()
	data, ok := body.([]byte)
	if !ok {
		var err error
		if data, err = json.Marshal(body); err != nil {
			t.Fatal(err)
		}
	}
	resp, err := do(within(t), name, meta, data)
	if err != nil || answer == nil {
		return err
	}
	if err := json.Unmarshal(resp.Data, answer); err != nil {
		t.Fatalf("%s: answer %s: %v", name, resp.Data, err)
	}
	return nil
}

// wantCode fails unless err has that code.
func wantCode(t *testing.T, what string, err error, want api.Code) {
	t.Helper()
	if code, msg := api.CodeOf(err); code != want {
		t.Errorf("%s: code %d (%s), want %d (%s)", what, code, msg, want, want)
	}
}

// syncBuffer is a log that many goroutines write.
type syncBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

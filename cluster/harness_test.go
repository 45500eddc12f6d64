package cluster

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
	"go.uber.org/goleak"

	"github.com/zerokeeper/zero/fsm"
	"github.com/zerokeeper/zero/transport/api"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// testTiming is quick, but bears two busy cores under the race detector.
var testTiming = Timing{Heartbeat: 200 * time.Millisecond, Election: 200 * time.Millisecond, Lease: 200 * time.Millisecond, Commit: 5 * time.Millisecond}

// fleet is some keepers of one test, on loopback.
type fleet struct {
	t     testing.TB
	dir   string
	peers *directory
	log   *syncBuffer
	nodes map[string]*Node
	addrs map[string]string
	setup func(name string, c *Config)
}

func newFleet(t testing.TB) *fleet {
	f := &fleet{
		t: t, dir: t.TempDir(), log: new(syncBuffer),
		peers: &directory{nodes: make(map[string]*Node)},
		nodes: make(map[string]*Node), addrs: make(map[string]string),
	}
	t.Cleanup(func() {
		for _, n := range f.nodes {
			_ = n.kill() // errors of nodes that are gone already
		}
		if t.Failed() {
			t.Logf("log of the keepers:\n%s", f.log)
		}
	})
	return f
}

// listen binds the name's address: the one it had, or a free one.
func (f *fleet) listen(name string) net.Listener {
	f.t.Helper()
	address := f.addrs[name]
	if address == "" {
		address = "127.0.0.1:0"
	}
	l, err := net.Listen("tcp", address)
	if err != nil {
		f.t.Fatal(err)
	}
	f.addrs[name] = l.Addr().String()
	return l
}

// config is what keeper name is started with, the same at every start.
func (f *fleet) config(name string, expect int, join ...string) Config {
	c := DefaultConfig()
	c.Name = name
	c.DataDir = filepath.Join(f.dir, name)
	c.BootstrapExpect = expect
	c.Join = join
	c.Peers = f.peers
	c.Timing = testTiming
	c.DiskReserve = 1 << 20
	c.Version = "test"
	c.Logger = hclog.New(&hclog.LoggerOptions{Name: name, Level: hclog.Info, Output: f.log})
	if f.setup != nil {
		f.setup(name, &c)
	}
	return c
}

// open starts a keeper; its error is the caller's.
func (f *fleet) open(c Config) (*Node, error) {
	f.t.Helper()
	c.Listener = f.listen(c.Name)
	c.Advertise = c.Listener.Addr().String()
	n, err := Open(f.t.Context(), c)
	if err != nil {
		_ = c.Listener.Close()
		return nil, err
	}
	f.nodes[c.Name] = n
	f.peers.put(c.Advertise, n)
	return n, nil
}

func (f *fleet) mustOpen(c Config) *Node {
	f.t.Helper()
	n, err := f.open(c)
	if err != nil {
		f.t.Fatal(err)
	}
	return n
}

// group starts keepers k1…kn with the same command line and waits until all
// are ready.
func (f *fleet) group(size int) []*Node {
	f.t.Helper()
	var names, join []string
	for i := range size {
		name := fmt.Sprintf("k%d", i+1)
		l := f.listen(name)
		join = append(join, l.Addr().String())
		_ = l.Close()
		names = append(names, name)
	}
	nodes := make([]*Node, 0, size)
	for _, name := range names {
		nodes = append(nodes, f.mustOpen(f.config(name, size, join...)))
	}
	f.ready(nodes...)
	return nodes
}

func (f *fleet) ready(nodes ...*Node) {
	f.t.Helper()
	ctx, cancel := context.WithTimeout(f.t.Context(), 15*time.Second)
	defer cancel()
	for _, n := range nodes {
		if err := n.WaitReady(ctx); err != nil {
			f.t.Fatalf("%s: %v", n.cfg.Name, err)
		}
	}
	f.eventually("all records are right", func() bool {
		for _, n := range nodes {
			if !n.recorded() {
				return false
			}
		}
		return true
	})
}

// leader waits for a node that leads and can prove it.
func (f *fleet) leader(nodes ...*Node) *Node {
	f.t.Helper()
	var leader *Node
	f.eventually("a leader", func() bool {
		for _, n := range nodes {
			ctx, cancel := context.WithTimeout(f.t.Context(), time.Second)
			_, err := n.Prove(ctx)
			cancel()
			if err == nil {
				leader = n
				return true
			}
		}
		return false
	})
	return leader
}

// eventually waits for a condition, bounded.
func (f *fleet) eventually(what string, ok func() bool) {
	f.t.Helper()
	eventually(f.t, what, ok)
}

func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(15 * time.Second)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("never: %s", what)
		}
		pause(t.Context(), 5*time.Millisecond)
	}
}

func pause(ctx context.Context, d time.Duration) { sleep(ctx, d) }

// crash stops a node without a word to the others.
func (f *fleet) crash(n *Node) {
	f.t.Helper()
	f.peers.drop(n.cfg.Advertise)
	if err := n.kill(); err != nil {
		f.t.Fatal(err)
	}
	delete(f.nodes, n.cfg.Name)
}

func (f *fleet) close(n *Node) {
	f.t.Helper()
	if err := n.Close(f.t.Context()); err != nil {
		f.t.Fatal(err)
	}
	f.peers.drop(n.cfg.Advertise)
	delete(f.nodes, n.cfg.Name)
}

// restart opens a stopped node with the same configuration.
func (f *fleet) restart(n *Node) *Node {
	f.t.Helper()
	return f.mustOpen(f.again(n))
}

// again is the configuration of n for one more start.
func (f *fleet) again(n *Node) Config {
	return f.config(n.cfg.Name, n.cfg.BootstrapExpect, n.cfg.Join...)
}

func others(nodes []*Node, not *Node) []*Node {
	var rest []*Node
	for _, n := range nodes {
		if n != not {
			rest = append(rest, n)
		}
	}
	return rest
}

// put writes a section.
func put(ctx context.Context, n *Node, key, value string) (fsm.Result, error) {
	return n.Propose(ctx, fsm.Header{}, &fsm.PutSection{ID: "test", Section: key, Data: []byte(value)})
}

// mustPut writes a section through whoever leads. It may be written twice.
func (f *fleet) mustPut(key, value string) fsm.Result {
	f.t.Helper()
	var result fsm.Result
	f.eventually("a write", func() bool {
		for _, n := range f.nodes {
			if r, err := put(f.t.Context(), n, key, value); err == nil {
				result = r
				return true
			}
		}
		return false
	})
	if result.Code != 0 {
		f.t.Fatalf("put %s: %+v", key, result)
	}
	return result
}

// get reads a section of a state, empty when it is not there.
func get(s *fsm.State, key string) string {
	if row := s.Section("test", key); row != nil {
		return string(row.Data)
	}
	return ""
}

// wantFatal waits for the node to end itself.
func wantFatal(t *testing.T, n *Node, target error) error {
	t.Helper()
	select {
	case err := <-n.Fatal():
		if target != nil && !errors.Is(err, target) {
			t.Fatalf("fatal error %v, want %v", err, target)
		}
		return err
	case <-time.After(15 * time.Second):
		t.Fatal("the node did not end itself")
		return nil
	}
}

// directory carries Peers' calls to nodes of this process, by address.
type directory struct {
	mu    sync.Mutex
	nodes map[string]*Node
}

func (d *directory) put(address string, n *Node) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.nodes[address] = n
}

func (d *directory) drop(address string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.nodes, address)
}

func (d *directory) at(address string) (*Node, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if n, ok := d.nodes[address]; ok {
		return n, nil
	}
	return nil, api.Errorf(api.NetConnect, "nobody listens at %s", address)
}

func (d *directory) Discover(ctx context.Context, address string, req api.KeeperDiscoverRequest) (api.KeeperDiscoverAnswer, error) {
	n, err := d.at(address)
	if err != nil {
		return api.KeeperDiscoverAnswer{}, err
	}
	return n.HandleDiscover(ctx, req)
}

func (d *directory) Join(ctx context.Context, address string, req api.KeeperJoinRequest) error {
	n, err := d.at(address)
	if err != nil {
		return err
	}
	return n.HandleJoin(ctx, req)
}

func (d *directory) Status(_ context.Context, address string) (api.NodeStatusAnswer, error) {
	n, err := d.at(address)
	if err != nil {
		return api.NodeStatusAnswer{}, err
	}
	return n.Status(), nil
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

// rawEntry puts bytes into the log as they are.
func rawEntry(ctx context.Context, n *Node, entry []byte) error {
	return n.await(ctx, n.raft.ApplyLog(raft.Log{Data: entry}, time.Second))
}

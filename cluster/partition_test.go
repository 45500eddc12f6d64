package cluster

import (
	"context"
	"errors"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/zerokeeper/zero/transport/api"
)

// wires are the Raft connections of a fleet; a keeper can be cut off.
type wires struct {
	mu    sync.Mutex
	cut   map[string]bool // by name
	names map[string]string
	conns map[net.Conn][2]string // from, to
}

var errCut = errors.New("no route to host")

func (w *wires) dialFrom(name string) func(context.Context, string) (net.Conn, error) {
	return func(ctx context.Context, address string) (net.Conn, error) {
		to := w.names[address]
		w.mu.Lock()
		closed := w.cut[name] || w.cut[to]
		w.mu.Unlock()
		if closed {
			return nil, errCut
		}
		c, err := new(net.Dialer).DialContext(ctx, "tcp", address)
		if err != nil {
			return nil, err
		}
		w.mu.Lock()
		defer w.mu.Unlock()
		w.conns[c] = [2]string{name, to}
		return c, nil
	}
}

// isolate breaks what the keeper has and refuses what it or others dial.
func (w *wires) isolate(name string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.cut[name] = true
	for c, ends := range w.conns {
		if ends[0] == name || ends[1] == name {
			_ = c.Close()
			delete(w.conns, c)
		}
	}
}

func (w *wires) heal() {
	w.mu.Lock()
	defer w.mu.Unlock()
	clear(w.cut)
}

// A leader that is cut off answers no read and acknowledges no write, the
// others go on, and afterwards all are the same.
func TestLeaderCutOff(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	w := &wires{cut: make(map[string]bool), names: make(map[string]string), conns: make(map[net.Conn][2]string)}
	for i, address := range f.reserve("k1", "k2", "k3") {
		w.names[address] = []string{"k1", "k2", "k3"}[i]
	}
	f.setup = func(name string, c *Config) { c.Dial = w.dialFrom(name) }
	nodes := f.group(3)
	leader := f.leader(nodes...)
	rest := others(nodes, leader)
	f.mustPut("a", "before")
	w.isolate(leader.cfg.Name)

	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if state, err := leader.Linearizable(ctx); err == nil {
		t.Errorf("a leader that is cut off reads %q", get(state, "a"))
	}
	if _, err := put(ctx, leader, "a", "lost"); err == nil {
		t.Error("a leader that is cut off acknowledges a write")
	}
	next := f.leader(rest...)
	if _, err := put(ctx, next, "a", "after"); err != nil {
		t.Fatalf("the others do not go on: %v", err)
	}
	if _, err := leader.Linearizable(ctx); !errors.Is(err, api.ErrNoLeader) && !errors.Is(err, api.ErrNotLeader) {
		t.Errorf("the old leader answers %v", err)
	}
	term := next.Term()
	w.heal()
	f.ready(nodes...)
	f.eventually("all are the same", func() bool {
		h := next.State().Hash()
		return get(next.State(), "a") == "after" && h == rest[0].State().Hash() && h == rest[1].State().Hash() && h == leader.State().Hash()
	})
	if now := f.leader(nodes...).Term(); now > term+1 {
		t.Errorf("the one that came back raised the term from %d to %d: pre-vote should prevent it", term, now)
	}
}

// wiredPeers asks only whom the wires let through.
type wiredPeers struct {
	*directory
	wires *wires
	from  string
}

func (p wiredPeers) through(address string) error {
	p.wires.mu.Lock()
	defer p.wires.mu.Unlock()
	if p.wires.cut[p.from] || p.wires.cut[p.wires.names[address]] {
		return api.Errorf(api.NetConnect, "%v", errCut)
	}
	return nil
}

func (p wiredPeers) Discover(ctx context.Context, address string, req api.KeeperDiscoverRequest) (api.KeeperDiscoverAnswer, error) {
	if err := p.through(address); err != nil {
		return api.KeeperDiscoverAnswer{}, err
	}
	return p.directory.Discover(ctx, address, req)
}

func (p wiredPeers) Join(ctx context.Context, address string, req api.KeeperJoinRequest) error {
	if err := p.through(address); err != nil {
		return err
	}
	return p.directory.Join(ctx, address, req)
}

func (p wiredPeers) Status(ctx context.Context, address string) (api.NodeStatusAnswer, error) {
	if err := p.through(address); err != nil {
		return api.NodeStatusAnswer{}, err
	}
	return p.directory.Status(ctx, address)
}

// A keeper that is removed while it is cut off learns of it afterwards, and ends
// as one that learned in time does. While it is cut off, and while it is a member,
// it goes on.
func TestRemovedWhileCutOff(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	w := &wires{cut: make(map[string]bool), names: make(map[string]string), conns: make(map[net.Conn][2]string)}
	for i, address := range f.reserve("k1", "k2", "k3") {
		w.names[address] = []string{"k1", "k2", "k3"}[i]
	}
	f.setup = func(name string, c *Config) {
		c.Dial, c.Peers = w.dialFrom(name), wiredPeers{f.peers, w, name}
	}
	nodes := f.group(3)
	gone := others(nodes, f.leader(nodes...))[0]
	rest := others(nodes, gone)
	w.isolate(gone.cfg.Name)
	f.eventually("it asks around and finds nobody", func() bool {
		err := gone.group.currentProblem()
		return err != nil && strings.Contains(err.Error(), "knows a leader")
	})
	w.heal()
	f.mustPut("a", "1")
	f.eventually("it follows again", func() bool { return get(gone.State(), "a") == "1" && gone.group.currentProblem() == nil })

	w.isolate(gone.cfg.Name)
	f.eventually("it is removed", func() bool { return f.leader(rest...).RemoveMember(t.Context(), gone.ID()) == nil })
	if err := gone.usable(); err != nil {
		t.Errorf("it stops before anybody can have told it: %v", err)
	}
	w.heal()
	if err := wantFatal(t, gone, api.ErrForbidden); !strings.Contains(err.Error(), "it was removed") {
		t.Errorf("it ends with %v", err)
	}
	f.mustPut("b", "1")
}

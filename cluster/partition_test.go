package cluster

import (
	"context"
	"errors"
	"net"
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

package cluster

import (
	"context"
	"net"
	"sync"
)

// ice stops the traffic of one keeper byte by byte, as SIGSTOP does: what was
// sent to it waits in its sockets, what it would send waits in the process.
type ice struct {
	name    string            // of the keeper
	keepers map[string]string // names by address

	mu      sync.Mutex
	changed *sync.Cond
	frozen  bool
	conns   map[*icyConn]struct{}
}

// icyConn is a connection that the keeper dialed, or another to it.
type icyConn struct {
	net.Conn
	ice       *ice
	own       bool   // the keeper dialed it
	to        string // whom
	holdRead  bool
	holdWrite bool
	closed    bool
	writes    int // since they were last counted from 0
}

func newIce(name string, keepers map[string]string) *ice {
	i := &ice{name: name, keepers: keepers, conns: make(map[*icyConn]struct{})}
	i.changed = sync.NewCond(&i.mu)
	return i
}

// dialFrom is Config.Dial of a keeper.
func (i *ice) dialFrom(name string) func(context.Context, string) (net.Conn, error) {
	return func(ctx context.Context, address string) (net.Conn, error) {
		to := i.keepers[address]
		if name != i.name && to != i.name {
			return new(net.Dialer).DialContext(ctx, "tcp", address)
		}
		i.mu.Lock()
		frozen := i.frozen
		i.mu.Unlock()
		if frozen {
			return nil, errCut
		}
		c, err := new(net.Dialer).DialContext(ctx, "tcp", address)
		if err != nil {
			return nil, err
		}
		i.mu.Lock()
		defer i.mu.Unlock()
		t := &icyConn{Conn: c, ice: i, own: name == i.name, to: to, holdWrite: i.frozen}
		i.conns[t] = struct{}{}
		return t, nil
	}
}

// Read keeps what came until it is released.
func (c *icyConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.wait(func() bool { return c.holdRead })
	return n, err
}

// Write is counted, and waits while it is held.
func (c *icyConn) Write(p []byte) (int, error) {
	c.wait(func() bool { return c.holdWrite })
	n, err := c.Conn.Write(p)
	c.ice.mu.Lock()
	defer c.ice.mu.Unlock()
	c.writes++
	return n, err
}

func (c *icyConn) wait(held func() bool) {
	c.ice.mu.Lock()
	defer c.ice.mu.Unlock()
	for held() && !c.closed {
		c.ice.changed.Wait()
	}
}

// Close wakes whoever waits.
func (c *icyConn) Close() error {
	c.ice.mu.Lock()
	c.closed = true
	delete(c.ice.conns, c)
	c.ice.changed.Broadcast()
	c.ice.mu.Unlock()
	return c.Conn.Close()
}

// sending are the keeper's own connections, by addressee, whose writes since
// restart satisfy ok.
func (i *ice) sending(ok func(writes int) bool) map[string][]*icyConn {
	i.mu.Lock()
	defer i.mu.Unlock()
	found := make(map[string][]*icyConn)
	for c := range i.conns {
		if c.own && ok(c.writes) {
			found[c.to] = append(found[c.to], c)
		}
	}
	return found
}

// restart counts writes from 0.
func (i *ice) restart() {
	i.mu.Lock()
	defer i.mu.Unlock()
	for c := range i.conns {
		c.writes = 0
	}
}

// holdAnswers keeps the answers that come on these connections, and counts
// their writes from 0.
func (i *ice) holdAnswers(conns []*icyConn, hold bool) {
	i.mu.Lock()
	defer i.mu.Unlock()
	for _, c := range conns {
		c.holdRead, c.writes = hold, 0
	}
	i.changed.Broadcast()
}

// wrote reports whether each of them wrote since.
func (i *ice) wrote(conns []*icyConn) bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	for _, c := range conns {
		if c.writes == 0 {
			return false
		}
	}
	return true
}

// freeze stops the keeper's traffic.
func (i *ice) freeze() {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.frozen = true
	for c := range i.conns {
		c.holdWrite = true
		if c.own {
			c.holdRead = true
		}
	}
}

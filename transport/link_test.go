package transport

import (
	"context"
	"errors"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/zerokeeper/zero/transport/api"
	"github.com/zerokeeper/zero/transport/wire"
)

// linked runs a client in link mode against g.
func linked(t *testing.T, g *group, change func(*ClientConfig)) *Client {
	t.Helper()
	cfg := quick(g.endpoints())
	cfg.Handler = func(_ context.Context, req *wire.Request) (*wire.Response, error) {
		return &wire.Response{Data: append([]byte("back: "), req.Body...)}, nil
	}
	if change != nil {
		change(&cfg)
	}
	c := testClient(t, cfg)
	background(t, func(ctx context.Context) error {
		if err := c.Run(ctx); !errors.Is(err, ErrClientClosed) {
			return err
		}
		return nil
	})
	return c
}

// at waits until c's command connection is registered at member i, and calls back over it.
func (g *group) at(i int, c *Client) {
	g.t.Helper()
	eventually(g.t, "the command connection is at member "+g.members[i].id(), func() bool {
		inv := c.CommandConnection()
		return inv != nil && inv.RemoteAddr().String() == g.members[i].address && len(g.members[i].route.IDs()) == 1
	})
	resp, err := g.members[i].route.Call(within(g.t, 10*time.Second), "p1", "Push", nil, []byte("x"))
	if err != nil || string(resp.Data) != "back: x" {
		g.t.Errorf("called back: %+v, %v", resp, err)
	}
}

// alone checks that the keepers have one command connection between them.
func (g *group) alone() {
	g.t.Helper()
	eventually(g.t, "there is one command connection", func() bool {
		n := 0
		for _, m := range g.members {
			n += len(m.route.IDs())
		}
		return n == 1
	})
}

func TestLinkFollowsTheLeader(t *testing.T) {
	g := newGroup(t, 3)
	g.elect(1)
	var mu sync.Mutex
	var told []api.LeaderHint
	c := linked(t, g, func(cfg *ClientConfig) {
		cfg.OnConnect = func(_ context.Context, inv *wire.Invoker, leader api.LeaderHint) error {
			mu.Lock()
			defer mu.Unlock()
			told = append(told, leader)
			return nil
		}
	})
	for _, leader := range []int{1, 2, 0} {
		if leader != 1 {
			g.elect(leader)
		}
		// An answer on the connection is what moves it.
		if _, err := c.Call(within(t, 10*time.Second), "Write", nil, nil); err != nil {
			t.Fatal(err)
		}
		g.at(leader, c)
		g.alone()
		if !c.Connected() {
			t.Error("not connected")
		}
	}
	eventually(t, "OnConnect was told of all", func() bool { // it is called beside the link's work
		mu.Lock()
		defer mu.Unlock()
		return len(told) >= 3
	})
	mu.Lock()
	defer mu.Unlock()
	if len(told) != 3 || told[0].ID != "k1" || told[1].ID != "k2" || told[2].ID != "k0" {
		t.Errorf("OnConnect was told %+v", told)
	}
}

// TestLinkMovesOnADirectCall sends over the invoker itself, as a heartbeat does.
func TestLinkMovesOnADirectCall(t *testing.T) {
	g := newGroup(t, 2)
	g.elect(0)
	c := linked(t, g, nil)
	g.at(0, c)
	g.elect(1)
	old := c.CommandConnection()
	if _, err := old.Call(within(t, 10*time.Second), "Read", nil, nil); !errors.Is(err, api.ErrNotLeader) {
		t.Errorf("%v", err)
	}
	if c.CommandConnection() == old {
		t.Error("a connection whose keeper does not lead is still used for calls: its end would leave them unknown")
	}
	g.at(1, c)
	g.alone()
}

func TestLinkComesBack(t *testing.T) {
	g := newGroup(t, 3)
	g.elect(0)
	c := linked(t, g, nil)
	g.at(0, c)
	g.members[0].stop() // and no one leads for a while
	g.elect(-1)
	eventually(t, "the loss is noticed", func() bool { return !c.Connected() })
	if _, err := c.Query(within(t, 30*time.Millisecond), "Read", nil, nil); !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, api.ErrOutcomeUnknown) {
		t.Errorf("while there is no leader: %v", err)
	}
	waiting := make(chan error, 1)
	go func() {
		_, err := c.Call(within(t, 10*time.Second), "Write", nil, nil)
		waiting <- err
	}()
	g.elect(2)
	g.at(2, c)
	if err := <-waiting; err != nil {
		t.Errorf("a call that waited: %v", err)
	}
	g.alone()
}

func TestLinkExactlyOnce(t *testing.T) {
	g := newGroup(t, 3)
	g.elect(0)
	g.set(func() { g.loseAnswers = 0.3 })
	c := linked(t, g, nil)
	s := c.NewSession()
	for n := range 60 {
		if n%10 == 9 {
			g.elect(n / 10 % 3)
		}
		if _, err := s.Do(within(t, 20*time.Second), "Write", nil, nil); err != nil {
			t.Fatal(err)
		}
	}
	g.set(func() {
		if len(g.order) != 60 {
			t.Errorf("%d writes happened, want 60", len(g.order))
		}
	})
}

// TestOnConnectEndsWithTheConnection runs for as long as the connection lives.
func TestOnConnectEndsWithTheConnection(t *testing.T) {
	g := newGroup(t, 1)
	g.elect(0)
	begun, ended := make(chan *wire.Invoker, 10), make(chan struct{}, 10)
	c := linked(t, g, func(cfg *ClientConfig) {
		cfg.OnConnect = func(ctx context.Context, inv *wire.Invoker, _ api.LeaderHint) error {
			begun <- inv
			<-ctx.Done()
			ended <- struct{}{}
			return ctx.Err()
		}
	})
	first := <-begun
	if c.CommandConnection() != first {
		t.Error("OnConnect was told of another connection")
	}
	first.Stop(nil)
	<-ended
	if second := <-begun; second == first {
		t.Error("the same connection again")
	}
	c.Close()
	<-ended
}

// TestOnConnectGivesUp has a registration that fails twice.
func TestOnConnectGivesUp(t *testing.T) {
	g := newGroup(t, 1)
	g.elect(0)
	tries := make(chan int, 10)
	n := 0
	c := linked(t, g, func(cfg *ClientConfig) {
		cfg.OnConnect = func(context.Context, *wire.Invoker, api.LeaderHint) error {
			n++
			tries <- n
			if n < 3 {
				return errors.New("not registered")
			}
			return nil
		}
	})
	for range 3 {
		<-tries
	}
	g.at(0, c)
	g.alone()
}

func TestLinkStopsCleanly(t *testing.T) {
	g := newGroup(t, 1)
	g.elect(0)
	c := testClient(t, quick(g.endpoints()))
	ctx, cancel := context.WithCancel(t.Context())
	ran := make(chan error, 1)
	go func() { ran <- c.Run(ctx) }()
	g.at0(c)
	if err := c.Run(t.Context()); err == nil || errors.Is(err, context.Canceled) {
		t.Errorf("a second Run: %v", err)
	}
	if resp, err := c.CallAt(within(t, 10*time.Second), g.members[0].address, "Local", nil, nil); err != nil || string(resp.Data) != "k0" {
		t.Errorf("CallAt: %+v, %v", resp, err)
	}
	c.pool.mu.Lock()
	if len(c.pool.entries) != 0 {
		t.Error("CallAt made another connection to where the link is")
	}
	c.pool.mu.Unlock()
	cancel()
	if err := <-ran; !errors.Is(err, context.Canceled) {
		t.Errorf("Run: %v", err)
	}
	if c.Connected() {
		t.Error("connected after Run")
	}
	if _, err := c.Call(within(t, 10*time.Second), "Write", nil, nil); err != nil {
		t.Errorf("a call after Run: %v", err)
	}
}

// at0 waits for a client that answers nothing itself.
func (g *group) at0(c *Client) {
	g.t.Helper()
	eventually(g.t, "it is linked", func() bool { return c.Connected() && len(g.members[0].route.IDs()) == 1 })
}

// TestLinkHopsAreBounded has keepers that name each other as leaders.
func TestLinkHopsAreBounded(t *testing.T) {
	g := newGroup(t, 2)
	g.elect(0)
	g.set(func() {
		for i, m := range g.members {
			other := g.members[1-i]
			m.hint = &api.LeaderHint{ID: other.id(), Address: other.address, Term: 1}
		}
	})
	c := linked(t, g, func(cfg *ClientConfig) { cfg.BackoffMin, cfg.BackoffMax = time.Hour, time.Hour })
	greeted := func() (n int) {
		g.set(func() { n = g.members[0].greeted + g.members[1].greeted })
		return n
	}
	eventually(t, "all hops are made", func() bool { return greeted() == maxHops+1 })
	time.Sleep(50 * time.Millisecond) // more would come within this
	if n := greeted(); n != maxHops+1 {
		t.Errorf("%d connections in a row, want %d", n, maxHops+1)
	}
	if c.Connected() {
		t.Error("connected to one that does not lead")
	}
}

// frozen is a host that is gone without a word: its connections and every dial to it
// hang.
type frozen struct {
	address string
	gone    chan struct{}
}

type frozenConn struct {
	net.Conn
	host *frozen
}

func (f *frozen) dial(ctx context.Context, network, address string) (net.Conn, error) {
	if address == f.address {
		select {
		case <-f.gone:
			<-ctx.Done()
			return nil, ctx.Err()
		default:
		}
	}
	conn, err := new(net.Dialer).DialContext(ctx, network, address)
	if err == nil && address == f.address {
		conn = &frozenConn{Conn: conn, host: f}
	}
	return conn, err
}

func (c *frozenConn) Read(b []byte) (int, error) {
	for {
		n, err := c.Conn.Read(b)
		select {
		case <-c.host.gone:
			if err != nil {
				return 0, err
			}
		default:
			return n, err
		}
	}
}

func (c *frozenConn) Write(b []byte) (int, error) {
	select {
	case <-c.host.gone:
		return len(b), nil
	default:
		return c.Conn.Write(b)
	}
}

// TestLinkLeavesASilentLeader has a leader whose host vanishes. The others go on naming it
// until they have elected one of themselves.
func TestLinkLeavesASilentLeader(t *testing.T) {
	g := newGroup(t, 3)
	g.elect(0)
	host := &frozen{address: g.members[0].address, gone: make(chan struct{})}
	c := linked(t, g, func(cfg *ClientConfig) {
		cfg.Dial = host.dial
		cfg.GreyTime, cfg.DialTimeout = time.Minute, 30*time.Second
		cfg.Invoker.PingInterval, cfg.Invoker.PingTimeout = 50*time.Millisecond, 100*time.Millisecond
	})
	g.at(0, c)
	began := time.Now()
	close(host.gone)
	eventually(t, "the silence is noticed", func() bool { return !c.Connected() })
	g.elect(2)
	eventually(t, "the link is at the new leader", func() bool {
		inv := c.CommandConnection()
		return inv != nil && inv.RemoteAddr().String() == g.members[2].address
	})
	// No dial to the vanished host came between, which would have hung for 30 s.
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("moved after %v", took)
	}
}

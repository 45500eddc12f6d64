package transport

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/zerokeeper/zero/transport/api"
	"github.com/zerokeeper/zero/transport/wire"
)

var (
	// ErrNoKeeper: no endpoint could even be connected to while the call lasted.
	ErrNoKeeper = errors.New("no keeper reachable")
	// ErrClientClosed: the client was closed.
	ErrClientClosed = errors.New("client is closed")
)

// ClientConfig is what a [Client] is made with. Zero values mean the defaults.
type ClientConfig struct {
	Endpoints []string // host:port of keepers, at least one; names are resolved at every dial

	// Hello introduces the caller: Role and ID, and what else it wants to say.
	// Version is filled in.
	Hello api.HelloRequest
	// Token returns the secret that proves it, asked at every connect; nil: none.
	Token func() (string, error)
	TLS   *tls.Config // nil: none; without ServerName the endpoint's host is verified

	Handler wire.Handler // of requests that come back over a connection; nil: none are answered
	// Invoker has the limits and times of every connection. PingInterval and
	// PingTimeout are 500 ms and 1 s here; Handler wins over the one in it.
	Invoker wire.Config

	// OnConnect is called in link mode (see Run) for every new command connection,
	// and may use it as long as ctx lives, which ends with the connection. An error
	// gives the connection up.
	OnConnect func(ctx context.Context, inv *wire.Invoker, leader api.LeaderHint) error

	DialTimeout time.Duration // to connect, TLS and Hello included; 1 s
	BackoffMin  time.Duration // first wait between attempts, halved or not at random; 20 ms
	BackoffMax  time.Duration // last wait, to which it doubles; 500 ms
	GreyTime    time.Duration // for which an unreachable endpoint is tried only when there is no other; 1 s
	IdleTime    time.Duration // after which an unused connection is closed by a later call; 30 s
	MaxConns    int           // connections at once, besides the link; 16

	// Dial replaces the network; nil: TCP.
	Dial   func(ctx context.Context, network, address string) (net.Conn, error)
	Logger hclog.Logger // nil: quiet
}

// Validate refuses a client without endpoints, endpoints without a port and
// negative values.
func (c ClientConfig) Validate() error {
	if len(c.Endpoints) == 0 {
		return errors.New("client config: no endpoints")
	}
	for _, e := range c.Endpoints {
		if _, port, err := net.SplitHostPort(e); err != nil || port == "" {
			return fmt.Errorf("client config: endpoint %q is not host:port", e)
		}
	}
	if c.MaxConns < 0 || min(c.DialTimeout, c.BackoffMin, c.BackoffMax, c.GreyTime, c.IdleTime) < 0 {
		return errors.New("client config: limits and times must not be negative")
	}
	return c.Invoker.Validate()
}

func (c ClientConfig) withDefaults() ClientConfig {
	preset := func(d *time.Duration, value time.Duration) {
		if *d == 0 {
			*d = value
		}
	}
	preset(&c.DialTimeout, time.Second)
	preset(&c.BackoffMin, 20*time.Millisecond)
	preset(&c.BackoffMax, 500*time.Millisecond)
	preset(&c.GreyTime, time.Second)
	preset(&c.IdleTime, 30*time.Second)
	preset(&c.Invoker.CallTimeout, 30*time.Second)
	// A leader that vanished must be left before the next one has waited its leases out.
	preset(&c.Invoker.PingInterval, 500*time.Millisecond)
	preset(&c.Invoker.PingTimeout, time.Second)
	if c.MaxConns == 0 {
		c.MaxConns = 16
	}
	if c.Dial == nil {
		c.Dial = new(net.Dialer).DialContext
	}
	if c.Logger == nil {
		c.Logger = hclog.NewNullLogger()
	}
	if c.Handler != nil {
		c.Invoker.Handler = c.Handler
	}
	if c.Invoker.Logger == nil {
		c.Invoker.Logger = c.Logger
	}
	if c.Invoker.Counters == nil {
		c.Invoker.Counters = new(wire.Counters)
	}
	return c
}

// Client talks to a group of keepers: it finds the leader, follows it, and repeats
// what may be repeated. Its methods may be used from any goroutine.
type Client struct {
	cfg   ClientConfig
	guide *guide
	pool  *pool
	link  atomic.Pointer[link] // while Run runs

	ctx    context.Context // of all connections; ended by Close
	cancel context.CancelFunc
	wg     sync.WaitGroup
}

// NewClient makes a client. It does no I/O: the first call connects.
func NewClient(cfg ClientConfig) (*Client, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	c := &Client{cfg: cfg.withDefaults()}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	c.guide = newGuide(c.cfg.Endpoints, c.cfg.GreyTime)
	c.pool = &pool{client: c, entries: make(map[string]*pooled)}
	return c, nil
}

// Close ends all connections, calls and Run, and waits for their goroutines.
func (c *Client) Close() error {
	c.pool.close()
	c.cancel()
	c.wg.Wait()
	return nil
}

// Call sends a request to the leader, wherever it is, until it is answered or ctx ends;
// without a deadline ctx gets Invoker.CallTimeout. Answers are as in [wire.Invoker.Call].
//
// Whatever surely did not happen is tried again: endpoints that cannot be reached, keepers
// that do not lead or are not ready, connections that are busy. What may have happened is
// not: that is [api.ErrOutcomeUnknown] at once. Use Query for what changes nothing and
// a [Session] for what must happen exactly once. When no keeper could be connected to,
// the error is ErrNoKeeper.
func (c *Client) Call(ctx context.Context, name string, meta wire.Meta, body []byte) (*wire.Response, error) {
	return c.do(ctx, &request{name: name, body: body, manner: callOnce, meta: func() wire.Meta { return meta }})
}

// Query is Call for a request that changes nothing: it is also repeated when its
// answer was lost.
func (c *Client) Query(ctx context.Context, name string, meta wire.Meta, body []byte) (*wire.Response, error) {
	return c.do(ctx, &request{name: name, body: body, manner: callQuery, meta: func() wire.Meta { return meta }})
}

// CallAt sends a request to one endpoint, whether it leads or not: no answer is followed,
// and nothing is repeated but a request that met an old connection's end unsent.
func (c *Client) CallAt(ctx context.Context, endpoint, name string, meta wire.Meta, body []byte) (*wire.Response, error) {
	ctx, cancel := c.bounded(ctx)
	defer cancel()
	if l := c.link.Load(); l != nil {
		if inv, address := l.current(); inv != nil && address == endpoint && inv.Err() == nil {
			return inv.Call(ctx, name, meta, body)
		}
	}
	for again := true; ; again = false {
		e, fresh, err := c.pool.get(ctx, endpoint)
		if err != nil {
			return nil, fmt.Errorf("call %s: %w", name, err)
		}
		resp, err := e.inv.Call(ctx, name, meta, body)
		c.pool.put(e)
		if again && !fresh && errors.Is(err, wire.ErrNotSent) && e.inv.Err() != nil && ctx.Err() == nil {
			continue
		}
		return resp, err
	}
}

// Leader is the leader as far as is known: an empty address when it is not.
func (c *Client) Leader() api.LeaderHint { return c.guide.known() }

// Connected reports whether link mode has its command connection.
func (c *Client) Connected() bool { return c.CommandConnection() != nil }

// CommandConnection is the invoker of link mode's connection, nil while there is none.
func (c *Client) CommandConnection() *wire.Invoker {
	if l := c.link.Load(); l != nil {
		inv, _ := l.current()
		return inv
	}
	return nil
}

// bounded gives ctx a deadline if it has none.
func (c *Client) bounded(ctx context.Context) (context.Context, context.CancelFunc) {
	if _, ok := ctx.Deadline(); ok {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, c.cfg.Invoker.CallTimeout)
}

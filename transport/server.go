package transport

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/zerokeeper/zero/transport/wire"
)

// TrafficHandler takes over a connection that began with an op-1 frame. The first bytes
// it reads are those behind the frame; [Unwrap] gives the connection itself for
// splicing. The connection is closed when it returns, and when ctx ends.
type TrafficHandler func(ctx context.Context, conn net.Conn, req wire.TrafficRequest)

// StreamHandler takes over a connection whose Hello was of type listen or target (seed
// 002): after the answer to Hello it carries raw bytes. As with TrafficHandler otherwise.
type StreamHandler func(ctx context.Context, conn net.Conn, p wire.Principal)

// ServerConfig is what a [Server] is made with. What is nil is not served: the
// connection is closed without a reply. Zero values mean the defaults.
type ServerConfig struct {
	Agent   AgentOps       // op 0
	Traffic TrafficHandler // op 1
	Hello   HelloHandler   // op 2, together with Invoker.Handler
	Stream  StreamHandler  // op 2, connection types listen and target

	Invoker wire.Config // of every op-2 connection
	// OnConnect is told of an invoker after its Hello was answered and before its
	// first request is read; it must not block. OnClose is told when all of its
	// handlers are over.
	OnConnect func(inv *wire.Invoker)
	OnClose   func(inv *wire.Invoker, reason error)

	MaxConns     int           // connections at once, more are closed; 10,000
	FrameTimeout time.Duration // from accept to the end of the first frame, and for each that follows on op 0; 30 s
	AgentTimeout time.Duration // for one update or query; 10 s
	WriteTimeout time.Duration // for one reply outside of invokers; 10 s
	Logger       hclog.Logger  // nil: quiet
}

// Validate refuses negative values.
func (c ServerConfig) Validate() error {
	if c.MaxConns < 0 || c.FrameTimeout < 0 || c.AgentTimeout < 0 || c.WriteTimeout < 0 {
		return fmt.Errorf("server config: MaxConns %d, FrameTimeout %v, AgentTimeout %v and WriteTimeout %v must not be negative",
			c.MaxConns, c.FrameTimeout, c.AgentTimeout, c.WriteTimeout)
	}
	return c.Invoker.Validate()
}

// ServerCounters counts what a server does. They only rise, but for Open.
type ServerCounters struct {
	Open         atomic.Int64 // connections now
	Accepted     atomic.Int64
	Refused      atomic.Int64 // closed because MaxConns others were open
	BadFrames    atomic.Int64 // connections closed because of what they sent
	Updates      atomic.Int64 // of op 0
	Queries      atomic.Int64 // of op 0
	AgentFailed  atomic.Int64 // of both, answered with code 1 because of an error
	HelloRefused atomic.Int64
}

// Server serves frames: op 0, op 1 and op 2 on the same listener.
type Server struct {
	cfg      ServerConfig
	Counters ServerCounters

	mu        sync.Mutex
	listeners map[net.Listener]struct{}
	conns     map[*serverConn]struct{}
	serving   sync.WaitGroup // of Serve calls
	draining  bool
	cut       sync.Once
	stop      chan struct{} // closed when what is left is to be cut off
}

// serverConn is one accepted connection.
type serverConn struct {
	net.Conn
	inv  *wire.Invoker // once there is one
	busy bool          // it must not be closed while the server drains
}

// NewServer makes a server. It does no I/O: call Serve.
func NewServer(cfg ServerConfig) (*Server, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if cfg.MaxConns == 0 {
		cfg.MaxConns = 10_000
	}
	if cfg.FrameTimeout == 0 {
		cfg.FrameTimeout = 30 * time.Second
	}
	if cfg.AgentTimeout == 0 {
		cfg.AgentTimeout = 10 * time.Second
	}
	if cfg.WriteTimeout == 0 {
		cfg.WriteTimeout = 10 * time.Second
	}
	if cfg.Logger == nil {
		cfg.Logger = hclog.NewNullLogger()
	}
	if cfg.Invoker.Logger == nil {
		cfg.Invoker.Logger = cfg.Logger
	}
	if cfg.Invoker.Counters == nil {
		cfg.Invoker.Counters = new(wire.Counters)
	}
	return &Server{
		cfg:       cfg,
		listeners: make(map[net.Listener]struct{}),
		conns:     make(map[*serverConn]struct{}),
		stop:      make(chan struct{}),
	}, nil
}

// InvokerCounters are the counters that all op-2 connections share.
func (s *Server) InvokerCounters() *wire.Counters { return s.cfg.Invoker.Counters }

// ErrServerClosed: Shutdown was called.
var ErrServerClosed = errors.New("server is shut down")

// Serve serves l's connections, which may come from a [Mux], until ctx ends, l is closed
// or Shutdown is called. When it returns, l and all its connections are closed and
// nothing of them runs any more.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	defer l.Close()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	s.mu.Lock()
	if s.draining {
		s.mu.Unlock()
		return ErrServerClosed
	}
	s.listeners[l] = struct{}{}
	s.serving.Add(1)
	s.mu.Unlock()
	defer s.serving.Done()
	stop := context.AfterFunc(ctx, func() { l.Close() })
	defer stop()

	var wg sync.WaitGroup
	var cut sync.WaitGroup
	cut.Go(func() {
		select {
		case <-s.stop:
			cancel()
		case <-ctx.Done():
		}
	})
	acceptLoop(ctx, l, s.cfg.Logger, func(conn net.Conn) {
		s.Counters.Accepted.Add(1)
		c := &serverConn{Conn: conn}
		if !s.admit(c) {
			conn.Close()
			return
		}
		accepted := acceptedAt(conn)
		wg.Go(func() {
			defer s.dismiss(c)
			s.serveConn(ctx, c, accepted)
		})
	})
	s.mu.Lock()
	delete(s.listeners, l)
	draining := s.draining
	s.mu.Unlock()
	if !draining {
		cancel() // l was closed by its owner
	}
	wg.Wait()
	cancel()
	cut.Wait()
	return nil
}

func (s *Server) admit(c *serverConn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.draining {
		return false
	}
	if len(s.conns) >= s.cfg.MaxConns {
		if s.Counters.Refused.Add(1) == 1 {
			s.cfg.Logger.Warn("too many connections; closing new ones (logged once, counted always)", "limit", s.cfg.MaxConns)
		}
		return false
	}
	s.conns[c] = struct{}{}
	s.Counters.Open.Add(1)
	return true
}

func (s *Server) dismiss(c *serverConn) {
	if err := c.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
		s.cfg.Logger.Debug("close connection", "remote", c.RemoteAddr(), "error", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, c)
	s.Counters.Open.Add(-1)
}

// setBusy marks c; false means that the server drains and c is to end.
func (s *Server) setBusy(c *serverConn, busy bool) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	c.busy = busy
	return !s.draining
}

// Shutdown closes the listeners and every connection that waits for a frame, lets
// updates, queries, requests and relays in flight end, and waits for all Serve calls. When
// ctx ends first, it cuts off what is left and returns ctx's error.
func (s *Server) Shutdown(ctx context.Context) error {
	var drains sync.WaitGroup
	s.mu.Lock()
	s.draining = true
	for l := range s.listeners {
		l.Close()
	}
	for c := range s.conns {
		switch {
		case c.inv != nil:
			drains.Go(func() {
				if err := c.inv.Drain(ctx); err != nil {
					s.cfg.Logger.Debug("drain", "remote", c.RemoteAddr(), "error", err)
				}
			})
		case !c.busy:
			c.Close()
		}
	}
	s.mu.Unlock()

	done := make(chan struct{})
	go func() { // ends when every Serve did, which the cut below brings about
		defer close(done)
		s.serving.Wait()
	}()
	var err error
	select {
	case <-done:
	case <-ctx.Done():
		err = fmt.Errorf("shut down: connections were cut off: %w", ctx.Err())
	}
	s.cut.Do(func() { close(s.stop) })
	<-done
	drains.Wait()
	return err
}

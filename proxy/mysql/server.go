package mysql

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"time"
)

// ErrServerClosed is returned by Serve of a server that is, or was, shut down.
var ErrServerClosed = errors.New("mysql: server is closed")

// Server accepts MySQL clients and serves each in a session.
type Server struct {
	cfg   Config
	pure  map[string]bool
	stats counters

	ctx    context.Context // ends when sessions are to end at once
	cancel context.CancelFunc
	wg     sync.WaitGroup // sessions, and the sweeper

	mu        sync.Mutex
	draining  bool
	sweeping  bool
	listeners map[net.Listener]bool
	sessions  map[uint32]*session
	perUser   map[string]int
	nextID    uint32

	dialMu sync.Mutex
	dials  map[string]*dialQueue
}

// New returns a server. It accepts nobody before Serve, and must be ended with Shutdown.
func New(cfg Config) (*Server, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	srv := &Server{
		cfg:       cfg.withDefaults(),
		listeners: make(map[net.Listener]bool),
		sessions:  make(map[uint32]*session),
		perUser:   make(map[string]int),
		dials:     make(map[string]*dialQueue),
		nextID:    rand.Uint32(), // so that a KILL that reaches another proxy hardly hits anyone
	}
	srv.pure = make(map[string]bool, len(cfg.PureFunctions))
	for _, name := range cfg.PureFunctions {
		srv.pure[strings.ToUpper(name)] = true
	}
	srv.ctx, srv.cancel = context.WithCancel(context.Background())
	return srv, nil
}

// Serve accepts clients from ln, which it closes, until ctx ends or Shutdown is called; then it returns
// ErrServerClosed. Sessions outlive it: Shutdown ends them. It may be called for several listeners.
func (srv *Server) Serve(ctx context.Context, ln net.Listener) error {
	if !srv.listen(ln) {
		_ = ln.Close()
		return ErrServerClosed
	}
	defer srv.unlisten(ln)
	stop := context.AfterFunc(ctx, func() { _ = ln.Close() })
	defer stop()
	pause := time.Duration(0)
	for {
		nc, err := ln.Accept()
		switch {
		case err == nil:
			pause = 0
			srv.welcome(nc)
			continue
		case errors.Is(err, net.ErrClosed):
			return ErrServerClosed
		}
		// Out of file descriptors, most likely: clients wait in the backlog meanwhile.
		pause = min(max(2*pause, 5*time.Millisecond), time.Second)
		srv.cfg.Logger.Warn("cannot accept a client", "address", ln.Addr().String(), "error", err, "retry_in", pause)
		select {
		case <-time.After(pause):
		case <-ctx.Done():
		case <-srv.ctx.Done():
		}
	}
}

func (srv *Server) listen(ln net.Listener) bool {
	srv.mu.Lock()
	defer srv.mu.Unlock()
	if srv.draining {
		return false
	}
	srv.listeners[ln] = true
	if !srv.sweeping {
		srv.sweeping = true
		srv.wg.Go(srv.sweep)
	}
	return true
}

func (srv *Server) unlisten(ln net.Listener) {
	srv.mu.Lock()
	defer srv.mu.Unlock()
	delete(srv.listeners, ln)
	_ = ln.Close() // closed already, unless accepting failed
}

// welcome starts the session of a client, or turns it away.
func (srv *Server) welcome(nc net.Conn) {
	srv.stats.accepted.Add(1)
	if tc, ok := nc.(*net.TCPConn); ok {
		if err := tc.SetKeepAliveConfig(keepAlive); err != nil {
			srv.cfg.Logger.Debug("cannot enable keep-alive", "client", nc.RemoteAddr().String(), "error", err)
		}
	}
	s := &session{srv: srv, log: srv.cfg.Logger, remote: nc.RemoteAddr().String(), salt: newSalt(),
		client: link{nc: nc, small: make([]byte, idleBufferSize)}}
	s.client.buf = s.client.small
	srv.mu.Lock()
	closed, full := srv.draining, len(srv.sessions) >= srv.cfg.MaxConnections
	if !closed && !full {
		for {
			srv.nextID++
			if s.id = srv.nextID | proxyIDs; srv.sessions[s.id] == nil {
				break
			}
		}
		srv.sessions[s.id] = s
		srv.stats.connections.Add(1)
		srv.wg.Go(func() { s.run(srv.ctx) })
	}
	srv.mu.Unlock()
	switch {
	case closed:
		_ = nc.Close()
	case full:
		srv.stats.refused.Add(1)
		_ = nc.SetDeadline(soon())
		// Before the greeting an ERR packet has no SQLSTATE.
		_, _ = nc.Write(appendPacket(nil, 0, appendERR(nil, &MySQLError{Code: codeConCount, Message: "Too many connections"})))
		_ = nc.Close()
	}
}

// remove forgets a session that has ended.
func (srv *Server) remove(s *session) {
	srv.uncountUser(s)
	srv.mu.Lock()
	defer srv.mu.Unlock()
	delete(srv.sessions, s.id)
	srv.stats.connections.Add(-1)
}

// countUser counts a login against the user's limit, and reports whether it is kept.
func (srv *Server) countUser(s *session, user User) bool {
	srv.mu.Lock()
	defer srv.mu.Unlock()
	if user.MaxConnections > 0 && srv.perUser[user.Name] >= user.MaxConnections {
		return false
	}
	srv.perUser[user.Name]++
	s.counted = user.Name
	return true
}

func (srv *Server) uncountUser(s *session) {
	if s.counted == "" {
		return
	}
	srv.mu.Lock()
	defer srv.mu.Unlock()
	if srv.perUser[s.counted]--; srv.perUser[s.counted] <= 0 {
		delete(srv.perUser, s.counted)
	}
	s.counted = ""
}

// session returns the session with a connection id, nil if there is none.
func (srv *Server) session(id uint32) *session {
	srv.mu.Lock()
	defer srv.mu.Unlock()
	return srv.sessions[id]
}

// all returns the sessions of the moment.
func (srv *Server) all() []*session {
	srv.mu.Lock()
	defer srv.mu.Unlock()
	list := make([]*session, 0, len(srv.sessions))
	for _, s := range srv.sessions {
		list = append(list, s)
	}
	return list
}

// Shutdown stops accepting and ends the sessions: those outside of a transaction after the command that they are
// at, the others when their transaction ends, and what is left when ctx ends at once, with an error that says how
// many. It waits for all of them.
func (srv *Server) Shutdown(ctx context.Context) error {
	srv.mu.Lock()
	srv.draining = true
	for ln := range srv.listeners {
		_ = ln.Close() // Serve reports nothing else than that it was closed
	}
	srv.mu.Unlock()
	for _, s := range srv.all() {
		s.end(stopDrain)
	}
	srv.waitSessions(ctx)
	cut := srv.all()
	for _, s := range cut {
		s.end(stopShutdown)
	}
	srv.cancel()
	srv.wg.Wait()
	if len(cut) > 0 {
		return fmt.Errorf("mysql: shutdown cut off %d sessions: %w", len(cut), context.Cause(ctx))
	}
	return nil
}

// waitSessions waits until no session is left or ctx ends.
func (srv *Server) waitSessions(ctx context.Context) {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		srv.mu.Lock()
		left := len(srv.sessions)
		srv.mu.Unlock()
		if left == 0 {
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

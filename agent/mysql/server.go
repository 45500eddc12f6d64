package mysql

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-sql-driver/mysql"
	"github.com/hashicorp/go-hclog"
)

// Connections. The urgent lane is only for taking write access away in bounded
// time; the fence lane is only for SetReadOnly, so that nothing else can stand in
// the way of a lease that ends. A connection stays open in each, for a server that accepts
// no new ones.
const (
	workConnections    = 4
	urgentConnections  = 3
	fenceConnections   = 2
	connectionLifetime = 10 * time.Minute
	readyInterval      = 5 * time.Second // between two looks at the connection of the fence lane
)

// Server is the local database server. It is safe for concurrent use; the
// operations that change something run one after the other, except
// SetReadOnly, which waits for none of them.
type Server struct {
	cfg    Config
	log    hclog.Logger
	work   *sql.DB
	urgent *sql.DB
	last   *sql.DB // the fence lane

	processes processes
	ready     atomic.Pointer[time.Time] // the fence lane's connection was seen to work
	posHung   atomic.Pointer[time.Time] // SHOW MASTER STATUS did not answer

	changing chan struct{}  // holds one token while an operation changes the server
	behind   sync.WaitGroup // what Promote left to be done
	fences   atomic.Uint64  // counts SetReadOnly calls
	// schedulerWasOff remembers, from a fence to Unfence, that the event scheduler
	// was off before.
	schedulerWasOff atomic.Bool
	swept           atomic.Bool               // open transactions were killed since the server became read-only
	trxRead         atomic.Pointer[time.Time] // of our last reading of INNODB_TRX
}

// New checks cfg. It does no I/O.
func New(cfg Config) (*Server, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	cfg = cfg.withDefaults()
	s := &Server{cfg: cfg, log: cfg.Logger.With("server", cfg.Address), changing: make(chan struct{}, 1)}
	connector, err := newConnector(dialConfig{
		address: cfg.Address, socket: cfg.Socket, user: cfg.User, password: cfg.Password,
		tls: cfg.TLS, timeout: cfg.StatementTimeout, log: cfg.Logger, peer: s.processes.dialed,
	})
	if err != nil {
		return nil, err
	}
	s.work, s.urgent, s.last = sql.OpenDB(connector), sql.OpenDB(connector), sql.OpenDB(connector)
	for db, n := range map[*sql.DB]int{s.work: workConnections, s.urgent: urgentConnections, s.last: fenceConnections} {
		db.SetMaxOpenConns(n)
		db.SetMaxIdleConns(1)
		db.SetConnMaxLifetime(connectionLifetime)
	}
	return s, nil
}

// Close closes the connections, once what a promotion left to be done is done, which
// takes no longer than a statement. Other operations that run fail.
func (s *Server) Close() error {
	s.behind.Wait()
	s.processes.mu.Lock()
	s.processes.release()
	s.processes.mu.Unlock()
	return errors.Join(s.work.Close(), s.urgent.Close(), s.last.Close())
}

// keepReady sees to it that the fence lane has a connection that works.
func (s *Server) keepReady(ctx context.Context) error {
	if at := s.ready.Load(); at != nil && time.Since(*at) < readyInterval && s.last.Stats().OpenConnections > 0 {
		return nil
	}
	if err := s.last.PingContext(ctx); err != nil {
		return fmt.Errorf("the connection for fencing: %w", err)
	}
	now := time.Now()
	s.ready.Store(&now)
	return nil
}

// Address is the datasource's address.
func (s *Server) Address() string { return s.cfg.Address }

// Ping asks the server for a sign of life within the statement timeout. An
// error wraps ErrUnreachable if no connection could be made.
func (s *Server) Ping(ctx context.Context) error {
	c, err := s.session(ctx, s.work)
	if err != nil {
		return err
	}
	defer c.close()
	_, err = c.value(ctx, "ping", "SELECT 1")
	return err
}

// begin waits for its turn to change the server. end gives the turn back.
func (s *Server) begin(ctx context.Context, what string) (end func(), err error) {
	select {
	case s.changing <- struct{}{}:
		return func() { <-s.changing }, nil
	case <-ctx.Done():
		return nil, fmt.Errorf("%s: another operation runs: %w", what, ctx.Err())
	}
}

// session takes a connection of its own from a lane.
func (s *Server) session(ctx context.Context, lane *sql.DB) (*session, error) {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.StatementTimeout)
	defer cancel()
	conn, err := lane.Conn(ctx)
	if err != nil {
		return nil, fmt.Errorf("connect to %s: %w: %w", s.cfg.Address, ErrUnreachable, err)
	}
	return &session{conn: conn, timeout: s.cfg.StatementTimeout, nudge: s.nudge}, nil
}

// workSession is session for an operation on a server that zero can drive.
func (s *Server) workSession(ctx context.Context) (*session, error) {
	c, err := s.session(ctx, s.work)
	if err != nil {
		return nil, err
	}
	if err := c.supported(ctx); err != nil {
		c.close()
		return nil, fmt.Errorf("%s: %w", s.cfg.Address, err)
	}
	return c, nil
}

// detached is a context for what must still be done or asked after ctx ended.
func (s *Server) detached(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), s.cfg.StatementTimeout)
}

// driverLog gives the driver's complaints, such as a connection that was closed
// while idle, to our log at debug level; errors reach the caller anyway.
type driverLog struct{ log hclog.Logger }

func (l driverLog) Print(v ...any) { l.log.Debug("mysql driver", "message", fmt.Sprint(v...)) }

var _ mysql.Logger = driverLog{}

package transport

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"
)

// First bytes by which the port chooses.
const (
	PrefixFrames = "\x68\x66" // seed 001's frames
	PrefixRaft   = "ZRFT"
	PrefixZabbix = "ZBXD"
	prefixTLS    = "\x16" // a TLS handshake record
)

// MuxConfig is what a [Mux] is made with. Zero values mean the defaults.
type MuxConfig struct {
	TLS          *tls.Config   // serves TLS beside the rest; nil: a TLS client is closed
	RequireTLS   bool          // close what comes without TLS
	AllowPlain   []string      // prefixes to which RequireTLS does not apply
	SniffTimeout time.Duration // from accept until the port has chosen, TLS handshake included; 10 s
	MaxSniffing  int           // connections that have not yet chosen; more are closed; 1024
	Logger       hclog.Logger  // nil: quiet
}

// Validate refuses negative values and a required TLS that is not configured.
func (c MuxConfig) Validate() error {
	if c.SniffTimeout < 0 || c.MaxSniffing < 0 {
		return fmt.Errorf("mux config: SniffTimeout %v and MaxSniffing %d must not be negative", c.SniffTimeout, c.MaxSniffing)
	}
	if c.RequireTLS && c.TLS == nil {
		return errors.New("mux config: TLS is required, but no certificate is configured")
	}
	return nil
}

// MuxCounters counts what became of connections. They only rise.
type MuxCounters struct {
	Accepted  atomic.Int64
	Unmatched atomic.Int64 // first bytes that no one serves
	Late      atomic.Int64 // first bytes or handshake did not come in time
	Refused   atomic.Int64 // closed because MaxSniffing others had not chosen
	TLSFailed atomic.Int64 // handshakes that failed
	Plain     atomic.Int64 // closed because TLS is required
}

// Mux shares one listener among protocols: the first bytes of a connection choose.
type Mux struct {
	cfg      MuxConfig
	listener net.Listener
	Counters MuxCounters

	longest int // bytes of the longest prefix

	mu       sync.Mutex
	routes   map[string]*muxListener
	sniffing map[net.Conn]struct{}
	ended    bool
}

// NewMux makes a mux of l, which it will close. Call Match for each protocol and
// then Serve.
func NewMux(l net.Listener, cfg MuxConfig) (*Mux, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if cfg.SniffTimeout == 0 {
		cfg.SniffTimeout = 10 * time.Second
	}
	if cfg.MaxSniffing == 0 {
		cfg.MaxSniffing = 1024
	}
	if cfg.Logger == nil {
		cfg.Logger = hclog.NewNullLogger()
	}
	return &Mux{cfg: cfg, listener: l, longest: 1, routes: make(map[string]*muxListener), sniffing: make(map[net.Conn]struct{})}, nil
}

// Match returns the listener of the connections that begin with prefix, whose
// bytes they still have. It is called before Serve, and panics if prefix is empty
// or begins as another one does: that is a mistake of the program.
func (m *Mux) Match(prefix string) net.Listener {
	m.mu.Lock()
	defer m.mu.Unlock()
	for other := range m.routes {
		if strings.HasPrefix(other, prefix) || strings.HasPrefix(prefix, other) {
			panic(fmt.Sprintf("transport: prefixes %q and %q cannot be told apart", prefix, other))
		}
	}
	if prefix == "" {
		panic("transport: empty prefix")
	}
	l := &muxListener{addr: m.listener.Addr(), conns: make(chan net.Conn), closed: make(chan struct{})}
	m.routes[prefix] = l
	m.longest = max(m.longest, len(prefix))
	return l
}

// Serve accepts connections until ctx ends or the listener is closed. When it
// returns, all listeners and all connections that had not been handed out are
// closed.
func (m *Mux) Serve(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { m.close() })
	defer stop()

	var wg sync.WaitGroup
	acceptLoop(ctx, m.listener, m.cfg.Logger, func(conn net.Conn) {
		m.Counters.Accepted.Add(1)
		if !m.begin(conn) {
			conn.Close()
			return
		}
		accepted := time.Now()
		wg.Go(func() {
			defer m.end(conn)
			m.sniff(ctx, conn, accepted)
		})
	})
	err := m.close()
	wg.Wait()
	if err != nil && !errors.Is(err, net.ErrClosed) {
		return fmt.Errorf("close %v: %w", m.listener.Addr(), err)
	}
	return nil
}

// close closes the listeners and what has not been handed out.
func (m *Mux) close() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.ended = true
	for _, l := range m.routes {
		l.Close()
	}
	for conn := range m.sniffing {
		conn.Close()
	}
	return m.listener.Close()
}

// begin notes a connection that has not chosen yet.
func (m *Mux) begin(conn net.Conn) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.ended {
		return false
	}
	if len(m.sniffing) >= m.cfg.MaxSniffing {
		if m.Counters.Refused.Add(1) == 1 {
			m.cfg.Logger.Warn("too many connections have not sent their first bytes; closing new ones (logged once, counted always)", "limit", m.cfg.MaxSniffing)
		}
		return false
	}
	m.sniffing[conn] = struct{}{}
	return true
}

func (m *Mux) end(conn net.Conn) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.sniffing, conn)
}

// sniff reads the first bytes and hands the connection to its listener, or closes it.
func (m *Mux) sniff(ctx context.Context, raw net.Conn, accepted time.Time) {
	deadline := accepted.Add(m.cfg.SniffTimeout)
	ctx, cancel := context.WithDeadline(ctx, deadline)
	defer cancel()
	conn, l, err := m.choose(ctx, raw, deadline)
	if err == nil {
		err = l.hand(ctx, &readAhead{Conn: conn.Conn, unread: conn.unread, accepted: accepted})
	}
	if err == nil {
		return
	}
	if errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, context.DeadlineExceeded) {
		m.Counters.Late.Add(1)
	}
	raw.Close()
	m.cfg.Logger.Debug("closed a connection that chose no protocol", "remote", raw.RemoteAddr(), "error", err)
}

var (
	errUnmatched = errors.New("no one serves what begins so")
	errPlain     = errors.New("TLS is required")
)

// choose finds the listener of conn, through TLS if it begins so.
func (m *Mux) choose(ctx context.Context, conn net.Conn, deadline time.Time) (*readAhead, *muxListener, error) {
	if err := conn.SetDeadline(deadline); err != nil {
		return nil, nil, err
	}
	_, within := conn.(*tls.Conn)
	head := make([]byte, 0, m.longest)
	for {
		n, err := conn.Read(head[len(head):m.longest])
		head = head[:len(head)+n]
		if n == 0 && err != nil {
			return nil, nil, err
		}
		ahead := &readAhead{Conn: conn, unread: head}
		if !within && m.cfg.TLS != nil && strings.HasPrefix(string(head), prefixTLS) {
			secure := tls.Server(ahead, m.cfg.TLS)
			if err := secure.HandshakeContext(ctx); err != nil {
				m.Counters.TLSFailed.Add(1)
				return nil, nil, fmt.Errorf("TLS handshake: %w", err)
			}
			return m.choose(ctx, secure, deadline)
		}
		l, prefix, more := m.match(string(head))
		switch {
		case l != nil && m.cfg.RequireTLS && !within && !m.allowedPlain(prefix):
			m.Counters.Plain.Add(1)
			return nil, nil, errPlain
		case l != nil:
			return ahead, l, conn.SetDeadline(time.Time{})
		case !more:
			m.Counters.Unmatched.Add(1)
			return nil, nil, errUnmatched
		}
	}
}

// match finds the listener for head; more means that further bytes may decide.
func (m *Mux) match(head string) (l *muxListener, prefix string, more bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for prefix, l := range m.routes {
		if strings.HasPrefix(head, prefix) {
			return l, prefix, false
		}
		more = more || strings.HasPrefix(prefix, head)
	}
	return nil, "", more
}

func (m *Mux) allowedPlain(prefix string) bool {
	return slices.Contains(m.cfg.AllowPlain, prefix)
}

// muxListener is the listener of one prefix. A connection is handed over only to an
// Accept that waits, so none is left behind when it is closed.
type muxListener struct {
	addr   net.Addr
	conns  chan net.Conn
	once   sync.Once
	closed chan struct{}
}

// hand waits for an Accept.
func (l *muxListener) hand(ctx context.Context, conn net.Conn) error {
	select {
	case l.conns <- conn:
		return nil
	case <-l.closed:
		return net.ErrClosed
	case <-ctx.Done():
		return fmt.Errorf("no one accepts it: %w", ctx.Err())
	}
}

// Accept waits for a connection that begins with the prefix.
func (l *muxListener) Accept() (net.Conn, error) {
	select {
	case <-l.closed:
		return nil, net.ErrClosed
	case conn := <-l.conns:
		return conn, nil
	}
}

// Close ends Accept. The port itself stays open for the others.
func (l *muxListener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

// Addr is the address of the shared port.
func (l *muxListener) Addr() net.Addr { return l.addr }

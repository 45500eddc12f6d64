package relay

import (
	"context"
	"errors"
	"net"
	"sync"
	"time"
)

const (
	pieceSize   = 16 << 10 // bytes that are read at once
	maxConns    = 1024     // of one relay; further ones are closed at once
	dialTimeout = 2 * time.Second
	acceptPause = 10 * time.Millisecond // after an accept that failed, as for want of file descriptors
)

// server accepts connections, hands each to a goroutine, and ends them all.
type server struct {
	ln     *net.TCPListener
	cancel context.CancelFunc
	wg     sync.WaitGroup
}

// serve calls handle for each connection, which is closed when handle returns or the server is closed.
func serve(listen string, handle func(ctx context.Context, conn *net.TCPConn)) (*server, error) {
	addr, err := net.ResolveTCPAddr("tcp", listen)
	if err != nil {
		return nil, err
	}
	ln, err := net.ListenTCP("tcp", addr)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	s := &server{ln: ln, cancel: cancel}
	s.wg.Go(func() { s.accept(ctx, handle) })
	return s, nil
}

func (s *server) accept(ctx context.Context, handle func(context.Context, *net.TCPConn)) {
	slots := make(chan struct{}, maxConns)
	for {
		conn, err := s.ln.AcceptTCP()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			select {
			case <-ctx.Done():
				return
			case <-time.After(acceptPause):
			}
			continue
		}
		select {
		case slots <- struct{}{}:
		default:
			reset(conn)
			continue
		}
		s.wg.Go(func() {
			defer func() { <-slots }()
			defer conn.Close()
			defer context.AfterFunc(ctx, func() { conn.Close() })()
			handle(ctx, conn)
		})
	}
}

// addr is host:port of the listener.
func (s *server) addr() string { return s.ln.Addr().String() }

func (s *server) close() error {
	s.cancel()
	err := s.ln.Close()
	s.wg.Wait()
	return err
}

// reset ends a connection at once and lets the other side know that it was no regular end.
func reset(conn *net.TCPConn) {
	// Whatever these say, the connection is over.
	_ = conn.SetLinger(0)
	_ = conn.Close()
}

// dial connects within a bound. from is the address to come from, or nil.
func dial(ctx context.Context, from net.IP, to string) (*net.TCPConn, error) {
	d := net.Dialer{Timeout: dialTimeout}
	if from != nil {
		d.LocalAddr = &net.TCPAddr{IP: from}
	}
	conn, err := d.DialContext(ctx, "tcp", to)
	if err != nil {
		return nil, err
	}
	return conn.(*net.TCPConn), nil // network "tcp" gives nothing else
}

package transport

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/zerokeeper/zero/transport/wire"
)

// serveConn reads the first frame, which chooses what the connection is for.
func (s *Server) serveConn(ctx context.Context, c *serverConn, accepted time.Time) {
	stop := context.AfterFunc(ctx, func() { c.Close() })
	defer stop()
	if err := c.SetReadDeadline(accepted.Add(s.cfg.FrameTimeout)); err != nil {
		return
	}
	in := readers.Get().(*bufio.Reader)
	in.Reset(c.Conn)
	h, payload, err := wire.ReadFrame(in, nil)
	if err != nil {
		s.refuseFrame(c, err)
		giveBack(in)
		return
	}
	if h.Op == wire.OpAgent && s.cfg.Agent != nil {
		s.serveAgent(ctx, c, in, payload)
		giveBack(in)
		return
	}
	// What was read behind the frame goes with the connection.
	unread, _ := in.Peek(in.Buffered())
	conn := &readAhead{Conn: c.Conn, unread: append([]byte(nil), unread...)}
	giveBack(in)
	switch {
	case h.Op == wire.OpTraffic && s.cfg.Traffic != nil:
		s.serveTraffic(ctx, c, conn, payload)
	case h.Op == wire.OpInvoke && s.cfg.Hello != nil:
		s.serveInvoke(ctx, c, conn, payload)
	default:
		s.refuseFrame(c, fmt.Errorf("op %d is not served here", h.Op))
	}
}

// readers holds read buffers between connections.
var readers = sync.Pool{New: func() any { return bufio.NewReaderSize(nil, 4096) }}

func giveBack(in *bufio.Reader) {
	in.Reset(nil)
	readers.Put(in)
}

// refuseFrame notes why a connection is closed without a reply.
func (s *Server) refuseFrame(c *serverConn, err error) {
	if isHangup(err) {
		return
	}
	s.Counters.BadFrames.Add(1)
	s.cfg.Logger.Debug("closed a connection", "remote", c.RemoteAddr(), "error", err)
}

func (s *Server) serveTraffic(ctx context.Context, c *serverConn, conn net.Conn, payload []byte) {
	req, err := wire.DecodeTrafficRequest(payload)
	if err == nil && req.Operation != wire.TrafficProxyDataOp {
		err = fmt.Errorf("traffic operation %d is unknown", req.Operation)
	}
	if err != nil {
		s.refuseFrame(c, err)
		return
	}
	if conn.SetDeadline(time.Time{}) != nil || !s.setBusy(c, true) {
		return
	}
	s.cfg.Traffic(ctx, conn, req)
}

// serveInvoke takes the Hello and serves the connection as an invoker, or as a stream.
func (s *Server) serveInvoke(ctx context.Context, c *serverConn, conn net.Conn, payload []byte) {
	p, ok := s.greet(ctx, conn, payload)
	if !ok || conn.SetDeadline(time.Time{}) != nil {
		return
	}
	if p.ConnectionType == wire.ConnectionListen || p.ConnectionType == wire.ConnectionTarget {
		if s.setBusy(c, true) {
			s.cfg.Stream(ctx, conn, p)
		}
		return
	}
	inv, err := wire.NewInvoker(conn, p, s.cfg.Invoker)
	if err != nil {
		s.cfg.Logger.Error("cannot serve an invoker", "error", err)
		return
	}
	s.mu.Lock()
	c.inv = inv
	draining := s.draining
	s.mu.Unlock()
	if draining {
		return
	}
	if s.cfg.OnConnect != nil {
		s.cfg.OnConnect(inv)
	}
	err = inv.Serve(ctx)
	if s.cfg.OnClose != nil {
		s.cfg.OnClose(inv, err)
	}
	s.cfg.Logger.Debug("connection ended", "remote", conn.RemoteAddr(), "role", p.Role, "id", p.ID, "reason", err)
}

package transport

import (
	"crypto/tls"
	"errors"
	"net"
	"time"
)

// readAhead is a connection of which some bytes were read before its owner got
// it: they come first.
type readAhead struct {
	net.Conn
	unread   []byte
	accepted time.Time
}

// Read returns the unread bytes first.
func (c *readAhead) Read(b []byte) (int, error) {
	if len(c.unread) > 0 {
		n := copy(b, c.unread)
		c.unread = c.unread[n:]
		return n, nil
	}
	return c.Conn.Read(b)
}

// CloseWrite sends the end of the stream and leaves the other direction open.
func (c *readAhead) CloseWrite() error { return closeWrite(c.Conn) }

// Unwrap takes off what [Mux] and [Server] put around a connection: it returns the
// *net.TCPConn or *tls.Conn within and the bytes that were read from it and not yet
// handed out. A relay forwards those first, and can then splice. conn must not be
// read after it.
func Unwrap(conn net.Conn) (inner net.Conn, unread []byte) {
	for {
		c, ok := conn.(*readAhead)
		if !ok {
			return conn, unread
		}
		unread = append(unread, c.unread...)
		conn = c.Conn
	}
}

// TLSState is the state of the TLS connection within conn, nil if there is none.
func TLSState(conn net.Conn) *tls.ConnectionState {
	inner := conn
	for {
		c, ok := inner.(*readAhead)
		if !ok {
			break
		}
		inner = c.Conn
	}
	if c, ok := inner.(*tls.Conn); ok {
		state := c.ConnectionState()
		return &state
	}
	return nil
}

// acceptedAt is when conn was accepted, as far as is known.
func acceptedAt(conn net.Conn) time.Time {
	if c, ok := conn.(*readAhead); ok && !c.accepted.IsZero() {
		return c.accepted
	}
	return time.Now()
}

func closeWrite(conn net.Conn) error {
	if c, ok := conn.(interface{ CloseWrite() error }); ok {
		return c.CloseWrite()
	}
	return errors.New("close write: this connection has no half-close")
}

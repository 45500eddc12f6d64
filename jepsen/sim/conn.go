package sim

import (
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"time"
)

// maxInFlight bounds the bytes on the way in one direction; then Write waits.
const maxInFlight = 4 << 20

// errReset is what both ends of a connection that was reset see.
var errReset = errors.New("sim: connection reset")

// conn is one end of a connection in memory.
type conn struct {
	in, out *half
	local   address
	remote  address
}

// address is a node's host:port.
type address string

func (address) Network() string  { return "sim" }
func (a address) String() string { return string(a) }

func (c *conn) Read(p []byte) (int, error)         { return c.in.read(p) }
func (c *conn) Write(p []byte) (int, error)        { return c.out.write(p) }
func (c *conn) LocalAddr() net.Addr                { return c.local }
func (c *conn) RemoteAddr() net.Addr               { return c.remote }
func (c *conn) SetReadDeadline(t time.Time) error  { c.in.setReadDeadline(t); return nil }
func (c *conn) SetWriteDeadline(t time.Time) error { c.out.setWriteDeadline(t); return nil }

func (c *conn) SetDeadline(t time.Time) error {
	c.in.setReadDeadline(t)
	c.out.setWriteDeadline(t)
	return nil
}

// Close ends both directions: what was written still arrives, then EOF.
func (c *conn) Close() error {
	c.in.closeRead()
	c.out.closeWrite()
	return nil
}

// half is one direction of a connection: bytes that arrive after the link's
// delay, and not while the link is blocked. It has one reader and one writer.
type half struct {
	link *link

	mu            sync.Mutex
	chunks        []chunk
	bytes         int
	last          time.Time // when the newest chunk arrives; they stay in order
	finished      bool      // the writer closed
	deaf          bool      // the reader closed
	broken        error
	readDeadline  time.Time
	writeDeadline time.Time
	readable      chan struct{} // one token: look again
	writable      chan struct{}
}

type chunk struct {
	data    []byte
	arrives time.Time
}

func newHalf(l *link) *half {
	h := &half{link: l, readable: make(chan struct{}, 1), writable: make(chan struct{}, 1)}
	return h
}

// poke makes the one that waits look again.
func poke(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

func (h *half) read(p []byte) (int, error) {
	for {
		n, until, err := h.tryRead(p)
		if n > 0 || err != nil || len(p) == 0 {
			return n, err
		}
		waitToken(h.readable, until)
	}
}

// tryRead returns what arrived, or until when to wait at most; zero is for ever.
func (h *half) tryRead(p []byte) (n int, until time.Time, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	now, open := time.Now(), !h.link.blocked.Load()
	switch {
	case h.broken != nil:
		return 0, until, h.broken
	case h.deaf:
		return 0, until, net.ErrClosed
	case !h.readDeadline.IsZero() && !now.Before(h.readDeadline):
		return 0, until, os.ErrDeadlineExceeded
	case open && len(h.chunks) > 0 && !h.chunks[0].arrives.After(now):
		return h.take(p, now), until, nil
	case open && len(h.chunks) == 0 && h.finished:
		return 0, until, io.EOF
	}
	until = h.readDeadline
	if open && len(h.chunks) > 0 && (until.IsZero() || h.chunks[0].arrives.Before(until)) {
		until = h.chunks[0].arrives
	}
	return 0, until, nil
}

// take copies what arrived by now.
func (h *half) take(p []byte, now time.Time) int {
	n := 0
	for n < len(p) && len(h.chunks) > 0 && !h.chunks[0].arrives.After(now) {
		c := copy(p[n:], h.chunks[0].data)
		n += c
		if c == len(h.chunks[0].data) {
			h.chunks[0] = chunk{}
			h.chunks = h.chunks[1:]
		} else {
			h.chunks[0].data = h.chunks[0].data[c:]
		}
	}
	h.bytes -= n
	poke(h.writable)
	return n
}

func (h *half) write(p []byte) (int, error) {
	for {
		done, until, err := h.tryWrite(p)
		if err != nil {
			return 0, err
		}
		if done {
			return len(p), nil
		}
		waitToken(h.writable, until)
	}
}

func (h *half) tryWrite(p []byte) (done bool, until time.Time, err error) {
	delay := h.link.delay()
	h.mu.Lock()
	defer h.mu.Unlock()
	now := time.Now()
	switch {
	case h.broken != nil:
		return false, until, h.broken
	case h.finished:
		return false, until, net.ErrClosed
	case !h.writeDeadline.IsZero() && !now.Before(h.writeDeadline):
		return false, until, os.ErrDeadlineExceeded
	case h.deaf && !h.link.blocked.Load():
		return false, until, errReset
	case h.bytes >= maxInFlight:
		return false, h.writeDeadline, nil
	}
	arrives := now.Add(delay)
	if arrives.Before(h.last) {
		arrives = h.last
	}
	h.last = arrives
	h.chunks = append(h.chunks, chunk{append([]byte(nil), p...), arrives})
	h.bytes += len(p)
	poke(h.readable)
	return true, until, nil
}

func (h *half) setReadDeadline(t time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.readDeadline = t
	poke(h.readable)
}

func (h *half) setWriteDeadline(t time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.writeDeadline = t
	poke(h.writable)
}

func (h *half) closeRead() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.deaf = true
	poke(h.readable)
	poke(h.writable)
}

func (h *half) closeWrite() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.finished = true
	poke(h.readable)
	poke(h.writable)
}

// reset breaks the direction at once: what was on the way is lost.
func (h *half) reset() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.broken, h.chunks, h.bytes = errReset, nil, 0
	poke(h.readable)
	poke(h.writable)
}

// ended reports whether nobody will use the direction any more.
func (h *half) ended() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.broken != nil || (h.finished && h.deaf)
}

// waitToken waits for a token or until a time; zero is for ever.
func waitToken(token <-chan struct{}, until time.Time) {
	if until.IsZero() {
		<-token
		return
	}
	t := time.NewTimer(time.Until(until))
	defer t.Stop()
	select {
	case <-token:
	case <-t.C:
	}
}

package mysql

import (
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"
)

const (
	idleBufferSize = 4 << 10  // kept by a client's link between commands: most commands fit
	workBufferSize = 32 << 10 // borrowed for the time of one answer
)

var workBuffers = sync.Pool{New: func() any { return new([workBufferSize]byte) }}

// passError is a failure to pass bytes on to the other side, as against a failure to read them.
type passError struct{ err error }

func (e *passError) Error() string { return "pass on: " + e.err.Error() }
func (e *passError) Unwrap() error { return e.err }

// link is one TCP connection with the buffer through which its packets are read. Reading is in two steps: fill
// brings bytes into the buffer to be looked at, skip steps over them. In passing mode what was stepped over is
// written, unchanged and in as few writes as possible, to the other link; otherwise it is dropped.
//
//	buf: | passed on or dropped | stepped over, still to be passed on | to be read | free |
//	     0                    mark                                    r            w     len
type link struct {
	nc           net.Conn
	buf          []byte
	mark, r, w   int
	small        []byte // buffer to go back to between commands; nil to have none
	pooled       *[workBufferSize]byte
	to           *link         // passing mode: where to
	split        bool          // part of a packet was passed on and the rest was not yet
	writeTimeout time.Duration // 0: the deadline was set by someone else
	readBy       time.Time     // deadline set on nc for reading
	writeBy      time.Time     // the same for writing
	written      uint64        // bytes written
}

// readWithin makes sure that reads fail no sooner than d from now, and no later than twice that. Not setting an
// exact deadline saves setting one at every packet.
func (l *link) readWithin(d time.Duration) error {
	now := time.Now()
	if left := l.readBy.Sub(now); left < d || left > 2*d {
		l.readBy = now.Add(2 * d)
		if err := l.nc.SetReadDeadline(l.readBy); err != nil {
			return fmt.Errorf("set read deadline: %w", err)
		}
	}
	return nil
}

// write writes b at once.
func (l *link) write(b []byte) error {
	if l.writeTimeout > 0 {
		now := time.Now()
		if left := l.writeBy.Sub(now); left < l.writeTimeout || left > 2*l.writeTimeout {
			l.writeBy = now.Add(2 * l.writeTimeout)
			if err := l.nc.SetWriteDeadline(l.writeBy); err != nil {
				return fmt.Errorf("set write deadline: %w", err)
			}
		}
	}
	n, err := l.nc.Write(b)
	l.written += uint64(n)
	return err
}

// passTo starts passing mode, or ends it with nil: bytes stepped over from here on go to the other link.
func (l *link) passTo(to *link) { l.to, l.mark = to, l.r }

// pass writes what was stepped over to the other link, or drops it when there is none.
func (l *link) pass() error {
	if l.to != nil && l.r > l.mark {
		if err := l.to.write(l.buf[l.mark:l.r]); err != nil {
			return &passError{err}
		}
	}
	l.mark = l.r
	return nil
}

// fill makes at least n unread bytes available as buf[r:w].
func (l *link) fill(n int) error {
	if l.w-l.r >= n {
		return nil
	}
	return l.fillSlow(n)
}

func (l *link) fillSlow(n int) error {
	if err := l.pass(); err != nil { // also keeps the other side busy while this read blocks
		return err
	}
	if len(l.buf)-l.r < n || l.r == l.w {
		l.room(n)
	}
	for l.w-l.r < n {
		m, err := l.nc.Read(l.buf[l.w:])
		l.w += m
		if err != nil && l.w-l.r < n {
			if errors.Is(err, io.EOF) && l.w > l.r {
				err = io.ErrUnexpectedEOF
			}
			return err
		}
	}
	return nil
}

// room moves the unread bytes to the front of a buffer that holds n.
func (l *link) room(n int) {
	old := l.buf[l.r:l.w]
	switch {
	case n <= len(l.buf):
		copy(l.buf, old)
	case n <= workBufferSize:
		p := workBuffers.Get().(*[workBufferSize]byte)
		copy(p[:], old)
		l.drop()
		l.buf, l.pooled = p[:], p
	default:
		size := max(n, min(2*len(l.buf), 2*n))
		buf := make([]byte, size)
		copy(buf, old)
		l.drop()
		l.buf = buf
	}
	l.mark, l.r, l.w = 0, 0, len(old)
}

// drop gives a borrowed buffer back.
func (l *link) drop() {
	if l.pooled != nil {
		workBuffers.Put(l.pooled)
		l.pooled = nil
	}
	l.buf = nil
}

// settle ends a command: everything stepped over must have been passed on. It goes back to the small buffer
// when the unread bytes fit.
func (l *link) settle() {
	unread := l.buf[l.r:l.w]
	if len(l.buf) > len(l.small) && len(unread) <= len(l.small) {
		n := copy(l.small, unread)
		l.drop()
		l.buf, l.r, l.w = l.small, 0, n
	}
	l.mark = l.r
}

// skip steps over n bytes, which need not be in the buffer.
func (l *link) skip(n int) error {
	if have := l.w - l.r; n > have {
		return l.skipSlow(n)
	}
	l.r += n
	return nil
}

func (l *link) skipSlow(n int) error {
	for {
		have := l.w - l.r
		if n <= have {
			l.r += n
			l.split = false
			return nil
		}
		l.r, n = l.w, n-have
		l.split = true
		if err := l.pass(); err != nil {
			return err
		}
		if len(l.buf) < workBufferSize {
			l.room(workBufferSize)
		}
		l.mark, l.r, l.w = 0, 0, 0
		m, err := l.nc.Read(l.buf)
		l.w = m
		if err != nil && m == 0 {
			if errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return err
		}
	}
}

// head is a physical packet at buf[r:], seen but not stepped over.
type head struct {
	size int // of the payload
	seq  byte
	data []byte // the payload's first bytes: all of them, or as many as were asked for. Valid until the next fill
}

// peek reads the header of the next packet and up to want bytes of its payload.
func (l *link) peek(want int) (head, error) {
	if err := l.fill(headerSize); err != nil {
		return head{}, err
	}
	b := l.buf[l.r:]
	size := int(b[0]) | int(b[1])<<8 | int(b[2])<<16
	n := min(size, want)
	if err := l.fill(headerSize + n); err != nil {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return head{}, err
	}
	b = l.buf[l.r:]
	return head{size: size, seq: b[3], data: b[headerSize : headerSize+n]}, nil
}

// skipPacket steps over the packet h and, when h is full, over the packets that continue it. It returns the
// sequence id of the last.
func (l *link) skipPacket(h head) (seq byte, err error) {
	for {
		if err := l.skip(headerSize + h.size); err != nil {
			return h.seq, err
		}
		if h.size < maxPayload {
			return h.seq, nil
		}
		l.split = true
		next, err := l.peek(0)
		if err != nil {
			return h.seq, err
		}
		l.split = false
		h = next
	}
}

// readPayload reads one whole payload of at most limit bytes and steps over it. The result is a copy.
func (l *link) readPayload(limit int) (payload []byte, seq byte, err error) {
	for {
		h, err := l.peek(0)
		if err != nil {
			return nil, 0, err
		}
		if len(payload)+h.size > limit {
			return nil, h.seq, fmt.Errorf("%w: longer than %d bytes", errMalformed, limit)
		}
		if h, err = l.peek(h.size); err != nil {
			return nil, h.seq, err
		}
		payload = append(payload, h.data...)
		if err := l.skip(headerSize + h.size); err != nil {
			return nil, h.seq, err
		}
		if h.size < maxPayload {
			return payload, h.seq, nil
		}
	}
}

// close closes the connection and gives the buffer back.
func (l *link) close() {
	_ = l.nc.Close() // nothing can be done about a failed close of a connection that is given up
	l.drop()
	l.mark, l.r, l.w = 0, 0, 0
}

package dbclient

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// ErrMalformed is the base of errors about packets that cannot be.
var ErrMalformed = errors.New("malformed packet")

const (
	headerSize = 4
	maxPacket  = 1 << 20 // of what is read: OK, ERR, greeting
)

// readPacket reads one packet and returns its payload and sequence number.
func readPacket(r io.Reader) ([]byte, byte, error) {
	var head [headerSize]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return nil, 0, err
	}
	n := int(head[0]) | int(head[1])<<8 | int(head[2])<<16
	if n > maxPacket {
		return nil, 0, fmt.Errorf("%w: %d bytes, at most %d are read", ErrMalformed, n, maxPacket)
	}
	payload := make([]byte, n)
	if _, err := io.ReadFull(r, payload); err != nil {
		return nil, 0, err
	}
	return payload, head[3], nil
}

// appendPacket appends one packet.
func appendPacket(b []byte, seq byte, payload []byte) []byte {
	n := len(payload)
	return append(append(b, byte(n), byte(n>>8), byte(n>>16), seq), payload...)
}

// cursor reads a payload from the front. After the first failure it gives zeros.
type cursor struct {
	p   []byte
	err error
}

func (c *cursor) take(n uint64) []byte {
	if c.err == nil && n > uint64(len(c.p)) {
		c.err = fmt.Errorf("%w: %d bytes wanted, %d are left", ErrMalformed, n, len(c.p))
	}
	if c.err != nil {
		return nil
	}
	b := c.p[:n]
	c.p = c.p[n:]
	return b
}

// uint is a little-endian integer of n bytes, 1 to 8.
func (c *cursor) uint(n int) uint64 {
	var b [8]byte
	copy(b[:n], c.take(uint64(n)))
	return binary.LittleEndian.Uint64(b[:])
}

func (c *cursor) lenenc() uint64 {
	switch first := c.uint(1); first {
	case 0xfc:
		return c.uint(2)
	case 0xfd:
		return c.uint(3)
	case 0xfe:
		return c.uint(8)
	case 0xfb, 0xff:
		if c.err == nil {
			c.err = fmt.Errorf("%w: %#x is no length", ErrMalformed, first)
		}
		return 0
	default:
		return first
	}
}

func (c *cursor) text() []byte { return c.take(c.lenenc()) }

// zeroed is what comes before the next zero byte.
func (c *cursor) zeroed() []byte {
	for i, b := range c.p {
		if b == 0 {
			s := c.take(uint64(i))
			c.take(1)
			return s
		}
	}
	c.take(uint64(len(c.p)) + 1) // fails
	return nil
}

// OK is a server's answer that a statement was done.
type OK struct {
	Affected, InsertID uint64
	Status             uint16
	// Tracked are the session's system variables that changed and are tracked, last_gtid among them where it is asked for.
	Tracked map[string]string
}

// GTID is domain-server-sequence of the commit, or empty.
func (o OK) GTID() string { return o.Tracked["last_gtid"] }

const (
	headOK  = 0x00
	headERR = 0xff

	statusChanged  = 1 << 14 // SERVER_SESSION_STATE_CHANGED
	trackVariables = 0x00    // SESSION_TRACK_SYSTEM_VARIABLES
)

func parseOK(p []byte) (OK, error) {
	c := cursor{p: p}
	if c.uint(1) != headOK {
		return OK{}, fmt.Errorf("%w: the answer is neither OK nor ERR", ErrMalformed)
	}
	o := OK{Affected: c.lenenc(), InsertID: c.lenenc(), Status: uint16(c.uint(2))}
	c.take(2) // warnings
	if c.err != nil || len(c.p) == 0 {
		return o, c.err
	}
	c.text() // info
	if o.Status&statusChanged == 0 {
		return o, c.err
	}
	o.Tracked = map[string]string{}
	changes := cursor{p: c.text(), err: c.err}
	for changes.err == nil && len(changes.p) > 0 {
		kind := changes.uint(1)
		data := cursor{p: changes.text(), err: changes.err}
		for kind == trackVariables && data.err == nil && len(data.p) > 0 {
			name := string(data.text())
			o.Tracked[name] = string(data.text())
		}
		changes.err = errors.Join(changes.err, data.err)
	}
	return o, changes.err
}

// Error is a server's, or a proxy's, answer that a statement failed.
type Error struct {
	Code    uint16
	State   string // SQLSTATE
	Message string
}

// Error is "1290 (HY000): message".
func (e *Error) Error() string { return fmt.Sprintf("%d (%s): %s", e.Code, e.State, e.Message) }

func parseERR(p []byte) error {
	c := cursor{p: p}
	c.take(1)
	e := &Error{Code: uint16(c.uint(2))}
	if c.err != nil {
		return c.err
	}
	if len(c.p) >= 6 && c.p[0] == '#' {
		e.State = string(c.p[1:6])
		c.take(6)
	}
	e.Message = string(c.p)
	return e
}

package mysql

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// errMalformed: bytes that no correct peer sends.
var errMalformed = errors.New("malformed packet")

// readLenenc reads a length-encoded integer and returns how many bytes it took.
func readLenenc(p []byte) (v uint64, n int, err error) {
	if len(p) == 0 {
		return 0, 0, fmt.Errorf("%w: no length", errMalformed)
	}
	switch p[0] {
	case 0xfb, 0xff: // NULL and ERR: not integers
		return 0, 0, fmt.Errorf("%w: length starts with %#x", errMalformed, p[0])
	case 0xfc:
		n = 3
	case 0xfd:
		n = 4
	case 0xfe:
		n = 9
	default:
		return uint64(p[0]), 1, nil
	}
	if len(p) < n {
		return 0, 0, fmt.Errorf("%w: length cut short", errMalformed)
	}
	var b [8]byte
	copy(b[:], p[1:n])
	return binary.LittleEndian.Uint64(b[:]), n, nil
}

// appendLenenc appends a length-encoded integer.
func appendLenenc(b []byte, v uint64) []byte {
	switch {
	case v < 0xfb:
		return append(b, byte(v))
	case v < 1<<16:
		return append(b, 0xfc, byte(v), byte(v>>8))
	case v < 1<<24:
		return append(b, 0xfd, byte(v), byte(v>>8), byte(v>>16))
	default:
		return binary.LittleEndian.AppendUint64(append(b, 0xfe), v)
	}
}

// cursor reads a packet's fields one after the other. After the first failure every read yields nothing and err
// says what was missing.
type cursor struct {
	p   []byte
	err error
}

func (c *cursor) fail(what string) {
	if c.err == nil {
		c.err = fmt.Errorf("%w: %s is missing or cut short", errMalformed, what)
	}
	c.p = nil
}

// take returns the next n bytes.
func (c *cursor) take(n int, what string) []byte {
	if c.err != nil || n < 0 || len(c.p) < n {
		c.fail(what)
		return nil
	}
	b := c.p[:n]
	c.p = c.p[n:]
	return b
}

func (c *cursor) u8(what string) byte {
	if b := c.take(1, what); b != nil {
		return b[0]
	}
	return 0
}

func (c *cursor) u16(what string) uint16 {
	if b := c.take(2, what); b != nil {
		return binary.LittleEndian.Uint16(b)
	}
	return 0
}

func (c *cursor) u32(what string) uint32 {
	if b := c.take(4, what); b != nil {
		return binary.LittleEndian.Uint32(b)
	}
	return 0
}

// lenenc returns a length-encoded integer.
func (c *cursor) lenenc(what string) uint64 {
	if c.err != nil {
		return 0
	}
	v, n, err := readLenenc(c.p)
	if err != nil {
		c.fail(what)
		return 0
	}
	c.p = c.p[n:]
	return v
}

// bytes returns a length-encoded string.
func (c *cursor) bytes(what string) []byte {
	n := c.lenenc(what)
	if n > uint64(len(c.p)) {
		c.fail(what)
		return nil
	}
	return c.take(int(n), what)
}

// nul returns the bytes before the next NUL and steps over it.
func (c *cursor) nul(what string) []byte {
	for i, b := range c.p {
		if b == 0 {
			s := c.p[:i]
			c.p = c.p[i+1:]
			return s
		}
	}
	c.fail(what)
	return nil
}

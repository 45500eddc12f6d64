package wire

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// ErrShort: a field reaches beyond the end of the payload.
var ErrShort = errors.New("payload ends within a field")

// ErrTooLong: a field is longer than its limit.
var ErrTooLong = errors.New("field is above its limit")

// A Reader takes fields off a payload. After the first failure every further
// field is zero, and Err says what failed. It never copies: what Binary returns
// is part of the payload.
type Reader struct {
	rest []byte
	err  error
}

// NewReader reads payload from its start.
func NewReader(payload []byte) *Reader { return &Reader{rest: payload} }

// Err is nil as long as every field was there.
func (r *Reader) Err() error { return r.err }

// Len is the number of bytes not yet read.
func (r *Reader) Len() int { return len(r.rest) }

func (r *Reader) take(n int) []byte {
	if r.err != nil {
		return nil
	}
	if n > len(r.rest) {
		r.err = fmt.Errorf("%w: %d bytes wanted, %d left", ErrShort, n, len(r.rest))
		return nil
	}
	b := r.rest[:n:n]
	r.rest = r.rest[n:]
	return b
}

// Uint8 reads one byte.
func (r *Reader) Uint8() uint8 {
	if b := r.take(1); b != nil {
		return b[0]
	}
	return 0
}

// Uint16 reads two bytes.
func (r *Reader) Uint16() uint16 {
	if b := r.take(2); b != nil {
		return binary.LittleEndian.Uint16(b)
	}
	return 0
}

// Uint32 reads four bytes.
func (r *Reader) Uint32() uint32 {
	if b := r.take(4); b != nil {
		return binary.LittleEndian.Uint32(b)
	}
	return 0
}

// Uint64 reads eight bytes.
func (r *Reader) Uint64() uint64 {
	if b := r.take(8); b != nil {
		return binary.LittleEndian.Uint64(b)
	}
	return 0
}

// Int32 reads four bytes.
func (r *Reader) Int32() int32 { return int32(r.Uint32()) }

// Int64 reads eight bytes.
func (r *Reader) Int64() int64 { return int64(r.Uint64()) }

// Binary reads a u32 length and that many bytes. They are part of the payload.
func (r *Reader) Binary() []byte { return r.BinaryMax(MaxPayload) }

// BinaryMax is Binary with a limit, above which it fails with ErrTooLong.
func (r *Reader) BinaryMax(limit int) []byte {
	n := r.Uint32()
	if r.err == nil && n > uint32(limit) {
		r.err = fmt.Errorf("%w: %d bytes, at most %d", ErrTooLong, n, limit)
	}
	return r.take(int(n))
}

// AppendBinary appends a u32 length and b.
func AppendBinary[T []byte | string](dst []byte, b T) []byte {
	dst = binary.LittleEndian.AppendUint32(dst, uint32(len(b)))
	return append(dst, b...)
}

// AppendInt32 appends four bytes.
func AppendInt32(dst []byte, v int32) []byte {
	return binary.LittleEndian.AppendUint32(dst, uint32(v))
}

// AppendInt64 appends eight bytes.
func AppendInt64(dst []byte, v int64) []byte {
	return binary.LittleEndian.AppendUint64(dst, uint64(v))
}

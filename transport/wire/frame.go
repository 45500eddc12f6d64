package wire

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// Sizes of a frame, in bytes.
const (
	HeaderSize = 13
	MaxPayload = 512 * 1024
)

// Fixed is the first two bytes of every frame as they are on the wire.
const Fixed = "\x68\x66"

const (
	fixed   = 0x6668
	version = 1

	// firstChunk is what is allocated for a payload before any byte of it came.
	firstChunk = 16 * 1024
)

// The ops.
const (
	OpAgent   = 0
	OpTraffic = 1
	OpInvoke  = 2
)

// Why a frame is refused.
var (
	// ErrBadFixed: the first two bytes are not 68 66, so this is no frame.
	ErrBadFixed = errors.New("not a frame: it does not begin with 68 66")
	// ErrBadVersion: the header's version is above 1.
	ErrBadVersion = errors.New("frame version is above 1")
	// ErrTooLarge: the payload is, or is said to be, above MaxPayload.
	ErrTooLarge = errors.New("frame payload is above 512 KiB")
	// ErrChecksum: the payload arrived, and is not what was sent.
	ErrChecksum = errors.New("frame checksum differs")
)

// Header is a frame's header.
type Header struct {
	Checksum   byte
	Version    byte
	Op         byte
	Mask       Mask
	PayloadLen int // bytes, at most MaxPayload
}

// ParseHeader reads the HeaderSize first bytes of b, which must be there.
func ParseHeader(b []byte) (Header, error) {
	if len(b) < HeaderSize {
		return Header{}, io.ErrUnexpectedEOF
	}
	if binary.LittleEndian.Uint16(b) != fixed {
		return Header{}, ErrBadFixed
	}
	h := Header{Checksum: b[2], Version: b[3], Op: b[4], Mask: Mask(b[5:9])}
	if h.Version > version {
		return Header{}, fmt.Errorf("%w: %d", ErrBadVersion, h.Version)
	}
	n := binary.LittleEndian.Uint32(b[9:])
	if n > MaxPayload {
		return Header{}, fmt.Errorf("%w: %d bytes", ErrTooLarge, n)
	}
	h.PayloadLen = int(n)
	return h, nil
}

// AppendFrame appends a frame with payload to dst. A payload above MaxPayload is
// ErrTooLarge and leaves dst as it was.
func AppendFrame(dst []byte, op byte, mask Mask, payload []byte) ([]byte, error) {
	if len(payload) > MaxPayload {
		return dst, fmt.Errorf("append frame: %w: %d bytes", ErrTooLarge, len(payload))
	}
	start := len(dst)
	dst = append(beginFrame(dst), payload...)
	return dst, sealFrame(dst, start, op, mask)
}

// beginFrame makes room for a header. The caller appends the plain payload and
// then calls sealFrame with the length that dst had before: no copy is made.
func beginFrame(dst []byte) []byte {
	var room [HeaderSize]byte
	return append(dst, room[:]...)
}

// sealFrame masks the payload of the frame that begins at start and reaches to
// the end of buf, and fills in its header.
func sealFrame(buf []byte, start int, op byte, mask Mask) error {
	frame := buf[start:]
	payload := frame[HeaderSize:]
	if len(payload) > MaxPayload {
		return fmt.Errorf("seal frame: %w: %d bytes", ErrTooLarge, len(payload))
	}
	binary.LittleEndian.PutUint16(frame, fixed)
	frame[2] = maskInPlace(payload, mask)
	frame[3] = version
	frame[4] = op
	copy(frame[5:9], mask[:])
	binary.LittleEndian.PutUint32(frame[9:], uint32(len(payload)))
	return nil
}

// ReadFrame reads one frame. The payload lies in buf's memory where that is
// large enough (its length does not matter), else in new memory; it belongs to the
// caller. io.EOF means that r ended before the first byte; an end within the frame
// is io.ErrUnexpectedEOF. It never reads beyond the frame.
func ReadFrame(r io.Reader, buf []byte) (Header, []byte, error) {
	if cap(buf) < HeaderSize {
		buf = make([]byte, 0, 512)
	}
	head := buf[:HeaderSize]
	if _, err := io.ReadFull(r, head); err != nil {
		if err == io.EOF {
			return Header{}, nil, io.EOF
		}
		return Header{}, nil, fmt.Errorf("read frame: header: %w", err)
	}
	h, err := ParseHeader(head)
	if err != nil {
		return Header{}, nil, fmt.Errorf("read frame: %w", err)
	}
	payload, err := ReadPayload(r, h, buf)
	if err != nil {
		return Header{}, nil, fmt.Errorf("read frame: %w", err)
	}
	return h, payload, nil
}

// ReadPayload reads, unmasks and checks the payload that follows header h.
// Memory is as in ReadFrame. What the header claims is not allocated at once: the
// buffer doubles as bytes arrive.
func ReadPayload(r io.Reader, h Header, buf []byte) ([]byte, error) {
	if h.PayloadLen < 0 || h.PayloadLen > MaxPayload {
		return nil, fmt.Errorf("%w: %d bytes", ErrTooLarge, h.PayloadLen)
	}
	payload := buf[:0]
	if cap(payload) < h.PayloadLen && cap(payload) < firstChunk {
		payload = make([]byte, 0, min(h.PayloadLen, firstChunk))
	}
	for len(payload) < h.PayloadLen {
		if len(payload) == cap(payload) {
			grown := make([]byte, len(payload), min(h.PayloadLen, 2*cap(payload)))
			copy(grown, payload)
			payload = grown
		}
		have := len(payload)
		payload = payload[:min(cap(payload), h.PayloadLen)]
		if _, err := io.ReadFull(r, payload[have:]); err != nil {
			if err == io.EOF {
				err = io.ErrUnexpectedEOF
			}
			return nil, fmt.Errorf("payload of %d bytes: %w", h.PayloadLen, err)
		}
	}
	if unmaskInPlace(payload, h.Mask) != h.Checksum {
		return nil, ErrChecksum
	}
	return payload, nil
}

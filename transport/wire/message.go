package wire

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/zerokeeper/zero/transport/api"
)

// Kind is what an op-2 message is.
type Kind uint8

// The kinds.
const (
	KindRequest  Kind = 1
	KindOneWay   Kind = 2
	KindResponse Kind = 3
	KindCancel   Kind = 4
	KindPart     Kind = 5
)

// Limits of a message.
const (
	MaxName   = 128              // bytes of a request's name
	MaxErrMsg = 8 * 1024         // bytes of an answer's errMsg
	MaxAnswer = 64 * 1024 * 1024 // bytes of an answer's data over all its parts
)

const (
	flagMore = 1

	messageHead  = 1 + 1 + 8 // kind, flags, id
	responseHead = messageHead + 4 + 4 + 4
	partHead     = messageHead + 4
)

// ErrMalformed: the message is not laid out as op 2 lays them out.
var ErrMalformed = errors.New("malformed message")

// Message is one op-2 message. Which fields count depends on Kind.
type Message struct {
	Kind Kind
	More bool // more parts of the data follow (response, part)
	ID   uint64
	Meta Meta // request, one-way, response

	Name string // request, one-way
	Body []byte // request, one-way

	Code   api.Code // response
	ErrMsg string   // response
	Data   []byte   // response, part
}

// AppendMessage appends m's bytes to dst. It fails, leaving dst as it was, with
// ErrTooLong or ErrMalformed for what DecodeMessage would refuse, and with ErrTooLarge
// for what does not fit into a frame.
func AppendMessage(dst []byte, m *Message) ([]byte, error) {
	if n, err := m.check(); err != nil {
		return dst, fmt.Errorf("message %q: %w", m.Name, err)
	} else if n > MaxPayload {
		return dst, fmt.Errorf("message %q: %w: %d bytes", m.Name, ErrTooLarge, n)
	}
	var flags byte
	if m.More {
		flags |= flagMore
	}
	dst = append(dst, byte(m.Kind), flags)
	dst = binary.LittleEndian.AppendUint64(dst, m.ID)
	switch m.Kind {
	case KindRequest, KindOneWay:
		dst = AppendBinary(dst, m.Name)
		dst = m.Meta.append(dst)
		dst = AppendBinary(dst, m.Body)
	case KindResponse:
		dst = AppendInt32(dst, int32(m.Code))
		dst = AppendBinary(dst, m.Data)
		dst = AppendBinary(dst, m.ErrMsg)
		dst = m.Meta.append(dst)
	case KindPart:
		dst = AppendBinary(dst, m.Data)
	}
	return dst, nil
}

// check holds m to the limits and returns its size in bytes.
func (m *Message) check() (size int, err error) {
	switch m.Kind {
	case KindRequest, KindOneWay:
		if m.More {
			return 0, fmt.Errorf("%w: a request has no parts", ErrMalformed)
		}
		if err := checkName(len(m.Name)); err != nil {
			return 0, err
		}
		return messageHead + 4 + len(m.Name) + m.Meta.size() + 4 + len(m.Body), m.Meta.check()
	case KindResponse:
		if len(m.ErrMsg) > MaxErrMsg {
			return 0, fmt.Errorf("errMsg: %w: %d bytes, at most %d", ErrTooLong, len(m.ErrMsg), MaxErrMsg)
		}
		return responseHead + len(m.Data) + len(m.ErrMsg) + m.Meta.size(), m.Meta.check()
	case KindPart:
		return partHead + len(m.Data), nil
	case KindCancel:
		if m.More {
			return 0, fmt.Errorf("%w: a cancel has no parts", ErrMalformed)
		}
		return messageHead, nil
	}
	return 0, fmt.Errorf("%w: unknown kind %d", ErrMalformed, m.Kind)
}

func checkName(n int) error {
	if n == 0 {
		return fmt.Errorf("%w: empty name", ErrMalformed)
	}
	if n > MaxName {
		return fmt.Errorf("name: %w: %d bytes, at most %d", ErrTooLong, n, MaxName)
	}
	return nil
}

// DecodeMessage reads a frame's payload as one message, strictly. Body and Data
// are part of payload. When it fails, Kind and ID are still right if the payload
// has at least the ten bytes of them; else Kind is 0.
func DecodeMessage(payload []byte) (Message, error) {
	return decodeMessage(payload, func(name []byte) string { return string(name) })
}

// decodeMessage makes the name a string with intern.
func decodeMessage(payload []byte, intern func([]byte) string) (m Message, err error) {
	if len(payload) < messageHead {
		return Message{}, fmt.Errorf("%w: %d bytes", ErrMalformed, len(payload))
	}
	r := Reader{rest: payload}
	m.Kind = Kind(r.Uint8())
	flags := r.Uint8()
	m.ID = r.Uint64()
	m.More = flags&flagMore != 0
	if flags&^flagMore != 0 {
		return m, fmt.Errorf("%w: unknown flags %#x", ErrMalformed, flags)
	}
	if m.More && m.Kind != KindResponse && m.Kind != KindPart {
		return m, fmt.Errorf("%w: kind %d has no parts", ErrMalformed, m.Kind)
	}
	switch m.Kind {
	case KindRequest, KindOneWay:
		name := r.BinaryMax(MaxName)
		if r.err == nil {
			err = checkName(len(name))
		}
		if r.err == nil && err == nil {
			m.Name = intern(name)
			m.Meta, err = readMeta(&r)
		}
		m.Body = r.Binary()
	case KindResponse:
		m.Code = api.Code(r.Int32())
		m.Data = r.Binary()
		m.ErrMsg = string(r.BinaryMax(MaxErrMsg))
		if r.err == nil {
			m.Meta, err = readMeta(&r)
		}
	case KindPart:
		m.Data = r.Binary()
	case KindCancel:
	default:
		return m, fmt.Errorf("%w: unknown kind %d", ErrMalformed, m.Kind)
	}
	switch {
	case err != nil:
		return m, fmt.Errorf("kind %d: %w", m.Kind, err)
	case r.err != nil:
		return m, fmt.Errorf("kind %d: %w", m.Kind, r.err)
	case r.Len() > 0:
		return m, fmt.Errorf("%w: %d bytes after the last field", ErrMalformed, r.Len())
	}
	return m, nil
}

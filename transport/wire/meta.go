package wire

import (
	"encoding/binary"
	"fmt"
	"strconv"
	"strings"

	"github.com/zerokeeper/zero/transport/api"
)

// Limits of metadata.
const (
	MaxMeta      = 32   // pairs
	MaxMetaKey   = 64   // bytes
	MaxMetaValue = 4096 // bytes
)

// Pair is one key with its value.
type Pair struct{ Key, Value string }

// Meta is an invoke's metadata, in the order of the wire. Package api names the keys.
type Meta []Pair

// Get is the value of key, empty when it is not there.
func (m Meta) Get(key string) string {
	value, _ := m.Lookup(key)
	return value
}

// Lookup is the value of key and whether it is there.
func (m Meta) Lookup(key string) (string, bool) {
	for i := range m {
		if m[i].Key == key {
			return m[i].Value, true
		}
	}
	return "", false
}

// Uint is the value of key as a decimal number. ok is false when the key is not
// there; a value that is no such number is an error of code BadRequest.
func (m Meta) Uint(key string) (n uint64, ok bool, err error) {
	value, ok := m.Lookup(key)
	if !ok {
		return 0, false, nil
	}
	n, err = strconv.ParseUint(value, 10, 64)
	if err != nil {
		return 0, true, api.Errorf(api.BadRequest, "metadata %s: %q is not a decimal number", key, value)
	}
	return n, true, nil
}

// With returns m with key set to value. m itself is not changed.
func (m Meta) With(key, value string) Meta {
	for i := range m {
		if m[i].Key == key {
			out := append(Meta(nil), m...)
			out[i].Value = value
			return out
		}
	}
	return append(m[:len(m):len(m)], Pair{key, value})
}

// check holds m to the limits.
func (m Meta) check() error {
	if len(m) > MaxMeta {
		return fmt.Errorf("metadata: %w: %d pairs, at most %d", ErrTooLong, len(m), MaxMeta)
	}
	for i := range m {
		switch {
		case m[i].Key == "":
			return fmt.Errorf("metadata: %w: empty key", ErrMalformed)
		case len(m[i].Key) > MaxMetaKey:
			return fmt.Errorf("metadata: %w: a key of %d bytes, at most %d", ErrTooLong, len(m[i].Key), MaxMetaKey)
		case len(m[i].Value) > MaxMetaValue:
			return fmt.Errorf("metadata %s: %w: %d bytes, at most %d", m[i].Key, ErrTooLong, len(m[i].Value), MaxMetaValue)
		}
		for j := range i {
			if m[j].Key == m[i].Key {
				return fmt.Errorf("metadata: %w: key %q twice", ErrMalformed, m[i].Key)
			}
		}
	}
	return nil
}

func (m Meta) append(dst []byte) []byte {
	dst = binary.LittleEndian.AppendUint16(dst, uint16(len(m)))
	for i := range m {
		dst = AppendBinary(AppendBinary(dst, m[i].Key), m[i].Value)
	}
	return dst
}

// size is the number of bytes that append adds.
func (m Meta) size() int {
	n := 2
	for i := range m {
		n += 8 + len(m[i].Key) + len(m[i].Value)
	}
	return n
}

// readMeta reads what append wrote, and checks it.
func readMeta(r *Reader) (Meta, error) {
	n := int(r.Uint16())
	if r.err != nil || n == 0 {
		return nil, r.err
	}
	if n > MaxMeta {
		return nil, fmt.Errorf("metadata: %w: %d pairs, at most %d", ErrTooLong, n, MaxMeta)
	}
	m := make(Meta, 0, n)
	for range n {
		key, value := r.BinaryMax(MaxMetaKey), r.BinaryMax(MaxMetaValue)
		if r.err != nil {
			return nil, fmt.Errorf("metadata: %w", r.err)
		}
		m = append(m, Pair{knownKey(key), string(value)})
	}
	return m, m.check()
}

// knownKey is string(key), without an allocation for the keys that are common.
func knownKey(key []byte) string {
	switch string(key) {
	case api.MetaDeadline:
		return api.MetaDeadline
	case api.MetaToken:
		return api.MetaToken
	case api.MetaSession:
		return api.MetaSession
	case api.MetaSeq:
		return api.MetaSeq
	case api.MetaAcked:
		return api.MetaAcked
	case api.MetaStamp:
		return api.MetaStamp
	case api.MetaSwitchID:
		return api.MetaSwitchID
	case api.MetaConsistency:
		return api.MetaConsistency
	case api.MetaIndex:
		return api.MetaIndex
	case api.MetaTerm:
		return api.MetaTerm
	case api.MetaServedBy:
		return api.MetaServedBy
	}
	return string(key)
}

// String lists the pairs for a log. The token's value is left out.
func (m Meta) String() string {
	var b strings.Builder
	for i := range m {
		if i > 0 {
			b.WriteByte(' ')
		}
		value := m[i].Value
		if m[i].Key == api.MetaToken {
			value = "(hidden)"
		}
		b.WriteString(m[i].Key)
		b.WriteByte('=')
		b.WriteString(value)
	}
	return b.String()
}

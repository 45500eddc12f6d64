package codec

import (
	"encoding/binary"
	"errors"
	"fmt"
	"reflect"
	"sync"
)

var (
	// ErrUnknownField is returned when a struct carries more fields than this
	// program knows: a newer one wrote it.
	ErrUnknownField = errors.New("codec: a field of a newer version")
	// ErrMalformed is returned when the bytes are no encoding of the type.
	ErrMalformed = errors.New("codec: malformed")
)

// Append encodes v, a struct or a pointer to one, after dst. It panics on a
// type that cannot be encoded: that is an error of the program, found by any
// test that encodes the type once.
func Append(dst []byte, v any) []byte {
	value := reflect.Indirect(reflect.ValueOf(v))
	return planOf(value.Type()).write(dst, value)
}

// Decode reads one value into v, a pointer to a struct, and fails unless it
// uses all of data. Strings and byte slices are copies.
func Decode(data []byte, v any) error {
	rest, err := DecodePrefix(data, v)
	if err != nil {
		return err
	}
	if len(rest) != 0 {
		return fmt.Errorf("%w: %d bytes too many", ErrMalformed, len(rest))
	}
	return nil
}

// DecodePrefix is Decode for a value with others behind it; it returns those.
func DecodePrefix(data []byte, v any) ([]byte, error) {
	value := reflect.ValueOf(v).Elem()
	return planOf(value.Type()).read(data, value)
}

// plan is how one type is written and read.
type plan struct {
	write func(dst []byte, v reflect.Value) []byte
	read  func(src []byte, v reflect.Value) ([]byte, error)
}

var plans sync.Map // reflect.Type → *plan

func planOf(t reflect.Type) *plan {
	if p, ok := plans.Load(t); ok {
		return p.(*plan)
	}
	p, _ := plans.LoadOrStore(t, newPlan(t))
	return p.(*plan)
}

func newPlan(t reflect.Type) *plan {
	switch t.Kind() {
	case reflect.Bool:
		return &plan{writeBool, readBool}
	case reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return &plan{writeUint, readUint}
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return &plan{writeInt, readInt}
	case reflect.String:
		return &plan{writeString, readString}
	case reflect.Slice:
		if t.Elem().Kind() == reflect.Uint8 {
			return &plan{writeBytes, readBytes}
		}
		return slicePlan(t)
	case reflect.Struct:
		return structPlan(t)
	}
	panic(fmt.Sprintf("codec: %s cannot be encoded", t))
}

func writeBool(dst []byte, v reflect.Value) []byte {
	if v.Bool() {
		return append(dst, 1)
	}
	return append(dst, 0)
}

func readBool(src []byte, v reflect.Value) ([]byte, error) {
	if len(src) == 0 || src[0] > 1 {
		return nil, fmt.Errorf("%w: bool", ErrMalformed)
	}
	v.SetBool(src[0] == 1)
	return src[1:], nil
}

func writeUint(dst []byte, v reflect.Value) []byte { return binary.AppendUvarint(dst, v.Uint()) }

func readUint(src []byte, v reflect.Value) ([]byte, error) {
	n, rest, err := uvarint(src)
	if err != nil {
		return nil, err
	}
	if v.OverflowUint(n) {
		return nil, fmt.Errorf("%w: %d does not fit %s", ErrMalformed, n, v.Type())
	}
	v.SetUint(n)
	return rest, nil
}

func writeInt(dst []byte, v reflect.Value) []byte { return binary.AppendVarint(dst, v.Int()) }

func readInt(src []byte, v reflect.Value) ([]byte, error) {
	u, rest, err := uvarint(src)
	if err != nil {
		return nil, err
	}
	n := int64(u>>1) ^ -int64(u&1)
	if v.OverflowInt(n) {
		return nil, fmt.Errorf("%w: %d does not fit %s", ErrMalformed, n, v.Type())
	}
	v.SetInt(n)
	return rest, nil
}

func writeString(dst []byte, v reflect.Value) []byte {
	s := v.String()
	return append(binary.AppendUvarint(dst, uint64(len(s))), s...)
}

func readString(src []byte, v reflect.Value) ([]byte, error) {
	b, rest, err := span(src)
	if err != nil {
		return nil, err
	}
	v.SetString(string(b))
	return rest, nil
}

func writeBytes(dst []byte, v reflect.Value) []byte {
	b := v.Bytes()
	return append(binary.AppendUvarint(dst, uint64(len(b))), b...)
}

func readBytes(src []byte, v reflect.Value) ([]byte, error) {
	b, rest, err := span(src)
	if err != nil {
		return nil, err
	}
	if len(b) == 0 {
		v.SetBytes(nil)
		return rest, nil
	}
	v.SetBytes(append([]byte(nil), b...))
	return rest, nil
}

func slicePlan(t reflect.Type) *plan {
	elem := planOf(t.Elem())
	return &plan{
		write: func(dst []byte, v reflect.Value) []byte {
			dst = binary.AppendUvarint(dst, uint64(v.Len()))
			for i := range v.Len() {
				dst = elem.write(dst, v.Index(i))
			}
			return dst
		},
		read: func(src []byte, v reflect.Value) ([]byte, error) {
			n, src, err := uvarint(src)
			if err != nil {
				return nil, err
			}
			if n > uint64(len(src)) { // an element is one byte at least
				return nil, fmt.Errorf("%w: %d elements in %d bytes", ErrMalformed, n, len(src))
			}
			v.SetZero()
			for range n { // grown as it is read: elements may be far larger than a byte
				e := reflect.New(t.Elem()).Elem()
				if src, err = elem.read(src, e); err != nil {
					return nil, err
				}
				v.Set(reflect.Append(v, e))
			}
			return src, nil
		},
	}
}

func structPlan(t reflect.Type) *plan {
	fields := make([]*plan, t.NumField())
	for i := range fields {
		if !t.Field(i).IsExported() {
			panic(fmt.Sprintf("codec: %s.%s is not exported", t, t.Field(i).Name))
		}
		fields[i] = planOf(t.Field(i).Type)
	}
	return &plan{
		write: func(dst []byte, v reflect.Value) []byte {
			dst = binary.AppendUvarint(dst, uint64(len(fields)))
			for i, field := range fields {
				dst = field.write(dst, v.Field(i))
			}
			return dst
		},
		read: func(src []byte, v reflect.Value) ([]byte, error) {
			n, src, err := uvarint(src)
			if err != nil {
				return nil, err
			}
			if n > uint64(len(fields)) {
				return nil, fmt.Errorf("%w: %s has %d fields, %d are known", ErrUnknownField, t, n, len(fields))
			}
			for i, field := range fields {
				if uint64(i) >= n {
					v.Field(i).SetZero()
					continue
				}
				if src, err = field.read(src, v.Field(i)); err != nil {
					return nil, fmt.Errorf("%s: %w", t.Field(i).Name, err)
				}
			}
			return src, nil
		},
	}
}

// uvarint reads one canonical unsigned varint: a value has one encoding only.
func uvarint(src []byte) (uint64, []byte, error) {
	n, size := binary.Uvarint(src)
	if size <= 0 || (size > 1 && src[size-1] == 0) {
		return 0, nil, fmt.Errorf("%w: varint", ErrMalformed)
	}
	return n, src[size:], nil
}

// span reads a length and that many bytes, without a copy.
func span(src []byte) (b, rest []byte, err error) {
	n, src, err := uvarint(src)
	if err != nil {
		return nil, nil, err
	}
	if n > uint64(len(src)) {
		return nil, nil, fmt.Errorf("%w: %d bytes wanted, %d left", ErrMalformed, n, len(src))
	}
	return src[:n], src[n:], nil
}

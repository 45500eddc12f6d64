package cluster

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"maps"
	"slices"
)

const (
	ledgerMagic = "ZLEDGER1"
	maxLedger   = 64 << 10 // bytes
)

var errLedger = errors.New("the ledger is damaged")

// encode is the ledger's bytes; doc.go has them.
func (l ledger) encode() []byte {
	dst := append([]byte(nil), ledgerMagic...)
	dst = appendField(dst, []byte(l.member))
	dst = binary.BigEndian.AppendUint64(dst, l.first)
	dst = binary.BigEndian.AppendUint64(dst, l.last)
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(l.values)))
	for _, k := range slices.Sorted(maps.Keys(l.values)) {
		dst = appendField(appendField(dst, []byte(k)), l.values[k])
	}
	return binary.BigEndian.AppendUint32(dst, crc32.Checksum(dst, castagnoli))
}

func appendField(dst, field []byte) []byte {
	return append(binary.BigEndian.AppendUint16(dst, uint16(len(field))), field...)
}

// decodeLedger reads what encode made, strictly.
func decodeLedger(data []byte) (ledger, error) {
	if len(data) > maxLedger || len(data) < len(ledgerMagic)+4 || string(data[:len(ledgerMagic)]) != ledgerMagic {
		return ledger{}, fmt.Errorf("%w: %d bytes that are none", errLedger, len(data))
	}
	body := data[:len(data)-4]
	if binary.BigEndian.Uint32(data[len(body):]) != crc32.Checksum(body, castagnoli) {
		return ledger{}, fmt.Errorf("%w: %w", errLedger, errSeal)
	}
	in := fields{rest: body[len(ledgerMagic):]}
	l := ledger{member: string(in.field()), first: in.number(8), last: in.number(8)}
	for n := in.number(2); n > 0 && !in.bad; n-- {
		k := string(in.field())
		if l.values == nil {
			l.values = make(map[string][]byte)
		}
		l.values[k] = slices.Clone(in.field())
	}
	if in.bad || len(in.rest) != 0 || l.first == 0 || l.first > l.last+1 || l.last+1 == 0 {
		return ledger{}, fmt.Errorf("%w: entries %d to %d, %d bytes left", errLedger, l.first, l.last, len(in.rest))
	}
	return l, nil
}

// fields reads the parts of a ledger; bad stays when one is cut.
type fields struct {
	rest []byte
	bad  bool
}

func (f *fields) take(n int) []byte {
	if n > len(f.rest) {
		f.bad, f.rest = true, nil
		return nil
	}
	out := f.rest[:n]
	f.rest = f.rest[n:]
	return out
}

func (f *fields) number(size int) uint64 {
	var v uint64
	for _, b := range f.take(size) {
		v = v<<8 | uint64(b)
	}
	return v
}

func (f *fields) field() []byte { return f.take(int(f.number(2))) }

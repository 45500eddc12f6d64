package fsm

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"hash/crc32"
	"io"

	"github.com/zerokeeper/zero/fsm/codec"
)

const (
	snapshotMagic  = "ZEROSNAP"
	snapshotFormat = 1
	// snapshotHeader is magic, format and the body's length.
	snapshotHeader = len(snapshotMagic) + 1 + 8
	// maxRow bounds one row of a snapshot, in bytes.
	maxRow = 8 << 20
)

// ErrSnapshot is returned for a snapshot that is damaged, cut or of another
// version. The state stays what it was.
var ErrSnapshot = errors.New("fsm: snapshot cannot be used")

// snapshotMeta leads the body.
type snapshotMeta struct {
	Index uint64
	Term  uint64
}

// WriteTo writes the state as a snapshot. It walks the state twice: the header
// carries the length of what follows.
func (s *State) WriteTo(w io.Writer) (int64, error) {
	var size counter
	if err := s.writeBody(&size); err != nil {
		return 0, err
	}
	head := make([]byte, 0, snapshotHeader)
	head = append(head, snapshotMagic...)
	head = append(head, snapshotFormat)
	head = binary.LittleEndian.AppendUint64(head, uint64(size))
	sum := crc32.New(castagnoli)
	out := &counted{w: io.MultiWriter(w, sum)}
	if _, err := out.Write(head); err != nil {
		return out.n, fmt.Errorf("write snapshot: %w", err)
	}
	if err := s.writeBody(out); err != nil {
		return out.n, fmt.Errorf("write snapshot: %w", err)
	}
	n, err := w.Write(binary.LittleEndian.AppendUint32(nil, sum.Sum32()))
	if err != nil {
		return out.n + int64(n), fmt.Errorf("write snapshot: %w", err)
	}
	return out.n + int64(n), nil
}

// writeBody writes meta and the tables: the canonical form of the state.
func (s *State) writeBody(w io.Writer) error {
	var buf []byte
	buf = appendRow(buf[:0], snapshotMeta{s.index, s.term})
	if _, err := w.Write(buf); err != nil {
		return err
	}
	tx := s.txn()
	for _, table := range tables {
		count := 0
		rows, err := tx.Get(table.name, "id_prefix", []byte(nil))
		if err != nil {
			return err
		}
		for rows.Next() != nil {
			count++
		}
		buf = append(buf[:0], table.number)
		buf = binary.AppendUvarint(buf, uint64(count))
		if rows, err = tx.Get(table.name, "id_prefix", []byte(nil)); err != nil {
			return err
		}
		for row := rows.Next(); row != nil; row = rows.Next() {
			if buf = appendRow(buf, row); len(buf) < 64<<10 {
				continue
			}
			if _, err := w.Write(buf); err != nil {
				return err
			}
			buf = buf[:0]
		}
		if _, err := w.Write(buf); err != nil {
			return err
		}
	}
	return nil
}

// appendRow is the row's length and its encoding.
func appendRow(dst []byte, row any) []byte {
	body := codec.Append(nil, row)
	return append(binary.AppendUvarint(dst, uint64(len(body))), body...)
}

type counter int64

func (c *counter) Write(p []byte) (int, error) {
	*c += counter(len(p))
	return len(p), nil
}

type counted struct {
	w io.Writer
	n int64
}

func (c *counted) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.n += int64(n)
	return n, err
}

// Restore replaces the state by a snapshot's. It decodes into a fresh state and
// swaps only when everything was read and the checksum is right.
func (m *Machine) Restore(r io.Reader) error {
	state, err := ReadSnapshot(r)
	if err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.db = state.db
	m.publish(state.index, state.term)
	return nil
}

// ReadSnapshot reads a snapshot without a machine, for inspection. Rows are
// bounded; what follows the snapshot is not read.
func ReadSnapshot(r io.Reader) (*State, error) {
	in := &reader{r: r, sum: crc32.New(castagnoli)}
	head := in.take(uint64(snapshotHeader))
	if in.err != nil || string(head[:len(snapshotMagic)]) != snapshotMagic || head[len(snapshotMagic)] != snapshotFormat {
		return nil, fmt.Errorf("%w: no snapshot of format %d (%v)", ErrSnapshot, snapshotFormat, in.err)
	}
	in.left = binary.LittleEndian.Uint64(head[len(snapshotMagic)+1:])
	in.body = true
	var sm snapshotMeta
	in.row(&sm)
	db := newDB()
	tx := db.Txn(true)
	defer tx.Abort()
	for _, table := range tables {
		if in.left == 0 && in.err == nil {
			break // written before this table existed
		}
		if b := in.take(1); in.err == nil && b[0] != table.number {
			return nil, fmt.Errorf("%w: table %d, want %d", ErrSnapshot, b[0], table.number)
		}
		var last []byte
		for count := in.uvarint(); count > 0 && in.err == nil; count-- {
			row := table.row()
			if in.row(row); in.err != nil {
				break
			}
			k := table.key(row)
			if last != nil && string(k) <= string(last) {
				return nil, fmt.Errorf("%w: the rows of %s are not in order", ErrSnapshot, table.name)
			}
			last = k
			if err := tx.Insert(table.name, row); err != nil {
				return nil, fmt.Errorf("%w: %s: %w", ErrSnapshot, table.name, err)
			}
		}
	}
	if in.err != nil {
		return nil, fmt.Errorf("%w: %w", ErrSnapshot, in.err)
	}
	if in.left != 0 {
		return nil, fmt.Errorf("%w: %d bytes of a newer version", ErrSnapshot, in.left)
	}
	want := in.sum.Sum32()
	in.body = false
	if trailer := in.take(4); in.err != nil || binary.LittleEndian.Uint32(trailer) != want {
		return nil, fmt.Errorf("%w: checksum (%v)", ErrSnapshot, in.err)
	}
	tx.Commit()
	return &State{db: db, index: sm.Index, term: sm.Term}, nil
}

// reader reads a snapshot within its length. The first error stays.
type reader struct {
	r    io.Reader
	sum  hash.Hash32
	body bool
	left uint64 // of the body
	buf  []byte
	err  error
}

// take reads n bytes; they are valid until the next call.
func (in *reader) take(n uint64) []byte {
	if in.err == nil && in.body && n > in.left {
		in.err = io.ErrUnexpectedEOF
	}
	if in.err == nil && n > maxRow {
		in.err = fmt.Errorf("a row of %d bytes, at most %d", n, maxRow)
	}
	if in.err != nil {
		return nil
	}
	if uint64(cap(in.buf)) < n {
		in.buf = make([]byte, n)
	}
	in.buf = in.buf[:n]
	if _, err := io.ReadFull(in.r, in.buf); err != nil {
		in.err = err
		return nil
	}
	in.sum.Write(in.buf)
	if in.body {
		in.left -= n
	}
	return in.buf
}

func (in *reader) uvarint() uint64 {
	var n uint64
	for shift := uint(0); shift < 64; shift += 7 {
		b := in.take(1)
		if in.err != nil {
			return 0
		}
		n |= uint64(b[0]&0x7f) << shift
		if b[0] < 0x80 {
			return n
		}
	}
	in.err = codec.ErrMalformed
	return 0
}

func (in *reader) row(v any) {
	body := in.take(in.uvarint())
	if in.err == nil {
		in.err = codec.Decode(body, v)
	}
}

package fsm

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"reflect"
	"time"

	"github.com/zerokeeper/zero/fsm/codec"
)

// Sizes and versions of a log entry.
const (
	entryFormat     = 1
	entryHeaderSize = 9
	// MaxEntry bounds one log entry, in bytes. A section of a full frame fits.
	MaxEntry = 640 << 10
)

// FlagIgnorable marks a command that a keeper which does not know its type may
// step over.
const FlagIgnorable = 1

// Errors that halt a node: it must not go on, because its state would differ.
var (
	ErrCorrupt        = errors.New("fsm: a log entry is damaged; re-seed this keeper from the others")
	ErrUnknownCommand = errors.New("fsm: a command of a newer version; upgrade this keeper")
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Header is what every command carries beside its body.
type Header struct {
	Time    int64  // unix nanoseconds, stamped by the leader
	Session string // of the client, empty for the keeper's own
	Seq     uint64 // of the command within the session, from 1
	Acked   uint64 // the client has the answers up to this one
	Term    uint64 // of the leader that decided; 0: any term will do
}

// At is the header's time.
func (h Header) At() time.Time { return time.Unix(0, h.Time).UTC() }

// Encode makes the log entry of a command. The command is one of this
// package's command structs.
func Encode(h Header, c Command) ([]byte, error) {
	dst := make([]byte, entryHeaderSize, entryHeaderSize+256)
	dst[0] = entryFormat
	binary.LittleEndian.PutUint16(dst[1:], uint16(c.commandType()))
	dst[3] = 1
	dst = codec.Append(dst, h)
	dst = codec.Append(dst, c)
	if len(dst) > MaxEntry {
		return nil, fmt.Errorf("encode command: %d bytes, at most %d", len(dst), MaxEntry)
	}
	binary.LittleEndian.PutUint32(dst[5:], entrySum(dst))
	return dst, nil
}

// entrySum is the checksum of an entry, its own four bytes left out.
func entrySum(entry []byte) uint32 {
	sum := crc32.Update(0, castagnoli, entry[:5])
	return crc32.Update(sum, castagnoli, entry[entryHeaderSize:])
}

// Decode reads a log entry. The command is a pointer to one of this package's
// command structs, nil for an unknown one that may be ignored.
func Decode(entry []byte) (Header, Command, error) {
	if len(entry) < entryHeaderSize {
		return Header{}, nil, fmt.Errorf("%w: %d bytes", ErrCorrupt, len(entry))
	}
	if !ignoreSums && binary.LittleEndian.Uint32(entry[5:]) != entrySum(entry) {
		return Header{}, nil, fmt.Errorf("%w: checksum", ErrCorrupt)
	}
	kind, version, flags := Type(binary.LittleEndian.Uint16(entry[1:])), entry[3], entry[4]
	prototype, known := commands[kind]
	if entry[0] != entryFormat || version != 1 || flags&^FlagIgnorable != 0 || !known {
		if entry[0] == entryFormat && flags == FlagIgnorable && !known {
			return Header{}, nil, nil
		}
		return Header{}, nil, fmt.Errorf("%w: format %d, type %d, version %d, flags %#x", ErrUnknownCommand, entry[0], kind, version, flags)
	}
	var h Header
	rest, err := codec.DecodePrefix(entry[entryHeaderSize:], &h)
	if err != nil {
		return Header{}, nil, decodeError("header", err)
	}
	c := reflect.New(reflect.TypeOf(prototype).Elem()).Interface().(Command)
	if err := codec.Decode(rest, c); err != nil {
		return Header{}, nil, decodeError(fmt.Sprintf("type %d", kind), err)
	}
	return h, c, nil
}

func decodeError(what string, err error) error {
	if errors.Is(err, codec.ErrUnknownField) {
		return fmt.Errorf("%w: %s: %w", ErrUnknownCommand, what, err)
	}
	return fmt.Errorf("%w: %s: %w", ErrCorrupt, what, err)
}

package disk

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"slices"
)

// window is how much of a file is held in memory while it is searched.
const window = 1 << 20

// Occurrence says which of several places FlipIn damages.
type Occurrence int

// The places. A key-value store leaves old copies of a value in pages that it no
// longer uses; only Every is sure to meet the one that counts.
const (
	First Occurrence = iota
	Last
	Every
)

// The functions below damage a file of a stopped node. What they do follows from
// their arguments (and the generator) alone. Each reads the file back, answers
// what it did for the run's timeline, and fails with ErrVoid when the file is as
// it was.

// FlipBit flips one bit (0 is the lowest) of the byte at offset.
func FlipBit(path string, offset int64, bit uint) (string, error) {
	if bit > 7 {
		return "", fmt.Errorf("flip bit %d of a byte of %s: want 0 to 7", bit, path)
	}
	before, err := readAt(path, offset, 1)
	if err != nil {
		return "", fmt.Errorf("flip bit: %w", err)
	}
	after := []byte{before[0] ^ 1<<bit}
	if err := overwrite(path, offset, after); err != nil {
		return "", fmt.Errorf("flip bit: %w", err)
	}
	return fmt.Sprintf("flipped bit %d of byte %d of %s: %#02x is %#02x", bit, offset, path, before[0], after[0]), nil
}

// FlipIn flips one bit, drawn from r, inside marker where it occurs in the file;
// with Every, the same bit of each. A marker that does not occur is ErrVoid.
func FlipIn(path string, marker []byte, which Occurrence, r *rand.Rand) (string, error) {
	places, err := find(path, marker)
	if err != nil {
		return "", fmt.Errorf("flip in %q: %w", marker, err)
	}
	if len(places) == 0 {
		return "", fmt.Errorf("flip in %q: it is not in %s: %w", marker, path, ErrVoid)
	}
	at, bit := int64(r.IntN(len(marker))), uint(r.IntN(8))
	switch which {
	case First:
		places = places[:1]
	case Last:
		places = places[len(places)-1:]
	case Every:
	default:
		return "", fmt.Errorf("flip in %q: occurrence %d: want First, Last or Every", marker, which)
	}
	for _, p := range places {
		if _, err := FlipBit(path, p+at, bit); err != nil {
			return "", err
		}
	}
	return fmt.Sprintf("flipped bit %d of byte %d of %q in %s, at offsets %d", bit, at, marker, path, places), nil
}

// Truncate cuts the file to size bytes.
func Truncate(path string, size int64) (string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return "", fmt.Errorf("truncate: %w", err)
	}
	if size < 0 || size >= info.Size() {
		return "", fmt.Errorf("truncate %s to %d bytes: it has %d: %w", path, size, info.Size(), ErrVoid)
	}
	if err := os.Truncate(path, size); err != nil {
		return "", fmt.Errorf("truncate: %w", err)
	}
	now, err := os.Stat(path)
	if err != nil {
		return "", fmt.Errorf("truncate: %w", err)
	}
	if now.Size() != size {
		return "", fmt.Errorf("truncate %s to %d bytes: it has %d: %w", path, size, now.Size(), ErrVoid)
	}
	return fmt.Sprintf("truncated %s from %d to %d bytes", path, info.Size(), size), nil
}

// Empty cuts the file to nothing.
func Empty(path string) (string, error) { return Truncate(path, 0) }

// ZeroRange writes n zero bytes at offset, inside the file.
func ZeroRange(path string, offset, n int64) (string, error) {
	if err := replace(path, offset, n, func(b []byte, _ int64) error { clear(b); return nil }); err != nil {
		return "", fmt.Errorf("zero range: %w", err)
	}
	return fmt.Sprintf("zeroed %d bytes at %d of %s", n, offset, path), nil
}

// OldChunk puts the n bytes at offset of an older copy of the file in their
// place, as a disk does that lost a write.
func OldChunk(path, older string, offset, n int64) (string, error) {
	old, err := os.Open(older)
	if err != nil {
		return "", fmt.Errorf("old chunk: %w", err)
	}
	defer old.Close()
	err = replace(path, offset, n, func(b []byte, at int64) error {
		if _, err := old.ReadAt(b, at); err != nil {
			return fmt.Errorf("read %d bytes at %d of %s: %w", len(b), at, older, err)
		}
		return nil
	})
	if err != nil {
		return "", fmt.Errorf("old chunk: %w", err)
	}
	return fmt.Sprintf("put %d bytes at %d of %s back to those of %s", n, offset, path, older), nil
}

// replace overwrites a range with what fill makes of each piece of it. One
// changed byte is enough.
func replace(path string, offset, n int64, fill func(piece []byte, at int64) error) error {
	if offset < 0 || n <= 0 {
		return fmt.Errorf("%d bytes at %d of %s: want some, inside the file", n, offset, path)
	}
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	if offset > info.Size()-n {
		return fmt.Errorf("%d bytes at %d of %s: it has %d", n, offset, path, info.Size())
	}
	changed := false
	for at := offset; at < offset+n; at += window {
		size := min(offset+n-at, window)
		before, err := readAt(path, at, int(size))
		if err != nil {
			return err
		}
		after := slices.Clone(before)
		if err := fill(after, at); err != nil {
			return err
		}
		switch err := overwrite(path, at, after); {
		case err == nil:
			changed = true
		case !errors.Is(err, ErrVoid):
			return err
		}
	}
	if !changed {
		return fmt.Errorf("%d bytes at %d of %s are the same already: %w", n, offset, path, ErrVoid)
	}
	return nil
}

func readAt(path string, offset int64, n int) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	buf := make([]byte, n)
	if _, err := f.ReadAt(buf, offset); err != nil {
		return nil, fmt.Errorf("read %d bytes at %d of %s: %w", n, offset, path, err)
	}
	return buf, nil
}

// overwrite replaces bytes durably and sees that they have changed.
func overwrite(path string, offset int64, data []byte) error {
	before, err := readAt(path, offset, len(data))
	if err != nil {
		return err
	}
	if bytes.Equal(before, data) {
		return fmt.Errorf("%d bytes at %d of %s are the same already: %w", len(data), offset, path, ErrVoid)
	}
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteAt(data, offset)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	after, err := readAt(path, offset, len(data))
	if err != nil {
		return err
	}
	if !bytes.Equal(after, data) {
		return fmt.Errorf("%d bytes at %d of %s were written and are not there: %w", len(data), offset, path, ErrVoid)
	}
	return nil
}

// find answers the offsets of all occurrences that do not overlap, in order.
func find(path string, marker []byte) ([]int64, error) {
	if len(marker) == 0 || len(marker) > window/2 {
		return nil, fmt.Errorf("marker of %d bytes: want 1 to %d", len(marker), window/2)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var places []int64
	buf := make([]byte, window)
	kept, base := 0, int64(0) // buf[:kept] was read before and stands at base of the file
	for {
		n, err := io.ReadFull(f, buf[kept:])
		if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
			return nil, fmt.Errorf("read %s: %w", path, err)
		}
		have, from := buf[:kept+n], 0
		for {
			i := bytes.Index(have[from:], marker)
			if i < 0 {
				break
			}
			places = append(places, base+int64(from+i))
			from += i + len(marker)
		}
		if err != nil {
			return places, nil
		}
		// A marker may begin in the last bytes, unless they belong to one already.
		keep := min(len(marker)-1, len(have)-from)
		base += int64(len(have) - keep)
		kept = copy(buf, have[len(have)-keep:])
	}
}

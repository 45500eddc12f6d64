package cluster

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"os"
)

// bbolt's layout (format 2): pages of one size; the first two are roots ("meta
// pages"), written in turn. A page begins with
//
//	u64 id | u16 kind | u16 count | u32 pages that follow it
//
// and then has count elements of 16 bytes, each with the place of its key (and
// value) relative to itself. Numbers are the machine's; raft.db is not moved
// between machines of different byte orders.
const (
	boltMagic      = 0xED0CDAED
	boltVersion    = 2
	pageHeader     = 16
	elementSize    = 16
	metaSize       = 64 // bytes of a root, its checksum of 8 not counted
	bucketHeader   = 16 // of a bucket's value: u64 root page, u64 sequence
	branchPage     = 1
	leafPage       = 2
	bucketElement  = 1
	maxPageDepth   = 32
	minBoltPage    = 512
	maxBoltPage    = 64 << 10
	freelistPage   = 16
	noFreelistPage = 1<<64 - 1
)

// checkPages walks every page that is reachable in a bbolt file and returns what
// is wrong with its structure. bbolt itself panics on such a file, in goroutines
// of its own as well, or reads beyond its map. What the values say is not looked
// at. An empty file is right.
//
// Both roots must be good: bbolt would go on with the other one, which lacks the
// last write, and that may have been a vote.
func checkPages(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("open: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return fmt.Errorf("open: %w", err)
	}
	if info.Size() == 0 {
		return nil
	}
	w := &pageWalk{file: f, size: info.Size(), seen: make(map[uint64]bool)}
	root, err := w.roots()
	if err != nil {
		return err
	}
	return w.page(root, nil, nil, 0)
}

// pageWalk is one walk through a file.
type pageWalk struct {
	file  io.ReaderAt
	size  int64
	page0 int64  // size of a page
	count uint64 // pages in use, or that were
	seen  map[uint64]bool
}

// boltRoot is what a good meta page says.
type boltRoot struct {
	pageSize          uint32
	root, pages, txid uint64
	freelist          uint64
}

// roots checks both meta pages and returns the root page of the newer one.
func (w *pageWalk) roots() (uint64, error) {
	first, err := w.meta(0)
	if err != nil {
		return 0, fmt.Errorf("the first root: %w", err)
	}
	w.page0 = int64(first.pageSize)
	second, err := w.meta(w.page0)
	if err != nil {
		return 0, fmt.Errorf("the second root: %w", err)
	}
	newest := first
	if second.txid > first.txid {
		newest = second
	}
	w.count = newest.pages
	if w.count > uint64(w.size/w.page0) {
		return 0, fmt.Errorf("the file was cut: %d bytes, want %d pages of %d", w.size, w.count, w.page0)
	}
	if newest.freelist != noFreelistPage {
		return newest.root, w.noneFree(newest.freelist)
	}
	return newest.root, nil
}

// noneFree checks the list of free pages that a file has before the first
// transaction; later ones write none.
func (w *pageWalk) noneFree(id uint64) error {
	var head [pageHeader]byte
	if id < 2 || id >= w.count {
		return fmt.Errorf("page %d of %d as the list of free pages", id, w.count)
	}
	if _, err := w.file.ReadAt(head[:], int64(id)*w.page0); err != nil {
		return fmt.Errorf("page %d: %w", id, err)
	}
	if order := binary.NativeEndian; order.Uint64(head[:]) != id || order.Uint16(head[8:]) != freelistPage || order.Uint16(head[10:]) != 0 {
		return fmt.Errorf("page %d is no empty list of free pages", id)
	}
	return nil
}

func (w *pageWalk) meta(at int64) (boltRoot, error) {
	buf := make([]byte, metaSize+pageHeader)
	if _, err := w.file.ReadAt(buf, at); err != nil {
		return boltRoot{}, fmt.Errorf("read: %w", err)
	}
	m, order := buf[pageHeader:], binary.NativeEndian
	sum := fnv.New64a()
	sum.Write(m[:metaSize-8])
	r := boltRoot{pageSize: order.Uint32(m[8:]), root: order.Uint64(m[16:]), pages: order.Uint64(m[40:]), txid: order.Uint64(m[48:]), freelist: order.Uint64(m[32:])}
	switch {
	case order.Uint32(m) != boltMagic || order.Uint32(m[4:]) != boltVersion:
		return r, errors.New("not a database of this format")
	case order.Uint64(m[metaSize-8:]) != sum.Sum64():
		return r, errSeal
	case r.pageSize < minBoltPage || r.pageSize > maxBoltPage || r.pageSize&(r.pageSize-1) != 0:
		return r, fmt.Errorf("pages of %d bytes", r.pageSize)
	}
	return r, nil
}

// page checks a page and what is below it. Its keys must be in [low, high).
func (w *pageWalk) page(id uint64, low, high []byte, depth int) error {
	if id < 2 || id >= w.count {
		return fmt.Errorf("page %d of %d is referred to", id, w.count)
	}
	if depth > maxPageDepth {
		return fmt.Errorf("page %d: too deep", id)
	}
	var head [pageHeader]byte
	if _, err := w.file.ReadAt(head[:], int64(id)*w.page0); err != nil {
		return fmt.Errorf("page %d: %w", id, err)
	}
	more := uint64(binary.NativeEndian.Uint32(head[12:]))
	if more >= w.count-id {
		return fmt.Errorf("page %d: %d pages follow it, of %d", id, more, w.count)
	}
	for p := id; p <= id+more; p++ {
		if w.seen[p] {
			return fmt.Errorf("page %d is referred to twice", p)
		}
		w.seen[p] = true
	}
	buf := make([]byte, int64(more+1)*w.page0)
	if _, err := w.file.ReadAt(buf, int64(id)*w.page0); err != nil {
		return fmt.Errorf("page %d: %w", id, err)
	}
	if own := binary.NativeEndian.Uint64(buf); own != id {
		return fmt.Errorf("page %d says it is %d", id, own)
	}
	if err := w.content(buf, low, high, depth); err != nil {
		return fmt.Errorf("page %d: %w", id, err)
	}
	return nil
}

// content checks the elements of a page.
func (w *pageWalk) content(buf, low, high []byte, depth int) error {
	order := binary.NativeEndian
	kind, count := order.Uint16(buf[8:]), int(order.Uint16(buf[10:]))
	table := pageHeader + count*elementSize
	if (kind != branchPage && kind != leafPage) || table > len(buf) || (kind == branchPage && count == 0) {
		return fmt.Errorf("kind %#x with %d elements", kind, count)
	}
	keys := make([][]byte, count)
	values := make([][]byte, count)
	for i := range count {
		at := pageHeader + i*elementSize
		e := buf[at : at+elementSize]
		pos, keySize, valueSize := uint64(order.Uint32(e)), uint64(order.Uint32(e[4:])), uint64(0)
		if kind == leafPage {
			pos, keySize, valueSize = uint64(order.Uint32(e[4:])), uint64(order.Uint32(e[8:])), uint64(order.Uint32(e[12:]))
			if order.Uint32(e)&^bucketElement != 0 {
				return fmt.Errorf("element %d of kind %#x", i, order.Uint32(e))
			}
		}
		start := uint64(at) + pos
		if start < uint64(table) || start+keySize+valueSize > uint64(len(buf)) {
			return fmt.Errorf("element %d is at %d to %d of %d", i, start, start+keySize+valueSize, len(buf))
		}
		keys[i], values[i] = buf[start:start+keySize], buf[start+keySize:start+keySize+valueSize]
		if before := i - 1; (i == 0 && low != nil && bytes.Compare(keys[i], low) < 0) || (i > 0 && bytes.Compare(keys[i], keys[before]) <= 0) || (high != nil && bytes.Compare(keys[i], high) >= 0) {
			return fmt.Errorf("the key of element %d is out of order", i)
		}
	}
	for i := range count {
		e := buf[pageHeader+i*elementSize:]
		var err error
		switch {
		case kind == branchPage:
			below := high
			if i+1 < count {
				below = keys[i+1]
			}
			err = w.page(order.Uint64(e[8:]), keys[i], below, depth+1)
		case order.Uint32(e)&bucketElement != 0:
			err = w.bucket(values[i], depth)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// bucket checks a bucket that stands in a leaf: a root page, or a small page
// inside of the value itself.
func (w *pageWalk) bucket(value []byte, depth int) error {
	if len(value) < bucketHeader {
		return fmt.Errorf("a bucket of %d bytes", len(value))
	}
	if root := binary.NativeEndian.Uint64(value); root != 0 {
		return w.page(root, nil, nil, depth+1)
	}
	if len(value) < bucketHeader+pageHeader {
		return fmt.Errorf("a bucket of %d bytes", len(value))
	}
	inline := value[bucketHeader:]
	if binary.NativeEndian.Uint16(inline[8:]) != leafPage {
		return errors.New("a bucket of an unknown kind")
	}
	return w.content(inline, nil, nil, depth+1)
}

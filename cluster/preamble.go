package cluster

import (
	"errors"
	"fmt"
	"io"
)

const (
	preambleMagic    = "ZRFT"
	preambleVersion  = 1
	maxPreambleField = 64 // bytes of each id
)

// verdict is the acceptor's one byte.
type verdict byte

const (
	accepted      verdict = 0
	otherCluster  verdict = 1
	notAddressee  verdict = 2
	otherVersion  verdict = 3
	notMember     verdict = 4
	verdictsKnown         = 5
)

func (v verdict) String() string {
	return [...]string{
		"accepted",
		"it belongs to another cluster",
		"another member answers at its address (a keeper with a new data directory, or a stale address)",
		"it speaks another version of the Raft preamble",
		"it does not know this member",
	}[v]
}

var (
	errNotRaft = errors.New("not a Raft preamble")
	// errPreambleVersion: a later version, whose fields cannot be read.
	errPreambleVersion = errors.New("unknown version of the Raft preamble")
)

// preamble opens a Raft connection; doc.go has its bytes.
type preamble struct {
	cluster   string // empty: not known yet
	sender    string // member id
	addressee string // member id
}

// append adds the preamble's bytes to dst. Fields are ids of at most
// maxPreambleField bytes.
func (p preamble) append(dst []byte) []byte {
	dst = append(dst, preambleMagic...)
	dst = append(dst, preambleVersion)
	for _, f := range []string{p.cluster, p.sender, p.addressee} {
		dst = append(dst, byte(len(f)))
		dst = append(dst, f...)
	}
	return dst
}

// readPreamble reads exactly the preamble, so that what follows is untouched.
func readPreamble(r io.Reader) (preamble, error) {
	var head [len(preambleMagic) + 1]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return preamble{}, fmt.Errorf("read Raft preamble: %w", err)
	}
	if string(head[:len(preambleMagic)]) != preambleMagic {
		return preamble{}, errNotRaft
	}
	if v := head[len(preambleMagic)]; v != preambleVersion {
		return preamble{}, fmt.Errorf("%w: %d", errPreambleVersion, v)
	}
	var p preamble
	for _, field := range []*string{&p.cluster, &p.sender, &p.addressee} {
		var n [1]byte
		if _, err := io.ReadFull(r, n[:]); err != nil {
			return preamble{}, cut(err)
		}
		if n[0] > maxPreambleField {
			return preamble{}, fmt.Errorf("%w: an id of %d bytes", errNotRaft, n[0])
		}
		var text [maxPreambleField]byte
		if _, err := io.ReadFull(r, text[:n[0]]); err != nil {
			return preamble{}, cut(err)
		}
		*field = string(text[:n[0]])
	}
	if p.sender == "" || p.addressee == "" {
		return preamble{}, fmt.Errorf("%w: a member id is missing", errNotRaft)
	}
	return p, nil
}

// cut is the error of a preamble that ends early.
func cut(err error) error {
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return fmt.Errorf("read Raft preamble: %w", err)
}

package cluster

import (
	"errors"
	"fmt"
	"io"
)

const (
	preambleMagic    = "ZRFT"
	preambleVersion  = 2
	maxPreambleField = 64 // bytes of each field
)

// verdict is the acceptor's one byte.
type verdict byte

const (
	accepted      verdict = 0
	otherCluster  verdict = 1
	notAddressee  verdict = 2
	otherVersion  verdict = 3
	notMember     verdict = 4
	olderHere     verdict = 5
	olderSender   verdict = 6 // the incarnation that is known of the sender follows
	verdictsKnown         = 7
)

func (v verdict) String() string {
	return [...]string{
		"accepted",
		"it belongs to another cluster",
		"another member answers at its address (a keeper with a new data directory, or a stale address)",
		"it speaks another version of the Raft preamble",
		"it does not know this member",
		"it runs on an older copy of its data directory, and stops",
		"this keeper runs on an older copy of its data directory",
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

	// incarnation is the sender's own, known the one that it knows of the
	// addressee, empty when it knows none.
	incarnation, known string
}

// fields in the order of their bytes.
func (p *preamble) fields() []*string {
	return []*string{&p.cluster, &p.sender, &p.addressee, &p.incarnation, &p.known}
}

// append adds the preamble's bytes to dst. Fields are ids of at most
// maxPreambleField bytes.
func (p preamble) append(dst []byte) []byte {
	dst = append(dst, preambleMagic...)
	dst = append(dst, preambleVersion)
	for _, f := range p.fields() {
		dst = appendText(dst, *f)
	}
	return dst
}

// appendText adds one field, which has at most maxPreambleField bytes.
func appendText(dst []byte, f string) []byte {
	dst = append(dst, byte(len(f)))
	return append(dst, f...)
}

// readField reads exactly one field.
func readField(r io.Reader) (string, error) {
	var n [1]byte
	if _, err := io.ReadFull(r, n[:]); err != nil {
		return "", cut(err)
	}
	if n[0] > maxPreambleField {
		return "", fmt.Errorf("%w: a field of %d bytes", errNotRaft, n[0])
	}
	var text [maxPreambleField]byte
	if _, err := io.ReadFull(r, text[:n[0]]); err != nil {
		return "", cut(err)
	}
	return string(text[:n[0]]), nil
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
	for _, field := range p.fields() {
		text, err := readField(r)
		if err != nil {
			return preamble{}, err
		}
		*field = text
	}
	if p.sender == "" || p.addressee == "" {
		return preamble{}, fmt.Errorf("%w: a member id is missing", errNotRaft)
	}
	if _, err := starts(p.incarnation); err != nil {
		return preamble{}, fmt.Errorf("%w: of the sender: %w", errNotRaft, err)
	}
	if _, err := starts(p.known); err != nil && p.known != "" {
		return preamble{}, fmt.Errorf("%w: of the addressee: %w", errNotRaft, err)
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

package mysql

import (
	"errors"
	"fmt"
	"time"
)

// errKilledUnderway: the server says that it ends the connection, and nothing of an answer.
var errKilledUnderway = errors.New("connection was killed")

const (
	peekFirst  = 512 // of a result's first packet: an error's message, for the most part
	peekRow    = 32  // of a row: enough for the packet that ends the rows
	maxColumns = 1<<16 - 1
)

// exchange is one command on its way to a server, and what is known of the answer.
type exchange struct {
	cmd  *command
	info *analysis
	stmt *stmt  // of the COM_STMT_ commands
	body []byte // to be sent instead of the client's bytes: whole packets
	read func(s *session, b *backend, x *exchange) error

	tries    int
	fenced   time.Time // when a server first refused it for being read-only
	inTx     bool      // it was sent inside of a transaction
	sent     bool      // bytes went out to the server
	began    bool      // the answer's first byte came in
	seq      byte      // of the latest packet of the client, or passed on to it
	results  int
	last     okInfo
	err      *MySQLError // the answer's, which ends it
	captures []string    // variables whose values are to be read from the server
}

// repeatable reports whether the command may be sent again on another connection, if there was no answer to it.
func (x *exchange) repeatable() bool {
	return !x.inTx && x.cmd.complete && x.info.repeatable() && x.tries+1 < maxTries
}

// relayResults passes on the answer to a COM_QUERY or COM_STMT_EXECUTE: one result after the other.
func relayResults(s *session, b *backend, x *exchange) error {
	for {
		h, err := b.peek(peekFirst)
		if err != nil {
			return err
		}
		x.began = true
		if h.size == 0 {
			return fmt.Errorf("%w: empty answer", errMalformed)
		}
		switch h.data[0] {
		case headOK:
			err = s.relayEnd(b, x, h, parseOK)
		case headERR:
			return s.relayERR(b, x)
		case headLocalInfile:
			if err := s.relayInfile(b, x, h); err != nil {
				return err
			}
			continue
		default:
			err = s.relayRows(b, x, h)
		}
		if err != nil || x.err != nil || x.last.status&statusMoreResults == 0 {
			return err
		}
	}
}

// step passes the packet h on.
func (s *session) step(b *backend, x *exchange, h head) (err error) {
	x.seq, err = b.skipPacket(h)
	return err
}

// relayEnd passes on the packet that ends a result, and takes note of what it says. It is only passed on if what
// it acknowledges still stands.
func (s *session) relayEnd(b *backend, x *exchange, h head, parse func([]byte) (okInfo, error)) error {
	ok, err := parse(h.data)
	if err != nil {
		return err
	}
	if s.ticket != nil && !s.ticket.Valid() {
		if err := s.mayRelay(b, ok); err != nil { // R12c
			return err
		}
	}
	if err := s.step(b, x, h); err != nil {
		return err
	}
	s.status = ok.status
	if ok.insertID != 0 {
		s.state.lastInsertID = ok.insertID
	}
	if x.info.effects != nil && !x.info.opaque && x.results < len(x.info.effects) {
		s.applyEffects(x, x.info.effects[x.results])
	}
	x.last = ok
	x.results++
	return nil
}

// relayERR passes on an ERR packet, which ends the answer. Of a connection that was killed under a command that
// can be repeated it makes a failure of the connection.
func (s *session) relayERR(b *backend, x *exchange) error {
	h, err := b.peek(peekFirst)
	if err != nil {
		return err
	}
	e, err := parseERR(h.data)
	if err != nil {
		return err
	}
	first := x.results == 0 && x.seq == x.cmd.seq
	if first && x.repeatable() && (e.Code == codeConnectionKilled || e.Code == codeServerShutdown || e.Code == codeSessionKilled) {
		x.began = false
		return fmt.Errorf("%w: %w", errKilledUnderway, e)
	}
	if first && s.waitsForFence(x, e) {
		// It was refused, not executed: the server is fenced, or not yet unfenced.
		b.passTo(nil)
		if _, err := b.skipPacket(h); err != nil {
			return err
		}
		b.settle()
		b.busy = false
		x.began = false
		return fmt.Errorf("%w: %w", errFenced, e)
	}
	x.err = e
	return s.step(b, x, h)
}

// relayRows passes on a result set, from the packet with the number of columns on.
func (s *session) relayRows(b *backend, x *exchange, h head) error {
	columns, n, err := readLenenc(h.data)
	if err != nil || columns > maxColumns || n != h.size {
		return fmt.Errorf("%w: result set that starts with % x", errMalformed, h.data[:min(len(h.data), 9)])
	}
	if err := s.step(b, x, h); err != nil {
		return err
	}
	if err := s.relayPackets(b, x, int(columns)); err != nil {
		return err
	}
	if b.caps&capDeprecateEOF == 0 {
		h, err := b.peek(peekRow)
		if err != nil {
			return err
		}
		eof, err := parseEOF(h.data)
		if err != nil {
			return err
		}
		if eof.status&statusCursorExists != 0 { // the rows are fetched later
			return s.relayEnd(b, x, h, parseEOF)
		}
		if err := s.step(b, x, h); err != nil {
			return err
		}
	}
	return relayFetched(s, b, x)
}

// relayFetched passes on rows up to the packet that ends them.
func relayFetched(s *session, b *backend, x *exchange) error {
	deprecated := b.caps&capDeprecateEOF != 0
	for {
		h, err := b.peek(peekRow)
		if err != nil {
			return err
		}
		x.began = true
		if h.size == 0 {
			return fmt.Errorf("%w: empty row", errMalformed)
		}
		switch {
		case h.data[0] == headERR:
			return s.relayERR(b, x)
		case h.data[0] == headEOF && deprecated && h.size < maxPayload:
			return s.relayEnd(b, x, h, parseOK)
		case h.data[0] == headEOF && !deprecated && h.size < 9:
			return s.relayEnd(b, x, h, parseEOF)
		}
		if err := s.step(b, x, h); err != nil {
			return err
		}
	}
}

// relayPackets passes on n packets whose content does not matter.
func (s *session) relayPackets(b *backend, x *exchange, n int) error {
	for range n {
		h, err := b.peek(0)
		if err != nil {
			return err
		}
		if err := s.step(b, x, h); err != nil {
			return err
		}
	}
	return nil
}

// relayFields passes on the answer to a COM_FIELD_LIST: columns up to an EOF.
func relayFields(s *session, b *backend, x *exchange) error { return relayFetched(s, b, x) }

// relayOne passes on an answer of one packet: OK, EOF, ERR, or the text of COM_STATISTICS.
func relayOne(s *session, b *backend, x *exchange) error {
	h, err := b.peek(peekFirst)
	if err != nil {
		return err
	}
	x.began = true
	switch {
	case h.size > 0 && h.data[0] == headERR:
		return s.relayERR(b, x)
	case h.size > 0 && h.data[0] == headOK:
		return s.relayEnd(b, x, h, parseOK)
	case h.size > 0 && h.size < 9 && h.data[0] == headEOF:
		parse := parseEOF
		if b.caps&capDeprecateEOF != 0 {
			parse = parseOK
		}
		return s.relayEnd(b, x, h, parse)
	}
	return s.step(b, x, h)
}

// relayInfile passes on a request for a local file, and the file from the client to the server: packets up to an
// empty one. What the server says about it is left for the caller to read.
func (s *session) relayInfile(b *backend, x *exchange, request head) error {
	if err := s.step(b, x, request); err != nil {
		return err
	}
	if err := b.pass(); err != nil {
		return err
	}
	s.finishCommand(x.cmd)
	c := &s.client
	c.passTo(&b.link)
	defer c.passTo(nil)
	for {
		if err := c.readWithin(s.srv.cfg.ReadTimeout); err != nil {
			return &passError{err}
		}
		h, err := c.peek(0)
		if err != nil {
			return s.clientFault(err)
		}
		if x.seq, err = s.pastPacket(h); err != nil { // R12b: each chunk, and the empty packet that ends them
			return err
		}
		if h.size == 0 {
			return swapSides(c.pass())
		}
	}
}

// swapSides turns the errors of passing bytes from the client to the server into those of the other direction:
// a failed read is the client's, a failed write the server's.
func swapSides(err error) error {
	var pass *passError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &pass):
		return pass.err
	default:
		return &passError{err}
	}
}

// applyEffects takes note of what a statement did to the session.
func (s *session) applyEffects(x *exchange, effects []effect) {
	for _, e := range effects {
		if e.kind == effCapture {
			x.captures = append(x.captures, e.key)
			continue
		}
		s.state.apply(e)
	}
}

// finishCommand steps over the client's command, if that was not done yet.
func (s *session) finishCommand(cmd *command) {
	if cmd.raw != nil && cmd.complete {
		_ = s.client.skip(len(cmd.raw)) // in the buffer: cannot fail
		cmd.raw = nil
	}
}

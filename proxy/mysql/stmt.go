package mysql

import (
	"context"
	"encoding/binary"
	"fmt"
)

// stmt is a prepared statement of the session. The client knows it by an id of the proxy's; on each server
// connection it has another, given when it is first used there.
type stmt struct {
	id      uint32
	text    []byte // nil if it was too long to keep
	info    analysis
	params  int
	epoch   uint64 // of the server connection that serverID is of; 0: none
	server  uint32 // id on that connection
	types   []byte // of the parameters, as the client last sent them: 2 bytes each
	typesOn uint64 // epoch of the connection that was last told them

	long      []longData
	longBytes int
	longOn    uint64 // epoch of the connection that has all of long
	longLost  bool   // more long data came than is kept
	cursor    bool   // rows are still to be fetched
}

// unmovable says why the statement ties the session to its connection; "" if it does not.
func (st *stmt) unmovable() string {
	switch {
	case st.cursor:
		return "it has an open cursor"
	case st.text == nil:
		return "it has a prepared statement that is too long to be kept"
	case st.longLost:
		return "it has sent more long data than is kept"
	}
	return ""
}

// stmtPrepare serves COM_STMT_PREPARE.
func (s *session) stmtPrepare(ctx context.Context, cmd *command) error {
	if len(s.stmts) >= s.srv.cfg.MaxStatements {
		return s.reject(cmd, mysqlErrorf(codeTooManyStmts, "42000",
			"Can't create more than %d prepared statements in one session", s.srv.cfg.MaxStatements))
	}
	st := &stmt{info: *s.classify(cmd)}
	if cmd.complete {
		st.text = append([]byte{}, cmd.body()...)
	}
	return s.exchange(ctx, &exchange{cmd: cmd, info: infoSession, read: func(s *session, b *backend, x *exchange) error {
		return s.relayPrepared(b, x, st)
	}})
}

// relayPrepared passes on the answer to a COM_STMT_PREPARE, with the proxy's id in it.
func (s *session) relayPrepared(b *backend, x *exchange, st *stmt) error {
	h, err := b.peek(peekFirst)
	if err != nil {
		return err
	}
	x.began = true
	if h.size > 0 && h.data[0] == headERR {
		return s.relayERR(b, x)
	}
	var columns int
	if st.params, columns, err = st.prepared(b, h); err != nil {
		return err
	}
	st.id = s.newStmtID()
	binary.LittleEndian.PutUint32(h.data[1:5], st.id)
	if err := s.step(b, x, h); err != nil {
		return err
	}
	if err := s.relayPackets(b, x, definitions(b, st.params)+definitions(b, columns)); err != nil {
		return err
	}
	if s.stmts == nil {
		s.stmts = make(map[uint32]*stmt)
	}
	s.stmts[st.id] = st
	return nil
}

// newStmtID returns an id that no prepared statement of the session has.
func (s *session) newStmtID() uint32 {
	for {
		s.lastStmt++
		if id := s.lastStmt; id != 0 && id != lastPrepared && s.stmts[id] == nil {
			return id
		}
	}
}

// prepared takes note of the id that the server gave the statement on b, and returns what else it says.
func (st *stmt) prepared(b *backend, h head) (params, columns int, err error) {
	if len(h.data) < 9 || h.data[0] != headOK {
		return 0, 0, fmt.Errorf("%w: answer to prepare of %d bytes", errMalformed, h.size)
	}
	st.epoch, st.server = b.epoch, binary.LittleEndian.Uint32(h.data[1:5])
	return int(binary.LittleEndian.Uint16(h.data[7:9])), int(binary.LittleEndian.Uint16(h.data[5:7])), nil
}

// definitions is how many packets describe n parameters or columns.
func definitions(b *backend, n int) int {
	if n > 0 && b.caps&capDeprecateEOF == 0 {
		return n + 1 // an EOF ends them
	}
	return n
}

// lastPrepared is the id that MariaDB's clients give to mean the statement prepared last.
const lastPrepared = 1<<32 - 1

// statementOf finds the statement that a COM_STMT_ command names, nil if there is none.
func (s *session) statementOf(cmd *command) *stmt {
	if len(cmd.data) < 5 {
		return nil
	}
	id := binary.LittleEndian.Uint32(cmd.data[1:5])
	if id == lastPrepared {
		id = s.lastStmt
	}
	return s.stmts[id]
}

// stmtCommand serves COM_STMT_EXECUTE, COM_STMT_FETCH and COM_STMT_RESET.
func (s *session) stmtCommand(ctx context.Context, cmd *command) error {
	st := s.statementOf(cmd)
	if st == nil {
		return s.reject(cmd, mysqlErrorf(codeUnknownStmt, stateGeneral, "Unknown prepared statement handler"))
	}
	x := &exchange{cmd: cmd, stmt: st, info: infoSession}
	switch cmd.code() {
	case comStmtFetch:
		x.read = relayFetched
	case comStmtReset:
		x.read = relayOne
		st.dropLong(s)
		if s.backend == nil || st.epoch != s.backend.epoch { // unknown to the server: nothing to reset there
			st.cursor = false
			s.finishCommand(cmd)
			return s.sendOK(cmd.seq)
		}
	default:
		x.info, x.read = &st.info, relayResults
	}
	err := s.exchange(ctx, x)
	if cmd.code() == comStmtFetch {
		st.cursor = st.cursor && x.err == nil && x.last.status&statusLastRowSent == 0
	} else {
		st.cursor = x.err == nil && x.last.status&statusCursorExists != 0
		if cmd.code() == comStmtExecute && !x.sent && st.longOn != 0 {
			s.closeOnServer(st) // the server still has the long data that the client takes for used up
		}
		st.dropLong(s)
	}
	return err
}

// closeOnServer makes the server forget a statement, which is prepared again when it is used.
func (s *session) closeOnServer(st *stmt) {
	if b := s.backend; b != nil && st.epoch == b.epoch {
		// A dead connection is noticed by the next command that needs it.
		_ = b.write(appendPacket(nil, 0, binary.LittleEndian.AppendUint32([]byte{comStmtClose}, st.server)))
	}
	st.epoch = 0
}

// dropLong forgets the long data: the server does so after each execution and reset.
func (st *stmt) dropLong(s *session) {
	s.longBytes -= st.longBytes
	st.long, st.longBytes, st.longLost, st.longOn = nil, 0, false, 0
}

// prepareExecution makes the statement known on the connection, and puts its id there into the command.
func (s *session) prepareExecution(b *backend, x *exchange) error {
	st := x.stmt
	x.body = nil // of a try on another connection
	if st.epoch != b.epoch {
		if err := s.prepareAgain(b, st); err != nil {
			return err
		}
	}
	binary.LittleEndian.PutUint32(x.cmd.data[1:5], st.server)
	if x.cmd.code() != comStmtExecute {
		return nil
	}
	if err := s.resendLong(b, st); err != nil {
		return err
	}
	layout, ok := parseExecute(x.cmd.data, st.params)
	switch {
	case !ok: // none, or not understood: the server says what is wrong with it
	case layout.bound:
		st.types = append(st.types[:0], layout.types...)
		st.typesOn = b.epoch
	case st.typesOn != b.epoch && st.types != nil:
		if !x.cmd.complete {
			// The types go into the middle, so that the lengths of all packets change: it must be here whole.
			if err := s.readWhole(x); err != nil {
				return err
			}
		}
		x.body = appendPackets(nil, insertTypes(x.cmd.data, layout, st.types))
		st.typesOn = b.epoch
	}
	return nil
}

// readWhole reads a command that is longer than the buffer out of it.
func (s *session) readWhole(x *exchange) error {
	if err := s.client.readWithin(s.srv.cfg.ReadTimeout); err != nil {
		return &passError{err}
	}
	whole, seq, err := s.client.readPayload(s.srv.cfg.MaxPacketBytes)
	if err != nil {
		return &passError{err}
	}
	x.cmd.data, x.cmd.raw, x.cmd.complete = whole, nil, true
	x.seq, x.cmd.seq = seq, seq
	return nil
}

// prepareAgain prepares a statement on a connection that does not know it. It fails with a *MySQLError if the
// server will not have it.
func (s *session) prepareAgain(b *backend, st *stmt) error {
	b.passTo(nil)
	if err := b.write(appendPackets(nil, append([]byte{comStmtPrepare}, st.text...))); err != nil {
		return fmt.Errorf("prepare again: %w", err)
	}
	h, err := b.peek(peekFirst)
	if err != nil {
		return fmt.Errorf("prepare again: %w", err)
	}
	if h.size > 0 && h.data[0] == headERR {
		e, err := parseERR(h.data)
		if err != nil {
			return err
		}
		if _, err := b.skipPacket(h); err != nil {
			return err
		}
		b.settle()
		return e
	}
	params, columns, err := st.prepared(b, h)
	if err != nil {
		return err
	}
	for n := 1 + definitions(b, params) + definitions(b, columns); n > 0; n-- {
		if h, err = b.peek(0); err != nil {
			return fmt.Errorf("prepare again: %w", err)
		}
		if _, err := b.skipPacket(h); err != nil {
			return fmt.Errorf("prepare again: %w", err)
		}
	}
	if st.params != params {
		return mysqlErrorf(codeUnknownError, stateGeneral, "prepared on another server the statement has %d parameters, and had %d", params, st.params)
	}
	s.srv.stats.reprepared.Add(1)
	return nil
}

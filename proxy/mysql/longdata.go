package mysql

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// longData is one COM_STMT_SEND_LONG_DATA.
type longData struct {
	param [2]byte
	data  []byte
}

// stmtClose serves COM_STMT_CLOSE, which has no answer.
func (s *session) stmtClose(cmd *command) error {
	if st := s.statementOf(cmd); st != nil {
		s.closeOnServer(st)
		st.dropLong(s)
		delete(s.stmts, st.id)
	}
	return s.skipCommand(cmd)
}

// stmtLongData serves COM_STMT_SEND_LONG_DATA, which has no answer: it passes the data on, and keeps it for the
// case that the statement is executed elsewhere.
func (s *session) stmtLongData(cmd *command) error {
	st := s.statementOf(cmd)
	if st == nil || len(cmd.data) < 7 {
		return s.skipCommand(cmd)
	}
	b := s.backend
	// The server may get this piece only if it has all that came before.
	forward := b != nil && st.epoch == b.epoch && (st.longOn == b.epoch || len(st.long) == 0 && !st.longLost)
	if forward {
		st.longOn = b.epoch
	} else {
		st.longOn = 0
	}
	x := &exchange{cmd: cmd, info: infoSession}
	if size := cmd.size - 7; st.longLost || cmd.size == maxPayload || s.longBytes+size > s.srv.cfg.MaxLongDataBytes {
		st.longLost = true
		if !forward {
			return s.skipCommand(cmd)
		}
	} else if err := s.keepLong(st, x); err != nil {
		return err
	}
	if !forward {
		return s.skipCommand(cmd)
	}
	binary.LittleEndian.PutUint32(cmd.data[1:5], st.server)
	return s.forwardLong(b, x)
}

// keepLong keeps a copy of the data. A command longer than the buffer is read whole for it.
func (s *session) keepLong(st *stmt, x *exchange) error {
	if !x.cmd.complete {
		if err := s.readWhole(x); err != nil {
			return fmt.Errorf("read long data: %w", err)
		}
	}
	payload := x.cmd.data
	d := longData{param: [2]byte{payload[5], payload[6]}, data: append([]byte{}, payload[7:]...)}
	st.long = append(st.long, d)
	st.longBytes += len(d.data)
	s.longBytes += len(d.data)
	return nil
}

// forwardLong sends the data on. If that fails outside of a transaction it is sent again when the statement is
// executed.
func (s *session) forwardLong(b *backend, x *exchange) error {
	err := s.sendCommand(b, x)
	if err == nil {
		s.finishCommand(x.cmd)
		return nil
	}
	var pass *passError
	if errors.As(err, &pass) {
		return fmt.Errorf("client: %w", pass.err)
	}
	inTx, whole := s.inTransaction(), x.cmd.complete
	if lost := s.lost(inTx, err); lost != nil || !whole {
		return fmt.Errorf("%w: %w", errSessionOver, err)
	}
	s.finishCommand(x.cmd)
	return nil
}

// resendLong sends a statement's long data to a connection that does not have it.
func (s *session) resendLong(b *backend, st *stmt) error {
	if st.longOn == b.epoch || len(st.long) == 0 && !st.longLost {
		return nil
	}
	if st.longLost {
		return mysqlErrorf(codePacketTooLarge, stateConnectionFailure,
			"more than %d bytes of long data were sent while the statement had no server to keep them", s.srv.cfg.MaxLongDataBytes)
	}
	for _, d := range st.long {
		payload := binary.LittleEndian.AppendUint32([]byte{comStmtSendLongData}, st.server)
		payload = append(payload, d.param[0], d.param[1])
		if err := b.write(appendPackets(nil, append(payload, d.data...))); err != nil {
			return fmt.Errorf("send long data again: %w", err)
		}
	}
	st.longOn = b.epoch
	return nil
}

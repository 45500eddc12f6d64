package mysql

import (
	"context"
	"encoding/binary"
	"fmt"
)

// dispatch serves one command.
func (s *session) dispatch(ctx context.Context, cmd command) error {
	c := &cmd
	switch code := c.code(); code {
	case comQuit:
		return errSessionOver
	case comQuery:
		return s.query(ctx, c)
	case comStmtPrepare:
		return s.stmtPrepare(ctx, c)
	case comStmtExecute, comStmtFetch, comStmtReset:
		return s.stmtCommand(ctx, c)
	case comStmtSendLongData:
		return s.stmtLongData(c)
	case comStmtClose:
		return s.stmtClose(c)
	case comPing:
		return s.ping(c)
	case comInitDB:
		use := &analysis{class: classSession, count: 1, effects: [][]effect{{{kind: effUse, key: string(c.body())}}}}
		return s.exchange(ctx, &exchange{cmd: c, info: use, read: relayOne})
	case comFieldList:
		return s.exchange(ctx, &exchange{cmd: c, info: infoRead, read: relayFields})
	case comProcessInfo:
		return s.exchange(ctx, &exchange{cmd: c, info: infoRead, read: relayResults})
	case comStatistics:
		return s.exchange(ctx, &exchange{cmd: c, info: infoSession, read: relayOne})
	case comDebug:
		return s.exchange(ctx, &exchange{cmd: c, info: infoRead, read: relayOne})
	case comCreateDB, comDropDB, comRefresh:
		return s.exchange(ctx, &exchange{cmd: c, info: infoWrite, read: relayOne})
	case comSetOption:
		return s.setOption(ctx, c)
	case comResetConnection:
		return s.resetConnection(ctx, c)
	case comChangeUser:
		return s.changeUser(ctx, c)
	case comProcessKill:
		return s.processKill(ctx, c)
	case comBinlogDump, comTableDump, comConnectOut, comRegisterSlave, comBinlogDumpGTID:
		return s.reject(c, mysqlErrorf(codeUnknownCommand, stateConnectionFailure,
			"Replication does not go through the proxy: connect to the server itself"))
	case comShutdown:
		return s.reject(c, mysqlErrorf(codeUnknownCommand, stateConnectionFailure,
			"The proxy does not shut servers down: connect to the server itself"))
	default:
		return s.reject(c, mysqlErrorf(codeUnknownCommand, stateConnectionFailure, "Unknown command %#02x", code))
	}
}

// classify looks at the text of a COM_QUERY or COM_STMT_PREPARE.
func (s *session) classify(cmd *command) *analysis {
	return classify(cmd.body(), s.status&statusNoBackslashEscapes != 0, !cmd.complete, s.srv.pure)
}

// query serves COM_QUERY.
func (s *session) query(ctx context.Context, cmd *command) error {
	info := s.classify(cmd)
	if k := info.kill; k != nil && isProxyID(k.id) {
		return s.kill(ctx, cmd, uint32(k.id), k.query)
	}
	return s.exchange(ctx, &exchange{cmd: cmd, info: info, read: relayResults})
}

// ping serves COM_PING. The proxy answers itself, so that a switch or an unreachable server does not make pools
// throw their connections away; but a session that has lost what it cannot do without is told so.
func (s *session) ping(cmd *command) error {
	if b := s.backend; b != nil && !quiet(b.nc) {
		inTx, reason := s.inTransaction(), s.unmovable()
		s.loseBackend()
		s.release()
		switch {
		case inTx:
			return s.fatal(cmd, errTransactionLost(s.group.Name, "the server closed the connection"))
		case reason != "":
			return s.fatal(cmd, errUnmovable(s.group.Name, reason))
		}
	}
	if err := s.skipCommand(cmd); err != nil {
		return err
	}
	return s.sendOK(cmd.seq)
}

// fatal answers a command with an error and ends the session.
func (s *session) fatal(cmd *command, e *MySQLError) error {
	if err := s.reject(cmd, e); err != nil {
		return err
	}
	return fmt.Errorf("%w: %w", errSessionOver, e)
}

// setOption serves COM_SET_OPTION, which turns multiple statements on (0) and off (1).
func (s *session) setOption(ctx context.Context, cmd *command) error {
	x := &exchange{cmd: cmd, info: infoSession, read: relayOne}
	option := cmd.body()
	if len(option) >= 2 {
		option = option[:2:2]
	} else {
		option = []byte{0xff, 0xff} // the server says what is wrong
	}
	which := binary.LittleEndian.Uint16(option)
	err := s.exchange(ctx, x)
	if err == nil && x.err == nil && x.sent {
		switch which { // so that the next server connection is opened with it
		case 0:
			s.caps |= capMultiStmts
		case 1:
			s.caps &^= capMultiStmts
		}
	}
	return err
}

// resetConnection serves COM_RESET_CONNECTION: the session is as after login, with the current database.
func (s *session) resetConnection(ctx context.Context, cmd *command) error {
	usable := s.backend != nil && quiet(s.backend.nc)
	if usable && !s.inTransaction() {
		if primary, _, known := s.group.Gate.Current(); !known || !s.backend.primary.Same(primary) {
			usable = false
		}
	}
	if usable {
		x := &exchange{cmd: cmd, info: infoSession, read: relayOne}
		err := s.perform(s.backend, x)
		if err == nil && x.err == nil {
			s.state.reset()
			s.stmts, s.longBytes = nil, 0
			return s.concluded(s.backend, x)
		}
		if err == nil || x.began {
			s.loseBackend()
			return fmt.Errorf("%w: reset of the connection failed: %v %v", errSessionOver, err, x.err)
		}
	}
	// There is no server connection, or none that is to be kept: a new one is as good as a reset one.
	s.forget()
	if err := s.skipCommand(cmd); err != nil {
		return err
	}
	return s.sendOK(cmd.seq)
}

// forget drops the server connection and all session state but the current database.
func (s *session) forget() {
	s.leaveBackend()
	s.release()
	s.dropNext()
	s.state.reset()
	s.stmts, s.longBytes = nil, 0
	s.connected = false
	s.status = statusAutocommit
}

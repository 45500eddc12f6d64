package mysql

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"time"
)

// proxyIDs is the bit that is set in the connection ids that the proxy tells its clients, and that is not set in
// those of a server in any foreseeable time. So a KILL can tell which of the two it is given.
const proxyIDs = 1 << 31

func isProxyID(id uint64) bool { return id&proxyIDs != 0 && id < 1<<32 }

// processKill serves COM_PROCESS_KILL.
func (s *session) processKill(ctx context.Context, cmd *command) error {
	if len(cmd.data) >= 5 {
		if id := binary.LittleEndian.Uint32(cmd.data[1:5]); isProxyID(uint64(id)) {
			return s.kill(ctx, cmd, id, false)
		}
	}
	return s.exchange(ctx, &exchange{cmd: cmd, info: infoSession, read: relayOne})
}

// kill serves a KILL of one of the proxy's own connections: it kills the server connection that this one uses
// now, with the rights of the user who asks, and answers what the server answers. A connection that uses none, or
// that is held, is the proxy's to kill, for its own user.
func (s *session) kill(ctx context.Context, cmd *command, id uint32, query bool) error {
	if err := s.skipCommand(cmd); err != nil {
		return err
	}
	if id == s.id { // as a server does when a connection kills itself
		e := mysqlErrorf(codeQueryInterrupted, "70100", "Query execution was interrupted")
		if query {
			return s.sendError(cmd.seq, e)
		}
		return s.fatal(cmd, e)
	}
	if e := s.srv.killSession(ctx, s, id, query); e != nil {
		return s.sendError(cmd.seq, e)
	}
	return s.sendOK(cmd.seq)
}

// killSession kills the session with the given id, or what it does now, for by.
func (srv *Server) killSession(ctx context.Context, by *session, id uint32, query bool) *MySQLError {
	target := srv.session(id)
	if target == nil {
		return mysqlErrorf(codeNoSuchThread, stateGeneral, "Unknown thread id: %d", id)
	}
	target.mu.Lock()
	owner := target.user.Name
	held := target.wait
	var address string
	var threadID uint32
	if b := target.backend; b != nil && held == nil {
		address, threadID = b.primary.Address, b.threadID
	}
	if address == "" && owner == by.user.Name && query && held != nil {
		held(errQueryKilled)
	}
	target.mu.Unlock()

	if address != "" {
		if e := srv.killThread(ctx, by, address, threadID, query); e != nil {
			return e
		}
	} else if owner != by.user.Name {
		return mysqlErrorf(codeNotOwner, stateGeneral, "You are not owner of thread %d", id)
	}
	if !query {
		target.end(stopKilled)
	}
	return nil
}

// killThread sends a KILL to a server on a connection of its own.
func (srv *Server) killThread(ctx context.Context, by *session, address string, threadID uint32, query bool) *MySQLError {
	p := by.loginParams()
	p.database, p.attrs, p.caps = "", nil, 0
	nc, _, err := srv.cfg.Dialer.dial(ctx, address, p)
	if err != nil {
		return killError(err)
	}
	l := link{nc: nc, writeTimeout: srv.cfg.WriteTimeout}
	defer l.close()
	if err := l.readWithin(srv.cfg.Dialer.withDefaults().Timeout); err != nil {
		return killError(err)
	}
	verb := "KILL "
	if query {
		verb = "KILL QUERY "
	}
	if err := l.write(appendPacket(nil, 0, fmt.Appendf([]byte{comQuery}, "%s%d", verb, threadID))); err != nil {
		return killError(err)
	}
	payload, _, err := l.readPayload(maxLoginPacket)
	if err != nil {
		return killError(err)
	}
	if len(payload) > 0 && payload[0] == headERR {
		e, err := parseERR(payload)
		if err != nil {
			return killError(err)
		}
		return e
	}
	_ = l.nc.SetWriteDeadline(time.Now().Add(time.Second))
	_ = l.write([]byte{1, 0, 0, 0, comQuit}) // a courtesy: the server logs no aborted connection
	return nil
}

func killError(err error) *MySQLError {
	var e *MySQLError
	if errors.As(err, &e) {
		return e
	}
	return mysqlErrorf(codeUnknownError, stateGeneral, "KILL could not be passed to the server: %v", err)
}

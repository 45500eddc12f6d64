package mysql

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/zerokeeper/zero/proxy/gate"
)

// maxTries bounds how often a command is started anew because its connection turned out to be dead.
const maxTries = 3

var past = time.Unix(1, 0)

// soon is the deadline for telling a client that its session ends now.
func soon() time.Time { return time.Now().Add(time.Second) }

// exchange sends a command to the server and its answer to the client. It returns an error when the session is
// over.
func (s *session) exchange(ctx context.Context, x *exchange) error {
	for {
		b, err := s.admit(ctx, x)
		if err != nil {
			return s.refuse(x, err)
		}
		x.inTx = s.inTransaction()
		if err = s.perform(b, x); err == nil {
			return s.concluded(b, x)
		}
		again, err := s.failed(b, x, err)
		if !again {
			return err
		}
	}
}

// perform sends the command and passes the answer on.
func (s *session) perform(b *backend, x *exchange) error {
	if err := b.readWithin(s.srv.cfg.AnswerTimeout); err != nil {
		return err
	}
	if err := s.sendCommand(b, x); err != nil {
		return err
	}
	b.busy = true
	b.passTo(&s.client)
	if err := x.read(s, b, x); err != nil {
		return err
	}
	if err := b.pass(); err != nil {
		return err
	}
	b.passTo(nil)
	b.settle()
	b.busy = false
	return nil
}

// sendCommand sends the client's bytes, or what stands for them.
func (s *session) sendCommand(b *backend, x *exchange) error {
	x.seq = x.cmd.seq
	if err := s.maySend(); err != nil { // R12b: COMMIT too
		return err
	}
	b.busy = true
	err := s.sendBytes(b, x)
	b.busy = err != nil
	return err
}

func (s *session) sendBytes(b *backend, x *exchange) error {
	if x.stmt != nil {
		if err := s.prepareExecution(b, x); err != nil {
			return err
		}
	}
	switch {
	case x.body != nil:
		return s.send(b, x, x.body)
	case x.cmd.complete && x.cmd.raw != nil:
		return s.send(b, x, x.cmd.raw)
	case x.cmd.complete: // it was read out of the buffer, whole
		return s.send(b, x, appendPackets(nil, x.cmd.data))
	}
	// The rest of a long command is still to come: what is there goes on, and the rest after it.
	x.sent = true
	c := &s.client
	if err := c.readWithin(s.srv.cfg.ReadTimeout); err != nil {
		return &passError{err}
	}
	c.passTo(&b.link)
	x.cmd.raw = nil
	seq, err := s.pastPacket(x.cmd.head)
	if err == nil {
		err = swapSides(c.pass())
	}
	c.passTo(nil)
	x.seq = seq
	return err
}

// send writes to the server and takes note if anything went out.
func (s *session) send(b *backend, x *exchange, p []byte) error {
	before := b.written
	for {
		n := min(len(p), headerSize+maxPayload)
		err := b.write(p[:n])
		x.sent = b.written > before
		if p = p[n:]; err != nil || len(p) == 0 {
			return err
		}
		if err := s.maySend(); err != nil { // R12b
			return err
		}
	}
}

// concluded does what is due after a complete answer.
func (s *session) concluded(b *backend, x *exchange) error {
	s.finishCommand(x.cmd)
	s.srv.stats.queries.Add(1)
	if x.err != nil {
		s.srv.stats.errors.Add(1)
		if s.ticket != nil && (x.inTx || !s.autocommit() || !x.info.settled()) {
			// An ERR packet does not say whether a transaction is open now.
			if err := s.learnStatus(b); err != nil {
				return s.lost(x.inTx, err)
			}
		}
	} else if x.info.opaque {
		for _, effects := range x.info.effects {
			s.applyEffects(x, effects)
		}
	}
	if x.info.class > classSession && s.state.oneShot != "" {
		s.state.oneShot = ""
	}
	if len(x.captures) > 0 {
		if err := s.capture(b, x.captures); err != nil {
			return s.lost(x.inTx, err)
		}
	}
	if s.status&statusDBDropped != 0 {
		s.state.db = ""
	}
	if x.info.class == classBegin && x.err == nil {
		s.state.tableLocks = false // BEGIN unlocks tables
	}
	return s.settleTicket(b)
}

// settleTicket gives the ticket back once no transaction is open, and makes sure that there is one while one is.
func (s *session) settleTicket(b *backend) error {
	switch in := s.inTransaction(); {
	case !in:
		s.release()
	case s.ticket == nil:
		// A statement that seemed to open no transaction did. It counts from now on, unless a switch has begun.
		t, ok := s.group.Gate.TryAcquire()
		if !ok || !t.Primary().Same(b.primary) {
			if ok {
				t.Release()
			}
			s.loseBackend()
			return fmt.Errorf("%w: a transaction was opened by a statement that reads, during a switch", errSessionOver)
		}
		s.take(t)
	}
	return nil
}

// learnStatus asks the server whether a transaction is open.
func (s *session) learnStatus(b *backend) error {
	if err := b.readWithin(s.srv.cfg.ReadTimeout); err != nil {
		return err
	}
	if err := b.write([]byte{1, 0, 0, 0, comPing}); err != nil {
		return fmt.Errorf("ask for status: %w", err)
	}
	payload, _, err := b.readPayload(maxLoginPacket)
	if err != nil {
		return fmt.Errorf("read status: %w", err)
	}
	b.settle()
	ok, err := parseOK(payload)
	if err != nil {
		return fmt.Errorf("read status: %w", err)
	}
	s.status = ok.status
	return nil
}

// lost is the end of a server connection after an answer was complete. Outside of a transaction the session goes
// on with a new one; inside, the client has to notice.
func (s *session) lost(inTx bool, err error) error {
	s.loseBackend()
	s.release()
	if inTx {
		return fmt.Errorf("server connection ended inside a transaction: %w", err)
	}
	return nil
}

// failed decides what becomes of a command whose exchange failed with err: it reports whether to try again, and if
// not, with which error the session ends.
func (s *session) failed(b *backend, x *exchange, err error) (again bool, _ error) {
	var pass *passError
	if errors.As(err, &pass) {
		return false, fmt.Errorf("client: %w", pass.err)
	}
	var refused *MySQLError
	if errors.As(err, &refused) && !x.sent {
		// Restoring a prepared statement on a new connection failed: that is the answer.
		s.finishCommand(x.cmd)
		return false, errors.Join(s.settleTicket(b), s.sendError(x.seq, refused))
	}
	if errors.Is(err, errFenced) {
		return s.afterFence(x)
	}
	stopped := s.stopped()
	if errors.Is(err, errLeaseOver) && !x.sent && !x.inTx && x.tries+1 < maxTries {
		// Nothing of it went out, and the connection is as it was: it waits for the next lease.
		x.tries++
		s.release()
		return true, nil
	}
	split := b.split || b.pass() != nil
	s.mu.Lock()
	lapsed := s.lapsed
	s.mu.Unlock()
	s.loseBackend()
	defer s.release()
	s.log.Debug("server connection failed", "address", b.primary.Address, "sent", x.sent, "began", x.began,
		"in_transaction", x.inTx, "error", err)
	retry := (stopped == stopNone || stopped == stopDrain) &&
		(!x.sent && !x.inTx && x.tries+1 < maxTries || !x.began && x.repeatable())
	if retry {
		x.tries++
		s.release()
		x.sent, x.began, x.results, x.captures = false, false, 0, nil
		s.srv.stats.retries.Add(1)
		return true, nil
	}
	if split {
		return false, fmt.Errorf("server connection failed in the middle of a packet: %w", err)
	}
	why := failureReason(err, stopped, lapsed)
	var e *MySQLError
	switch {
	case !x.sent && !x.inTx:
		e = errUnreachable(s.group.Name, err)
	case x.inTx && (!x.sent || x.info.class < classWrite && !x.endsTransaction()):
		e = errTransactionLost(s.group.Name, why)
	case x.info.class <= classRead && !x.inTx:
		e = errReadLost(s.group.Name, why)
	default:
		e = errOutcomeUnknown(s.group.Name, why)
		s.srv.stats.unknown.Add(1)
	}
	if werr := s.sendError(x.seq, e); werr != nil {
		return false, fmt.Errorf("client: %w", werr)
	}
	return false, fmt.Errorf("%w: %w", errSessionOver, err)
}

// endsTransaction reports whether the command may end the transaction that it was sent in, as far as can be told:
// COMMIT is of the class of statements that change the session.
func (x *exchange) endsTransaction() bool {
	return x.info != infoSession && (x.info.class == classSession || x.info.class == classBegin)
}

// failureReason says in few words why a server connection ended.
func failureReason(err error, stopped stopReason, lapsed error) string {
	var timeout net.Error
	switch {
	case stopped != stopNone && stopped != stopDrain:
		return stopped.String()
	case lapsed != nil:
		return lapseReason(lapsed)
	case errors.Is(err, errLeaseOver):
		return errLeaseOver.Error()
	case errors.Is(err, errInvalidTicket):
		return err.Error()
	case errors.As(err, &timeout) && timeout.Timeout():
		return "the server did not answer in time"
	}
	return "the server closed the connection"
}

// refuse answers a command that was not sent.
func (s *session) refuse(x *exchange, err error) error {
	if serr := s.skipCommand(x.cmd); serr != nil {
		return serr
	}
	x.seq = x.cmd.seq
	var e *MySQLError
	var over bool
	switch {
	case errors.As(err, &e):
		over = true // the server will not have this session, or the session cannot be moved
	case errors.Is(err, errStopped):
		e, over = mysqlErrorf(codeServerShutdown, stateConnectionFailure, "Server shutdown in progress"), true
	case errors.Is(err, errQueryKilled):
		e = mysqlErrorf(codeQueryInterrupted, "70100", "Query execution was interrupted")
	case errors.Is(err, gate.ErrHoldTimeout), errors.Is(err, gate.ErrHoldFull), errors.Is(err, errNoPrimary):
		e = errNotWritable(s.group.Name, err)
		s.srv.stats.heldOut.Add(1)
	case errors.Is(err, errGroupUnknown):
		e = errNoGroup(s.user.HostGroup)
	case errors.Is(err, errClientGone):
		return err
	default:
		e = errUnreachable(s.group.Name, err)
	}
	if x.read == nil { // no answer is expected
		e = nil
	}
	if e != nil {
		if werr := s.sendError(x.seq, e); werr != nil {
			return fmt.Errorf("client: %w", werr)
		}
	}
	if over {
		return fmt.Errorf("%w: %w", errSessionOver, err)
	}
	return nil
}

// reject answers a command with an error of the proxy's own. The session goes on.
func (s *session) reject(cmd *command, e *MySQLError) error {
	if err := s.skipCommand(cmd); err != nil {
		return err
	}
	if err := s.sendError(cmd.seq, e); err != nil {
		return fmt.Errorf("client: %w", err)
	}
	return nil
}

// skipCommand steps over a command, reading what of it is not in the buffer.
func (s *session) skipCommand(cmd *command) error {
	if cmd.raw == nil {
		return nil
	}
	if !cmd.complete {
		if err := s.client.readWithin(s.srv.cfg.ReadTimeout); err != nil {
			return err
		}
	}
	cmd.raw = nil
	seq, err := s.client.skipPacket(cmd.head)
	cmd.seq = seq
	if err != nil {
		return fmt.Errorf("read command: %w", err)
	}
	return nil
}

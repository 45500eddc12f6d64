package mysql

import (
	"errors"
	"fmt"
	"time"

	"github.com/zerokeeper/zero/proxy/gate"
)

// answerGrace is the time that an answer has, of which bytes were there when the lease ended, to come in to its end. It
// is kept then (R12c), rather than lost.
const answerGrace = 100 * time.Millisecond

var (
	// errInvalidTicket: an answer came, but meanwhile the gate names another primary: it must not be believed.
	errInvalidTicket = errors.New("the primary was replaced while the statement ran")
	errLeaseOver     = errors.New("the proxy's lease ended")
	errServerGone    = errors.New("the server closed the connection")
)

// maySend is asked before each packet to the primary that belongs to a write or a transaction: its ticket must be valid
// (R12b).
func (s *session) maySend() error {
	// R12b: the lease lives and the primary is the one that the ticket is for.
	if s.ticket == nil || s.ticket.Valid() {
		return nil
	}
	return whyInvalid(s.ticket)
}

func whyInvalid(t *gate.Ticket) error {
	if t.Current() {
		return errLeaseOver
	}
	return errInvalidTicket
}

// mayRelay is asked when an OK was read, before it is relayed (R12c). What acknowledges a write, or a COMMIT, is kept
// while there is no lease: a new one of the same primary lets it go. What leaves a transaction open is not: that ends
// with the lease (R12d).
func (s *session) mayRelay(b *backend, ok okInfo) error {
	if s.ticket == nil || s.ticket.Valid() || !leases {
		return nil
	}
	if err := whyInvalid(s.ticket); err != errLeaseOver {
		return err
	}
	if ok.status&statusInTrans != 0 || s.state.tableLocks || s.state.globalLock {
		return errLeaseOver
	}
	// R12c: neither relayed nor given up yet.
	s.keeping(true) // before it waits: the lease's end leaves alone what is kept
	defer s.keeping(false)
	ctx, done, err := s.waiting(s.srv.ctx)
	if err != nil {
		return errLeaseOver
	}
	defer done()
	s.srv.stats.kept.Add(1)
	switch err := s.ticket.Await(ctx); {
	case errors.Is(err, gate.ErrReplaced):
		return errInvalidTicket
	case err != nil:
		return fmt.Errorf("%w: %w", errLeaseOver, err)
	}
	// Deadlines that the lease's end has set are over.
	b.readBy, s.client.readBy, s.client.writeBy = time.Time{}, time.Time{}, time.Time{}
	return nil
}

func (s *session) keeping(on bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.kept = on
}

// TicketEnded is called by the gate when what the session has in flight has to end: with the lease (R12d), with the
// reign of the primary that it was sent to, or because it is severed.
func (s *session) TicketEnded(t *gate.Ticket, why error) {
	if !leases && errors.Is(why, gate.ErrLeaseOver) {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ticket == t {
		s.giveUp(why)
	}
}

// giveUp closes the server connection under what is in flight. The session's goroutine notices, tells the client and
// releases the ticket. An answer that is here, or on its way in, is given the chance to be kept. mu is held.
func (s *session) giveUp(why error) {
	over := errors.Is(why, gate.ErrLeaseOver)
	if s.kept && over {
		return // complete: a new lease lets it go
	}
	s.lapsed = why
	if s.wait != nil { // for a connection, or with a kept answer
		s.wait(why)
	}
	if s.backend == nil {
		return
	}
	switch nc := s.backend.nc; { // R12d: nothing of it goes on at the server
	case !s.idle && over && peekSocket(nc) == peekData:
		_ = nc.SetReadDeadline(time.Now().Add(answerGrace))
	default:
		_ = nc.Close()
	}
	_ = s.client.nc.SetReadDeadline(past) // it may be waited for: an idle transaction, a file that is being sent
	if !s.idle {
		_ = s.client.nc.SetWriteDeadline(soon())
	}
}

// abandon notices, between two commands, that the transaction was given up. The client is told at its next command.
func (s *session) abandon() {
	s.mu.Lock()
	why := s.lapsed
	s.mu.Unlock()
	if why == nil {
		return
	}
	s.loseBackend()
	s.release()
	s.aborted = errTransactionLost(s.group.Name, lapseReason(why))
}

// tellAborted answers a command of a session whose transaction was given up.
func (s *session) tellAborted(cmd *command) error {
	switch cmd.code() {
	case comQuit:
		return errSessionOver
	case comStmtClose, comStmtSendLongData: // have no answer
		return s.skipCommand(cmd)
	}
	return s.fatal(cmd, s.aborted)
}

func lapseReason(why error) string {
	switch {
	case errors.Is(why, gate.ErrLeaseOver):
		return errLeaseOver.Error()
	case errors.Is(why, gate.ErrReplaced):
		return errInvalidTicket.Error()
	case errors.Is(why, gate.ErrSevered):
		return stopSevered.String()
	}
	return why.Error()
}

// pastPacket passes on, or drops, a client's packet and those that continue it, asking before each whether it may be
// sent.
func (s *session) pastPacket(h head) (seq byte, err error) {
	c := &s.client
	for {
		if err := s.maySend(); err != nil {
			return h.seq, err
		}
		if err := c.skip(headerSize + h.size); err != nil {
			return h.seq, s.clientFault(err)
		}
		if h.size < maxPayload {
			return h.seq, nil
		}
		if h, err = c.peek(0); err != nil {
			return h.seq, s.clientFault(err)
		}
	}
}

// clientFault makes of an error of passing the client's bytes on one of the other direction, or the reason for which
// the client was not waited for any more.
func (s *session) clientFault(err error) error {
	s.mu.Lock()
	why := s.lapsed
	s.mu.Unlock()
	if why != nil {
		return fmt.Errorf("%w: %v", errLeaseOver, why)
	}
	return swapSides(err)
}

package mysql

import (
	"context"
	"errors"
	"time"

	"github.com/zerokeeper/zero/proxy/gate"
	"github.com/zerokeeper/zero/transport/lease"
)

var (
	errNoPrimary    = errors.New("it has no writable datasource yet")
	errGroupUnknown = errors.New("unknown host group")
	errClientGone   = errors.New("client has gone while its statement was held")
)

// Waiting for a server that cannot be reached: between two tries at most so long, and at first so little.
const (
	retryMin = 20 * time.Millisecond
	retryMax = 500 * time.Millisecond
)

// admit gets what the command needs before it may be sent: a ticket, if it may write or open a transaction, and a
// connection to the right server. It waits for the gate, and, as nothing was sent yet, for a server that cannot be
// reached.
func (s *session) admit(ctx context.Context, x *exchange) (*backend, error) {
	x.seq = x.cmd.seq
	if s.inTransaction() {
		if s.backend == nil {
			return nil, errTransactionLost(s.group.Name, "the server connection ended")
		}
		if s.ticket != nil && !s.ticket.Valid() {
			why := whyInvalid(s.ticket)
			s.loseBackend() // R12d
			s.release()
			return nil, errTransactionLost(s.group.Name, why.Error())
		}
		return s.backend, nil
	}
	var giveUp time.Time
	pause := retryMin
	for {
		b, err := s.tryAdmit(ctx, x)
		if err == nil {
			return b, nil
		}
		s.release()
		if !worthWaiting(err) {
			return nil, err
		}
		now := time.Now()
		if giveUp.IsZero() {
			giveUp = now.Add(s.backendWait())
		}
		if now.After(giveUp) {
			return nil, err
		}
		if werr := s.pause(ctx, pause); werr != nil {
			return nil, werr
		}
		pause = min(2*pause, retryMax)
	}
}

// tryAdmit is one try of admit. On failure a ticket may have been taken.
func (s *session) tryAdmit(ctx context.Context, x *exchange) (*backend, error) {
	group, ok := s.srv.cfg.Directory.LookupGroup(s.user.HostGroup)
	if !ok {
		return nil, errGroupUnknown
	}
	s.group = group
	primary, _, known := group.Gate.Current()
	if x.info.needsTicket(!s.connected || s.autocommit()) {
		t, err := s.acquire(ctx, len(x.cmd.raw))
		if err != nil {
			return nil, err
		}
		s.take(t)
		primary, known = t.Primary(), true
	}
	if !known {
		return nil, errNoPrimary
	}
	return s.connectionWhile(ctx, primary, s.ticket != nil)
}

// backendWait is how long a statement of which nothing was sent waits for a primary that cannot be reached.
func (s *session) backendWait() time.Duration {
	if d := s.srv.cfg.BackendWait; d > 0 {
		return d
	}
	return s.group.Gate.HoldTimeout()
}

// worthWaiting reports whether what stands in the way of a command may soon be gone.
func worthWaiting(err error) bool {
	var e *MySQLError
	switch {
	case errors.As(err, &e):
		return e.Code == codeConCount || e.Code == codeServerShutdown
	case errors.Is(err, gate.ErrHoldTimeout), errors.Is(err, gate.ErrHoldFull), errors.Is(err, errStopped),
		errors.Is(err, errQueryKilled), errors.Is(err, errClientGone), errors.Is(err, errUnsupported),
		errors.Is(err, errGroupUnknown):
		return false
	}
	return true // the network, a gate that was replaced, no primary yet
}

// acquire takes a ticket, waiting for the gate if it is held.
func (s *session) acquire(ctx context.Context, size int) (*gate.Ticket, error) {
	if t, ok := s.group.Gate.TryAcquire(); ok {
		return t, nil
	}
	ctx, done, err := s.waiting(ctx)
	if err != nil {
		return nil, err
	}
	defer done()
	s.srv.stats.held.Add(1)
	defer s.srv.stats.held.Add(-1)
	t, err := s.group.Gate.AcquireNotify(ctx, size, func(p gate.Primary) { s.prewarm(ctx, p) })
	if err != nil {
		return nil, err
	}
	if gone(s.client.nc) {
		t.Release()
		return nil, errClientGone // nobody waits for the outcome any more, and nothing was sent
	}
	return t, nil
}

// waiting registers a wait that others can end: KILL, a shutdown. done must be called after it.
func (s *session) waiting(ctx context.Context) (_ context.Context, done func(), _ error) {
	ctx, cancel := context.WithCancelCause(ctx)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stop != stopNone {
		cancel(nil)
		return nil, nil, errStopped
	}
	s.wait = cancel
	return ctx, func() {
		s.mu.Lock()
		s.wait = nil
		s.mu.Unlock()
		cancel(nil)
	}, nil
}

// pause waits before the next try to reach a server: for a while, or until the gate changes.
func (s *session) pause(ctx context.Context, d time.Duration) error {
	ctx, done, err := s.waiting(ctx)
	if err != nil {
		return err
	}
	defer done()
	var changed <-chan struct{}
	if s.group.Gate != nil {
		changed = s.group.Gate.Changed()
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-changed:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	return nil
}

// connection returns the session's connection to the primary, opening one, or moving the session, if need be.
func (s *session) connection(ctx context.Context, primary gate.Primary) (*backend, error) {
	if s.next != nil && !s.next.primary.Same(primary) { // the switch that it was opened for was rolled back
		s.dropNext()
	}
	if b := s.backend; b != nil && b.primary.Same(primary) {
		if quiet(b.nc) {
			return b, nil
		}
		s.loseBackend() // closed by the server while the session was idle
	}
	if s.connected {
		if reason := s.unmovable(); reason != "" {
			s.loseBackend()
			return nil, errUnmovable(s.group.Name, reason)
		}
	}
	b := s.next
	s.next = nil
	if b != nil && !quiet(b.nc) {
		b.close()
		b = nil
	}
	if b == nil {
		var err error
		if b, err = s.open(ctx, primary); err != nil {
			return nil, err
		}
	}
	if s.backend != nil {
		s.leaveBackend()
		s.srv.stats.moves.Add(1)
	}
	if !s.setBackend(b) {
		return nil, errStopped
	}
	s.srv.stats.backends.Add(1)
	if !s.connected {
		s.connected, s.status = true, b.status
	}
	return b, nil
}

// prewarm opens a connection to the primary while the session is held, so that it need not be opened when the gate
// is. A failure does not matter: it is tried again when the connection is needed.
func (s *session) prewarm(ctx context.Context, primary gate.Primary) {
	if s.backend != nil && s.backend.primary.Same(primary) || s.unmovable() != "" {
		return
	}
	if s.next != nil && s.next.primary.Same(primary) {
		return
	}
	s.dropNext()
	ctx, cancel := context.WithTimeout(ctx, s.srv.cfg.Dialer.Timeout) // the queue of those who connect included
	defer cancel()
	ctx, stop := s.whileNamed(ctx, primary, false)
	defer stop()
	b, err := s.open(ctx, primary)
	if err != nil {
		s.log.Debug("cannot connect ahead of the switch", "address", primary.Address, "error", err)
		return
	}
	s.next = b
}

// unmovable says why the session cannot go on on another connection; "" if it can.
func (s *session) unmovable() string {
	if reason := s.state.unmovable(); reason != "" {
		return reason
	}
	for _, st := range s.stmts {
		if reason := st.unmovable(); reason != "" {
			return reason
		}
	}
	return ""
}

// open connects to a server, logs in and gives the connection the session's state.
func (s *session) open(ctx context.Context, primary gate.Primary) (*backend, error) {
	release, err := s.srv.dialSlot(ctx, primary.Address, s.backendWait())
	if err != nil {
		return nil, err
	}
	defer release()
	nc, res, err := s.srv.cfg.Dialer.dial(ctx, primary.Address, s.loginParams())
	if err != nil {
		return nil, err
	}
	s.epochs++
	b := &backend{
		link:     link{nc: nc, writeTimeout: s.srv.cfg.WriteTimeout},
		primary:  primary,
		threadID: res.threadID,
		epoch:    s.epochs,
		caps:     res.caps,
		status:   res.status,
		opened:   lease.Now(),
	}
	if err := s.restoreWhile(ctx, b); err != nil {
		b.close()
		return nil, err
	}
	return b, nil
}

// loginParams is how the session logs in to a server.
func (s *session) loginParams() loginParams {
	p := loginParams{user: s.user.BackendUser, password: s.user.BackendPassword, caps: s.caps, maxPacket: s.maxPacket,
		collation: s.collation, database: s.state.db, attrs: s.attrs}
	if p.user == "" {
		p.user, p.password = s.user.Name, s.user.Password
	}
	return p
}

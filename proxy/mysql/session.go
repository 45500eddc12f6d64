package mysql

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"runtime/debug"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/zerokeeper/zero/proxy/gate"
	"github.com/zerokeeper/zero/transport/lease"
)

// session serves one client, in one goroutine. What other goroutines look at or touch is in the part guarded by
// mu; the session's goroutine alone writes there, under mu, and reads it without.
type session struct {
	srv    *Server
	log    hclog.Logger
	id     uint32 // connection id told to the client
	client link
	remote string
	salt   []byte // of the greeting

	group     Group  // as last looked up
	counted   string // user name that this session counts for
	caps      uint32 // agreed with the client
	maxPacket uint32
	collation byte
	attrs     []byte
	status    uint16 // server status as last heard
	connected bool   // a server connection was opened since login or reset: status and state are about it
	epochs    uint64 // server connections opened
	state     sessionState
	stmts     map[uint32]*stmt
	lastStmt  uint32      // id given to the latest prepared statement
	longBytes int         // of all statements' long data
	next      *backend    // opened ahead of a move
	aborted   *MySQLError // of a transaction that was given up while the session was idle: for the next command

	mu      sync.Mutex
	user    User
	idle    bool                    // waiting for a command
	stop    stopReason              // set by others
	backend *backend                // nil: none open
	ticket  *gate.Ticket            // nil: nothing in flight
	lapsed  error                   // why what is in flight was given up, from there to the ticket's release
	kept    bool                    // an OK is kept until there is a lease again
	wait    context.CancelCauseFunc // ends a wait for the gate or for a server; nil: not waiting
}

// stopReason is why a session is to end.
type stopReason uint8

const (
	stopNone     stopReason = iota
	stopDrain               // the proxy shuts down: when no transaction is open
	stopSevered             // now: what is in flight is given up
	stopKilled              // now: KILL CONNECTION
	stopShutdown            // now: the shutdown has run out of time
)

func (r stopReason) String() string {
	return [...]string{"none", "shutdown", "severed", "killed", "shutdown"}[r]
}

var (
	errSessionOver = errors.New("session is over") // the client knows all that it will be told
	errStopped     = errors.New("session was stopped")
	errQueryKilled = errors.New("query was killed")
)

// backend is the session's connection to a server.
type backend struct {
	link
	primary  gate.Primary
	threadID uint32
	epoch    uint64 // number among the session's server connections, from 1
	caps     uint32
	status   uint16 // at login
	busy     bool   // between the first byte of a command and the last of its answer
	opened   lease.Instant
}

// run serves the client until it leaves.
func (s *session) run(ctx context.Context) {
	defer s.close()
	defer func() {
		// A fault in serving one client must not end all the others. It is counted, and the tests look at it.
		if r := recover(); r != nil {
			s.srv.stats.panics.Add(1)
			s.log.Error("session ended by a fault of the proxy: please report it", "client", s.remote,
				"fault", r, "stack", string(debug.Stack()))
		}
	}()
	if err := s.handshake(ctx); err != nil {
		s.log.Debug("login failed", "client", s.remote, "error", err)
		return
	}
	for {
		cmd, err := s.nextCommand()
		switch {
		case err != nil:
		case s.aborted != nil:
			err = s.tellAborted(&cmd)
		default:
			err = s.dispatch(ctx, cmd)
		}
		if err == nil {
			continue
		}
		switch {
		case errors.Is(err, errSessionOver), errors.Is(err, errStopped), errors.Is(err, io.EOF), errors.Is(err, net.ErrClosed):
		default:
			s.log.Debug("session ended", "client", s.remote, "user", s.user.Name, "error", err)
		}
		return
	}
}

// close gives up all that the session holds.
func (s *session) close() {
	s.leaveBackend()
	s.dropNext()
	s.release()
	s.mu.Lock()
	s.client.close()
	s.mu.Unlock()
	s.srv.remove(s)
}

// command is a client's command as far as it is in the buffer.
type command struct {
	head
	raw      []byte // header and data
	complete bool   // all of it is in the buffer
}

func (c *command) code() byte { return c.data[0] }

// body is the payload after the command byte, as far as it is in the buffer.
func (c *command) body() []byte { return c.data[1:] }

// nextCommand waits for a command. It stays in the buffer until it is stepped over.
func (s *session) nextCommand() (command, error) {
	s.client.settle()
	if s.client.w-s.client.r < headerSize {
		if err := s.awaitClient(); err != nil {
			return command{}, err
		}
	} else if r := s.stopped(); r != stopNone && (r != stopDrain || !s.inTransaction()) {
		return command{}, errStopped
	} else {
		s.abandon()
	}
	h, err := s.client.peek(0)
	if err != nil {
		return command{}, fmt.Errorf("read command: %w", err)
	}
	want := min(h.size, s.srv.cfg.MaxBufferedBytes)
	if s.client.w-s.client.r < headerSize+want {
		if err := s.client.readWithin(s.srv.cfg.ReadTimeout); err != nil {
			return command{}, err
		}
	}
	if h, err = s.client.peek(want); err != nil {
		return command{}, fmt.Errorf("read command: %w", err)
	}
	if h.size == 0 || h.seq != 0 {
		return command{}, fmt.Errorf("%w: command of %d bytes with sequence id %d", errMalformed, h.size, h.seq)
	}
	raw := s.client.buf[s.client.r : s.client.r+headerSize+len(h.data)]
	return command{head: h, raw: raw, complete: len(h.data) == h.size && h.size < maxPayload}, nil
}

// awaitClient waits for the first bytes of a command, or for being stopped. What is given up meanwhile it abandons.
func (s *session) awaitClient() error {
	for {
		s.abandon()
		if err := s.client.readWithin(s.srv.cfg.IdleTimeout); err != nil {
			return err
		}
		s.mu.Lock()
		if s.stop != stopNone && (s.stop != stopDrain || !s.inTransaction()) {
			s.mu.Unlock()
			return errStopped
		}
		if s.lapsed != nil {
			s.mu.Unlock()
			continue
		}
		s.idle = true
		s.mu.Unlock()
		err := s.client.fill(headerSize)
		s.mu.Lock()
		s.idle = false
		stop, lapsed := s.stop, s.lapsed
		s.mu.Unlock()
		switch {
		case err != nil && stop != stopNone:
			return errStopped
		case err != nil && lapsed != nil && errors.Is(err, os.ErrDeadlineExceeded):
			continue
		case err != nil:
			return fmt.Errorf("read command: %w", err)
		}
		s.abandon()
		return nil
	}
}

// stopped returns why the session is to end, if it is.
func (s *session) stopped() stopReason {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stop
}

// end makes the session end: at its next idle point without a transaction for stopDrain, at once for the others.
// It is called from other goroutines and does not wait.
func (s *session) end(reason stopReason) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stop != stopNone && s.stop != stopDrain {
		return
	}
	s.stop = reason
	if s.wait != nil { // nothing of what waits was sent
		s.wait(errStopped)
	}
	if reason == stopDrain {
		switch {
		case s.user.Name == "": // not logged in yet
			_ = s.client.nc.SetDeadline(past)
		case s.idle && s.ticket == nil:
			_ = s.client.nc.SetReadDeadline(past)
		}
		return
	}
	if s.backend != nil {
		_ = s.backend.nc.Close()
	}
	if s.idle {
		_ = s.client.nc.SetReadDeadline(past)
	} else {
		_ = s.client.nc.SetDeadline(soon())
	}
}

// inTransaction reports whether the session is inside of something that must end on the connection it has.
func (s *session) inTransaction() bool {
	return s.status&statusInTrans != 0 || s.state.tableLocks || s.state.globalLock
}

func (s *session) autocommit() bool { return s.status&statusAutocommit != 0 }

// setBackend replaces the server connection. It reports false, and closes b, if the session was stopped at once.
func (s *session) setBackend(b *backend) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stop != stopNone && s.stop != stopDrain {
		b.close()
		return false
	}
	s.backend = b
	return true
}

// loseBackend closes the server connection, and with it whatever was open on it.
func (s *session) loseBackend() {
	if s.backend == nil {
		return
	}
	s.mu.Lock()
	b := s.backend
	s.backend = nil
	s.mu.Unlock()
	b.close()
	s.srv.stats.backends.Add(-1)
	s.status &^= statusInTrans
}

// leaveBackend closes the server connection. One that is in order says goodbye, so that the server does not count
// it as aborted; in the middle of a command those bytes would become part of it.
func (s *session) leaveBackend() {
	if b := s.backend; b != nil && !b.busy {
		b.writeTimeout = 0
		_ = b.nc.SetWriteDeadline(soon())
		_ = b.write([]byte{1, 0, 0, 0, comQuit}) // it is closed in any case
	}
	s.loseBackend()
}

// dropNext gives up the connection that was opened ahead of a move.
func (s *session) dropNext() {
	if s.next != nil {
		s.next.close()
		s.next = nil
	}
}

// take holds a ticket for what is about to be sent.
func (s *session) take(t *gate.Ticket) {
	s.mu.Lock()
	s.ticket = t
	s.mu.Unlock()
	t.Tell(s)
	s.srv.stats.inFlight.Add(1)
}

// release gives the ticket back, if there is one.
func (s *session) release() {
	if s.ticket == nil {
		return
	}
	s.mu.Lock()
	t := s.ticket
	s.ticket = nil
	if s.lapsed != nil { // and with it the deadlines that it has set
		s.lapsed = nil
		s.client.readBy, s.client.writeBy = time.Time{}, time.Time{}
		if s.backend != nil {
			s.backend.readBy = time.Time{}
		}
	}
	s.mu.Unlock()
	t.Release()
	s.srv.stats.inFlight.Add(-1)
}

// sendError answers the client with an error. seq is that of the packet before.
func (s *session) sendError(seq byte, e *MySQLError) error {
	s.srv.stats.errors.Add(1)
	return s.client.write(appendPacket(nil, seq+1, appendERR(nil, e)))
}

// sendOK answers the client with a plain OK.
func (s *session) sendOK(seq byte) error {
	return s.client.write(appendPacket(nil, seq+1, appendOK(nil, s.status)))
}

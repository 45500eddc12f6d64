package cluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
)

const (
	preambleTimeout = 5 * time.Second // absolute, from accept to verdict
	dialTimeout     = time.Second     // to connect and to be accepted
	maxHandshakes   = 64              // connections whose preamble is awaited
	maxRaftConns    = 256             // accepted and not yet closed
	maxAcceptDelay  = time.Second     // between failing Accepts
)

// stream is raft's StreamLayer: it puts the preamble before every connection,
// and closes every connection that it gave out when it is closed (raft's
// transport leaves accepted ones open).
type stream struct {
	listener net.Listener
	dial     func(ctx context.Context, address string) (net.Conn, error)
	local    advertised
	self     string                   // own member id
	cluster  func() string            // own cluster id, empty when unknown
	judge    func(p preamble) verdict // of an incoming connection

	incarnation string                 // own
	known       func(id string) string // incarnation of a member, empty when unknown
	older       func(known string)     // told that the own directory is an older copy

	stall time.Duration // how long an RPC that has begun may go on without a byte
	log   hclog.Logger

	accepted chan net.Conn
	closing  chan struct{}
	owned    sync.WaitGroup

	mu      sync.Mutex
	waiting []*trackedConn // whose preamble is awaited, the oldest first
	conns   map[*trackedConn]struct{}
	closed  bool
}

// advertised is the address that raft knows this node by.
type advertised string

func (advertised) Network() string  { return "tcp" }
func (a advertised) String() string { return string(a) }

// start begins to accept. close stops it.
func (s *stream) start() {
	s.accepted = make(chan net.Conn)
	s.closing = make(chan struct{})
	s.conns = make(map[*trackedConn]struct{})
	s.owned.Go(s.acceptLoop)
}

// Addr is the advertised address: raft puts it into votes and headers.
func (s *stream) Addr() net.Addr { return s.local }

// Accept yields connections whose preamble was accepted.
func (s *stream) Accept() (net.Conn, error) {
	select {
	case c := <-s.accepted:
		return c, nil
	case <-s.closing:
		return nil, net.ErrClosed
	}
}

// Close closes the listener and every connection, and waits for the handshakes.
func (s *stream) Close() error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil
	}
	s.closed = true
	close(s.closing)
	conns := s.conns
	s.conns = nil
	s.mu.Unlock()
	err := s.listener.Close()
	if errors.Is(err, net.ErrClosed) {
		err = nil
	}
	for c := range conns {
		_ = c.Conn.Close() // raft's goroutines see it and end
	}
	s.owned.Wait()
	return err
}

func (s *stream) acceptLoop() {
	delay := time.Duration(0)
	for {
		c, err := s.listener.Accept()
		if err != nil {
			select {
			case <-s.closing:
				return
			default:
			}
			delay = min(max(2*delay, 5*time.Millisecond), maxAcceptDelay)
			s.log.Warn("cannot accept Raft connections", "error", err, "retry_in", delay)
			select {
			case <-s.closing:
				return
			case <-time.After(delay):
			}
			if errors.Is(err, net.ErrClosed) {
				s.log.Warn("the Raft listener was closed before the node: no other keeper can reach this one")
				return
			}
			continue
		}
		delay = 0
		t := s.track(c)
		if t == nil {
			_ = c.Close()
			continue
		}
		if oldest := s.await(t); oldest != nil {
			s.log.Warn("too many Raft connections without a preamble: the one that has waited longest is closed", "remote", oldest.RemoteAddr())
			_ = oldest.Close()
		}
		s.owned.Go(func() {
			defer s.awaited(t)
			s.handshake(t)
		})
	}
}

// await notes a connection whose preamble is awaited. When there are too many it
// returns the oldest: a keeper sends its preamble at once, so that the ones
// that say nothing cannot keep a keeper out.
func (s *stream) await(c *trackedConn) (oldest *trackedConn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.waiting) >= maxHandshakes {
		oldest = s.waiting[0]
		s.waiting = s.waiting[1:]
	}
	s.waiting = append(s.waiting, c)
	return oldest
}

func (s *stream) awaited(c *trackedConn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.waiting = slices.DeleteFunc(s.waiting, func(w *trackedConn) bool { return w == c })
}

// handshake reads and judges the preamble and hands the connection to raft.
func (s *stream) handshake(c *trackedConn) {
	_ = c.SetDeadline(time.Now().Add(preambleTimeout)) // fails only on a closed connection, as the read will
	p, err := readPreamble(c)
	v := accepted
	switch {
	case errors.Is(err, errPreambleVersion):
		v = otherVersion
	case err != nil:
		if !errors.Is(err, io.EOF) && !errors.Is(err, net.ErrClosed) {
			s.log.Warn("refused a connection on the Raft port", "remote", c.RemoteAddr(), "error", err)
		}
		_ = c.Close()
		return
	default:
		v = s.judge(p)
	}
	answer := []byte{byte(v)}
	if v == olderSender {
		answer = appendText(answer, s.known(p.sender))
	}
	_, err = c.Write(answer)
	if v != accepted {
		s.log.Warn("refused a Raft connection", "remote", c.RemoteAddr(), "reason", v.refusal(), "cluster", p.cluster, "sender", p.sender, "addressee", p.addressee)
	}
	if v != accepted || err != nil {
		_ = c.Close()
		return
	}
	_ = c.SetDeadline(time.Time{})
	select {
	case s.accepted <- &inbound{Conn: c, stall: s.stall, log: s.log}:
	case <-s.closing:
		_ = c.Close()
	}
}

// refusal says why this node refused, seen from here.
func (v verdict) refusal() string {
	switch v {
	case otherCluster:
		return "the sender belongs to another cluster"
	case notAddressee:
		return "it is meant for another member: this address was that member's, or its data directory was lost"
	case otherVersion:
		return "unknown version of the preamble: upgrade this keeper"
	case notMember:
		return "the sender is not a member of this group"
	case olderHere:
		return "the sender knows a later start of this data directory"
	case olderSender:
		return "the sender runs on an older copy of its data directory"
	}
	return "none"
}

// target joins a member and its address into what raft takes for an address,
// so that a connection can be meant for a member, and raft's pool never gives
// one member's connection to another.
func target(id, address string) raft.ServerAddress {
	return raft.ServerAddress(id + "@" + address)
}

// Dial connects to a target and waits for the verdict.
func (s *stream) Dial(address raft.ServerAddress, timeout time.Duration) (net.Conn, error) {
	id, hostport, ok := strings.Cut(string(address), "@")
	if !ok {
		return nil, fmt.Errorf("dial keeper %s: no member is known at this address", address)
	}
	ctx, cancel := context.WithTimeout(context.Background(), min(timeout, dialTimeout))
	defer cancel()
	c, err := s.dial(ctx, hostport)
	if err != nil {
		return nil, fmt.Errorf("dial keeper %s: %w", hostport, err)
	}
	t := s.track(c)
	if t == nil {
		return nil, errors.Join(net.ErrClosed, c.Close())
	}
	if err := s.introduce(ctx, t, id); err != nil {
		_ = t.Close()
		return nil, fmt.Errorf("dial keeper %s: %w", hostport, err)
	}
	return t, nil
}

func (s *stream) introduce(ctx context.Context, c net.Conn, addressee string) error {
	deadline, _ := ctx.Deadline()
	if err := c.SetDeadline(deadline); err != nil {
		return err
	}
	p := preamble{cluster: s.cluster(), sender: s.self, addressee: addressee, incarnation: s.incarnation, known: s.known(addressee)}
	if _, err := c.Write(p.append(nil)); err != nil {
		return fmt.Errorf("write Raft preamble: %w", err)
	}
	var answer [1]byte
	if _, err := io.ReadFull(c, answer[:]); err != nil {
		return fmt.Errorf("await answer to the Raft preamble: %w", err)
	}
	if v := verdict(answer[0]); v >= verdictsKnown {
		return fmt.Errorf("refused for a reason (%d) that this version does not know", v)
	} else if v != accepted {
		if v == olderSender {
			known, err := readField(c)
			if err != nil {
				return fmt.Errorf("refused: %s: %w", v, err)
			}
			s.older(known)
		}
		return fmt.Errorf("refused: %s", v)
	}
	return c.SetDeadline(time.Time{})
}

// track notes a connection so that Close can close it; nil when the stream is
// closed or has too many.
func (s *stream) track(c net.Conn) *trackedConn {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || len(s.conns) >= maxRaftConns {
		return nil
	}
	t := &trackedConn{Conn: c, owner: s}
	s.conns[t] = struct{}{}
	return t
}

type trackedConn struct {
	net.Conn
	owner *stream
}

func (t *trackedConn) Close() error {
	t.owner.mu.Lock()
	delete(t.owner.conns, t)
	t.owner.mu.Unlock()
	return t.Conn.Close()
}

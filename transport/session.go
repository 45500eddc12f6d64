package transport

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"strconv"
	"sync"

	"github.com/zerokeeper/zero/transport/api"
	"github.com/zerokeeper/zero/transport/wire"
)

// maxOpen bounds how far a session's newest write may be ahead of its oldest open
// one: the keepers remember every answer in between.
const maxOpen = 1024

// maxRenewals bounds how often one Do takes a new session because the keepers have
// forgotten the old one.
const maxRenewals = 3

// Session numbers a client's writes, so that one that is repeated happens once: the
// keepers remember a session's answers and give the same one again. Its methods may be
// used from any goroutine; writes that run at once have no order among each other.
type Session struct {
	client *Client

	mu    sync.Mutex
	id    string
	last  uint64              // seq given out last
	acked uint64              // every seq up to here is over
	over  map[uint64]struct{} // those above acked that are
}

// NewSession makes a session with a random id.
func (c *Client) NewSession() *Session {
	return &Session{client: c, id: newSessionID(), over: make(map[uint64]struct{})}
}

func newSessionID() string {
	var b [16]byte
	rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}

// Do sends a write until it is answered or ctx ends. When ctx ends while an attempt may
// have happened, the error is [api.ErrOutcomeUnknown]. Who wants to go on asking after
// that uses Write.
func (s *Session) Do(ctx context.Context, name string, meta wire.Meta, body []byte) (*wire.Response, error) {
	w, err := s.Write(name, meta, body)
	if err != nil {
		return nil, err
	}
	defer w.End()
	return w.Do(ctx)
}

// Write is one write with its place in the session.
type Write struct {
	session *Session
	id      string // of the session when the write began
	seq     uint64
	meta    wire.Meta
	request request
}

// Write begins a write. Call its Do until it is answered, and its End in any case. The
// error is Busy when too many writes of the session are open.
func (s *Session) Write(name string, meta wire.Meta, body []byte) (*Write, error) {
	w := &Write{session: s, meta: meta, request: request{name: name, body: body, manner: callWrite}}
	w.request.meta = w.stamped
	if err := s.begin(w); err != nil {
		return nil, err
	}
	return w, nil
}

// Do sends the write until it is answered or ctx ends. After ErrOutcomeUnknown it may be
// called again: it is still the same write. It is for one goroutine at a time.
func (w *Write) Do(ctx context.Context) (*wire.Response, error) {
	for renewals := 0; ; renewals++ {
		resp, err := w.session.client.do(ctx, &w.request)
		var answer *api.Error
		if w.request.unknown || renewals == maxRenewals || !errors.As(err, &answer) || answer.Code != api.SessionGone {
			return resp, err
		}
		// Surely not done: the keepers have forgotten the session, which idled too
		// long, before they saw this write. A new one may carry it.
		w.session.renew(w.id)
		if err := w.session.begin(w); err != nil {
			return nil, err
		}
	}
}

// End says that the write will not be sent again, so that the keepers may forget it.
func (w *Write) End() { w.session.end(w.id, w.seq) }

// stamped is the metadata of the next attempt.
func (w *Write) stamped() wire.Meta {
	w.session.mu.Lock()
	acked := uint64(0)
	if w.session.id == w.id {
		acked = w.session.acked
	}
	w.session.mu.Unlock()
	return w.meta.
		With(api.MetaSession, w.id).
		With(api.MetaSeq, strconv.FormatUint(w.seq, 10)).
		With(api.MetaAcked, strconv.FormatUint(acked, 10))
}

// begin gives w its place.
func (s *Session) begin(w *Write) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.last-s.acked >= maxOpen {
		return api.Errorf(api.Busy, "write %d of this session is still open; %d follow it", s.acked+1, s.last-s.acked-1)
	}
	s.last++
	w.id, w.seq = s.id, s.last
	return nil
}

// end takes seq off the open ones and moves the low-water mark.
func (s *Session) end(id string, seq uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.id != id || seq <= s.acked {
		return
	}
	s.over[seq] = struct{}{}
	for {
		if _, ok := s.over[s.acked+1]; !ok {
			return
		}
		s.acked++
		delete(s.over, s.acked)
	}
}

// renew replaces the session, unless that was done already.
func (s *Session) renew(old string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.id != old {
		return
	}
	s.id, s.last, s.acked = newSessionID(), 0, 0
	clear(s.over)
}

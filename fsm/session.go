package fsm

import "slices"

// Bounds of sessions.
const (
	// MaxSessions is how many client sessions are remembered; further clients
	// are refused until some expire.
	MaxSessions = 65536
	// MaxReplies is how many unanswered commands one session may have.
	MaxReplies = 1024
	// maxSessionID bounds the id of a session, in bytes.
	maxSessionID = 128
)

// openSession finds what the session of the header remembers: the reply, if
// this sequence was answered before, or a refusal. A command without a session
// has none and is applied as often as it is in the log.
func (t *txn) openSession() (*Session, *Reply, *Refusal) {
	h := t.header
	if h.Session == "" || ignoreSessions {
		return nil, nil, nil
	}
	if len(h.Session) > maxSessionID || h.Seq == 0 {
		return nil, nil, refuse(CodeBadRequest, "a session of %d bytes with sequence %d: want at most %d bytes and sequences from 1", len(h.Session), h.Seq, maxSessionID)
	}
	s := first[Session](t.Txn, tableSessions, key(h.Session))
	if s == nil {
		if h.Acked != 0 {
			return nil, nil, refuse(CodeSessionGone, "session %s is not known (it expired): whether sequence %d was applied cannot be told", h.Session, h.Seq)
		}
		if t.meta().Sessions >= MaxSessions {
			return nil, nil, refuse(CodeRateLimited, "%d client sessions are open: try again later", MaxSessions)
		}
		return &Session{ID: h.Session}, nil, nil
	}
	if h.Seq <= s.Acked {
		return nil, nil, refuse(CodeSessionGone, "session %s has acknowledged the answer of sequence %d already", h.Session, h.Seq)
	}
	if i, ok := slices.BinarySearchFunc(s.Replies, h.Seq, bySeq); ok {
		return s, &s.Replies[i], nil
	}
	if len(s.Replies) >= MaxReplies && h.Acked <= s.Acked {
		return nil, nil, refuse(CodeRateLimited, "session %s has %d commands whose answers it did not acknowledge", h.Session, len(s.Replies))
	}
	return s, nil, nil
}

func (r Reply) result() Result {
	return Result{Index: r.Index, Code: r.Code, Msg: r.Msg, Data: r.Data}
}

func bySeq(r Reply, seq uint64) int {
	switch {
	case r.Seq < seq:
		return -1
	case r.Seq > seq:
		return 1
	}
	return 0
}

// remember stores the answer, and forgets those that the client has.
func (t *txn) remember(old *Session, result Result) {
	if old == nil {
		return
	}
	h := t.header
	s := *old
	s.Used = max(s.Used, h.Time)
	s.Acked = max(s.Acked, min(h.Acked, h.Seq-1))
	s.Replies = make([]Reply, 0, len(old.Replies)+1)
	for _, r := range old.Replies {
		if r.Seq > s.Acked {
			s.Replies = append(s.Replies, r)
		}
	}
	i, _ := slices.BinarySearchFunc(s.Replies, h.Seq, bySeq)
	s.Replies = slices.Insert(s.Replies, i, Reply{Seq: h.Seq, Index: result.Index, Code: result.Code, Msg: result.Msg, Data: result.Data})
	t.put(tableSessions, &s)
	if first[Session](t.db.Txn(false), tableSessions, key(s.ID)) == nil {
		t.countSessions(1)
	}
}

// countSessions keeps the number of sessions in the state, so that the bound
// costs no scan.
func (t *txn) countSessions(change int) {
	m := t.meta()
	m.Sessions += change
	t.put(tableMeta, &m)
}

// ExpireSessions forgets client sessions. The leader proposes it for those
// that it has not heard of for long, by its monotonic clock. One that was used
// since (Used differs) stays.
type ExpireSessions struct {
	Sessions []SessionUse
}

// SessionUse names a session as the leader last saw it.
type SessionUse struct {
	ID   string
	Used int64
}

func (*ExpireSessions) commandType() Type { return typeExpireSessions }

func (c *ExpireSessions) apply(t *txn) ([]byte, *Refusal) {
	for _, use := range c.Sessions {
		if s := first[Session](t.Txn, tableSessions, key(use.ID)); s != nil && s.Used == use.Used {
			t.drop(tableSessions, s)
			t.countSessions(-1)
		}
	}
	return nil, nil
}

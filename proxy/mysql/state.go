package mysql

import (
	"cmp"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// sessionState is what a session has made of its connection: what a new connection must be given before the
// session can go on there, and what no other connection can be given.
type sessionState struct {
	db      string
	records map[string]record // by variable or other key
	seq     uint64
	bytes   int
	limit   int // of bytes

	oneShot      string // SET TRANSACTION that waits for its transaction
	lastInsertID uint64

	tempTables map[string]bool
	userLocks  map[string]int  // GET_LOCK by name; "" for names that are no literals
	pins       map[string]bool // further reasons why the session cannot be moved

	tableLocks bool // LOCK TABLES
	globalLock bool // FLUSH TABLES WITH READ LOCK
}

// record is one statement to repeat, and its place among the others.
type record struct {
	text string
	seq  uint64
}

const tooMuchState = "it has set more session state than the proxy records"

// reset forgets all but the current database.
func (s *sessionState) reset() { *s = sessionState{db: s.db, limit: s.limit} }

// keep records that text gives key its value. A later record of the same key replaces it and goes to the end of
// the order: the last writer wins, on the new connection as it did on the old one.
func (s *sessionState) keep(key, text string) {
	s.forget(key)
	if s.bytes+len(key)+len(text) > s.limit {
		s.pin(tooMuchState)
		return
	}
	if s.records == nil {
		s.records = make(map[string]record)
	}
	s.seq++
	s.bytes += len(key) + len(text)
	s.records[key] = record{text, s.seq}
}

func (s *sessionState) forget(key string) {
	if old, ok := s.records[key]; ok {
		s.bytes -= len(key) + len(old.text)
		delete(s.records, key)
	}
}

func (s *sessionState) pin(reason string) {
	if s.pins == nil {
		s.pins = make(map[string]bool)
	}
	s.pins[reason] = true
}

// apply takes note of what a statement did.
func (s *sessionState) apply(e effect) {
	switch e.kind {
	case effSet:
		s.keep(e.key, e.text)
	case effOneShot:
		s.oneShot = e.text
	case effUse:
		s.db = e.key
	case effDropDatabase:
		if strings.EqualFold(e.key, s.db) {
			s.db = ""
		}
	case effTempTable:
		if s.tempTables == nil {
			s.tempTables = make(map[string]bool)
		}
		s.tempTables[s.table(e.key)] = true
	case effDropTable:
		delete(s.tempTables, s.table(e.key))
	case effUserLock:
		if s.userLocks == nil {
			s.userLocks = make(map[string]int)
		}
		s.userLocks[e.key]++
	case effUserUnlock:
		switch n := s.userLocks[e.key]; {
		case n > 1:
			s.userLocks[e.key] = n - 1
		default:
			delete(s.userLocks, e.key)
		}
	case effUserUnlockAll:
		s.userLocks = nil
	case effTableLocks:
		s.tableLocks = true
	case effGlobalLock:
		s.globalLock = true
	case effTableUnlock:
		s.tableLocks, s.globalLock = false, false
	case effPrepare:
		s.keep("prepare "+e.key, e.text)
	case effDeallocate:
		s.forget("prepare " + e.key)
	case effPin:
		s.pin(e.text)
	case effLastInsertID:
		if id, err := strconv.ParseUint(e.text, 10, 64); err == nil {
			s.lastInsertID = id
		}
	case effCapture: // its value comes from the server: see capture
	}
}

// table completes the key of a table with the current database.
func (s *sessionState) table(key string) string {
	if strings.HasPrefix(key, ".") {
		return lowerASCII([]byte(s.db)) + key
	}
	return key
}

// unmovable says why the session cannot go on on another connection; "" if it can.
func (s *sessionState) unmovable() string {
	switch {
	case len(s.tempTables) > 0:
		return "it has temporary tables"
	case len(s.userLocks) > 0:
		return "it holds a lock of GET_LOCK"
	case s.tableLocks || s.globalLock:
		return "it has locked tables"
	}
	if len(s.pins) > 0 {
		return slices.Min(slices.Collect(maps.Keys(s.pins))) // the same reason every time
	}
	return ""
}

// replay returns the statements that give a new connection the session's state, in order.
func (s *sessionState) replay() []string {
	records := slices.SortedFunc(maps.Values(s.records), func(a, b record) int { return cmp.Compare(a.seq, b.seq) })
	texts := make([]string, 0, len(records)+2)
	for _, r := range records {
		texts = append(texts, r.text)
	}
	if s.lastInsertID != 0 {
		texts = append(texts, "SET last_insert_id="+strconv.FormatUint(s.lastInsertID, 10))
	}
	if s.oneShot != "" {
		texts = append(texts, s.oneShot)
	}
	return texts
}

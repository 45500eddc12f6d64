package mysql

import (
	"errors"
	"strings"
	"time"
)

// errFenced: the server is read-only. It has not executed the statement.
var errFenced = errors.New("the server is read-only")

// waitsForFence reports whether a statement that a server refused for being read-only is to be sent again, rather than
// the error passed on. A primary is fenced when its agent has no lease, and unfenced by the next one; or it is about to
// be replaced, and the gate is not held yet. Only what surely changed nothing is: one statement of plain DML, outside of
// a transaction. The wait is bounded like that for a primary that cannot be reached.
func (s *session) waitsForFence(x *exchange, e *MySQLError) bool {
	if e.Code != codeReadOnly || !strings.Contains(e.Message, "read-only") || x.inTx || !s.autocommit() || !x.cmd.complete ||
		x.info.class != classDML || x.info.count != 1 || x.stmt != nil && x.stmt.longLost {
		return false
	}
	return x.fenced.IsZero() || time.Since(x.fenced) < s.backendWait()
}

// afterFence waits a little, without a ticket, before the statement is admitted anew.
func (s *session) afterFence(x *exchange) (again bool, _ error) {
	pause := retryMin
	if x.fenced.IsZero() {
		x.fenced = time.Now()
	} else {
		pause = min(max(time.Since(x.fenced)/2, retryMin), retryMax)
	}
	s.release()
	x.sent = false
	if st := x.stmt; st != nil { // the server has forgotten what belonged to this execution
		st.longOn, st.typesOn = 0, 0
	}
	s.srv.stats.retries.Add(1)
	if err := s.pause(s.srv.ctx, pause); err != nil {
		return false, s.refuse(x, err)
	}
	return true, nil
}

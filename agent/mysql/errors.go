package mysql

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/go-sql-driver/mysql"
)

var (
	// ErrUnreachable is returned if no connection could be made: nothing was changed.
	ErrUnreachable = errors.New("database server not reachable")
	// ErrUnknown is returned if a statement was sent and its answer did not
	// come: it may have happened, or may still happen. Ask State.
	ErrUnknown = errors.New("outcome unknown")
	// ErrUnsupported is returned if the server is not one that zero drives.
	ErrUnsupported = errors.New("unsupported database server")

	// ErrNotReplica is returned if the server has no source.
	ErrNotReplica = errors.New("server is not a replica")
	// ErrStillReplica is returned by Unfence if the server has a source.
	ErrStillReplica = errors.New("server still is a replica")
	// ErrMultiSource is returned if the server has named replication connections.
	ErrMultiSource = errors.New("server has named replication connections")
	// ErrNotGTID is returned if replication does not use slave_pos.
	ErrNotGTID = errors.New("replication does not use MASTER_USE_GTID=slave_pos")
	// ErrBinlogOff is returned if the server writes no binary log.
	ErrBinlogOff = errors.New("binary log is off")

	// ErrFenceTimeout is returned if the server could not be fenced within its bound.
	ErrFenceTimeout = errors.New("not fenced in time")
	// ErrWaitingForAck is returned if a session waits for a semi-sync
	// acknowledgement. Killing or releasing it would commit what no replica has.
	ErrWaitingForAck = errors.New("a session waits for a semi-sync acknowledgement")
	// ErrPreparedXA is returned by Fence if XA transactions are prepared.
	ErrPreparedXA = errors.New("prepared XA transactions exist")
	// ErrEventsEnabled is returned by Fence if events could run and the agent
	// may not stop the scheduler.
	ErrEventsEnabled = errors.New("scheduled events are enabled")
	// ErrFencedMeanwhile is returned if SetReadOnly came in while the server was being made writable.
	ErrFencedMeanwhile = errors.New("the server was fenced meanwhile")

	// ErrRelayNotDrained is returned by Promote if the server has received what it has not applied.
	ErrRelayNotDrained = errors.New("relay log not drained")
	// ErrPositionTimeout is returned if a position was not reached in time.
	ErrPositionTimeout = errors.New("position not reached in time")
	// ErrErrant is returned if the server has transactions that its source lacks.
	ErrErrant = errors.New("errant transactions")
	// ErrPurged is returned if the source has purged binary logs that the replica needs.
	ErrPurged = errors.New("source has purged binary logs that are needed")
	// ErrSourceUnreachable is returned if the replica cannot connect to its source.
	ErrSourceUnreachable = errors.New("source not reachable")
	// ErrReplicationLogin is returned if the source refuses the replication account.
	ErrReplicationLogin = errors.New("source refuses the replication account")
	// ErrSameServerID is returned if the source has the server's own server_id.
	ErrSameServerID = errors.New("source has the same server_id")
	// ErrReplication is returned for any other replication error.
	ErrReplication = errors.New("replication error")
)

// Error numbers of MariaDB that are told apart.
const (
	errUnknownThread   = 1094 // ER_NO_SUCH_THREAD
	errUnknownRelayLog = 1220 // ER_ERROR_WHEN_EXECUTING_COMMAND
	errSpecificAccess  = 1227 // ER_SPECIFIC_ACCESS_DENIED_ERROR
	errLockWaitTimeout = 1205 // ER_LOCK_WAIT_TIMEOUT
	errInterrupted     = 1317 // ER_QUERY_INTERRUPTED
	errConnKilled      = 1927 // ER_CONNECTION_KILLED
	errStatementTime   = 1969 // ER_STATEMENT_TIMEOUT

	errAccessDenied  = 1045 // ER_ACCESS_DENIED_ERROR
	errFatalRead     = 1236 // ER_MASTER_FATAL_ERROR_READING_BINLOG
	errFatalSlave    = 1593 // ER_SLAVE_FATAL_ERROR
	errGTIDOrder     = 1950 // ER_GTID_STRICT_OUT_OF_ORDER
	errDBAccess      = 1044 // ER_DBACCESS_DENIED_ERROR
	errHostForbidden = 1130 // ER_HOST_NOT_PRIVILEGED
	errCannotConnect = 2003 // CR_CONN_HOST_ERROR
	errUnknownHost   = 2005 // CR_UNKNOWN_HOST
	errServerLost    = 2013 // CR_SERVER_LOST
	errTooManyConns  = 1040 // ER_CON_COUNT_ERROR
	errShutdown      = 1053 // ER_SERVER_SHUTDOWN
)

// errNumber is the server's error number, 0 if err is not an answer of the server.
func errNumber(err error) uint16 {
	if e, ok := errors.AsType[*mysql.MySQLError](err); ok {
		return e.Number
	}
	return 0
}

// Answered reports whether an error is the server's own answer: it refused, it
// does not hang.
func Answered(err error) bool { return errNumber(err) != 0 }

// execError wraps the error of a statement that changes something: without the
// server's own word for it the outcome is unknown.
func execError(what string, err error) error {
	switch errNumber(err) {
	case 0, errInterrupted, errConnKilled, errShutdown:
		return fmt.Errorf("%s: %w: %w", what, ErrUnknown, err)
	}
	return fmt.Errorf("%s: %w", what, err)
}

// PositionTimeoutError says how far the server was when time ran out.
type PositionTimeoutError struct {
	Want   string        // the position that was waited for
	Have   string        // gtid_slave_pos at the end
	Behind time.Duration // Seconds_Behind_Master; negative when unknown
	Waited time.Duration
}

func (e *PositionTimeoutError) Error() string {
	behind := "unknown"
	if e.Behind >= 0 {
		behind = e.Behind.String()
	}
	return fmt.Sprintf("%s: waited %s for %s, applied %s, behind %s",
		ErrPositionTimeout, e.Waited.Round(time.Millisecond), e.Want, orNone(e.Have), behind)
}

// Is makes the error match ErrPositionTimeout.
func (e *PositionTimeoutError) Is(target error) bool { return target == ErrPositionTimeout }

// RelayNotDrainedError says what was received and what of it is applied.
type RelayNotDrainedError struct {
	Received, Applied string
}

func (e *RelayNotDrainedError) Error() string {
	return fmt.Sprintf("%s: received %s, applied %s: drain it first", ErrRelayNotDrained, orNone(e.Received), orNone(e.Applied))
}

// Is makes the error match ErrRelayNotDrained.
func (e *RelayNotDrainedError) Is(target error) bool { return target == ErrRelayNotDrained }

// ErrantError lists the transactions that the source lacks; each stands for
// all of its origin above what the source has.
type ErrantError struct {
	GTIDs []GTID
}

func (e *ErrantError) Error() string {
	return fmt.Sprintf("%s: %s, which its source lacks", ErrErrant, joinGTIDs(e.GTIDs))
}

// Is makes the error match ErrErrant.
func (e *ErrantError) Is(target error) bool { return target == ErrErrant }

// ReplicationError is an error of a replica's thread.
type ReplicationError struct {
	Thread string // io or sql
	Errno  uint
	Text   string // the server's
}

func (e *ReplicationError) Error() string {
	return fmt.Sprintf("%s thread: %s: %d %s", e.Thread, e.kind(), e.Errno, e.Text)
}

// Unwrap gives the sentinel that the error number and text stand for.
func (e *ReplicationError) Unwrap() error { return e.kind() }

func (e *ReplicationError) kind() error {
	switch e.Errno {
	case errGTIDOrder:
		return ErrErrant
	case errFatalRead:
		switch {
		case strings.Contains(e.Text, "not in the master's binlog"), strings.Contains(e.Text, "missing the GTID"):
			return ErrErrant
		case strings.Contains(e.Text, "purged"), strings.Contains(e.Text, "Could not find"):
			return ErrPurged
		}
	case errFatalSlave:
		if strings.Contains(e.Text, "equal MariaDB server ids") || strings.Contains(e.Text, "equal MySQL server ids") {
			return ErrSameServerID
		}
	case errAccessDenied, errDBAccess, errHostForbidden:
		return ErrReplicationLogin
	case 2002, errCannotConnect, errUnknownHost, errServerLost, errTooManyConns:
		return ErrSourceUnreachable
	}
	return ErrReplication
}

func orNone(s string) string {
	if s == "" {
		return "nothing"
	}
	return s
}

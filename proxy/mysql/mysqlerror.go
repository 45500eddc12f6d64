package mysql

import "fmt"

// Codes of the errors that the proxy itself answers with, or acts on. None that it answers with is above 1999 and
// below 3000: those are the codes of the client libraries, and MariaDB's takes an ERR packet with one of them for
// malformed and hides its message.
const (
	codeConCount           = 1040
	codeHandshake          = 1043
	codeAccessDenied       = 1045
	codeUnknownCommand     = 1047
	codeServerShutdown     = 1053
	codeNoSuchThread       = 1094
	codeNotOwner           = 1095
	codeUnknownError       = 1105
	codePacketTooLarge     = 1153
	codeUnknownVariable    = 1193
	codeOutcomeUnknown     = 1180 // ER_ERROR_DURING_COMMIT
	codeTooManyUserConns   = 1203
	codeUnknownStmt        = 1243
	codeReadOnly           = 1290
	codeQueryInterrupted   = 1317
	codeCannotReach        = 1429 // ER_CONNECT_TO_FOREIGN_DATA_SOURCE
	codeTooManyStmts       = 1461
	codeConnectionKilled   = 1927
	codeSessionKilled      = 3169
	stateGeneral           = "HY000"
	stateConnectionFailure = "08S01" // class 08 is what drivers and pools take for "throw this connection away"
	stateUnresolved        = "08007" // of the SQL standard: transaction resolution unknown
)

// MySQLError is an ERR packet: what a server said, or what the proxy says in its place.
type MySQLError struct {
	Code    uint16
	State   string // SQLSTATE, five characters; empty if the packet carried none
	Message string
}

// Error implements error, in the form in which the command-line client prints it.
func (e *MySQLError) Error() string {
	if e.State == "" {
		return fmt.Sprintf("ERROR %d: %s", e.Code, e.Message)
	}
	return fmt.Sprintf("ERROR %d (%s): %s", e.Code, e.State, e.Message)
}

// parseERR reads the payload of an ERR packet. The message may be cut short by the caller.
func parseERR(p []byte) (*MySQLError, error) {
	if len(p) < 3 || p[0] != headERR {
		return nil, fmt.Errorf("%w: ERR packet of %d bytes", errMalformed, len(p))
	}
	e := &MySQLError{Code: uint16(p[1]) | uint16(p[2])<<8}
	p = p[3:]
	if len(p) >= 6 && p[0] == '#' {
		e.State, p = string(p[1:6]), p[6:]
	}
	e.Message = string(p)
	return e, nil
}

// appendERR appends the payload of an ERR packet. Without a state it is the form used before the greeting.
func appendERR(b []byte, e *MySQLError) []byte {
	b = append(b, headERR, byte(e.Code), byte(e.Code>>8))
	if e.State != "" {
		b = append(b, '#')
		b = append(b, e.State...)
	}
	return append(b, e.Message...)
}

func mysqlErrorf(code uint16, state, format string, args ...any) *MySQLError {
	return &MySQLError{Code: code, State: state, Message: fmt.Sprintf(format, args...)}
}

// errOutcomeUnknown: the connection to the primary ended after a write was sent and before its answer came.
func errOutcomeUnknown(group, why string) *MySQLError {
	return mysqlErrorf(codeOutcomeUnknown, stateUnresolved,
		"Lost connection to server during query: outcome unknown: the statement may or may not have been executed (host group [%s]: %s)", group, why)
}

// errTransactionLost: the connection that carried an open transaction ended; the server rolls it back.
func errTransactionLost(group, why string) *MySQLError {
	return mysqlErrorf(codeConnectionKilled, stateConnectionFailure,
		"Lost connection to server: the open transaction was rolled back (host group [%s]: %s)", group, why)
}

// errNotWritable is the hold timeout. Its words and code 1000 are those that the original zeroDB used.
func errNotWritable(group string, why error) *MySQLError {
	return mysqlErrorf(codeReadOnly, stateGeneral,
		"code: 1000, host group [%s] is not writable: %v; nothing was executed, try again", group, why)
}

// errUnmovable ends a session that has state which cannot be carried to another server.
func errUnmovable(group, reason string) *MySQLError {
	return mysqlErrorf(codeConnectionKilled, stateConnectionFailure,
		"Connection was closed: host group [%s] needs another server connection, to which this session cannot be moved: %s; connect again", group, reason)
}

// errReadLost: a read was not answered, or not to its end, and could not be repeated.
func errReadLost(group, why string) *MySQLError {
	return mysqlErrorf(codeConnectionKilled, stateConnectionFailure,
		"Lost connection to server during query (host group [%s]: %s)", group, why)
}

func errUnreachable(group string, err error) *MySQLError {
	return mysqlErrorf(codeCannotReach, stateGeneral,
		"host group [%s]: cannot reach its writable datasource: %v; nothing was executed", group, err)
}

func errNoGroup(group string) *MySQLError {
	return mysqlErrorf(codeUnknownError, stateGeneral, "host group [%s] is not configured on this proxy", group)
}

package mysql

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"
)

func TestReplicationErrorKinds(t *testing.T) {
	tests := []struct {
		name  string
		errno uint
		text  string
		want  error
	}{
		{"diverged at the source", 1236, "... requested to start from GTID 0-3-3, which is not in the master's binlog. Since ...", ErrErrant},
		{"diverged in a hole", 1236, "The binlog on the master is missing the GTID 0-3-3 requested by the slave (even though a subsequent sequence number does exist), and GTID strict mode is enabled", ErrErrant},
		{"diverged here", 1950, "An attempt was made to binlog GTID 0-2-3 which would create an out-of-order sequence number", ErrErrant},
		{"purged", 1236, "Could not find GTID state requested by slave in any binlog files. Probably the slave state is too old and required binlog files have been purged.", ErrPurged},
		{"another fatal read", 1236, "log event entry exceeded max_allowed_packet", ErrReplication},
		{"same server", 1593, "Fatal error: The slave I/O thread stops because master and slave have equal MariaDB server ids", ErrSameServerID},
		{"another fatal error", 1593, "Fatal error: out of luck", ErrReplication},
		{"login", 1045, "Access denied", ErrReplicationLogin},
		{"host", 1130, "Host is not allowed", ErrReplicationLogin},
		{"down", 2003, "Can't connect", ErrSourceUnreachable},
		{"busy", 1040, "Too many connections", ErrSourceUnreachable},
		{"duplicate key", 1062, "Duplicate entry", ErrReplication},
	}
	for _, tt := range tests {
		err := error(&ReplicationError{Thread: "io", Errno: tt.errno, Text: tt.text})
		if !errors.Is(err, tt.want) || !strings.Contains(err.Error(), tt.text) {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
}

func TestExecError(t *testing.T) {
	tests := []struct {
		name    string
		err     error
		unknown bool
	}{
		{"deadline", context.DeadlineExceeded, true},
		{"connection", mysql.ErrInvalidConn, true},
		{"killed", &mysql.MySQLError{Number: errConnKilled}, true},
		{"shutdown", &mysql.MySQLError{Number: errShutdown}, true},
		{"syntax", &mysql.MySQLError{Number: 1064}, false},
		{"denied", &mysql.MySQLError{Number: errSpecificAccess}, false},
		{"limit", &mysql.MySQLError{Number: errStatementTime}, false},
	}
	for _, tt := range tests {
		err := execError("do it", tt.err)
		if errors.Is(err, ErrUnknown) != tt.unknown || !errors.Is(err, tt.err) || !strings.HasPrefix(err.Error(), "do it: ") {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
}

func TestTypedErrors(t *testing.T) {
	tests := []struct {
		err  error
		is   error
		text string
	}{
		{&PositionTimeoutError{Want: "0-1-9", Have: "0-1-3", Behind: 4 * time.Second, Waited: time.Second}, ErrPositionTimeout, "applied 0-1-3, behind 4s"},
		{&PositionTimeoutError{Want: "0-1-9", Behind: -1}, ErrPositionTimeout, "applied nothing, behind unknown"},
		{&RelayNotDrainedError{Received: "0-1-9", Applied: "0-1-3"}, ErrRelayNotDrained, "received 0-1-9, applied 0-1-3"},
		{&ErrantError{GTIDs: []GTID{{0, 3, 7}}}, ErrErrant, "0-3-7"},
	}
	for _, tt := range tests {
		if !errors.Is(tt.err, tt.is) || !strings.Contains(tt.err.Error(), tt.text) {
			t.Errorf("%v", tt.err)
		}
	}
}

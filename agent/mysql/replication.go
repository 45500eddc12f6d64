package mysql

import (
	"context"
	"fmt"
	"net"
	"strconv"
	"time"
)

// Replication is the server as a replica. Positions are bytes in files.
type Replication struct {
	SourceHost     string `json:"sourceHost"`
	SourcePort     uint16 `json:"sourcePort"`
	SourceUser     string `json:"sourceUser"`
	SourceServerID uint32 `json:"sourceServerId"`
	TLS            bool   `json:"tls"`

	IORunning  string `json:"ioRunning"`  // Yes, No, Connecting or Preparing
	SQLRunning string `json:"sqlRunning"` // Yes or No
	SQLState   string `json:"sqlState,omitempty"`
	IOErrno    uint   `json:"ioErrno,omitempty"`
	IOError    string `json:"ioError,omitempty"`
	SQLErrno   uint   `json:"sqlErrno,omitempty"`
	SQLError   string `json:"sqlError,omitempty"`

	SecondsBehind int64 `json:"secondsBehind"` // -1 when the server does not know
	SQLDelay      int64 `json:"sqlDelay,omitempty"`

	SourceFile      string `json:"sourceFile,omitempty"` // received up to here
	ReadSourcePos   uint64 `json:"readSourcePos,omitempty"`
	RelaySourceFile string `json:"relaySourceFile,omitempty"` // executed up to here
	ExecSourcePos   uint64 `json:"execSourcePos,omitempty"`
	RelayFile       string `json:"relayFile,omitempty"`
	RelayPos        uint64 `json:"relayPos,omitempty"`

	UsingGTID string `json:"usingGtid"` // No, Slave_Pos or Current_Pos
	GtidIOPos string `json:"gtidIoPos"` // received; empty after a start of the server

	Heartbeats uint64 `json:"heartbeats,omitempty"` // of the source, counted
}

// Source is the address that the server replicates from.
func (r *Replication) Source() string {
	return net.JoinHostPort(r.SourceHost, strconv.Itoa(int(r.SourcePort)))
}

// Running reports whether both threads run.
func (r *Replication) Running() bool { return r.IORunning == "Yes" && r.SQLRunning == "Yes" }

// Err is the error of the first thread that has one, a *ReplicationError.
func (r *Replication) Err() error {
	switch {
	case r.SQLErrno != 0:
		return &ReplicationError{Thread: "sql", Errno: r.SQLErrno, Text: r.SQLError}
	case r.IOErrno != 0:
		return &ReplicationError{Thread: "io", Errno: r.IOErrno, Text: r.IOError}
	}
	return nil
}

func (r *Replication) behind() time.Duration {
	if r == nil || r.SecondsBehind < 0 {
		return -1
	}
	return time.Duration(r.SecondsBehind) * time.Second
}

// replication reads the default replication connection, nil if there is none,
// and counts the named ones.
func (c *session) replication(ctx context.Context) (*Replication, int, error) {
	list, err := c.query(ctx, "show slaves status", "SHOW ALL SLAVES STATUS")
	if err != nil {
		return nil, 0, err
	}
	var r *Replication
	named := 0
	for _, row := range list {
		switch {
		case row["Connection_name"] != "":
			named++
		case row["Master_Host"] != "":
			r = parseReplication(row)
		}
	}
	return r, named, nil
}

// replica reads the server's replication and refuses a server that has none, or
// more than one.
func (c *session) replica(ctx context.Context) (*Replication, error) {
	r, err := c.singleSource(ctx)
	if err == nil && r == nil {
		err = ErrNotReplica
	}
	return r, err
}

// singleSource reads the server's replication, nil if it has none.
func (c *session) singleSource(ctx context.Context) (*Replication, error) {
	r, named, err := c.replication(ctx)
	if err == nil && named > 0 {
		err = fmt.Errorf("%w: %d of them: zero supports one source, unnamed", ErrMultiSource, named)
	}
	return r, err
}

func parseReplication(row record) *Replication {
	r := &Replication{
		SourceHost:     row["Master_Host"],
		SourcePort:     uint16(row.uint("Master_Port")),
		SourceUser:     row["Master_User"],
		SourceServerID: uint32(row.uint("Master_Server_Id")),
		TLS:            row["Master_SSL_Allowed"] == "Yes",

		IORunning:  row["Slave_IO_Running"],
		SQLRunning: row["Slave_SQL_Running"],
		SQLState:   row["Slave_SQL_Running_State"],
		IOErrno:    uint(row.uint("Last_IO_Errno")),
		IOError:    row["Last_IO_Error"],
		SQLErrno:   uint(row.uint("Last_SQL_Errno")),
		SQLError:   row["Last_SQL_Error"],

		SecondsBehind: -1,
		SQLDelay:      int64(row.uint("SQL_Delay")),

		SourceFile:      row["Master_Log_File"],
		ReadSourcePos:   row.uint("Read_Master_Log_Pos"),
		RelaySourceFile: row["Relay_Master_Log_File"],
		ExecSourcePos:   row.uint("Exec_Master_Log_Pos"),
		RelayFile:       row["Relay_Log_File"],
		RelayPos:        row.uint("Relay_Log_Pos"),

		UsingGTID: row["Using_Gtid"],
		GtidIOPos: row["Gtid_IO_Pos"],

		Heartbeats: row.uint("Slave_received_heartbeats"),
	}
	if n, err := strconv.ParseInt(row["Seconds_Behind_Master"], 10, 64); err == nil {
		r.SecondsBehind = n
	}
	return r
}

package mysql

import (
	"context"
	"crypto/tls"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"net"
	"strconv"
	"time"

	"github.com/go-sql-driver/mysql"
	"github.com/hashicorp/go-hclog"
	"golang.org/x/sys/unix"
)

// maxRows bounds every answer: more connections, accounts or events than any
// server has.
const maxRows = 200_000

// errTooManyRows is returned for an answer above maxRows.
var errTooManyRows = errors.New("answer has too many rows")

// dialConfig says how to connect.
type dialConfig struct {
	address, socket, user string
	password              func() (string, error)
	tls                   *tls.Config
	timeout               time.Duration
	log                   hclog.Logger
	peer                  func(pid int)           // told who serves a connection over the socket
	wrap                  func(net.Conn) net.Conn // put around a connection; nil: nothing
}

// newConnector makes connections whose sessions are all alike: utf8mb4,
// NO_BACKSLASH_ESCAPES (see quote), autocommit.
func newConnector(d dialConfig) (driver.Connector, error) {
	c := mysql.NewConfig()
	c.User = d.user
	c.Net, c.Addr, c.TLS = "tcp", d.address, d.tls
	if d.socket != "" {
		c.Net, c.Addr, c.TLS = "unix", d.socket, nil
	}
	c.DialFunc = d.dial
	c.Timeout = d.timeout
	c.InterpolateParams = true
	c.Collation = "utf8mb4_general_ci"
	c.Params = map[string]string{"sql_mode": "'NO_BACKSLASH_ESCAPES'", "autocommit": "1"}
	c.ConnectionAttributes = "program_name:zeroagent"
	c.Logger = driverLog{d.log}
	// The password is asked for at every connect, so that one that was changed works without a restart.
	err := c.Apply(mysql.BeforeConnect(func(_ context.Context, c *mysql.Config) error {
		p, err := d.password()
		if err != nil {
			return fmt.Errorf("read password of %s: %w", d.user, err)
		}
		c.Passwd = p
		return nil
	}))
	if err != nil {
		return nil, fmt.Errorf("mysql config: %w", err)
	}
	connector, err := mysql.NewConnector(c)
	if err != nil {
		return nil, fmt.Errorf("mysql config: %w", err)
	}
	return connector, nil
}

var dialer = net.Dialer{KeepAlive: 30 * time.Second}

// dial connects, and notes whose process answers.
func (d dialConfig) dial(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := dialer.DialContext(ctx, network, address)
	if err == nil && d.wrap != nil {
		return d.wrap(conn), nil
	}
	if err != nil || network != "unix" || d.peer == nil {
		return conn, err
	}
	if pid, err := peerPID(conn); err == nil { // without it the server just cannot be killed, which is an alarm
		d.peer(pid)
	}
	return conn, nil
}

// peerPID is the process that listens at the other end of a unix connection.
func peerPID(conn net.Conn) (int, error) {
	c, ok := conn.(*net.UnixConn)
	if !ok {
		return 0, fmt.Errorf("%T is no unix connection", conn)
	}
	raw, err := c.SyscallConn()
	if err != nil {
		return 0, err
	}
	var cred *unix.Ucred
	var asked error
	if err := raw.Control(func(fd uintptr) { cred, asked = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED) }); err != nil {
		return 0, err
	}
	if asked != nil {
		return 0, asked
	}
	return int(cred.Pid), nil
}

// session is one connection, held by one operation.
type session struct {
	conn    *sql.Conn
	timeout time.Duration
	nudge   func(context.Context) // see stopIO; nil: of another server
}

func (c *session) close() { _ = c.conn.Close() }

// discard closes the connection for good instead of giving it back, for a
// session that may hold a lock.
func (c *session) discard() {
	_ = c.conn.Raw(func(any) error { return driver.ErrBadConn })
	_ = c.conn.Close()
}

// exec runs a statement that changes something, within the statement timeout.
// what names it in errors; the statement itself never appears there.
func (c *session) exec(ctx context.Context, what, statement string) error {
	return c.execWithin(ctx, c.timeout, what, statement)
}

func (c *session) execWithin(ctx context.Context, timeout time.Duration, what, statement string) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("%s: not sent: %w", what, err)
	}
	if _, err := c.conn.ExecContext(ctx, statement); err != nil {
		return execError(what, err)
	}
	return nil
}

// record is one row by column name, without the NULLs.
type record map[string]string

func (r record) uint(column string) uint64 {
	n, _ := strconv.ParseUint(r[column], 10, 64) // an absent or foreign value counts as 0
	return n
}

func (r record) on(column string) bool { return r[column] == "ON" || r[column] == "1" }

// query reads the whole answer, within the statement timeout.
func (c *session) query(ctx context.Context, what, query string, args ...any) ([]record, error) {
	var list []record
	err := c.each(ctx, what, query, func(r record) error {
		if len(list) == maxRows {
			return errTooManyRows
		}
		list = append(list, r)
		return nil
	}, args...)
	return list, err
}

// each calls f for each row of the answer, which may be of any length. What f
// got before an error is valid.
func (c *session) each(ctx context.Context, what, query string, f func(record) error, args ...any) error {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	rows, err := c.conn.QueryContext(ctx, query, args...)
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	defer rows.Close()
	columns, err := rows.Columns()
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	values := make([]sql.NullString, len(columns))
	into := make([]any, len(columns))
	for i := range values {
		into[i] = &values[i]
	}
	for rows.Next() {
		if err := rows.Scan(into...); err != nil {
			return fmt.Errorf("%s: %w", what, err)
		}
		r := make(record, len(columns))
		for i, v := range values {
			if v.Valid {
				r[columns[i]] = v.String
			}
		}
		if err := f(r); err != nil {
			return fmt.Errorf("%s: %w", what, err)
		}
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	return nil
}

// one reads a single row.
func (c *session) one(ctx context.Context, what, query string, args ...any) (record, error) {
	list, err := c.query(ctx, what, query, args...)
	if err != nil {
		return nil, err
	}
	if len(list) != 1 {
		return nil, fmt.Errorf("%s: %d rows instead of one", what, len(list))
	}
	return list[0], nil
}

// value reads a single value.
func (c *session) value(ctx context.Context, what, query string, args ...any) (string, error) {
	r, err := c.one(ctx, what, query, args...)
	if err != nil {
		return "", err
	}
	for _, v := range r {
		return v, nil
	}
	return "", nil
}

package mysql

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/zerokeeper/zero/proxy/gate"
)

// User is an account that clients log in with.
type User struct {
	Name      string
	Password  string
	HostGroup string // where the user's statements go
	// BackendUser and BackendPassword log in to the servers; when BackendUser is empty, Name and Password do.
	BackendUser     string
	BackendPassword string
	// MaxConnections bounds the user's connections to this proxy; 0 means the server's own limit.
	MaxConnections int
}

// Group is a host group.
type Group struct {
	Name string
	Gate *gate.Gate
}

// Directory knows the users and the host groups. It is asked at every login and at every statement, so that a new
// configuration takes effect at once; it must answer from memory.
type Directory interface {
	LookupUser(name string) (User, bool)
	LookupGroup(name string) (Group, bool)
}

// Dialer opens connections to servers.
type Dialer struct {
	// Dial opens a TCP connection; nil means the operating system's.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// Timeout bounds connecting and logging in together. Default 2 s.
	Timeout time.Duration
}

// Config of a Server. A zero field means its default, never "unlimited".
type Config struct {
	Directory Directory
	Logger    hclog.Logger // nil: silent
	Dialer    Dialer

	ServerVersion  string        // told to clients. Default "10.11.0-MariaDB-zero"
	Collation      byte          // told to clients as the server's. Default 45, utf8mb4_general_ci
	MaxConnections int           // of clients. Default 10,000
	MaxDials       int           // connections being opened to one server at the same time. Default 64
	Handshake      time.Duration // from accepting a client to its being logged in. Default 10 s
	IdleTimeout    time.Duration // a client that sends no command is disconnected. Default 8 h, as MySQL's wait_timeout
	ReadTimeout    time.Duration // for the rest of a packet that has begun. Default 60 s
	WriteTimeout   time.Duration // for a peer to take what is written to it. Default 60 s
	AnswerTimeout  time.Duration // for a server to answer a statement. Default 24 h
	// BackendWait bounds how long a statement of which nothing was sent waits for a primary that cannot be
	// reached. Default: as long as its host group holds statements in a switch.
	BackendWait time.Duration
	// SweepInterval is how often open transactions that idle are checked for a server that has gone. Default
	// 500 ms.
	SweepInterval time.Duration

	MaxBufferedBytes int // of a command kept in memory; longer ones are streamed. Default 1 MiB
	MaxPacketBytes   int // of a command that must be kept in memory whole. Default 64 MiB
	MaxStateBytes    int // of session state remembered for moving a session. Default 1 MiB
	MaxStatements    int // prepared statements of one session. Default 16,382, as MySQL's max_prepared_stmt_count
	MaxLongDataBytes int // of COM_STMT_SEND_LONG_DATA remembered by one session. Default 16 MiB

	// PureFunctions are stored functions known to change nothing: a SELECT that calls them counts as a read.
	PureFunctions []string
}

// Validate reports every field that cannot be used.
func (c Config) Validate() error {
	var errs []error
	if c.Directory == nil {
		errs = append(errs, errors.New("mysql: no directory of users and host groups"))
	}
	for _, f := range []struct {
		name  string
		value int64
	}{
		{"max connections", int64(c.MaxConnections)}, {"max dials", int64(c.MaxDials)},
		{"handshake timeout", int64(c.Handshake)}, {"idle timeout", int64(c.IdleTimeout)},
		{"read timeout", int64(c.ReadTimeout)}, {"write timeout", int64(c.WriteTimeout)},
		{"answer timeout", int64(c.AnswerTimeout)}, {"backend wait", int64(c.BackendWait)},
		{"sweep interval", int64(c.SweepInterval)}, {"dial timeout", int64(c.Dialer.Timeout)},
		{"max buffered bytes", int64(c.MaxBufferedBytes)}, {"max packet bytes", int64(c.MaxPacketBytes)},
		{"max state bytes", int64(c.MaxStateBytes)}, {"max statements", int64(c.MaxStatements)},
		{"max long data bytes", int64(c.MaxLongDataBytes)},
	} {
		if f.value < 0 {
			errs = append(errs, fmt.Errorf("mysql: %s is negative", f.name))
		}
	}
	if len(c.ServerVersion) > 100 {
		errs = append(errs, errors.New("mysql: server version is longer than 100 bytes"))
	}
	return errors.Join(errs...)
}

// minBuffered keeps the fixed parts of a COM_STMT_EXECUTE with 65,535 parameters in the buffer.
const minBuffered = 256 << 10

// withDefaults returns c with every zero field replaced by its default.
func (c Config) withDefaults() Config {
	set(&c.Logger, hclog.Logger(hclog.NewNullLogger()))
	set(&c.ServerVersion, "10.11.0-MariaDB-zero")
	set(&c.Collation, 45)
	set(&c.MaxConnections, 10_000)
	set(&c.MaxDials, 64)
	set(&c.Handshake, 10*time.Second)
	set(&c.IdleTimeout, 8*time.Hour)
	set(&c.ReadTimeout, time.Minute)
	set(&c.WriteTimeout, time.Minute)
	set(&c.AnswerTimeout, 24*time.Hour)
	set(&c.SweepInterval, 500*time.Millisecond)
	set(&c.MaxBufferedBytes, 1<<20)
	c.MaxBufferedBytes = max(c.MaxBufferedBytes, minBuffered)
	set(&c.MaxPacketBytes, 64<<20)
	c.MaxPacketBytes = max(c.MaxPacketBytes, c.MaxBufferedBytes)
	set(&c.MaxStateBytes, 1<<20)
	set(&c.MaxStatements, 16_382)
	set(&c.MaxLongDataBytes, 16<<20)
	c.Dialer = c.Dialer.withDefaults()
	return c
}

func (d Dialer) withDefaults() Dialer {
	set(&d.Timeout, 2*time.Second)
	return d
}

// set gives *field the default if it is zero.
func set[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

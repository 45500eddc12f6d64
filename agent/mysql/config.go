package mysql

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strconv"
	"time"

	"github.com/hashicorp/go-hclog"
)

// Limits and defaults of Config.
const (
	DefaultStatementTimeout = 3 * time.Second
	minStatementTimeout     = 100 * time.Millisecond
	maxStatementTimeout     = time.Minute
)

// Config says which server this is and how to log in to it. The zero value is
// not usable: Address, User and Password are needed.
type Config struct {
	// Address is the datasource's host:port as the configuration names it. It
	// identifies the server; connections go there unless Socket is set.
	Address string
	// Socket is the path of the server's unix socket. Optional.
	Socket string

	// User and Password log in to the local server with the grants of InitSQL.
	// Password is called for every new connection, so a secret may change.
	User     string
	Password func() (string, error)
	// TLS encrypts TCP connections to the local server. Optional.
	TLS *tls.Config

	// ReplicationUser and ReplicationPassword are what this server uses to log
	// in to its source. Needed by Follow only.
	ReplicationUser     string
	ReplicationPassword func() (string, error)
	// ReplicationTLS encrypts replication. Follow always states it in full: what
	// an operator set by hand survives a promotion only by accident, until the
	// server's next start.
	ReplicationTLS ReplicationTLS

	// DataDir is where free disk space is measured; empty means the server's
	// own @@datadir.
	DataDir string
	// AdminUsers may hold READ_ONLY ADMIN without a complaint of Preflight. The
	// agent's own user always may. A fence kills their sessions all the same.
	AdminUsers []string
	// SemiSync makes Promote turn the semi-sync source on and Follow the semi-sync replica.
	SemiSync bool
	// ManageEvents lets the event scheduler follow the role: off when fenced or
	// following, on when promoted. It needs SUPER. Without it a server with
	// enabled events is not fenced.
	ManageEvents bool

	// StatementTimeout bounds each statement and each connect that has no bound
	// of its own. 0 means DefaultStatementTimeout.
	StatementTimeout time.Duration
	Logger           hclog.Logger
}

// ReplicationTLS is the TLS of a replica's connection to its source. Paths are
// read by the database server, not by the agent.
type ReplicationTLS struct {
	Enabled bool
	CA      string // path of the PEM file with the authorities; empty: the system's
	Cert    string // path of the client certificate; optional
	Key     string // path of the client key; optional
	Verify  bool   // check that the certificate names the source's host
}

// Validate reports everything that is wrong with the configuration.
func (c Config) Validate() error {
	var errs []error
	if _, _, err := splitAddress(c.Address); err != nil {
		errs = append(errs, fmt.Errorf("address: %w", err))
	}
	if c.User == "" {
		errs = append(errs, errors.New("user: missing"))
	}
	if c.Password == nil {
		errs = append(errs, errors.New("password: missing"))
	}
	if (c.ReplicationUser == "") != (c.ReplicationPassword == nil) {
		errs = append(errs, errors.New("replication user and password: give both or neither"))
	}
	if t := c.ReplicationTLS; !t.Enabled && (t.CA != "" || t.Cert != "" || t.Key != "" || t.Verify) {
		errs = append(errs, errors.New("replication TLS: settings given but not enabled"))
	}
	if c.ReplicationUser != "" && c.ReplicationUser == c.User {
		errs = append(errs, errors.New("replication user: must not be the agent's own"))
	}
	if t := c.StatementTimeout; t != 0 && (t < minStatementTimeout || t > maxStatementTimeout) {
		errs = append(errs, fmt.Errorf("statement timeout: %s is not between %s and %s", t, minStatementTimeout, maxStatementTimeout))
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("mysql config: %w", err)
	}
	return nil
}

func (c Config) withDefaults() Config {
	if c.StatementTimeout == 0 {
		c.StatementTimeout = DefaultStatementTimeout
	}
	if c.Logger == nil {
		c.Logger = hclog.NewNullLogger()
	}
	return c
}

// splitAddress takes host:port apart and checks both.
func splitAddress(address string) (host string, port uint16, err error) {
	host, p, err := net.SplitHostPort(address)
	if err != nil {
		return "", 0, err
	}
	if host == "" {
		return "", 0, fmt.Errorf("%q has no host", address)
	}
	n, err := strconv.ParseUint(p, 10, 16)
	if err != nil || n == 0 {
		return "", 0, fmt.Errorf("%q: the port is not between 1 and 65535", address)
	}
	return host, uint16(n), nil
}

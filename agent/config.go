package agent

import (
	"context"
	"fmt"
	"regexp"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/zerokeeper/zero/agent/mysql"
	"github.com/zerokeeper/zero/transport/wire"
)

// Database is the local database server (package agent/mysql's Server).
type Database interface {
	Address() string
	State(ctx context.Context) (mysql.State, error)
	Load(ctx context.Context) (mysql.Load, error)
	Binlog(ctx context.Context, role mysql.Role) (mysql.Binlog, error)
	Preflight(ctx context.Context, o mysql.PreflightOptions) ([]mysql.Finding, error)
	Fence(ctx context.Context, o mysql.FenceOptions) (mysql.FenceResult, error)
	SetReadOnly(ctx context.Context) error
	WaitPosition(ctx context.Context, gtid string, timeout time.Duration) error
	Promote(ctx context.Context, may mysql.Permit) (mysql.Promoted, error)
	Follow(ctx context.Context, source mysql.Source) (mysql.Following, error)
	SourceState(ctx context.Context, source mysql.Source) (string, error)
	SaveErrant(ctx context.Context, sourceState, dir string) (path string, err error)
	StopReceiving(ctx context.Context) (mysql.Received, error)
	StandBy(ctx context.Context) error
	Rotate(ctx context.Context, limit uint64) error
	Drain(ctx context.Context, timeout time.Duration) (mysql.Received, error)
	Resume(ctx context.Context) error
	// Semi-sync: whether the agent sees to it, and both its sides.
	ManagesSemiSync() bool
	SemiSyncSource(ctx context.Context, on bool) error
	SemiSyncReplica(ctx context.Context, on bool) error
	// AcknowledgeReceived tells the source again what was received, if commits wait there.
	AcknowledgeReceived(ctx context.Context, may mysql.Turn) (mysql.Acknowledged, error)
	// The server's process: found and kept in sight, killed, confirmed dead.
	Attach(ctx context.Context, dataDir string) (mysql.Process, error)
	Kill(ctx context.Context, dataDir string) error
	Dead(ctx context.Context, dataDir string) bool
	// Greets fails when the server does not even greet a new connection.
	Greets(ctx context.Context) error
	// Bypass names the accounts that read_only does not stop, but for the administrators.
	Bypass(ctx context.Context) ([]string, error)
}

// Link is the way to the keepers' leader (package transport's Client).
type Link interface {
	Call(ctx context.Context, name string, meta wire.Meta, body []byte) (*wire.Response, error)
}

// Config is what an Agent is made with. Zero durations mean the defaults.
type Config struct {
	ID       string // its name
	Zone     string // where its host stands; optional
	DataDir  string // for what it must remember; this agent's alone
	Version  string
	Database Database
	// ServerConf is a file that the server's my.cnf includes and this agent alone
	// writes: with init_rpl_role=SLAVE once the server is for good not the primary any more.
	// See MayStart. Optional.
	ServerConf string
	// Listen is where the group's other agents and its proxies reach this one
	// (host:port), when no keeper is in reach. Empty: they do not.
	Listen string
	Logger hclog.Logger

	CallTimeout  time.Duration // of one heartbeat; 3 s
	StateTimeout time.Duration // of asking the server what it is; 2 s
	RoleTimeout  time.Duration // of one change of the server's role that no order asked for; 30 s
}

var validID = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)

// Validate refuses a configuration that cannot work.
func (c Config) Validate() error {
	switch {
	case !validID.MatchString(c.ID):
		return fmt.Errorf("agent config: the name %q: want 1 to 64 of A-Z a-z 0-9 . _ -, a letter or digit first", c.ID)
	case c.Zone != "" && !validID.MatchString(c.Zone):
		return fmt.Errorf("agent config: the zone %q: want 1 to 64 of A-Z a-z 0-9 . _ -, a letter or digit first", c.Zone)
	case c.DataDir == "":
		return fmt.Errorf("agent config: no data directory: an agent must remember what it promised")
	case c.Database == nil:
		return fmt.Errorf("agent config: no database")
	case c.CallTimeout < 0 || c.StateTimeout < 0 || c.RoleTimeout < 0:
		return fmt.Errorf("agent config: a timeout is negative")
	}
	return nil
}

func (c Config) withDefaults() Config {
	if c.Logger == nil {
		c.Logger = hclog.NewNullLogger()
	}
	for _, d := range []struct {
		value  *time.Duration
		preset time.Duration
	}{{&c.CallTimeout, 3 * time.Second}, {&c.StateTimeout, 2 * time.Second}, {&c.RoleTimeout, 30 * time.Second}} {
		if *d.value == 0 {
			*d.value = d.preset
		}
	}
	return c
}

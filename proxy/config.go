package proxy

import (
	"context"
	"fmt"
	"os"
	"regexp"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/zerokeeper/zero/transport/wire"
)

// Link is the way to the keepers' leader (package transport's Client).
type Link interface {
	Call(ctx context.Context, name string, meta wire.Meta, body []byte) (*wire.Response, error)
}

// Config is what a Proxy is made with. Zero durations mean the defaults.
type Config struct {
	ID      string // its name among the proxies of the cluster
	Cluster string // config_name of the configuration that it runs
	Address string // where clients reach its MySQL port, host:port
	DataDir string // for the configuration and what the host groups remember; this proxy's alone
	Version string
	Dev     bool // literal passwords are accepted in configurations
	Logger  hclog.Logger

	// ReadSecretFile and Getenv resolve password references; nil: the operating
	// system's.
	ReadSecretFile func(path string) ([]byte, error)
	Getenv         func(name string) (string, bool)

	CallTimeout  time.Duration // of one request to the keepers; 3 s
	RetryRefused time.Duration // until a configuration that cannot be used here is tried again; 1 min
}

// validID is also what makes an id, a cluster or a host group a file name.
var validID = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)

// Validate refuses a configuration that cannot work.
func (c Config) Validate() error {
	switch {
	case !validID.MatchString(c.ID):
		return fmt.Errorf("proxy config: the name %q: want 1 to 64 of A-Z a-z 0-9 . _ -, a letter or digit first", c.ID)
	case !validID.MatchString(c.Cluster):
		return fmt.Errorf("proxy config: the cluster %q: want 1 to 64 of A-Z a-z 0-9 . _ -, a letter or digit first", c.Cluster)
	case c.Address == "":
		return fmt.Errorf("proxy config: no address for clients")
	case c.DataDir == "":
		return fmt.Errorf("proxy config: no data directory: without one a start without keepers could not serve reads")
	case c.CallTimeout < 0 || c.RetryRefused < 0:
		return fmt.Errorf("proxy config: the call timeout %s or the retry of a refused configuration %s is negative", c.CallTimeout, c.RetryRefused)
	}
	return nil
}

func (c Config) withDefaults() Config {
	if c.Logger == nil {
		c.Logger = hclog.NewNullLogger()
	}
	if c.ReadSecretFile == nil {
		c.ReadSecretFile = os.ReadFile
	}
	if c.Getenv == nil {
		c.Getenv = os.LookupEnv
	}
	if c.CallTimeout == 0 {
		c.CallTimeout = 3 * time.Second
	}
	if c.RetryRefused == 0 {
		c.RetryRefused = time.Minute
	}
	return c
}

package main

import (
	"fmt"
	"net"
	"os"
	"time"

	"github.com/zerokeeper/zero/cli/daemon"
	"github.com/zerokeeper/zero/cli/daemon/settings"
)

// options are the proxy's flags.
type options struct {
	name      string
	cluster   string
	data      string
	keepers   []string
	mysql     string
	advertise string
	drain     time.Duration
	lendToken daemon.Secret
	dev       bool
}

func (o *options) app() daemon.App {
	o.mysql, o.drain = "127.0.0.1:3306", 20*time.Second
	return daemon.App{
		Name:  "zeroproxy",
		Short: "zeroproxy serves MySQL clients and holds their writes while the primary moves",
		Example: `  zeroproxy --name p1 --cluster shop --data /var/lib/zero/p1 --mysql 0.0.0.0:3306 --advertise 10.0.0.11:3306 \
            --keepers 10.0.0.1:7001,10.0.0.2:7001,10.0.0.3:7001 --http 10.0.0.11:7201`,
		HTTP: "127.0.0.1:7201",
		Flags: []settings.Flag{
			{Name: "name", Value: &o.name, Arg: "name", Usage: "name of this proxy, unique in its cluster (default: the host's name)"},
			{Name: "cluster", Value: &o.cluster, Arg: "name", Usage: "config_name of the configuration that it runs"},
			{Name: "data", Value: &o.data, Arg: "dir", Usage: "directory that belongs to this proxy alone"},
			{Name: "keepers", Value: &o.keepers, Arg: "host:port,…", Usage: "ports for machines of the keepers"},
			{Name: "mysql", Value: &o.mysql, Arg: "host:port", Usage: "port for MySQL clients"},
			{Name: "advertise", Value: &o.advertise, Arg: "host:port", Usage: "how clients reach that port, for people (default: --mysql)"},
			{Name: "drain-timeout", Value: &o.drain, Arg: "duration", Usage: "how long running transactions may take to end at a stop; keep it some seconds below --shutdown-timeout"},
			{Name: "lend-token-ref", Value: &o.lendToken, Arg: "reference", Usage: "token with which this proxy borrows leases from agents while no keeper is in reach (failsafe): ${file:/path} or ${env:NAME}"},
			{Name: "dev", Value: &o.dev, Usage: "accept literal passwords in configurations"},
		},
		Validate: o.validate,
		Run:      o.run,
	}
}

func (o *options) validate() error {
	if o.name == "" {
		name, err := os.Hostname()
		if err != nil {
			return fmt.Errorf("--name is needed: this host does not know its own: %w", err)
		}
		o.name = name
	}
	if o.advertise == "" {
		o.advertise = o.mysql
	}
	if _, _, err := net.SplitHostPort(o.mysql); err != nil {
		return fmt.Errorf("--mysql: %w", err)
	}
	for _, k := range o.keepers {
		if _, port, err := net.SplitHostPort(k); err != nil || port == "" {
			return fmt.Errorf("--keepers: %q: want host:port", k)
		}
	}
	if o.lendToken.Given() {
		if _, err := o.lendToken.Resolve(o.dev); err != nil {
			return fmt.Errorf("--lend-token-ref: %w", err)
		}
	}
	switch {
	case o.cluster == "":
		return fmt.Errorf("--cluster is needed: the config_name of the configuration to run")
	case o.data == "":
		return fmt.Errorf("--data is needed: what a proxy must remember stands there")
	case len(o.keepers) == 0:
		return fmt.Errorf("--keepers is needed")
	case o.drain <= 0:
		return fmt.Errorf("--drain-timeout must be above 0")
	}
	return nil
}

package main

import (
	"fmt"
	"net"
	"os"

	"github.com/zerokeeper/zero/agent/mysql"
	"github.com/zerokeeper/zero/cli/daemon"
	"github.com/zerokeeper/zero/cli/daemon/settings"
	"github.com/zerokeeper/zero/transport/conf"
)

// options are the agent's flags.
type options struct {
	name       string
	zone       string
	data       string
	keepers    []string
	mysql      string
	socket     string
	serverConf string
	user       string
	password   string // reference
	replUser   string
	replPass   string // reference
	adminUsers []string
	semiSync   bool
	events     bool
	dev        bool

	listen, advertise string
	peerToken         daemon.Secret // among agents
	lendToken         daemon.Secret // of proxies
}

func (o *options) app() daemon.App {
	o.user, o.replUser, o.semiSync, o.adminUsers = "zero_agent", "zero_repl", true, []string{"root"}
	app := daemon.App{
		Name:  "zeroagent",
		Short: "zeroagent stands beside one database server and makes it writable or read-only as the keepers decide",
		Example: `  zeroagent --name db1 --data /var/lib/zero/agent --mysql 10.0.0.21:3306 --socket /run/mysqld/mysqld.sock \
            --keepers 10.0.0.1:7001,10.0.0.2:7001,10.0.0.3:7001 \
            --password-ref '${file:/etc/zero/agent.password}' --replication-password-ref '${file:/etc/zero/replication.password}'

  The accounts and settings that it needs:
  zeroagent init --print-sql`,
		HTTP: "127.0.0.1:7301",
		Flags: []settings.Flag{
			{Name: "name", Value: &o.name, Arg: "name", Usage: "name of this agent (default: the host's name)"},
			{Name: "zone", Value: &o.zone, Arg: "name", Usage: "where this host stands (rack, datacenter): in a failover replicas in the zone of the old primary come first"},
			{Name: "data", Value: &o.data, Arg: "dir", Usage: "directory that belongs to this agent alone"},
			{Name: "keepers", Value: &o.keepers, Arg: "host:port,…", Usage: "ports for machines of the keepers"},
			{Name: "mysql", Value: &o.mysql, Arg: "host:port", Usage: "address of the database server, as the configuration names it in write"},
			{Name: "socket", Value: &o.socket, Arg: "path", Usage: "unix socket to reach it by (default: its address); without it a server that hangs cannot be killed"},
			{Name: "server-conf", Value: &o.serverConf, Arg: "path", Usage: "file that the server's my.cnf includes and this agent writes, so that an old primary that is started again drops what nobody acknowledged"},
			{Name: "user", Value: &o.user, Arg: "name", Usage: "account of the agent on the server"},
			{Name: "password-ref", Value: &o.password, Arg: "reference", Usage: "its password: ${file:/path} or ${env:NAME}"},
			{Name: "replication-user", Value: &o.replUser, Arg: "name", Usage: "account that this server replicates with"},
			{Name: "replication-password-ref", Value: &o.replPass, Arg: "reference", Usage: "its password: ${file:/path} or ${env:NAME}"},
			{Name: "admin-users", Value: &o.adminUsers, Arg: "name,…", Usage: "accounts that may hold READ_ONLY ADMIN without a complaint"},
			{Name: "semi-sync", Value: &o.semiSync, Usage: "turn semi-synchronous replication on with the role"},
			{Name: "manage-events", Value: &o.events, Usage: "let the event scheduler follow the role; the account needs SUPER for it"},
			{Name: "listen", Value: &o.listen, Arg: "host:port", Usage: "port for the group's other agents and its proxies while no keeper is in reach (failsafe)"},
			{Name: "advertise", Value: &o.advertise, Arg: "host:port", Usage: "how they reach that port (default: --listen)"},
			{Name: "peer-token-ref", Value: &o.peerToken, Arg: "reference", Usage: "token that the agents of a group prove themselves to each other with: ${file:/path} or ${env:NAME}"},
			{Name: "lend-token-ref", Value: &o.lendToken, Arg: "reference", Usage: "token that proxies borrow leases with: ${file:/path} or ${env:NAME}"},
			{Name: "dev", Value: &o.dev, Usage: "accept literal passwords"},
		},
		Validate: o.validate,
		Run:      o.run,
	}
	app.Commands = append(app.Commands, o.initCommand(), o.awaitStartCommand())
	return app
}

func (o *options) validate() error {
	if o.name == "" {
		name, err := os.Hostname()
		if err != nil {
			return fmt.Errorf("--name is needed: this host does not know its own: %w", err)
		}
		o.name = name
	}
	if _, err := conf.ParseDatasource(o.mysql); err != nil {
		return fmt.Errorf("--mysql: %w", err)
	}
	if host, _, err := net.SplitHostPort(o.mysql); err != nil || host == "" {
		return fmt.Errorf("--mysql %q: want host:port", o.mysql)
	}
	for _, k := range o.keepers {
		if _, port, err := net.SplitHostPort(k); err != nil || port == "" {
			return fmt.Errorf("--keepers: %q: want host:port", k)
		}
	}
	switch {
	case o.data == "":
		return fmt.Errorf("--data is needed: what an agent promised stands there")
	case len(o.keepers) == 0:
		return fmt.Errorf("--keepers is needed")
	case o.password == "" || o.replPass == "":
		return fmt.Errorf("--password-ref and --replication-password-ref are needed")
	}
	if err := o.validateListen(); err != nil {
		return err
	}
	_, err := o.secret(o.password)()
	if err != nil {
		return fmt.Errorf("--password-ref: %w", err)
	}
	if _, err = o.secret(o.replPass)(); err != nil {
		return fmt.Errorf("--replication-password-ref: %w", err)
	}
	return nil
}

// secret reads a password anew each time that it is needed.
func (o *options) secret(ref string) func() (string, error) {
	return func() (string, error) {
		s, err := conf.ResolveSecret(ref, os.ReadFile, os.LookupEnv, o.dev)
		return s.Reveal(), err
	}
}

func (o *options) database() mysql.Config {
	return mysql.Config{
		Address: o.mysql, Socket: o.socket, User: o.user, Password: o.secret(o.password),
		ReplicationUser: o.replUser, ReplicationPassword: o.secret(o.replPass),
		AdminUsers: o.adminUsers, SemiSync: o.semiSync, ManageEvents: o.events,
	}
}

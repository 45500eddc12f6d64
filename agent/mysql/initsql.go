package mysql

import (
	"crypto/sha1"
	"errors"
	"fmt"
	"regexp"
	"strings"
)

// InitParams says what InitSQL prepares a server for.
type InitParams struct {
	AgentUser     string
	AgentHosts    []string // host patterns that the agent connects from; nil: localhost and 127.0.0.1
	AgentPassword string

	ReplicationUser     string
	ReplicationHost     string // host pattern that replicas connect from; empty: %
	ReplicationPassword string
	ReplicationTLS      bool // require TLS of them

	ManageEvents bool   // grant SUPER for the event scheduler
	SemiSync     bool   // show the settings of semi-sync
	ServerID     uint32 // 0: shown as a choice to make
	ServerConf   string // the file of --server-conf, empty: shown as a choice to make
	ReportHost   string // host that others know the server by
	ReportPort   uint16 // 0: 3306
}

// agentGrants are the least that the operations of this package need on MariaDB
// 10.11; the tests run with them. DESIGN.md says which is for what.
var agentGrants = []string{
	"BINLOG MONITOR", "CONNECTION ADMIN", "PROCESS", "READ_ONLY ADMIN", "RELOAD",
	"REPLICA MONITOR", "REPLICATION MASTER ADMIN", "REPLICATION SLAVE ADMIN",
}

// agentTables are what the agent reads beside them.
var agentTables = []string{"mysql.event", "mysql.global_priv", "mysql.roles_mapping"}

// The names are put into SQL and into a configuration file as they are.
var (
	userPattern = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.-]{0,79}$`)
	hostPattern = regexp.MustCompile(`^[A-Za-z0-9_.:%/-]{1,255}$`)
)

// InitSQL gives the SQL that an administrator runs on each server of a group,
// and, as comments, what belongs into its configuration file. It can be run
// again, also to change a password, and on a replica: it writes no binary log.
// Passwords appear only as hashes.
func InitSQL(p InitParams) (string, error) {
	if p.AgentHosts == nil {
		p.AgentHosts = []string{"localhost", "127.0.0.1"}
	}
	if p.ReplicationHost == "" {
		p.ReplicationHost = "%"
	}
	if err := p.validate(); err != nil {
		return "", fmt.Errorf("init sql: %w", err)
	}
	var b strings.Builder
	b.WriteString("-- Accounts of zero. Run on every server of the group, as an administrator.\n")
	b.WriteString("SET SESSION sql_log_bin=0;\n")
	for _, host := range p.AgentHosts {
		a := account{p.AgentUser, host}.String()
		writeAccount(&b, a, p.AgentPassword, "")
		fmt.Fprintf(&b, "GRANT %s ON *.* TO %s;\n", strings.Join(agentGrants, ", "), a)
		for _, table := range agentTables {
			fmt.Fprintf(&b, "GRANT SELECT ON %s TO %s;\n", table, a)
		}
		if p.ManageEvents {
			b.WriteString("-- SET GLOBAL event_scheduler needs no less.\n")
			fmt.Fprintf(&b, "GRANT SUPER ON *.* TO %s;\n", a)
		}
	}
	r := account{p.ReplicationUser, p.ReplicationHost}.String()
	require := " REQUIRE NONE"
	if p.ReplicationTLS {
		require = " REQUIRE SSL"
	}
	writeAccount(&b, r, p.ReplicationPassword, require)
	fmt.Fprintf(&b, "GRANT REPLICATION SLAVE ON *.* TO %s;\n", r)
	b.WriteString("SET SESSION sql_log_bin=1;\n")
	b.WriteString(p.settings())
	return b.String(), nil
}

func (p InitParams) validate() error {
	var errs []error
	name := func(what, s string, pattern *regexp.Regexp) {
		if !pattern.MatchString(s) {
			errs = append(errs, fmt.Errorf("%s %q: only letters, digits and a few signs are allowed", what, clip(s)))
		}
	}
	name("agent user", p.AgentUser, userPattern)
	name("replication user", p.ReplicationUser, userPattern)
	name("replication host", p.ReplicationHost, hostPattern)
	for _, host := range p.AgentHosts {
		name("agent host", host, hostPattern)
	}
	if len(p.AgentHosts) == 0 {
		errs = append(errs, errors.New("agent host: missing"))
	}
	if strings.ContainsAny(p.ServerConf, "\r\n") {
		errs = append(errs, fmt.Errorf("server conf %q: a path in one line is wanted", clip(p.ServerConf)))
	}
	if p.ReportHost != "" {
		name("report host", p.ReportHost, hostPattern)
	}
	if p.AgentUser == p.ReplicationUser {
		errs = append(errs, errors.New("the agent and replication need an account each"))
	}
	if p.AgentPassword == "" || p.ReplicationPassword == "" {
		errs = append(errs, errors.New("a password is empty"))
	}
	if _, err := quoteMax("replication password", p.ReplicationPassword, maxPasswordLiteral); err != nil {
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

func writeAccount(b *strings.Builder, account, password, require string) {
	hash := nativeHash(password)
	fmt.Fprintf(b, "CREATE USER IF NOT EXISTS %s IDENTIFIED BY PASSWORD '%s';\n", account, hash)
	fmt.Fprintf(b, "ALTER USER %s IDENTIFIED BY PASSWORD '%s'%s;\n", account, hash, require)
}

// nativeHash is what the server stores for mysql_native_password.
func nativeHash(password string) string {
	first := sha1.Sum([]byte(password))
	second := sha1.Sum(first[:])
	return fmt.Sprintf("*%X", second)
}

func (p InitParams) settings() string {
	id := "<unique in the group>"
	if p.ServerID != 0 {
		id = fmt.Sprint(p.ServerID)
	}
	host, port := p.ReportHost, p.ReportPort
	if host == "" {
		host = "<the host that others know this server by>"
	}
	if port == 0 {
		port = 3306
	}
	lines := []string{
		"Settings for the server's configuration file; a restart applies them.",
		"[mariadb]",
		"server_id = " + id,
		"report_host = " + host,
		fmt.Sprintf("report_port = %d", port),
		"read_only = 1                  # only zero makes a server writable",
		"log_bin = binlog",
		"log_slave_updates = 1",
		"binlog_format = ROW",
		"gtid_strict_mode = 1",
		"sync_binlog = 1",
		"innodb_flush_log_at_trx_commit = 1",
		"skip_slave_start = 1           # a start in GTID mode deletes the relay log",
		"relay_log_recovery = 0         # so does this",
		"slave_parallel_threads = 4",
		"slave_parallel_mode = optimistic",
		"slave_net_timeout = 2",
	}
	if p.SemiSync {
		lines = append(lines,
			"rpl_semi_sync_master_enabled = 1",
			"rpl_semi_sync_master_wait_point = AFTER_SYNC",
			"rpl_semi_sync_master_timeout = "+ackTimeoutMS,
			"rpl_semi_sync_master_wait_no_slave = 1",
			"rpl_semi_sync_slave_enabled = 0  # the agent turns it on once the record names the replica",
			"rpl_semi_sync_slave_kill_conn_timeout = "+killConnSeconds+"  # for a source that is silent; never 0",
			"# sync_relay_log = 1           # makes an acknowledgement mean: on the replica's disk; one fsync for each event",
		)
	}
	if p.ManageEvents {
		lines = append(lines, "event_scheduler = OFF          # the agent turns it on where the primary is")
	}
	file := p.ServerConf
	if file == "" {
		file = "<the file of zeroagent --server-conf>"
	}
	lines = append(lines, "# At the end. The agent writes it: an old primary that is started again drops what nobody acknowledged.", "!include "+file,
		"Settings for the server's service (systemctl edit mariadb): a primary that crashed is not started before that is decided.",
		"[Service]", "ExecStartPre=+/usr/bin/zeroagent await-start")
	return "\n-- " + strings.Join(lines, "\n-- ") + "\n"
}

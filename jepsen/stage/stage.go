package stage

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/go-sql-driver/mysql"

	"github.com/zerokeeper/zero/jepsen/fleet"
)

// Names on the stage.
const (
	Cluster  = "demo"
	Group    = "orders"
	Database = "zero_demo"
	AppUser  = "app"
)

// Lease is the leases' length on the stage: twice the default. A machine on which
// keepers, servers, proxies and load run together elects slowly at times, and a
// lease that ends meanwhile is an outage, not a fault.
const Lease = 4 * time.Second

// memories is when no agent's directory counts as begun a moment ago any more: it may have
// lost a promise until then, and neither promises nor is prepared to become the primary.
const memories = Lease + Lease/10

// settle bounds how long the scene may take to be as it should.
const settle = 60 * time.Second

// Config says how much there is of each. Zero values mean 3 keepers, 2 proxies
// and 3 servers.
type Config struct {
	Keepers, Proxies, Servers int
	// Say is told what happens, for people; nil is quiet.
	Say func(format string, args ...any)
	// Switch are further lines of the configuration's switch section.
	Switch []string
	// Failsafe turns failsafe on: agents listen, proxies may borrow leases.
	Failsafe bool
	// Lease is --lease of the keepers; 0: that of the stage.
	Lease time.Duration
	// Drain is drain_timeout; 0: 2 s.
	Drain time.Duration
	// KeeperArgs are further flags of every keeper.
	KeeperArgs []string
}

// Stage is the scene.
type Stage struct {
	Fleet   *fleet.Fleet
	Keepers []*fleet.Keeper
	Proxies []*fleet.Proxy
	Servers []*fleet.Maria // server i is index i of the host group
	Agents  []*fleet.Agent
	Config  string // the YAML that was pushed

	secret string // password of every account
}

// Set starts everything and returns when all is up, with the first server
// writable.
func Set(ctx context.Context, f *fleet.Fleet, cfg Config) (*Stage, error) {
	for _, d := range []struct {
		value  *int
		preset int
	}{{&cfg.Keepers, 3}, {&cfg.Proxies, 2}, {&cfg.Servers, 3}} {
		if *d.value == 0 {
			*d.value = d.preset
		}
	}
	if cfg.Say == nil {
		cfg.Say = func(string, ...any) {}
	}
	s := &Stage{Fleet: f, secret: "demo-password"}
	var err error
	cfg.Say("starting %d MariaDB servers", cfg.Servers)
	if s.Servers, err = f.StartMarias(ctx, "db", cfg.Servers); err != nil {
		return nil, err
	}
	if err := s.accounts(ctx); err != nil {
		return nil, fmt.Errorf("create accounts: %w", err)
	}
	cfg.Say("%s is the primary; the others replicate from it, semi-synchronously", s.Servers[0].Name())
	if err := f.Replicate(ctx, s.Servers[0], fleet.Account{User: "zero_repl", Password: s.secret}, s.Servers[1:]...); err != nil {
		return nil, err
	}
	if err := s.application(ctx); err != nil {
		return nil, fmt.Errorf("create the application's account and tables: %w", err)
	}
	cfg.Say("starting %d keepers", cfg.Keepers)
	if s.Keepers, err = f.StartKeepers(ctx, cfg.Keepers, append([]string{"--lease", cmp.Or(cfg.Lease, Lease).String()}, cfg.KeeperArgs...)...); err != nil {
		return nil, err
	}
	listen, borrow, err := s.failsafe(cfg)
	if err != nil {
		return nil, err
	}
	cfg.Say("starting an agent beside each server")
	for i, server := range s.Servers {
		agent, err := f.StartAgent(ctx, fleet.AgentConfig{
			Name: fmt.Sprintf("agent%d", i+1), Maria: server,
			Account: fleet.Account{User: "zero_agent", Password: s.secret}, Replication: fleet.Account{User: "zero_repl", Password: s.secret},
			Args: append([]string{"--server-conf", s.serverConf(i)}, listen[i]...),
		})
		if err != nil {
			return nil, err
		}
		s.Agents = append(s.Agents, agent)
	}
	begun := time.Now()
	cfg.Say("publishing the configuration")
	if err := s.publish(ctx, cfg); err != nil {
		return nil, err
	}
	cfg.Say("starting %d proxies", cfg.Proxies)
	for i := range cfg.Proxies {
		proxy, err := f.StartProxy(ctx, fleet.ProxyConfig{Name: fmt.Sprintf("p%d", i+1), Cluster: Cluster, Args: borrow})
		if err != nil {
			return nil, err
		}
		s.Proxies = append(s.Proxies, proxy)
	}
	if err := s.Healthy(ctx); err != nil {
		return s, err
	}
	select { // or the first switch would wait for it, with writes held
	case <-time.After(time.Until(begun.Add(memories))):
		return s, nil
	case <-ctx.Done():
		return s, ctx.Err()
	}
}

// accounts runs on every server what `zeroagent init --print-sql` prints.
func (s *Stage) accounts(ctx context.Context) error {
	file := s.secretFile()
	if err := os.WriteFile(file, []byte(s.secret), 0o600); err != nil {
		return err
	}
	bin, err := s.Fleet.BinDir(ctx)
	if err != nil {
		return err
	}
	ref := "${file:" + file + "}"
	result, err := s.Fleet.Run(ctx, filepath.Join(bin, "zeroagent"), "init", "--print-sql", "--password-ref", ref, "--replication-password-ref", ref)
	if err != nil {
		return err
	}
	if result.Code != 0 {
		return fmt.Errorf("zeroagent init: exit %d: %s", result.Code, result.Stderr)
	}
	for _, server := range s.Servers {
		loaded, err := s.Fleet.RunInput(ctx, result.Stdout, "mariadb", "--no-defaults", "--socket", server.Socket(), "--user", "root")
		if err != nil {
			return err
		}
		if loaded.Code != 0 {
			return fmt.Errorf("%s: mariadb: exit %d: %s", server.Name(), loaded.Code, loaded.Stderr)
		}
	}
	return nil
}

func (s *Stage) secretFile() string { return filepath.Join(s.Fleet.Dir(), "password") }

// application makes the application's database and account on the primary, from
// where they replicate. The account may not bypass read_only.
func (s *Stage) application(ctx context.Context) error {
	return s.Servers[0].Exec(ctx,
		"CREATE DATABASE "+Database,
		fmt.Sprintf("CREATE USER '%s'@'%%' IDENTIFIED BY '%s'", AppUser, s.secret),
		fmt.Sprintf("GRANT SELECT, INSERT, UPDATE, DELETE, CREATE, DROP, INDEX, ALTER, EXECUTE, CREATE TEMPORARY TABLES, LOCK TABLES ON %s.* TO '%s'@'%%'", Database, AppUser),
	)
}

// publish pushes the configuration as an operator would.
func (s *Stage) publish(ctx context.Context, cfg Config) error {
	var write []string
	for _, server := range s.Servers {
		write = append(write, server.Addr())
	}
	ref := "${file:" + s.secretFile() + "}"
	if cfg.Failsafe {
		cfg.Switch = append(slices.Clone(cfg.Switch), "  failsafe: true")
	}
	lines := append([]string{"  need_vote: true", "  frequency: 1s", fmt.Sprintf("  drain_timeout: %v", cmp.Or(cfg.Drain, 2*time.Second)), "  binlog_wait_time: 5s", "  fence_timeout: 2s", "  hold_timeout: 15s"}, cfg.Switch...)
	s.Config = fmt.Sprintf(`basic:
  config_name: %s
  user: %s
  password: %s
switch:
%s
host_groups:
  - name: %s
    write: "%s"
users:
  - name: %s
    password: %s
    host_group: %s
`, Cluster, AppUser, ref, strings.Join(lines, "\n"), Group, strings.Join(write, ", "), AppUser, ref, Group)
	file := filepath.Join(s.Fleet.Dir(), "demo.yaml")
	if err := os.WriteFile(file, []byte(s.Config), 0o600); err != nil {
		return err
	}
	return s.Zeroctl(ctx, nil, "config", "push", file)
}

// Zeroctl runs zeroctl and fails unless it exits 0. What it prints goes to out,
// if that is not nil.
func (s *Stage) Zeroctl(ctx context.Context, out *string, args ...string) error {
	result, err := s.Fleet.Zeroctl(ctx, args...)
	if err != nil {
		return err
	}
	if out != nil {
		*out = result.Stdout
	}
	if result.Code != 0 {
		return fmt.Errorf("zeroctl %s: exit %d: %s%s", strings.Join(args, " "), result.Code, result.Stdout, result.Stderr)
	}
	return nil
}

// serverConf is the file that a server's my.cnf would include, and its agent writes.
func (s *Stage) serverConf(i int) string {
	return filepath.Join(s.Fleet.Dir(), s.Servers[i].Name()+".cnf")
}

// ServerOptions are the options in the file that the agent of server i writes. The
// fleet's servers read no my.cnf: whoever starts one as its host would gives it
// these.
func (s *Stage) ServerOptions(i int) ([]string, error) {
	data, err := os.ReadFile(s.serverConf(i))
	if err != nil {
		return nil, fmt.Errorf("read what %s is to be started with: %w", s.Servers[i].Name(), err)
	}
	var options []string
	for line := range strings.Lines(string(data)) {
		if key, value, ok := strings.Cut(line, "="); ok && !strings.HasPrefix(line, "#") {
			options = append(options, "--"+strings.TrimSpace(key)+"="+strings.TrimSpace(value))
		}
	}
	return options, nil
}

// Healthy waits until `zeroctl status` finds nothing to complain of.
func (s *Stage) Healthy(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, settle)
	defer cancel()
	return fleet.Eventually(ctx, 100*time.Millisecond, func(ctx context.Context) error {
		return s.Zeroctl(ctx, nil, "status")
	})
}

// DSN is how an application reaches a proxy. The driver neither retries nor
// pools by itself there: callers hold single connections.
func (s *Stage) DSN(proxy *fleet.Proxy) string {
	cfg := mysql.NewConfig()
	cfg.User, cfg.Passwd, cfg.Net, cfg.Addr, cfg.DBName = AppUser, s.secret, "tcp", proxy.MySQL(), Database
	cfg.Timeout = 5 * time.Second
	cfg.ReadTimeout, cfg.WriteTimeout = 30*time.Second, 30*time.Second
	return cfg.FormatDSN()
}

// Password is that of every account on the stage.
func (s *Stage) Password() string { return s.secret }

// Open opens the application's way through a proxy.
func (s *Stage) Open(proxy *fleet.Proxy) (*sql.DB, error) {
	if proxy == nil {
		return nil, errors.New("no proxy")
	}
	return sql.Open("mysql", s.DSN(proxy))
}

// CaughtUp waits until every server that runs has what the one at index primary
// has.
func (s *Stage) CaughtUp(ctx context.Context, primary int) error {
	for i, server := range s.Servers {
		if i == primary || !server.Running() {
			continue
		}
		if err := server.WaitCaughtUp(ctx, s.Servers[primary]); err != nil {
			return err
		}
	}
	return nil
}

package chaos

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/zerokeeper/zero/jepsen/fault"
	"github.com/zerokeeper/zero/jepsen/fleet"
	"github.com/zerokeeper/zero/transport/lease"
)

// Names of the data plane.
const (
	dataCluster  = "chaos"
	dataGroup    = "orders"
	dataDatabase = "zero_chaos"
	dataUser     = "app"
	dataSecret   = "chaos-password"

	mysqlPort  = 3306
	agentHTTP  = 7301
	proxyMySQL = 4306
	proxyHTTP  = 7201

	dataSettle = 60 * time.Second // from the first process to a fleet that nothing is wrong with
)

// dataPlan is what stands behind the keepers of a scenario. Every proxy, and every database with its agent, is a host of
// its own: a network namespace. Clients are the driver.
type dataPlan struct {
	Proxies, Databases int
	// Switch are further lines of the configuration's switch section, such as "policy: available".
	Switch []string
	// RestartAtOnce: hosts start a database that ended as systemd does, whatever its agent knows by then.
	RestartAtOnce bool
	// MayLose: the policy is available. When a switch recorded that it may lose writes, what was acknowledged is not judged.
	MayLose bool
	// Bin is a directory below the run's with the programs of the run's processes; empty: the run's own.
	Bin string
	// Env is a process's environment beside ours, by its name (k1, p1, db1, agent1); nil: nothing.
	Env func(r *Run, name string) []string
}

// ProxyHost is a host with a zeroproxy.
type ProxyHost struct {
	*fleet.Proc
	Place int
	addr  string
}

// MySQL is host:port for clients.
func (p *ProxyHost) MySQL() string { return net.JoinHostPort(p.addr, strconv.Itoa(proxyMySQL)) }

// HTTP is host:port for people.
func (p *ProxyHost) HTTP() string { return net.JoinHostPort(p.addr, strconv.Itoa(proxyHTTP)) }

// DBHost is a host with a MariaDB server and its agent.
type DBHost struct {
	*fleet.Maria
	Agent *fleet.Proc
	Place int

	agentHTTP string

	conf   string // what the agent has written for the server's next start
	errant bool   // it was made to write alone: it cannot have what the others have
	host   *supervisor
}

// Data is the data plane of a run: places, processes and what was agreed about them.
type Data struct {
	run       *Run
	fleet     *fleet.Fleet
	plan      *dataPlan
	Proxies   []*ProxyHost
	Hosts     []*DBHost // host i is index i of the host group
	secret    string    // reference to the password of every account
	disorder  bool      // a fault's end did not bring everything into order: no more are injected
	rebuilt   int       // servers that a person had to build anew
	published atomic.Int64
	still     atomic.Int32 // above 0: nobody asks for planned switches
}

// places are how many the run needs in the network: keepers first, then proxies, then databases.
func (r *Run) places() int {
	n := r.Nodes + r.Scenario.Spare
	if p := r.Scenario.Data; p != nil {
		n += p.Proxies + p.Databases
	}
	return n
}

// binDir is where the programs of the run's processes are.
func (r *Run) binDir() string {
	if p := r.Scenario.Data; p != nil {
		return filepath.Join(r.BinDir, p.Bin)
	}
	return r.BinDir
}

// newData makes the hosts without starting anything on them.
func (r *Run) newData(ctx context.Context, f *fleet.Fleet) (*Data, error) {
	d := &Data{run: r, fleet: f, plan: r.Scenario.Data}
	var err error
	if d.secret, err = f.Secret("data-plane", dataSecret); err != nil {
		return nil, err
	}
	place := r.Nodes + r.Scenario.Spare
	for i := range d.plan.Proxies {
		p, err := d.newProxy(fmt.Sprintf("p%d", i+1), place)
		if err != nil {
			return nil, err
		}
		d.Proxies, place = append(d.Proxies, p), place+1
	}
	for i := range d.plan.Databases {
		h, err := d.newHost(ctx, i, place)
		if err != nil {
			return nil, err
		}
		d.Hosts, place = append(d.Hosts, h), place+1
	}
	return d, nil
}

func (d *Data) newProxy(name string, place int) (*ProxyHost, error) {
	net := d.run.Quorum.net
	p := &ProxyHost{Place: place, addr: net.Addr(place).String()}
	args := []string{
		"--cluster", dataCluster, "--mysql", p.MySQL(), "--http", p.HTTP(),
		"--shutdown-timeout", "10s", "--drain-timeout", "2s",
	}
	var err error
	p.Proc, err = d.newDaemon("zeroproxy", name, place, p.HTTP(), args)
	return p, err
}

func (d *Data) newHost(ctx context.Context, i, place int) (*DBHost, error) {
	net := d.run.Quorum.net
	name := fmt.Sprintf("db%d", i+1)
	h := &DBHost{Place: place, conf: filepath.Join(d.fleet.Dir(), name+".cnf")}
	var err error
	h.Maria, err = d.fleet.NewMaria(ctx, fleet.MariaConfig{Name: name, Host: net.Addr(place).String(), Port: mysqlPort, NetNS: net.Namespace(place)})
	if err != nil {
		return nil, err
	}
	http := fmt.Sprintf("%s:%d", net.Addr(place), agentHTTP)
	h.agentHTTP = http
	h.Agent, err = d.newDaemon("zeroagent", fmt.Sprintf("agent%d", i+1), place, http, []string{
		"--mysql", h.Addr(), "--socket", h.Socket(), "--http", http, "--server-conf", h.conf,
		"--user", "zero_agent", "--password-ref", d.secret, "--replication-user", "zero_repl", "--replication-password-ref", d.secret,
	})
	h.host = &supervisor{run: d.run, host: h}
	return h, err
}

// newDaemon registers one of zero's programs on the host of a place.
func (d *Data) newDaemon(program, name string, place int, http string, args []string) (*fleet.Proc, error) {
	var env []string
	if d.plan.Env != nil {
		env = d.plan.Env(d.run, name)
	}
	all := append([]string{"--name", name, "--data", filepath.Join(d.fleet.Dir(), name, "data"), "--keepers", strings.Join(d.run.Quorum.addrs()[:d.run.Nodes], ",")}, args...)
	return d.fleet.NewProc(fleet.ProcConfig{
		Name: name, Path: filepath.Join(d.run.binDir(), program), Args: all, Env: env, NetNS: d.run.Quorum.net.Namespace(place),
		KillOnClose: true,
		Ready: func(ctx context.Context) error {
			status, body, err := fleet.Get(ctx, "http://"+http+"/readyz")
			if err != nil {
				return err
			}
			return fleet.StatusOK(status, body)
		},
	})
}

// start starts everything and returns when nothing is wrong, with the first database writable. The keepers run.
func (d *Data) start(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, dataSettle)
	defer cancel()
	if err := d.startServers(ctx); err != nil {
		return fmt.Errorf("start the databases: %w", err)
	}
	if err := each(len(d.Hosts), func(i int) error { return d.Hosts[i].Agent.Start(ctx) }); err != nil {
		return err
	}
	begun := time.Now()
	if err := d.publish(ctx); err != nil {
		return err
	}
	if err := each(len(d.Proxies), func(i int) error { return d.Proxies[i].Start(ctx) }); err != nil {
		return err
	}
	if err := d.ready(ctx); err != nil {
		return err
	}
	// What an agent promised before its directory was begun is not known: so long it is prepared for nothing (R16).
	wait(ctx, lease.For(lease.Default).Promise-time.Since(begun))
	return ctx.Err()
}

// startServers makes the first database the primary of the others, with all accounts.
func (d *Data) startServers(ctx context.Context) error {
	account := func(user string) fleet.Account { return fleet.Account{User: user, Password: dataSecret} }
	err := each(len(d.Hosts), func(i int) error {
		if err := d.Hosts[i].Maria.Start(ctx); err != nil {
			return err
		}
		d.Hosts[i].ExpectEnd() // its agent may kill it; the host starts it again
		return d.fleet.InitAccounts(ctx, d.Hosts[i].Maria, account("zero_agent"), account("zero_repl"))
	})
	if err != nil {
		return err
	}
	var replicas []*fleet.Maria
	for _, h := range d.Hosts[1:] {
		replicas = append(replicas, h.Maria)
	}
	primary := d.Hosts[0]
	if err := d.fleet.Replicate(ctx, primary.Maria, account("zero_repl"), replicas...); err != nil {
		return err
	}
	return primary.Exec(ctx,
		"CREATE DATABASE "+dataDatabase,
		fmt.Sprintf("CREATE TABLE %s (n BIGINT AUTO_INCREMENT PRIMARY KEY, id BIGINT NOT NULL, part INT NOT NULL, KEY (id)) ENGINE=InnoDB", dataTable),
		fmt.Sprintf("CREATE USER '%s'@'%%' IDENTIFIED BY '%s'", dataUser, dataSecret),
		fmt.Sprintf("GRANT SELECT, INSERT, UPDATE, DELETE ON %s.* TO '%s'@'%%'", dataDatabase, dataUser))
}

// publish pushes the configuration as an operator would. Each time it is another one.
func (d *Data) publish(ctx context.Context) error {
	var write []string
	for _, h := range d.Hosts {
		write = append(write, h.Addr())
	}
	lines := append([]string{"need_vote: true", "frequency: 1s", "auto_ack_after: 0", "drain_timeout: 1s", "binlog_wait_time: 5s", "fence_timeout: 2s", fmt.Sprintf("hold_timeout: %dms", 15000+d.published.Add(1))}, d.plan.Switch...)
	text := fmt.Sprintf(`basic:
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
`, dataCluster, dataUser, d.secret, strings.Join(lines, "\n  "), dataGroup, strings.Join(write, ", "), dataUser, d.secret, dataGroup)
	file := filepath.Join(d.fleet.Dir(), "chaos.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		return err
	}
	return d.zeroctl(ctx, "config", "push", file)
}

// zeroctl runs zeroctl from where the clients are, and fails unless it exits 0.
func (d *Data) zeroctl(ctx context.Context, args ...string) error {
	keepers := strings.Join(d.run.Quorum.addrs()[:d.run.Nodes], ",")
	result, err := d.fleet.Run(ctx, filepath.Join(d.run.BinDir, "zeroctl"), append([]string{"--keepers", keepers}, args...)...)
	if err == nil && result.Code != 0 {
		err = fmt.Errorf("exit %d: %s%s", result.Code, result.Stdout, result.Stderr)
	}
	if err != nil {
		return fmt.Errorf("zeroctl %s: %w", strings.Join(args, " "), err)
	}
	return nil
}

// healthy waits until `zeroctl status` finds nothing to complain of.
func (d *Data) healthy(ctx context.Context) error {
	return fleet.Eventually(ctx, 100*time.Millisecond, func(ctx context.Context) error { return d.zeroctl(ctx, "status") })
}

// ready waits after the start, with the first server as the primary, until each replica would pass for the new one: it
// takes a moment until all acknowledge.
func (d *Data) ready(ctx context.Context) error {
	if err := d.healthy(ctx); err != nil {
		return err
	}
	return fleet.Eventually(ctx, 100*time.Millisecond, func(ctx context.Context) error {
		for i := range d.Hosts[1:] {
			if err := d.zeroctl(ctx, "switch", "start", "--group", dataGroup, "--to", strconv.Itoa(i+1), "--dry-run"); err != nil {
				return err
			}
		}
		return nil
	})
}

// processes are all of the data plane, with the names of what they are.
func (d *Data) processes() []*fleet.Proc {
	var all []*fleet.Proc
	for _, p := range d.Proxies {
		all = append(all, p.Proc)
	}
	for _, h := range d.Hosts {
		all = append(all, h.Agent, h.Maria.Proc)
	}
	return all
}

// revive resumes and starts everything that does not run.
func (d *Data) revive() error {
	var errs []error
	for _, p := range d.Proxies {
		errs = append(errs, up(p.Proc))
	}
	for _, h := range d.Hosts {
		errs = append(errs, h.Raise())
	}
	return errors.Join(errs...)
}

// errNoPlaces: relays know keepers only.
func errNoPlaces(t fault.Tier) error {
	return fmt.Errorf("tier %s has no network namespaces for proxies and databases: %w", t, fault.ErrUnsupported)
}

// each calls f for 0 to n-1 at once and joins the errors.
func each(n int, f func(i int) error) error {
	errs := make(chan error, n)
	for i := range n {
		go func() { errs <- f(i) }()
	}
	var all []error
	for range n {
		all = append(all, <-errs)
	}
	return errors.Join(all...)
}

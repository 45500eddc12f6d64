package fleet

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"time"
)

const (
	// maxSocketPath is the longest path of a Unix socket on Linux: 108 bytes with the zero byte at the end.
	maxSocketPath = 107
	// mariaLogSize is InnoDB's redo log, in the template and in every server made from it: small, for it is copied.
	mariaLogSize = "16M"
	// mariaStopTimeout leaves time to flush; a primary that waits for a semi-synchronous acknowledgement outlasts any.
	mariaStopTimeout = 15 * time.Second
	// loopbackHost is where a server listens that lives in no network namespace of its own.
	loopbackHost = "127.0.0.1"
)

// MariaConfig describes a MariaDB server.
type MariaConfig struct {
	// Name names the process in the fleet.
	Name string
	// ServerID is @@server_id. Zero: the fleet gives 1, 2, 3, ….
	ServerID uint32
	// Port is the TCP port on Host. Zero: the fleet claims one.
	Port int
	// Host is the address that it listens on. Empty: 127.0.0.1. In a network namespace of its own it is that of the place.
	Host string
	// NetNS is the path of the network namespace that it is started in; empty: this program's. Its socket is reached from here.
	NetNS string
	// Args are further mariadbd options; they come last and win over those of the fleet.
	Args []string
}

// Maria is a MariaDB server of the fleet. Root logs in without a password over its socket and from 127.0.0.1.
//
// It starts as a server under zero's care must: read-only, with its replication stopped, ready to be a semi-synchronous
// replica; whoever wants a primary makes it one (Fleet.Replicate, or an agent).
type Maria struct {
	*Proc
	host     string
	port     int
	serverID uint32
	socket   string
	data     string
	db       *sql.DB
}

// StartMaria makes a data directory and starts a server on it. It returns when the server answers a query.
func (f *Fleet) StartMaria(ctx context.Context, cfg MariaConfig) (*Maria, error) {
	m, err := f.newMaria(ctx, cfg)
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", cfg.Name, err)
	}
	return m, m.Start(ctx)
}

// NewMaria makes a data directory for a server that is started later.
func (f *Fleet) NewMaria(ctx context.Context, cfg MariaConfig) (*Maria, error) {
	m, err := f.newMaria(ctx, cfg)
	if err != nil {
		return nil, fmt.Errorf("make %s: %w", cfg.Name, err)
	}
	return m, nil
}

// StartMarias starts n servers named prefix1, prefix2, … at the same time.
func (f *Fleet) StartMarias(ctx context.Context, prefix string, n int, args ...string) ([]*Maria, error) {
	servers := make([]*Maria, n)
	for i := range servers { // one after the other: server ids and names follow the index
		m, err := f.newMaria(ctx, MariaConfig{Name: prefix + strconv.Itoa(i+1), Args: args})
		if err != nil {
			return nil, fmt.Errorf("start %s%d: %w", prefix, i+1, err)
		}
		servers[i] = m
	}
	return servers, each(ctx, n, func(ctx context.Context, i int) error { return servers[i].Start(ctx) })
}

func (f *Fleet) newMaria(ctx context.Context, cfg MariaConfig) (*Maria, error) {
	if cfg.ServerID == 0 {
		cfg.ServerID = f.nextServerID()
	}
	if cfg.Port == 0 {
		ports, err := f.FreePorts(1)
		if err != nil {
			return nil, err
		}
		cfg.Port = ports[0]
	}
	if cfg.Host == "" {
		cfg.Host = loopbackHost
	}
	template, err := f.mariaTemplate(ctx)
	if err != nil {
		return nil, err
	}
	m := &Maria{host: cfg.Host, port: cfg.Port, serverID: cfg.ServerID, socket: filepath.Join(f.dir, cfg.Name, "mysqld.sock"),
		data: filepath.Join(f.dir, cfg.Name, "data")}
	if len(m.socket) > maxSocketPath {
		return nil, fmt.Errorf("the socket path %s has more than %d bytes: set TMPDIR to a shorter one", m.socket, maxSocketPath)
	}
	m.Proc, err = f.NewProc(ProcConfig{
		Name: cfg.Name, Path: "mariadbd", Args: append(m.args(), cfg.Args...), NetNS: cfg.NetNS,
		StopTimeout: mariaStopTimeout, KillOnClose: true, Ready: m.Ping,
	})
	if err != nil {
		return nil, err
	}
	if m.db, err = openSocket(m.socket); err != nil {
		return nil, err
	}
	f.onClose(func() error {
		_ = m.db.Close() // the server is dead by then, which is all that it could complain about
		return nil
	})
	if err := os.Mkdir(m.tmp(), 0o700); err != nil {
		return nil, err
	}
	if err := os.CopyFS(m.data, os.DirFS(template)); err != nil {
		return nil, fmt.Errorf("copy the template of the data directory: %w", err)
	}
	return m, nil
}

// Wipe gives a server that does not run a fresh data directory, as before its first start.
func (m *Maria) Wipe(ctx context.Context) error {
	if m.Running() {
		return fmt.Errorf("wipe %s: %w", m.Name(), ErrRunning)
	}
	template, err := m.fleet.mariaTemplate(ctx)
	if err == nil {
		err = os.RemoveAll(m.data)
	}
	if err == nil {
		err = os.CopyFS(m.data, os.DirFS(template))
	}
	if err != nil {
		return fmt.Errorf("wipe %s: %w", m.Name(), err)
	}
	return nil
}

func (f *Fleet) nextServerID() uint32 {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.lastServer++
	return f.lastServer
}

// args are the options of a server under zero's care, and small buffers. GTID, semi-synchronous replication that waits
// before the engine commits and never gives up, and parallel apply are what a switch without loss rests on.
func (m *Maria) args() []string {
	port := strconv.Itoa(m.port)
	args := []string{
		"--no-defaults", // must come first
		"--datadir=" + m.data, "--socket=" + m.socket, "--pid-file=" + filepath.Join(filepath.Dir(m.data), "mysqld.pid"),
		"--tmpdir=" + m.tmp(), "--port=" + port, "--bind-address=" + m.host, "--skip-name-resolve", "--max-connections=500",
		"--report-host=" + m.host, "--report-port=" + port,
		"--server-id=" + strconv.FormatUint(uint64(m.serverID), 10), "--gtid-strict-mode=1",
		"--log-bin=binlog", "--log-slave-updates=1", "--binlog-format=ROW", "--sync-binlog=1", "--relay-log=relay",
		"--read-only=1", "--skip-slave-start", "--slave-net-timeout=4",
		"--slave-parallel-threads=4", "--slave-parallel-mode=optimistic",
		"--rpl-semi-sync-master-wait-point=AFTER_SYNC", "--rpl-semi-sync-master-timeout=86400000", // milliseconds
		"--innodb-flush-log-at-trx-commit=1", "--innodb-buffer-pool-size=64M", "--innodb-log-file-size=" + mariaLogSize,
		"--performance-schema=0", "--character-set-server=utf8mb4",
	}
	return append(args, asRoot()...)
}

// tmp is the server's own: a server that starts removes every temporary table in its tmpdir, those of others too.
func (m *Maria) tmp() string { return filepath.Join(filepath.Dir(m.data), "tmp") }

// asRoot is the option without which MariaDB refuses to run as root.
func asRoot() []string {
	if os.Geteuid() == 0 {
		return []string{"--user=root"}
	}
	return nil
}

// Addr is host:port of the server.
func (m *Maria) Addr() string { return net.JoinHostPort(m.host, strconv.Itoa(m.port)) }

// Port is the TCP port that it listens on.
func (m *Maria) Port() int { return m.port }

// ServerID is @@server_id.
func (m *Maria) ServerID() uint32 { return m.serverID }

// Socket is the path of the server's Unix socket.
func (m *Maria) Socket() string { return m.socket }

// DataDir is the server's data directory.
func (m *Maria) DataDir() string { return m.data }

// DB is a pool of root's connections over the socket. Root writes on a read-only server as well. The fleet closes it.
func (m *Maria) DB() *sql.DB { return m.db }

// Ping returns nil when the server answers a query.
func (m *Maria) Ping(ctx context.Context) error {
	var one int
	if err := m.db.QueryRowContext(ctx, "SELECT 1").Scan(&one); err != nil {
		return err
	}
	if one != 1 {
		return errors.New("SELECT 1 is not 1")
	}
	return nil
}

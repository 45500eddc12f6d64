package fleet

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
)

// AgentConfig describes a zeroagent and the server in its care.
type AgentConfig struct {
	// Name names the process in the fleet.
	Name string
	// Maria is the server in its care.
	Maria *Maria
	// Account is the agent's own account on it, Replication the one that its replication logs in with.
	Account, Replication Account
	// Args come at the end of the command line.
	Args []string
}

// Agent is a zeroagent of the fleet.
type Agent struct {
	*Proc
	Maria *Maria // the server in its care
	http  string
}

// HTTP is host:port for people and monitors.
func (a *Agent) HTTP() string { return a.http }

// URL is a URL of the agent's HTTP port; path begins with a slash.
func (a *Agent) URL(path string) string { return "http://" + a.http + path }

// StartAgent starts a zeroagent that knows the fleet's keepers, hands it the passwords in files that only it can read, and
// returns when it is ready. The accounts must exist on the server: InitAccounts makes them.
func (f *Fleet) StartAgent(ctx context.Context, cfg AgentConfig) (*Agent, error) {
	a, err := f.newAgent(ctx, cfg)
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", cfg.Name, err)
	}
	return a, a.Start(ctx)
}

func (f *Fleet) newAgent(ctx context.Context, cfg AgentConfig) (*Agent, error) {
	if cfg.Maria == nil {
		return nil, errors.New("an agent needs a server")
	}
	ports, err := f.FreePorts(1)
	if err != nil {
		return nil, err
	}
	a := &Agent{Maria: cfg.Maria, http: loopback(ports[0])}
	flags, err := f.accountFlags(cfg.Name, cfg.Account, cfg.Replication)
	if err != nil {
		return nil, err
	}
	a.Proc, err = f.newDaemon(ctx, "zeroagent", cfg.Name, a.URL("/readyz"), slices.Concat(
		[]string{"--keepers", f.KeeperAddrs(), "--mysql", cfg.Maria.Addr(), "--socket", cfg.Maria.Socket(), "--http", a.http},
		flags, cfg.Args))
	return a, err
}

// InitAccounts makes the agent's account and that of replication on a server, with the SQL that `zeroagent init --print-sql`
// prints. It writes no binary log; each server of a group needs it.
func (f *Fleet) InitAccounts(ctx context.Context, m *Maria, own, replication Account) error {
	flags, err := f.accountFlags("init-"+m.Name(), own, replication)
	if err != nil {
		return fmt.Errorf("init the accounts on %s: %w", m.Name(), err)
	}
	bin, err := f.BinDir(ctx)
	if err != nil {
		return fmt.Errorf("init the accounts on %s: %w", m.Name(), err)
	}
	ctx, cancel := bounded(ctx)
	defer cancel()
	res, err := f.Run(ctx, filepath.Join(bin, "zeroagent"), append([]string{"init", "--print-sql"}, flags...)...)
	if err == nil && res.Code != 0 {
		err = fmt.Errorf("zeroagent init: exit %d: %s", res.Code, res.Stderr)
	}
	if err == nil {
		err = m.Exec(ctx, res.Stdout)
	}
	if err != nil {
		return fmt.Errorf("init the accounts on %s: %w", m.Name(), err)
	}
	return nil
}

func (f *Fleet) accountFlags(name string, own, replication Account) ([]string, error) {
	ownRef, err := f.Secret(name, own.Password)
	if err != nil {
		return nil, err
	}
	replicationRef, err := f.Secret(name+"-replication", replication.Password)
	return []string{"--user", own.User, "--password-ref", ownRef,
		"--replication-user", replication.User, "--replication-password-ref", replicationRef}, err
}

// Secret writes a secret into a file that only its owner can read and returns the reference to it, as configurations and
// flags take it. A second call with the same name replaces the secret.
func (f *Fleet) Secret(name, secret string) (reference string, err error) {
	if name == "" || name != filepath.Base(name) || name[0] == '.' {
		return "", fmt.Errorf("%q cannot name a secret: it is used as a file's name", name)
	}
	dir := filepath.Join(f.dir, ".secrets")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", fmt.Errorf("write the secret %s: %w", name, err)
	}
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte(secret), 0o600); err != nil {
		return "", fmt.Errorf("write the secret %s: %w", name, err)
	}
	return "${file:" + path + "}", nil
}

package fleet

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
)

// Keeper is a zerokeeper of the fleet.
type Keeper struct {
	*Proc
	addr string
	http string
}

// Addr is host:port for machines: frames, Raft.
func (k *Keeper) Addr() string { return k.addr }

// HTTP is host:port for people and monitors.
func (k *Keeper) HTTP() string { return k.http }

// URL is a URL of the keeper's HTTP port; path begins with a slash.
func (k *Keeper) URL(path string) string { return "http://" + k.http + path }

// StartKeepers starts a new quorum of n keepers, named k1 … kn, at the same time, and returns when all are ready. Each gets
// extra at the end of its command line. A fleet has one quorum: the proxies, agents and zeroctl calls use it.
func (f *Fleet) StartKeepers(ctx context.Context, n int, extra ...string) ([]*Keeper, error) {
	if len(f.Keepers()) > 0 {
		return nil, errors.New("start keepers: the fleet has keepers already")
	}
	ports, err := f.FreePorts(2 * n)
	if err != nil {
		return nil, fmt.Errorf("start keepers: %w", err)
	}
	addrs := make([]string, n)
	for i := range addrs {
		addrs[i] = loopback(ports[i])
	}
	keepers := make([]*Keeper, n)
	for i := range keepers {
		k := &Keeper{addr: addrs[i], http: loopback(ports[n+i])}
		name := "k" + strconv.Itoa(i+1)
		k.Proc, err = f.newDaemon(ctx, "zerokeeper", name, k.URL("/readyz"), append([]string{
			"--listen", k.addr, "--bootstrap-expect", strconv.Itoa(n), "--join", strings.Join(addrs, ","), "--http", k.http,
		}, extra...))
		if err != nil {
			return nil, fmt.Errorf("start keepers: %w", err)
		}
		keepers[i] = k
	}
	f.mu.Lock()
	f.keepers = keepers
	f.mu.Unlock()
	return keepers, each(ctx, n, func(ctx context.Context, i int) error { return keepers[i].Start(ctx) })
}

// Keepers are the keepers of the fleet's quorum.
func (f *Fleet) Keepers() []*Keeper {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]*Keeper(nil), f.keepers...)
}

// KeeperAddrs is "a,b,c", as --keepers takes it.
func (f *Fleet) KeeperAddrs() string {
	var addrs []string
	for _, k := range f.Keepers() {
		addrs = append(addrs, k.Addr())
	}
	return strings.Join(addrs, ",")
}

// Leader waits for a keeper that says that it leads (/leaderz is 200).
func (f *Fleet) Leader(ctx context.Context) (*Keeper, error) {
	keepers := f.Keepers()
	if len(keepers) == 0 {
		return nil, errors.New("find the leader: the fleet has no keepers")
	}
	ctx, cancel := context.WithTimeout(ctx, DefaultReadyTimeout)
	defer cancel()
	var leader atomic.Pointer[Keeper]
	err := Eventually(ctx, readyInterval, func(ctx context.Context) error {
		// Asked at the same time, and a yes ends the questions: one that is paused must not use up the time of the others.
		asked, found := context.WithTimeout(ctx, leaderTimeout)
		defer found()
		err := each(asked, len(keepers), func(ctx context.Context, i int) error {
			if err := probeHTTP(keepers[i].URL("/leaderz"), StatusOK)(ctx); err != nil {
				return fmt.Errorf("%s: %w", keepers[i].Name(), err)
			}
			leader.Store(keepers[i])
			found()
			return nil
		})
		if leader.Load() != nil {
			return nil
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("find the leader: %w", err)
	}
	return leader.Load(), nil
}

// newDaemon registers one of zero's daemons: what all of them have in common.
func (f *Fleet) newDaemon(ctx context.Context, program, name, readyURL string, args []string) (*Proc, error) {
	bin, err := f.BinDir(ctx)
	if err != nil {
		return nil, err
	}
	return f.newDaemonAt(filepath.Join(bin, program), name, readyURL, args)
}

func (f *Fleet) newDaemonAt(path, name, readyURL string, args []string) (*Proc, error) {
	data := filepath.Join(f.dir, name, "data")
	return f.NewProc(ProcConfig{
		Name: name, Path: path, Args: append([]string{"--name", name, "--data", data}, args...),
		Ready: probeHTTP(readyURL, StatusOK),
	})
}

func loopback(port int) string { return "127.0.0.1:" + strconv.Itoa(port) }

package fleet

import (
	"context"
	"fmt"
	"path/filepath"
)

// ProxyConfig describes a zeroproxy.
type ProxyConfig struct {
	// Name names the process in the fleet.
	Name string
	// Cluster is the name of the cluster of proxies that it belongs to.
	Cluster string
	// Path is a zeroproxy to run instead of the one in the fleet's BinDir.
	Path string
	// NotReady starts it without waiting for readiness, as for a proxy without keepers or without a configuration.
	NotReady bool
	// Args come at the end of the command line.
	Args []string
}

// Proxy is a zeroproxy of the fleet.
type Proxy struct {
	*Proc
	mysql string
	http  string
}

// MySQL is host:port for MySQL clients.
func (p *Proxy) MySQL() string { return p.mysql }

// HTTP is host:port for people and monitors.
func (p *Proxy) HTTP() string { return p.http }

// URL is a URL of the proxy's HTTP port; path begins with a slash.
func (p *Proxy) URL(path string) string { return "http://" + p.http + path }

// StartProxy starts a zeroproxy that knows the fleet's keepers and returns when it is ready.
func (f *Fleet) StartProxy(ctx context.Context, cfg ProxyConfig) (*Proxy, error) {
	ports, err := f.FreePorts(2)
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", cfg.Name, err)
	}
	p := &Proxy{mysql: loopback(ports[0]), http: loopback(ports[1])}
	if cfg.Path == "" {
		bin, err := f.BinDir(ctx)
		if err != nil {
			return nil, fmt.Errorf("start %s: %w", cfg.Name, err)
		}
		cfg.Path = filepath.Join(bin, "zeroproxy")
	}
	p.Proc, err = f.newDaemonAt(cfg.Path, cfg.Name, p.URL("/readyz"), append([]string{
		"--keepers", f.KeeperAddrs(), "--cluster", cfg.Cluster, "--mysql", p.mysql, "--http", p.http,
	}, cfg.Args...))
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", cfg.Name, err)
	}
	if cfg.NotReady {
		p.cfg.Ready = nil
	}
	return p, p.Start(ctx)
}

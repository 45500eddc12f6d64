package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/zerokeeper/zero/cli/daemon"
	"github.com/zerokeeper/zero/proxy"
	"github.com/zerokeeper/zero/proxy/mysql"
	"github.com/zerokeeper/zero/transport"
	"github.com/zerokeeper/zero/transport/durable"
	"github.com/zerokeeper/zero/transport/wire"
)

const (
	// leaveTimeout bounds the farewell to the keepers.
	leaveTimeout = 2 * time.Second
	// A keeper that is silent for pingInterval is asked, and given up after
	// pingTimeout more: another one may lead by then.
	pingInterval = 250 * time.Millisecond
	pingTimeout  = 500 * time.Millisecond
	// redialMost is the longest pause between two tries to reach the leader.
	redialMost = 250 * time.Millisecond
)

// run is one proxy, until ctx ends; then running transactions may end first,
// with the keepers still in touch.
func (o *options) run(ctx context.Context, env *daemon.Env) (err error) {
	p, err := proxy.Open(proxy.Config{
		ID: o.name, Cluster: o.cluster, Address: o.advertise, DataDir: o.data, Version: daemon.Version, Dev: o.dev, Logger: env.Log.Named("proxy"),
	})
	if err != nil {
		return final(err)
	}
	defer func() { err = errors.Join(err, p.Close()) }()
	client, err := transport.NewClient(transport.ClientConfig{
		Endpoints: o.keepers, Hello: p.Hello(), Handler: p.Handler(), Logger: env.Log.Named("link"), BackoffMax: redialMost,
		Invoker: wire.Config{PingInterval: pingInterval, PingTimeout: pingTimeout},
	})
	if err != nil {
		return err
	}
	defer client.Close()
	if o.lendToken.Given() {
		lenders, err := o.lenders(env, p)
		if err != nil {
			return err
		}
		defer lenders.Close()
		p.Reach(lenders)
	}
	server, err := mysql.New(mysql.Config{Directory: p, Logger: env.Log.Named("mysql")})
	if err != nil {
		return err
	}
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", o.mysql)
	if err != nil {
		return fmt.Errorf("listen for MySQL clients: %w", err)
	}
	registerMetrics(env.Registry, p, server)
	env.AddCheck(daemon.Check{Name: "proxy", Run: func(context.Context) error { return p.Ready() }})

	// The link outlives ctx: while transactions end, this proxy stays on the
	// keepers' list, and a switch waits for it as for any other.
	linked, unlink := context.WithCancel(context.WithoutCancel(ctx))
	var running sync.WaitGroup
	defer running.Wait()
	defer unlink()
	running.Go(func() {
		if err := client.Run(linked); err != nil && linked.Err() == nil {
			env.Log.Error("the link to the keepers ended", "error", err)
		}
	})
	running.Go(func() { p.Run(linked, client) })
	failed := make(chan error, 1)
	running.Go(func() {
		if err := server.Serve(linked, listener); err != nil {
			failed <- fmt.Errorf("serve MySQL clients: %w", err)
		}
	})
	env.Ready(true)
	env.Log.Info("serving", "name", o.name, "cluster", o.cluster, "mysql", listener.Addr(), "http", env.HTTPAddr)

	select {
	case <-ctx.Done():
		env.Log.Info("stopping: running transactions may end", "at-most", o.drain)
	case err = <-failed:
	}
	draining, cancel := context.WithTimeout(linked, o.drain)
	defer cancel()
	err = errors.Join(err, server.Shutdown(draining))
	leave(linked, env, p, client)
	return err
}

// leave takes this proxy off the keepers' list, now that nothing is in flight.
// The last one that is up stays on it, as lost after a while: it is expected
// back.
func leave(ctx context.Context, env *daemon.Env, p *proxy.Proxy, client *transport.Client) {
	ctx, cancel := context.WithTimeout(ctx, leaveTimeout)
	defer cancel()
	if err := p.Leave(ctx, client, "stopped"); err != nil {
		env.Log.Info("the keepers keep this proxy on their list", "reason", err)
	}
}

// final marks what a restart cannot mend: a data directory that a person must
// look at.
func final(err error) error {
	if errors.Is(err, proxy.ErrForeign) || errors.Is(err, durable.ErrDamaged) {
		return fmt.Errorf("%w: %w", daemon.ErrNoRestart, err)
	}
	return err
}

// lenders is the way to the agents that lend leases while no keeper is in reach
// (failsafe). They are named by what the keepers said; its endpoints are not used.
func (o *options) lenders(env *daemon.Env, p *proxy.Proxy) (*transport.Client, error) {
	return transport.NewClient(transport.ClientConfig{
		Endpoints: o.keepers, Hello: p.Hello(), Logger: env.Log.Named("lenders"), MaxConns: maxLenders,
		Token: func() (string, error) {
			s, err := o.lendToken.Resolve(o.dev)
			return s.Reveal(), err
		},
	})
}

// maxLenders bounds the connections to agents: those of a few host groups, whose
// primaries alone are asked most of the time.
const maxLenders = 256

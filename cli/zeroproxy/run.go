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
)

// drainTimeout bounds how long running transactions may take to end at a stop.
const drainTimeout = 20 * time.Second

// run is one proxy, until ctx ends; then running transactions may end first,
// with the keepers still in touch.
func (o *options) run(ctx context.Context, env *daemon.Env) error {
	p, err := proxy.New(proxy.Config{
		ID: o.name, Cluster: o.cluster, Address: o.advertise, DataDir: o.data, Version: daemon.Version, Dev: o.dev, Logger: env.Log.Named("proxy"),
	})
	if err != nil {
		return err
	}
	client, err := transport.NewClient(transport.ClientConfig{
		Endpoints: o.keepers, Hello: p.Hello(), Handler: p.Handler(), Logger: env.Log.Named("link"),
	})
	if err != nil {
		return err
	}
	defer client.Close()
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

	// The link outlives ctx: while transactions end, the keepers may still ask.
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
	case err = <-failed:
		return err
	}
	env.Log.Info("stopping: running transactions may end")
	draining, cancel := context.WithTimeout(linked, drainTimeout)
	defer cancel()
	err = server.Shutdown(draining)
	return errors.Join(err, leave(linked, env, p, client))
}

// leaveTimeout bounds the farewell to the keepers.
const leaveTimeout = 2 * time.Second

// leave takes this proxy off the keepers' list. The last one that is up stays
// on it, as lost after a while: it is expected back.
func leave(ctx context.Context, env *daemon.Env, p *proxy.Proxy, client *transport.Client) error {
	ctx, cancel := context.WithTimeout(ctx, leaveTimeout)
	defer cancel()
	if err := p.Leave(ctx, client, "stopped", false); err != nil {
		env.Log.Info("the keepers keep this proxy on their list", "reason", err)
	}
	return nil
}

package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/zerokeeper/zero/agent"
	"github.com/zerokeeper/zero/agent/mysql"
	"github.com/zerokeeper/zero/cli/daemon"
	"github.com/zerokeeper/zero/transport"
	"github.com/zerokeeper/zero/transport/durable"
	"github.com/zerokeeper/zero/transport/wire"
)

const (
	// A keeper that is silent for pingInterval is asked, and given up after
	// pingTimeout more: another one may lead by then.
	pingInterval = 250 * time.Millisecond
	pingTimeout  = 500 * time.Millisecond
	// redialMost is the longest pause between two tries to reach the leader.
	redialMost = 100 * time.Millisecond
)

// run is one agent, until ctx ends. The server is left as it is then.
func (o *options) run(ctx context.Context, env *daemon.Env) (err error) {
	cfg := o.database()
	cfg.Logger = env.Log.Named("mysql")
	db, err := mysql.New(cfg)
	if err != nil {
		return err
	}
	defer func() {
		if err := db.Close(); err != nil { // of connections that the server had closed
			env.Log.Debug("close the connections to the server", "error", err)
		}
	}()
	a, err := agent.Open(agent.Config{ID: o.name, Zone: o.zone, DataDir: o.data, Version: daemon.Version, Database: db, ServerConf: o.serverConf, Listen: o.advertise, Logger: env.Log.Named("agent")})
	if err != nil {
		return final(err)
	}
	defer func() { err = errors.Join(err, a.Close()) }()
	client, err := transport.NewClient(transport.ClientConfig{
		Endpoints: o.keepers, Hello: a.Hello(), Handler: a.Handler(), Logger: env.Log.Named("link"), BackoffMax: redialMost,
		Invoker: wire.Config{PingInterval: pingInterval, PingTimeout: pingTimeout},
	})
	if err != nil {
		return err
	}
	defer client.Close()
	serve, closePort, err := o.serve(ctx, env, a)
	if err != nil {
		return err
	}
	defer closePort()
	registerMetrics(env.Registry, a)
	serveStart(env, a)
	env.AddCheck(daemon.Check{Name: "agent", Run: func(context.Context) error { return a.Ready() }})
	env.Ready(true)
	env.Log.Info("serving", "name", o.name, "datasource", o.mysql, "http", env.HTTPAddr)

	var running sync.WaitGroup
	running.Go(func() {
		if err := client.Run(ctx); err != nil && ctx.Err() == nil {
			env.Log.Error("the link to the keepers ended", "error", err)
		}
	})
	running.Go(func() { a.Run(ctx, client) })
	running.Go(func() { serve(ctx) })
	running.Wait()
	return nil
}

// final marks what a restart cannot mend: a data directory that a person must
// look at.
func final(err error) error {
	if errors.Is(err, agent.ErrForeign) || errors.Is(err, durable.ErrDamaged) {
		return fmt.Errorf("%w: %w", daemon.ErrNoRestart, err)
	}
	return err
}

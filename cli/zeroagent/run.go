package main

import (
	"context"
	"errors"
	"sync"

	"github.com/zerokeeper/zero/agent"
	"github.com/zerokeeper/zero/agent/mysql"
	"github.com/zerokeeper/zero/cli/daemon"
	"github.com/zerokeeper/zero/transport"
)

// run is one agent, until ctx ends.
func (o *options) run(ctx context.Context, env *daemon.Env) (err error) {
	cfg := o.database()
	cfg.Logger = env.Log.Named("mysql")
	db, err := mysql.New(cfg)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	a, err := agent.New(agent.Config{ID: o.name, DataDir: o.data, Version: daemon.Version, Database: db, Logger: env.Log.Named("agent")})
	if err != nil {
		return err
	}
	client, err := transport.NewClient(transport.ClientConfig{
		Endpoints: o.keepers, Hello: a.Hello(), Handler: a.Handler(), Logger: env.Log.Named("link"),
	})
	if err != nil {
		return err
	}
	defer client.Close()
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
	running.Wait()
	return nil
}

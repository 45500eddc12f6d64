package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/zerokeeper/zero/cli/daemon"
	"github.com/zerokeeper/zero/cluster"
	"github.com/zerokeeper/zero/cluster/keeper"
	"github.com/zerokeeper/zero/transport"
	"github.com/zerokeeper/zero/transport/api"
	"github.com/zerokeeper/zero/transport/wire"
)

func hostname() (string, error) {
	name, err := os.Hostname()
	if err != nil {
		return "", fmt.Errorf("--name is needed: this host does not know its own: %w", err)
	}
	return name, nil
}

// closeTimeout bounds how long leadership is handed over and stores are closed.
const closeTimeout = 5 * time.Second

// run is one keeper, until ctx ends or it must stop.
func (o *options) run(ctx context.Context, env *daemon.Env) (err error) {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", o.listen)
	if err != nil {
		return fmt.Errorf("listen for machines: %w", err)
	}
	mux, err := transport.NewMux(listener, transport.MuxConfig{Logger: env.Log.Named("mux")})
	if err != nil {
		return errors.Join(err, listener.Close())
	}
	raftListener, frames := mux.Match(transport.PrefixRaft), mux.Match(transport.PrefixFrames)

	// Everything that serves goes on until the node has handed leadership over.
	serving, stopServing := context.WithCancel(context.WithoutCancel(ctx))
	var servers sync.WaitGroup
	defer func() {
		stopServing()
		if !o.end.hung.Load() {
			servers.Wait()
		}
	}()
	failed := make(chan error, 3) // room for each that serves: nobody reads it while the node closes
	serve := func(what string, f func(context.Context) error) {
		servers.Go(func() {
			if err := f(serving); err != nil && serving.Err() == nil {
				failed <- fmt.Errorf("%s: %w", what, err)
			}
		})
	}
	serve("port for machines", mux.Serve)

	peers, err := o.peerClient(env)
	if err != nil {
		return err
	}
	defer peers.Close()
	node, err := o.openNode(ctx, env, raftListener, peers)
	if err != nil {
		return final(err)
	}
	k, err := keeper.New(keeper.Config{
		Store: node, Group: node, Leadership: node, Peer: peers, Logger: env.Log.Named("keeper"), Version: daemon.Version, Dev: o.dev,
		Lease: o.lease, LostAfter: o.lostAfter, RemoveAfter: o.removeAfter, SessionIdle: o.sessionIdle, Hooks: o.hooks,
	})
	if err != nil {
		return errors.Join(err, node.Close(ctx))
	}
	server, err := transport.NewServer(transport.ServerConfig{
		Agent: k.Sections(), Hello: k.Hello, Invoker: wire.Config{Handler: k.Handler()},
		OnConnect: k.Connected, OnClose: func(inv *wire.Invoker, _ error) { k.Closed(inv) }, Logger: env.Log.Named("server"),
	})
	if err != nil {
		return errors.Join(err, node.Close(ctx))
	}
	countConnections(env.Registry, server)
	serve("frames", func(ctx context.Context) error { return server.Serve(ctx, frames) })
	serve("duties", k.Run)

	for _, c := range node.Checks() {
		env.AddCheck(daemon.Check(c))
	}
	env.HTTP.Handle("GET /leaderz", leaderHandler(node))
	env.Ready(true)
	env.Log.Info("serving", "name", o.name, "member", node.ID(), "listen", listener.Addr(), "http", env.HTTPAddr)

	select {
	case <-ctx.Done():
	case err = <-node.Fatal():
		err = fmt.Errorf("this keeper stops itself: %w", err)
	case err = <-failed:
		select { // the node's own reason, when that is what ended the others
		case fatal := <-node.Fatal():
			err = fmt.Errorf("this keeper stops itself: %w", fatal)
		case <-time.After(100 * time.Millisecond):
		}
	}
	if errors.Is(err, cluster.ErrDiskHung) {
		o.end.abandon(listener, stopServing, &servers)
		return err // and the node stays as it is: to close it is to wait for the disk
	}
	closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTimeout)
	defer cancel()
	return errors.Join(final(err), node.Close(closing))
}

// final marks what a restart cannot mend: a data directory that is refused, by
// this keeper or by the group.
func final(err error) error {
	refused := errors.Is(err, cluster.ErrDirectory) && !errors.Is(err, cluster.ErrInUse)
	if refused || errors.Is(err, api.ErrForbidden) || errors.Is(err, &api.Error{Code: api.ForeignCluster}) {
		return fmt.Errorf("%w: %w", daemon.ErrNoRestart, err)
	}
	return err
}

// peerClient is how this keeper asks the others.
func (o *options) peerClient(env *daemon.Env) (*transport.Client, error) {
	endpoints := o.join
	if len(endpoints) == 0 {
		endpoints = []string{o.advertise}
	}
	return transport.NewClient(transport.ClientConfig{
		Endpoints: endpoints, Hello: api.HelloRequest{Role: api.RoleKeeper, ID: o.name, Address: o.advertise}, Dial: dial, Logger: env.Log.Named("peers"),
	})
}

func (o *options) openNode(ctx context.Context, env *daemon.Env, raftListener net.Listener, peers *transport.Client) (*cluster.Node, error) {
	timing, err := cluster.Profile(o.profile)
	if err != nil {
		return nil, err
	}
	cfg := cluster.DefaultConfig()
	cfg.Name, cfg.DataDir, cfg.Dev = o.name, o.data, o.dev
	cfg.Advertise, cfg.HTTPAdvertise, cfg.Version = o.advertise, env.HTTPAddr, daemon.Version
	cfg.BootstrapExpect, cfg.Join, cfg.Timing = o.expect, o.join, timing
	cfg.Listener, cfg.Logger, cfg.Registry = raftListener, env.Log.Named("cluster"), env.Registry
	cfg.Peers = cluster.PeersOver(peers)
	cfg.SnapshotThreshold, cfg.TrailingLogs, cfg.SnapshotInterval = o.snapshotEntries, o.trailingEntries, o.snapshotInterval
	cfg.DiskTimeout, cfg.DiskReserve = o.diskTimeout, int64(o.diskReserve)
	if dial != nil {
		cfg.Dial = func(ctx context.Context, address string) (net.Conn, error) { return dial(ctx, "tcp", address) }
	}
	return cluster.Open(ctx, cfg)
}

// leaderHandler is 200 on the leader only, for load balancers and scripts.
func leaderHandler(node *cluster.Node) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Cache-Control", "no-store")
		if err := node.Leading(); err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintln(w, "ok")
	})
}

// countConnections exports what the server counts.
func countConnections(registry *prometheus.Registry, server *transport.Server) {
	registry.MustRegister(
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "zero_transport_connections", Help: "Connections of machines that are open."},
			func() float64 { return float64(server.Counters.Open.Load()) }),
		prometheus.NewCounterFunc(prometheus.CounterOpts{Name: "zero_transport_bad_frames_total", Help: "Connections that were closed because of what they sent."},
			func() float64 { return float64(server.Counters.BadFrames.Load()) }),
		prometheus.NewCounterFunc(prometheus.CounterOpts{Name: "zero_transport_updates_total", Help: "Op-0 updates."},
			func() float64 { return float64(server.Counters.Updates.Load()) }),
		prometheus.NewCounterFunc(prometheus.CounterOpts{Name: "zero_transport_queries_total", Help: "Op-0 queries."},
			func() float64 { return float64(server.Counters.Queries.Load()) }),
	)
}

package main

import (
	"context"
	"errors"
	"fmt"
	"net"

	"github.com/zerokeeper/zero/agent"
	"github.com/zerokeeper/zero/cli/daemon"
	"github.com/zerokeeper/zero/transport"
	"github.com/zerokeeper/zero/transport/wire"
)

// Bounds of the agent's own port: the agents of one group and the proxies of one
// cluster.
const (
	maxPeers   = 1000
	maxReached = 64
)

// validateListen checks what the agent's own port needs.
func (o *options) validateListen() error {
	if o.listen == "" {
		if o.advertise != "" || o.peerToken.Given() || o.lendToken.Given() {
			return errors.New("--advertise, --peer-token-ref and --lend-token-ref are of use with --listen only")
		}
		return nil
	}
	host, _, err := net.SplitHostPort(o.listen)
	if err != nil {
		return fmt.Errorf("--listen: %w", err)
	}
	if o.advertise == "" {
		if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
			return fmt.Errorf("--advertise is needed: nobody reaches %q", o.listen)
		}
		o.advertise = o.listen
	}
	if host, port, err := net.SplitHostPort(o.advertise); err != nil || host == "" || port == "" || port == "0" {
		return fmt.Errorf("--advertise %q: want host:port", o.advertise)
	}
	for _, t := range []struct {
		flag  string
		token *daemon.Secret
	}{{"--peer-token-ref", &o.peerToken}, {"--lend-token-ref", &o.lendToken}} {
		if !t.token.Given() {
			return fmt.Errorf("%s is needed with --listen: whoever connects must prove who it is", t.flag)
		}
		if _, err := t.token.Resolve(o.dev); err != nil {
			return fmt.Errorf("%s: %w", t.flag, err)
		}
	}
	return nil
}

// token reads a token anew each time that it is needed.
func (o *options) token(s *daemon.Secret) func() (string, error) {
	return func() (string, error) {
		secret, err := s.Resolve(o.dev)
		return secret.Reveal(), err
	}
}

// serve opens the agent's own port, and gives the agent its way to the others. The
// function that it returns serves until ctx ends.
func (o *options) serve(ctx context.Context, env *daemon.Env, a *agent.Agent) (serve func(context.Context), stop func(), err error) {
	if o.listen == "" {
		return func(context.Context) {}, func() {}, nil
	}
	server, err := transport.NewServer(transport.ServerConfig{
		Hello: a.PeerHello(o.token(&o.peerToken), o.token(&o.lendToken)), Invoker: wire.Config{Handler: a.PeerHandler()},
		MaxConns: maxPeers, Logger: env.Log.Named("peers"),
	})
	if err != nil {
		return nil, nil, err
	}
	peers, err := transport.NewClient(transport.ClientConfig{
		Endpoints: o.keepers, // not used: the others are named by what the keepers said
		Hello:     a.Hello(), Token: o.token(&o.peerToken), MaxConns: maxReached, Logger: env.Log.Named("peers"),
	})
	if err != nil {
		return nil, nil, err
	}
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", o.listen)
	if err != nil {
		return nil, nil, errors.Join(fmt.Errorf("listen for other agents and proxies: %w", err), peers.Close())
	}
	a.Reach(peers)
	return func(ctx context.Context) {
			if err := server.Serve(ctx, listener); err != nil && ctx.Err() == nil {
				env.Log.Error("the port for other agents and proxies ended", "error", err)
			}
		}, func() {
			if err := errors.Join(peers.Close(), listener.Close()); err != nil && !errors.Is(err, net.ErrClosed) {
				env.Log.Debug("close the port for other agents and proxies", "error", err)
			}
		}, nil
}

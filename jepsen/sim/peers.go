package sim

import (
	"context"
	"net"

	"github.com/hashicorp/go-hclog"

	"github.com/zerokeeper/zero/cluster"
	"github.com/zerokeeper/zero/transport/api"
)

// errForbidden is how a group refuses a member for good.
var errForbidden = api.ErrForbidden

// peers carries one node's questions to the others over the simulated network.
type peers struct {
	world *world
	from  int
}

var _ cluster.Peers = (*peers)(nil)

// reach is the node at an address, after the way there.
func (p *peers) reach(ctx context.Context, at string) (*cluster.Node, error) {
	for _, m := range p.world.members {
		if m.at != at {
			continue
		}
		if err := p.world.net.pass(ctx, p.from, m.place); err != nil {
			return nil, api.Errorf(api.NetConnect, "keeper %s: %v", at, err)
		}
		if l := m.life.Load(); l != nil {
			return l.node, nil
		}
	}
	return nil, api.Errorf(api.NetConnect, "nobody listens at %s", at)
}

func (p *peers) Discover(ctx context.Context, at string, req api.KeeperDiscoverRequest) (api.KeeperDiscoverAnswer, error) {
	n, err := p.reach(ctx, at)
	if err != nil {
		return api.KeeperDiscoverAnswer{}, err
	}
	return n.HandleDiscover(ctx, req)
}

func (p *peers) Join(ctx context.Context, at string, req api.KeeperJoinRequest) error {
	n, err := p.reach(ctx, at)
	if err != nil {
		return err
	}
	return n.HandleJoin(ctx, req)
}

func (p *peers) Status(ctx context.Context, at string) (api.NodeStatusAnswer, error) {
	n, err := p.reach(ctx, at)
	if err != nil {
		return api.NodeStatusAnswer{}, err
	}
	return n.Status(), nil
}

// dialer is one node's way to the others for Raft.
func dialer(n *network, from int) func(ctx context.Context, at string) (net.Conn, error) {
	return func(ctx context.Context, at string) (net.Conn, error) { return n.dial(ctx, from, at) }
}

// logger writes a node's log into the trace.
func (w *world) logger(who string) hclog.Logger {
	return hclog.New(&hclog.LoggerOptions{Name: who, Level: hclog.Info, Output: w, DisableTime: true})
}

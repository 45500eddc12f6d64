package cluster

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/zerokeeper/zero/transport/api"
	"github.com/zerokeeper/zero/transport/wire"
)

// Peers carries what keepers ask each other, to the machine port at address.
type Peers interface {
	Discover(ctx context.Context, address string, req api.KeeperDiscoverRequest) (api.KeeperDiscoverAnswer, error)
	// Join asks the keeper at address, which should be the leader, to take the
	// sender in. The error of a follower is NotLeader with a LeaderHint as data.
	Join(ctx context.Context, address string, req api.KeeperJoinRequest) error
	Status(ctx context.Context, address string) (api.NodeStatusAnswer, error)
}

// Caller sends one request to one machine port; a transport.Client does.
type Caller interface {
	CallAt(ctx context.Context, endpoint, name string, meta wire.Meta, body []byte) (*wire.Response, error)
}

// PeersOver asks over op-2 requests, whose names and JSON bodies are package
// api's.
func PeersOver(c Caller) Peers { return wirePeers{c} }

type wirePeers struct{ caller Caller }

func (p wirePeers) Discover(ctx context.Context, address string, req api.KeeperDiscoverRequest) (api.KeeperDiscoverAnswer, error) {
	var answer api.KeeperDiscoverAnswer
	return answer, p.ask(ctx, address, api.KeeperDiscover, req, &answer)
}

func (p wirePeers) Join(ctx context.Context, address string, req api.KeeperJoinRequest) error {
	return p.ask(ctx, address, api.KeeperJoin, req, nil)
}

func (p wirePeers) Status(ctx context.Context, address string) (api.NodeStatusAnswer, error) {
	var answer api.NodeStatusAnswer
	return answer, p.ask(ctx, address, api.NodeStatus, struct{}{}, &answer)
}

func (p wirePeers) ask(ctx context.Context, address, name string, req, answer any) error {
	body, err := json.Marshal(req)
	if err != nil {
		return fmt.Errorf("ask keeper %s: %s: %w", address, name, err)
	}
	resp, err := p.caller.CallAt(ctx, address, name, nil, body)
	if err != nil {
		return fmt.Errorf("ask keeper %s: %s: %w", address, name, err)
	}
	if answer == nil {
		return nil
	}
	if err := json.Unmarshal(resp.Data, answer); err != nil {
		return fmt.Errorf("ask keeper %s: %s: answer: %w", address, name, err)
	}
	return nil
}

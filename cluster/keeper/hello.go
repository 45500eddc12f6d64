package keeper

import (
	"context"
	"encoding/json"
	"slices"
	"strings"

	"github.com/zerokeeper/zero/transport/api"
	"github.com/zerokeeper/zero/transport/wire"
)

// maxHello bounds each text of a Hello, in bytes.
const maxHello = 256

// Hello judges the first request of a connection. What it claims is believed:
// keepers, proxies and agents stand on a trusted network until tokens and
// certificates prove it. It is answered by every keeper, and names the leader.
func (k *Keeper) Hello(_ context.Context, caller wire.Principal, _ *wire.Request) (wire.Principal, *wire.Response, error) {
	hello := caller.Hello
	for _, text := range []string{hello.ID, hello.Cluster, hello.Address, hello.Incarnation} {
		if len(text) > maxHello {
			return caller, nil, api.Errorf(api.BadRequest, "Hello: a text of %d bytes, at most %d", len(text), maxHello)
		}
	}
	known := []string{api.RoleKeeper, api.RoleProxy, api.RoleAgent, api.RoleOperator, api.RoleClient}
	switch {
	case !slices.Contains(known, caller.Role):
		return caller, nil, api.Errorf(api.BadRequest, "Hello: no role %q: one of %v", caller.Role, known)
	case hello.ID == "":
		return caller, nil, api.Errorf(api.BadRequest, "Hello: a %s needs an id", caller.Role)
	case caller.Role == api.RoleProxy && (hello.Cluster == "" || hello.Address == "" || hello.Incarnation == ""):
		return caller, nil, api.Errorf(api.BadRequest, "Hello: a proxy says its cluster, its address and its incarnation")
	case strings.Contains(hello.Cluster, "/"):
		return caller, nil, api.Errorf(api.BadRequest, "Hello: cluster %q: the name of a cluster has no /", hello.Cluster)
	case caller.Role == api.RoleAgent && (hello.Address == "" || hello.Incarnation == ""):
		return caller, nil, api.Errorf(api.BadRequest, "Hello: an agent says its datasource's address and its incarnation")
	}
	status := k.cfg.Group.Status()
	data, err := json.Marshal(api.HelloAnswer{
		Version: api.ProtocolVersion, ClusterID: status.ClusterID, MemberID: status.MemberID, Name: status.Name, Leader: k.cfg.Leadership.Leader(),
	})
	return caller, &wire.Response{Data: data}, err
}

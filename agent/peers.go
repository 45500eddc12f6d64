package agent

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"

	"github.com/zerokeeper/zero/transport"
	"github.com/zerokeeper/zero/transport/api"
	"github.com/zerokeeper/zero/transport/wire"
)

// Peers reaches the other agents of the group (package transport's Client, with
// this agent's Hello and the agents' token).
type Peers interface {
	CallAt(ctx context.Context, endpoint, name string, meta wire.Meta, body []byte) (*wire.Response, error)
}

var _ Peers = (*transport.Client)(nil)

// Reach gives the agent its way to the others. It is called before Run.
func (a *Agent) Reach(p Peers) { a.peers = p }

// maxToken bounds what is compared, in bytes.
const maxToken = 4096

// PeerHello judges who connects to the agent's own port: agents and proxies, each
// proven by the token of its role. Both are asked for at every connection, so that
// a token that was changed counts.
func (a *Agent) PeerHello(agents, proxies func() (string, error)) transport.HelloHandler {
	return func(_ context.Context, caller wire.Principal, req *wire.Request) (wire.Principal, *wire.Response, error) {
		var secret func() (string, error)
		switch caller.Role {
		case api.RoleAgent:
			secret = agents
		case api.RoleProxy:
			secret = proxies
		default:
			return caller, nil, api.Errorf(api.Forbidden, "Hello: an agent serves agents and proxies here, not the role %q", caller.Role)
		}
		want, err := secret()
		if err != nil {
			return caller, nil, api.Errorf(api.NotReady, "Hello: the token of the role %s cannot be read here", caller.Role)
		}
		got := req.Meta.Get(api.MetaToken)
		a1, a2 := sha256.Sum256([]byte(want)), sha256.Sum256([]byte(got)) // so that the length takes no time
		if want == "" || len(got) > maxToken || subtle.ConstantTimeCompare(a1[:], a2[:]) != 1 {
			return caller, nil, api.Errorf(api.Unauthenticated, "Hello: not the token of the role %s", caller.Role)
		}
		if caller.Hello.ID == "" || caller.Role == api.RoleAgent && caller.Hello.Address == "" {
			return caller, nil, api.Errorf(api.BadRequest, "Hello: an id is needed, of an agent its datasource's address too")
		}
		caller.Auth = "token"
		data, err := json.Marshal(api.HelloAnswer{Version: api.ProtocolVersion, Name: a.cfg.ID})
		return caller, &wire.Response{Data: data}, err
	}
}

// PeerHandler answers the group's other agents and its proxies.
func (a *Agent) PeerHandler() wire.Handler {
	return wire.Handlers{
		api.PromiseFailsafe: peerHandle(a, api.RoleAgent, a.PromiseFailsafeProcessor, "hostGroup", "primary", "stamp", "round", "leaseMs"),
		api.BorrowLease:     peerHandle(a, api.RoleProxy, a.BorrowLeaseProcessor, "hostGroup", "stamp"),
	}.Serve
}

// peerHandle makes a wire handler of one for a role that was proven.
func peerHandle[B, A any](a *Agent, role string, f func(context.Context, *wire.Request, B) (A, error), required ...string) wire.Handler {
	return handleFrom(a, func(p wire.Principal) bool { return p.Role == role && p.Auth != "" }, f, required...)
}

// peer is where the agent of a datasource of the group listens.
func (m memory) peer(address string) (listen string, ok bool) {
	for _, p := range api.SplitPeers(m.Peers) {
		if p.Address == address {
			return p.Listen, true
		}
	}
	return "", false
}

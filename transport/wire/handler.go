package wire

import (
	"context"
	"crypto/tls"
	"net"

	"github.com/zerokeeper/zero/transport/api"
)

// Ping is the name of the request with which an idle [Invoker] asks whether its
// peer is there. Invokers answer it themselves.
const Ping = "Ping"

// Request is a request or one-way call as a Handler sees it.
type Request struct {
	Name   string
	Meta   Meta
	Body   []byte // the handler's to keep
	OneWay bool
}

// Response is an answer.
type Response struct {
	Data []byte // at most MaxAnswer
	Meta Meta
}

// Handler answers a request. Its ctx ends with the request's deadline, with the
// caller's cancel and with the connection; [FromContext] and [PrincipalFrom] tell who
// asks. An error is answered with [api.CodeOf] and, if it is an [api.Error], its
// data; nil with a nil Response is an empty answer. It must not call [Invoker.Close] or
// [Invoker.Drain] of the invoker it runs on; Stop is allowed.
type Handler func(ctx context.Context, req *Request) (*Response, error)

// Handlers finds the handler of a request by its name. It must not change while
// it is in use.
type Handlers map[string]Handler

// Serve is the [Handler] of all names. An unknown one is answered
// [api.UnknownRequest], which for a one-way means dropped and counted.
func (h Handlers) Serve(ctx context.Context, req *Request) (*Response, error) {
	handle, ok := h[req.Name]
	if !ok {
		return nil, api.Errorf(api.UnknownRequest, "unknown request %q", req.Name)
	}
	return handle(ctx, req)
}

// Principal is who stands at the other end of a connection, as far as its Hello,
// token or certificate proved it.
type Principal struct {
	Role           string
	ID             string // also the terminal id
	ConnectionType string // command, listen, target; empty for a caller that is not called back
	Auth           string // how it was proved: empty (claimed only), "token" or "tls"
	Hello          api.HelloRequest
	Remote         net.Addr
	TLS            *tls.ConnectionState // nil without TLS
}

// Values of [api.MetaConnectionType] in a Hello.
const (
	ConnectionCommand = "command"
	ConnectionListen  = "listen"
	ConnectionTarget  = "target"
)

type contextKey struct{}

// FromContext is the invoker over which the handler's request came, nil outside
// of handlers.
func FromContext(ctx context.Context) *Invoker {
	inv, _ := ctx.Value(contextKey{}).(*Invoker)
	return inv
}

// PrincipalFrom is who sent the handler's request; zero outside of handlers.
func PrincipalFrom(ctx context.Context) Principal {
	if inv := FromContext(ctx); inv != nil {
		return inv.Principal()
	}
	return Principal{}
}

package proxy

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/zerokeeper/zero/transport/api"
	"github.com/zerokeeper/zero/transport/faultpoint"
	"github.com/zerokeeper/zero/transport/wire"
)

// handlerTable names who answers the orders of arrow 2. A handler bears the
// name that the seed gives it.
func (p *Proxy) handlerTable() wire.Handlers {
	return wire.Handlers{
		api.PushConfig:                    handle(p.PushConfigProcessor, "configId", "content"),
		api.RollbackConfig:                handle(p.RollbackConfigProcessor),
		api.UnregisterProxy:               handle(p.UnregisterProxyProcessor, "reason"),
		api.ActivateProxy:                 handle(p.ActivateProxyProcessor),
		api.ProxyVoteFetch:                handle(p.ProxyVoteFetchProcessor, "hostGroup", "toIndex"),
		api.SwitchProxyDatasource:         handle(p.SwitchProxyDatasourceProcessor, "hostGroup", "toIndex"),
		api.RollbackProxyDatasource:       handle(p.RollbackProxyDatasourceProcessor, "hostGroup"),
		api.StopWritingProxyDatasource:    handle(p.StopWritingProxyDatasourceProcessor, "hostGroup", "index"),
		api.RecoverWritingProxyDatasource: handle(p.RecoverWritingProxyDatasourceProcessor, "hostGroup", "index"),
	}
}

// handle makes a wire handler of one that takes a struct. The members in
// required must be in the body. data of the answer is "" unless the handler
// returns something.
func handle[B any](f func(context.Context, *wire.Request, B) (any, error), required ...string) wire.Handler {
	return func(ctx context.Context, req *wire.Request) (*wire.Response, error) {
		faultpoint.Reach(point(req.Name, "before"))
		if role := wire.PrincipalFrom(ctx).Role; role != api.RoleKeeper {
			return nil, api.Errorf(api.Forbidden, "%s: not for the role %q", req.Name, role)
		}
		var body B
		if err := api.Decode(req.Name, req.Body, required, &body); err != nil {
			return nil, err
		}
		answer, err := f(ctx, req, body)
		if err == nil {
			faultpoint.Reach(point(req.Name, "after"))
		}
		if err != nil || answer == nil {
			return nil, err
		}
		data, err := json.Marshal(answer)
		if err != nil {
			return nil, fmt.Errorf("%s: encode the answer: %w", req.Name, err)
		}
		return &wire.Response{Data: data}, nil
	}
}

// point names the moment at which a test may end this proxy.
func point(order, when string) string { return "proxy/" + order + "/" + when }

// orderFor is the stamp of an order and the group that it is about.
func (p *Proxy) orderFor(req *wire.Request, name string) (*group, api.Stamp, error) {
	text, ok := req.Meta.Lookup(api.MetaStamp)
	if !ok {
		return nil, api.Stamp{}, api.Errorf(api.BadRequest, "%s without a stamp: an order says which switch it belongs to", req.Name)
	}
	stamp, err := api.ParseStamp(text)
	if err != nil {
		return nil, api.Stamp{}, err
	}
	g, err := p.group(name)
	return g, stamp, err
}

// StopWritingProxyDatasourceProcessor holds new writes; it answers when nothing
// is in flight. (The seed names RollbackProxyDatasourceProcessor here, a slip.)
func (p *Proxy) StopWritingProxyDatasourceProcessor(ctx context.Context, req *wire.Request, body api.StopWritingProxyDatasourceRequest) (any, error) {
	g, stamp, err := p.orderFor(req, body.HostGroup)
	if err != nil {
		return nil, err
	}
	return nil, g.stopWriting(ctx, stamp, body, body.Sever || p.failing(g))
}

// SwitchProxyDatasourceProcessor points the held group at the new primary.
func (p *Proxy) SwitchProxyDatasourceProcessor(_ context.Context, req *wire.Request, body api.SwitchProxyDatasourceRequest) (any, error) {
	g, stamp, err := p.orderFor(req, body.HostGroup)
	if err != nil {
		return nil, err
	}
	return nil, g.switchTo(stamp, body)
}

// RollbackProxyDatasourceProcessor points the held group back.
func (p *Proxy) RollbackProxyDatasourceProcessor(_ context.Context, req *wire.Request, body api.RollbackProxyDatasourceRequest) (any, error) {
	g, stamp, err := p.orderFor(req, body.HostGroup)
	if err != nil {
		return nil, err
	}
	return nil, g.rollback(stamp)
}

// RecoverWritingProxyDatasourceProcessor lets held writes go on.
func (p *Proxy) RecoverWritingProxyDatasourceProcessor(_ context.Context, req *wire.Request, body api.RecoverWritingProxyDatasourceRequest) (any, error) {
	g, stamp, err := p.orderFor(req, body.HostGroup)
	if err != nil {
		return nil, err
	}
	return nil, g.recoverWriting(stamp, body)
}

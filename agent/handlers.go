package agent

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/zerokeeper/zero/agent/mysql"
	"github.com/zerokeeper/zero/transport/api"
	"github.com/zerokeeper/zero/transport/faultpoint"
	"github.com/zerokeeper/zero/transport/wire"
)

// handlerTable names who answers arrow 3. A handler bears the name that the
// seed gives it; those beyond the seed are named alike.
func (a *Agent) handlerTable() wire.Handlers {
	return wire.Handlers{
		api.LoadFetch:               handle(a, a.LoadFetchProcessor),
		api.BinlogFetch:             handle(a, a.BinlogFetchProcessor, "role"),
		api.StateFetch:              handle(a, a.StateFetchProcessor),
		api.PreflightDatasource:     handle(a, a.PreflightDatasourceProcessor, "role", "primary"),
		api.PrepareDatasource:       handle(a, a.PrepareDatasourceProcessor, "hostGroup", "candidate"),
		api.FenceDatasource:         handle(a, a.FenceDatasourceProcessor, "hostGroup", "primary", "boundMs"),
		api.WaitPosition:            handle(a, a.WaitPositionProcessor, "hostGroup", "candidate", "gtid", "timeoutMs"),
		api.PromoteDatasource:       handle(a, a.PromoteDatasourceProcessor, "hostGroup", "primary"),
		api.FollowDatasource:        handle(a, a.FollowDatasourceProcessor, "hostGroup", "replica", "primary"),
		api.RestoreDatasource:       handle(a, a.RestoreDatasourceProcessor, "hostGroup", "primary"),
		api.StopReceivingDatasource: handle(a, a.StopReceivingDatasourceProcessor, "hostGroup", "primary"),
		api.DrainDatasource:         handle(a, a.DrainDatasourceProcessor, "hostGroup", "candidate", "timeoutMs"),
		api.ResumeDatasource:        handle(a, a.ResumeDatasourceProcessor, "hostGroup", "primary"),
	}
}

// handle makes a wire handler of one that takes a struct. The members in
// required must be in the body.
func handle[B, A any](a *Agent, f func(context.Context, *wire.Request, B) (A, error), required ...string) wire.Handler {
	return handleFrom(a, func(p wire.Principal) bool { return p.Role == api.RoleKeeper }, f, required...)
}

// handleFrom is handle for those that may ask.
func handleFrom[B, A any](a *Agent, may func(wire.Principal) bool, f func(context.Context, *wire.Request, B) (A, error), required ...string) wire.Handler {
	return func(ctx context.Context, req *wire.Request) (*wire.Response, error) {
		faultpoint.Reach(point(req.Name, "before"))
		if p := wire.PrincipalFrom(ctx); !may(p) {
			return nil, api.Errorf(api.Forbidden, "%s: not for the role %q", req.Name, p.Role)
		}
		if err := a.awaitSecure(ctx); err != nil {
			return nil, err
		}
		var body B
		if err := api.Decode(req.Name, req.Body, required, &body); err != nil {
			return nil, err
		}
		answer, err := f(ctx, req, body)
		if err != nil {
			return nil, err
		}
		faultpoint.Reach(point(req.Name, "after"))
		data, err := json.Marshal(answer)
		if err != nil {
			return nil, fmt.Errorf("%s: encode the answer: %w", req.Name, err)
		}
		return &wire.Response{Data: data}, nil
	}
}

// point names the moment at which a test may end this agent.
func point(order, when string) string { return "agent/" + order + "/" + when }

// LoadFetchProcessor answers the load of the host.
func (a *Agent) LoadFetchProcessor(ctx context.Context, _ *wire.Request, _ api.LoadFetchRequest) (mysql.Load, error) {
	load, err := a.db.Load(ctx)
	return load, databaseError(err)
}

// BinlogFetchProcessor answers where the server writes (master), or what it has
// executed of its source's binlog (slave).
func (a *Agent) BinlogFetchProcessor(ctx context.Context, _ *wire.Request, body api.BinlogFetchRequest) (mysql.Binlog, error) {
	if body.Role != api.BinlogMaster && body.Role != api.BinlogSlave {
		return mysql.Binlog{}, api.Errorf(api.BadRequest, "role %q: want %s or %s", body.Role, api.BinlogMaster, api.BinlogSlave)
	}
	b, err := a.db.Binlog(ctx, mysql.Role(body.Role))
	return b, databaseError(err)
}

// StateFetchProcessor answers what the server is.
func (a *Agent) StateFetchProcessor(ctx context.Context, _ *wire.Request, _ api.StateFetchRequest) (api.AgentState, error) {
	s, err := a.ask(ctx)
	if err != nil {
		return api.AgentState{}, err
	}
	return a.answer(s, nil), nil
}

// PreflightDatasourceProcessor examines the server before a switch.
func (a *Agent) PreflightDatasourceProcessor(ctx context.Context, _ *wire.Request, body api.PreflightDatasourceRequest) (api.PreflightAnswer, error) {
	options, err := preflightOptions(body, a.db.Address())
	if err != nil {
		return api.PreflightAnswer{}, err
	}
	findings, err := a.db.Preflight(ctx, options)
	if err != nil {
		return api.PreflightAnswer{}, databaseError(err)
	}
	s, err := a.ask(ctx)
	if err != nil {
		return api.PreflightAnswer{}, err
	}
	a.mu.Lock()
	cannot := a.warnings[warnKill]
	a.mu.Unlock()
	findings = append(findings, mysql.Finding{Rule: "can be killed (R15)", OK: cannot == "", Input: "process of the server", Detail: cannot})
	if body.CandidateState != "" {
		findings = append(findings, errantCheck(body.CandidateState, s))
	}
	binlog := api.Binlog{File: s.BinlogFile, Position: s.BinlogPosition, GTIDBinlogPos: s.GTIDBinlogPos, GTIDBinlogState: s.GTIDBinlogState, GTIDSlavePos: s.GTIDSlavePos}
	answer := api.PreflightAnswer{State: a.answer(s, &binlog), Checks: []api.Check{}}
	for _, f := range findings {
		answer.Checks = append(answer.Checks, api.Check(f))
	}
	return answer, nil
}

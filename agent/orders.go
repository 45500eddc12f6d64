package agent

import (
	"context"
	"time"

	"github.com/zerokeeper/zero/agent/mysql"
	"github.com/zerokeeper/zero/transport/api"
	"github.com/zerokeeper/zero/transport/wire"
)

// maxBound bounds what an order may ask to wait for.
const maxBound = 10 * time.Minute

// order checks an order before anything is done: it must name this server
// (R24), and its stamp must not be lower than the highest seen (R8). It is
// called with the role lock held; the caller remembers the result.
func (a *Agent) order(req *wire.Request, hostGroup string, d api.Datasource) (memory, error) {
	m := a.notes.memory
	text, ok := req.Meta.Lookup(api.MetaStamp)
	if !ok {
		return m, api.Errorf(api.BadRequest, "%s without a stamp: an order says which switch it belongs to", req.Name)
	}
	stamp, err := api.ParseStamp(text)
	if err != nil {
		return m, err
	}
	if err := a.isMe(d); err != nil {
		return m, err
	}
	if stamp.Compare(m.Stamp) < 0 && (m.HostGroup == "" || m.HostGroup == hostGroup) {
		return m, api.Errorf(api.StaleGeneration, "%s: this agent has seen stamp %s, the order has %s", req.Name, m.Stamp, stamp)
	}
	m.HostGroup, m.Stamp = hostGroup, stamp
	return m, nil
}

// isMe refuses a datasource that is not this server.
func (a *Agent) isMe(d api.Datasource) error {
	if d.Address != a.db.Address() {
		return api.Errorf(api.IdentityMismatch, "this is the agent of %s, not of %s", a.db.Address(), d.Address)
	}
	a.mu.Lock()
	identity := a.state.Identity
	a.mu.Unlock()
	if d.ServerID != "" && identity != "" && d.ServerID != identity {
		return api.Errorf(api.IdentityMismatch, "the server at %s is %s, not %s", d.Address, identity, d.ServerID)
	}
	return nil
}

func boundOf(ms int64) time.Duration {
	return min(max(time.Duration(ms)*time.Millisecond, time.Millisecond), maxBound)
}

// PrepareDatasourceProcessor readies the candidate (R13): it remembers the
// generation before it answers.
func (a *Agent) PrepareDatasourceProcessor(ctx context.Context, req *wire.Request, body api.PrepareDatasourceRequest) (api.AgentState, error) {
	a.role.Lock()
	defer a.role.Unlock()
	m, err := a.order(req, body.HostGroup, body.Candidate)
	if err != nil {
		return api.AgentState{}, err
	}
	m.Prepared, m.Role = m.Stamp.Generation, roleNotPrimary
	if err := a.remember(m); err != nil {
		return api.AgentState{}, err
	}
	s, err := a.ask(ctx)
	if err != nil {
		return api.AgentState{}, err
	}
	if s.Replication == nil {
		return api.AgentState{}, api.Errorf(api.NotReplica, "%s does not replicate: it cannot become primary", a.db.Address())
	}
	a.log.Info("prepared", "stamp", m.Stamp)
	return a.answer(s, nil), nil
}

// FenceDatasourceProcessor makes the old primary read-only within a bound, so
// that it can be undone. Fenced is answered when read_only=1 was seen and the
// role is remembered.
func (a *Agent) FenceDatasourceProcessor(ctx context.Context, req *wire.Request, body api.FenceDatasourceRequest) (api.AgentState, error) {
	a.role.Lock()
	defer a.role.Unlock()
	m, err := a.order(req, body.HostGroup, body.Primary)
	if err != nil {
		return api.AgentState{}, err
	}
	m.Role = roleNotPrimary
	if err := a.remember(m); err != nil {
		return api.AgentState{}, err
	}
	result, err := a.db.Fence(ctx, mysql.FenceOptions{Bound: boundOf(body.BoundMS)})
	if err != nil {
		return api.AgentState{}, databaseError(err)
	}
	for _, k := range result.Killed {
		a.log.Warn("killed a session that could still write", "session", k)
	}
	a.log.Info("fenced", "stamp", m.Stamp, "position", result.Binlog.GTIDBinlogPos)
	s, err := a.ask(ctx)
	if err != nil {
		return api.AgentState{}, err
	}
	return a.answer(s, &result.Binlog), nil
}

// WaitPositionProcessor waits until the candidate has applied what the fenced
// primary wrote, and has nothing that the primary lacks.
func (a *Agent) WaitPositionProcessor(ctx context.Context, req *wire.Request, body api.WaitPositionRequest) (api.AgentState, error) {
	a.role.Lock()
	m, err := a.order(req, body.HostGroup, body.Candidate)
	if err == nil {
		err = a.remember(m)
	}
	a.role.Unlock()
	if err != nil {
		return api.AgentState{}, err
	}
	if m.Prepared != m.Stamp.Generation {
		return api.AgentState{}, api.Errorf(api.NotPrepared, "this agent was prepared for generation %d, not %d", m.Prepared, m.Stamp.Generation)
	}
	if err := a.db.WaitPosition(ctx, body.GTID, boundOf(body.TimeoutMS)); err != nil {
		return api.AgentState{}, databaseError(err)
	}
	binlog, err := a.db.Binlog(ctx, mysql.RoleSlave)
	if err != nil {
		return api.AgentState{}, databaseError(err)
	}
	if err := compare(binlog.GTIDBinlogState, body.State); err != nil {
		return api.AgentState{}, err
	}
	s, err := a.ask(ctx)
	if err != nil {
		return api.AgentState{}, err
	}
	a.log.Info("caught up", "stamp", m.Stamp, "position", body.GTID)
	return a.answer(s, &binlog), nil
}

// compare refuses a candidate that lacks something of the primary, or has
// something that the primary lacks.
func compare(candidate, primary string) error {
	if primary == "" {
		return nil
	}
	mine, err := mysql.ParseGTIDState(candidate)
	if err != nil {
		return api.Errorf(api.DataRead, "the candidate's gtid_binlog_state: %v", err)
	}
	theirs, err := mysql.ParseGTIDState(primary)
	if err != nil {
		return api.Errorf(api.BadRequest, "the primary's gtid_binlog_state: %v", err)
	}
	if missing := mysql.Errant(theirs, mine); len(missing) > 0 {
		return api.Errorf(api.BinlogInconsistent, "the candidate lacks %v of the primary", missing)
	}
	if errant := mysql.Errant(mine, theirs); len(errant) > 0 {
		return api.Errorf(api.BinlogInconsistent, "the candidate has %v that the primary lacks: it is errant", errant)
	}
	return nil
}

// PromoteDatasourceProcessor makes the new primary writable: the commit point
// is behind it.
func (a *Agent) PromoteDatasourceProcessor(ctx context.Context, req *wire.Request, body api.PromoteDatasourceRequest) (api.AgentState, error) {
	a.role.Lock()
	defer a.role.Unlock()
	m, err := a.order(req, body.HostGroup, body.Primary)
	if err != nil {
		return api.AgentState{}, err
	}
	if m.Stamp.Step != api.StepPromoting && m.Stamp.Step != api.StepIdle {
		return api.AgentState{}, api.Errorf(api.BadRequest, "%s with stamp %s: only after the commit", req.Name, m.Stamp)
	}
	if m.Prepared != m.Stamp.Generation {
		return api.AgentState{}, api.Errorf(api.NotPrepared, "this agent was prepared for generation %d, not %d", m.Prepared, m.Stamp.Generation)
	}
	m.Role, m.Committed = rolePrimary, m.Stamp.Generation
	if err := a.remember(m); err != nil {
		return api.AgentState{}, err
	}
	if _, err := a.db.Promote(ctx); err != nil {
		return api.AgentState{}, databaseError(err)
	}
	a.log.Info("promoted", "stamp", m.Stamp)
	s, err := a.ask(ctx)
	return a.answer(s, nil), err
}

// FollowDatasourceProcessor makes this server a replica of the new primary.
func (a *Agent) FollowDatasourceProcessor(ctx context.Context, req *wire.Request, body api.FollowDatasourceRequest) (api.AgentState, error) {
	source, err := sourceOf(body.Primary)
	if err != nil {
		return api.AgentState{}, err
	}
	a.role.Lock()
	defer a.role.Unlock()
	m, err := a.order(req, body.HostGroup, body.Replica)
	if err != nil {
		return api.AgentState{}, err
	}
	if m.Stamp.Step != api.StepPromoting && m.Stamp.Step != api.StepIdle {
		return api.AgentState{}, api.Errorf(api.BadRequest, "%s with stamp %s: only after the commit", req.Name, m.Stamp)
	}
	m.Role, m.Committed = roleNotPrimary, m.Stamp.Generation
	if err := a.remember(m); err != nil {
		return api.AgentState{}, err
	}
	if _, err := a.db.Follow(ctx, source); err != nil {
		return api.AgentState{}, databaseError(err)
	}
	a.log.Info("following", "stamp", m.Stamp, "primary", body.Primary.Address)
	s, err := a.ask(ctx)
	return a.answer(s, nil), err
}

// RestoreDatasourceProcessor makes the old primary of a switch that is rolled
// back writable again.
func (a *Agent) RestoreDatasourceProcessor(ctx context.Context, req *wire.Request, body api.RestoreDatasourceRequest) (api.AgentState, error) {
	a.role.Lock()
	defer a.role.Unlock()
	m, err := a.order(req, body.HostGroup, body.Primary)
	if err != nil {
		return api.AgentState{}, err
	}
	if m.Stamp.Step != api.StepRollingBack && m.Stamp.Step != api.StepIdle {
		return api.AgentState{}, api.Errorf(api.BadRequest, "%s with stamp %s: only while rolling back", req.Name, m.Stamp)
	}
	m.Role = rolePrimary
	if err := a.remember(m); err != nil {
		return api.AgentState{}, err
	}
	if err := a.db.Unfence(ctx); err != nil {
		return api.AgentState{}, databaseError(err)
	}
	a.log.Info("writable again after a rollback", "stamp", m.Stamp)
	s, err := a.ask(ctx)
	return a.answer(s, nil), err
}

package agent

import (
	"context"
	"errors"
	"time"

	"github.com/zerokeeper/zero/agent/mysql"
	"github.com/zerokeeper/zero/transport/api"
	"github.com/zerokeeper/zero/transport/wire"
)

// FenceDatasourceProcessor makes the old primary read-only. Fenced is answered
// when read_only=1 was seen, or the server is dead, and the role is remembered
// (R16); the disk comes first: if it fails, nothing was done. In a planned switch the fence has a
// bound and is undone; in a failover a server that is not read-only within the bound is
// killed, and so is one with sessions that wait for an acknowledgement (R22).
func (a *Agent) FenceDatasourceProcessor(ctx context.Context, req *wire.Request, body api.FenceDatasourceRequest) (api.AgentState, error) {
	o, err := a.begin(ctx, req, rankOrder, body.HostGroup, body.Primary, api.StepFencing)
	if err != nil {
		return api.AgentState{}, err
	}
	defer o.release()
	if o.Role != roleNotPrimary { // a failover is rolled back as well, when a replica is missing
		o.Lent = o.Stamp.Generation
	}
	o.Role = roleNotPrimary
	a.lease.shut()
	permit, remembered := a.rememberMeanwhile(o.memory)
	defer remembered()
	if a.checkDead(o.ctx) {
		if err := permit.durable(o.ctx); err != nil {
			return api.AgentState{}, err
		}
		return a.fencedDead(o)
	}
	_, count, _ := a.lease.overdue()
	if body.Kill && a.hangs() {
		if err := permit.durable(o.ctx); err != nil {
			return api.AgentState{}, err
		}
		if err := a.kill(o.ctx, "it has to be fenced for a failover, and hangs"); err != nil {
			return api.AgentState{}, o.failed(err)
		}
		return a.fencedDead(o)
	}
	result, err := a.db.Fence(o.ctx, mysql.FenceOptions{Bound: a.fenceBound(body), Ready: permit.durable})
	if notDurable := permit.durable(o.ctx); notDurable != nil {
		return api.AgentState{}, notDurable
	}
	if err != nil && a.checkDead(o.ctx) {
		return a.fencedDead(o)
	}
	if err != nil && body.Kill {
		a.log.Warn("not fenced in time", "stamp", o.Stamp, "error", err)
		if kerr := a.kill(o.ctx, "it has to be fenced for a failover and was not in time"); kerr != nil {
			return api.AgentState{}, o.failed(errors.Join(err, kerr))
		}
		return a.fencedDead(o)
	}
	if err != nil {
		poke(a.look) // it may be read-only all the same
		return api.AgentState{}, o.failed(err)
	}
	a.lease.settle(count)
	for _, k := range result.Killed {
		a.log.Warn("killed a session that could still write", "session", k)
	}
	binlog, err := executed(result.Binlog)
	if err != nil {
		return api.AgentState{}, err
	}
	a.log.Info("fenced", "stamp", o.Stamp, "position", binlog.GTIDBinlogPos)
	return a.answer(a.acted(func(s *mysql.State) { s.Reachable, s.ReadOnly = true, result.ReadOnly }), &binlog), nil
}

// fencedDead answers for a server whose process is gone. It comes up read-only,
// by my.cnf (R21), and is made so before anything if it does not.
func (a *Agent) fencedDead(o *order) (api.AgentState, error) {
	_, count, _ := a.lease.overdue()
	a.lease.settle(count)
	a.log.Info("fenced: the server is dead", "stamp", o.Stamp)
	return a.answer(a.acted(func(s *mysql.State) { s.Reachable = false }), nil), nil
}

// minFence is the least that a planned fence gets.
const minFence = 100 * time.Millisecond

// fenceBound is the bound of a fence. A planned one gives up a heartbeat before
// the lease would have the server fenced without a limit, and killed: so that the
// roll-back's grant comes in between.
func (a *Agent) fenceBound(body api.FenceDatasourceRequest) time.Duration {
	bound := milliseconds(body.BoundMS)
	if left, times := a.lease.left(); !body.Kill && left > 0 {
		bound = min(bound, max(left-times.Beat, minFence))
	}
	return min(bound, mysql.MaxFenceBound)
}

// here is this server in an order that names only the primary.
func (a *Agent) here() api.Datasource { return api.Datasource{Address: a.db.Address()} }

// StopReceivingDatasourceProcessor stops the replication's IO thread for good
// (R19): this replica acknowledges nothing more, and the answer says what it received.
// That it stays stopped is on the disk before anything (R16).
func (a *Agent) StopReceivingDatasourceProcessor(ctx context.Context, req *wire.Request, body api.StopReceivingDatasourceRequest) (api.AgentState, error) {
	o, err := a.begin(ctx, req, rankOrder, body.HostGroup, a.here(), api.StepStopping, api.StepFencing, api.StepCatchingUp)
	if err != nil {
		return api.AgentState{}, err
	}
	defer o.release()
	o.Role, o.Stopped = roleNotPrimary, o.Stamp.Generation
	if err := a.remember(o.memory); err != nil {
		return api.AgentState{}, err
	}
	a.lease.shut()
	got, err := a.db.StopReceiving(o.ctx)
	if errors.Is(err, mysql.ErrNotReplica) {
		return a.outside(o)
	}
	if err != nil {
		return api.AgentState{}, o.failed(err)
	}
	return a.received(o, "receives nothing more", got)
}

// outside answers for a server that does not replicate, and, by the memory, does not
// begin to: it receives nothing, and has no relay log. What it has is what it executed.
func (a *Agent) outside(o *order) (api.AgentState, error) {
	s, err := a.ask(o.ctx)
	if err != nil {
		return api.AgentState{}, err
	}
	if s.Replication != nil {
		return api.AgentState{}, api.Errorf(api.NotReady, "%s began to replicate from %s meanwhile", a.db.Address(), s.Replication.Source())
	}
	binlog, err := executed(mysql.Binlog{File: s.BinlogFile, Position: s.BinlogPosition, GTIDBinlogPos: s.GTIDBinlogPos, GTIDBinlogState: s.GTIDBinlogState, GTIDSlavePos: s.GTIDSlavePos})
	if err != nil {
		return api.AgentState{}, err
	}
	a.log.Info("receives nothing: it does not replicate", "stamp", o.Stamp, "executed", binlog.GTIDBinlogState)
	answer := a.answer(s, &binlog)
	answer.Outside, answer.Received = true, ""
	return answer, nil
}

// received answers with what a replica has, after its IO thread was stopped.
func (a *Agent) received(o *order, what string, got mysql.Received) (api.AgentState, error) {
	mine, err := a.db.Binlog(o.ctx, mysql.RoleSlave)
	if err != nil {
		return api.AgentState{}, o.failed(err)
	}
	binlog, err := executed(mine)
	if err != nil {
		return api.AgentState{}, err
	}
	binlog.GTIDIOPos = got.GTID
	a.log.Info(what, "stamp", o.Stamp, "received", got.GTID, "applied", got.Applied)
	answer := a.answer(a.acted(func(s *mysql.State) {
		s.Reachable, s.GTIDSlavePos = true, got.Applied
		if s.Replication != nil {
			r := *s.Replication
			r.IORunning, r.GtidIOPos = "No", got.GTID
			s.Replication = &r
		}
	}), &binlog)
	answer.Receiving, answer.Received, answer.Applied = false, got.GTID, got.Applied
	return answer, nil
}

// DrainDatasourceProcessor applies everything that the candidate received.
func (a *Agent) DrainDatasourceProcessor(ctx context.Context, req *wire.Request, body api.DrainDatasourceRequest) (api.AgentState, error) {
	o, err := a.begin(ctx, req, rankOrder, body.HostGroup, body.Candidate, api.StepFencing, api.StepCatchingUp)
	if err != nil {
		return api.AgentState{}, err
	}
	defer o.release()
	if o.Prepared != o.Stamp.Generation {
		return api.AgentState{}, api.Errorf(api.NotPrepared, "this agent was prepared for generation %d, not %d", o.Prepared, o.Stamp.Generation)
	}
	o.Stopped = o.Stamp.Generation // draining stops the IO thread as well
	if err := a.remember(o.memory); err != nil {
		return api.AgentState{}, err
	}
	got, err := a.db.Drain(o.ctx, milliseconds(body.TimeoutMS))
	if err != nil {
		return api.AgentState{}, o.failed(err)
	}
	return a.received(o, "drained", got)
}

// ResumeDatasourceProcessor receives from the primary again: the failover was
// rolled back. A server that has another source by now is left to the level.
func (a *Agent) ResumeDatasourceProcessor(ctx context.Context, req *wire.Request, body api.ResumeDatasourceRequest) (api.AgentState, error) {
	o, err := a.begin(ctx, req, rankFollow, body.HostGroup, a.here(), api.StepRollingBack, api.StepIdle)
	if err != nil {
		return api.AgentState{}, err
	}
	defer o.release()
	o.Stopped = 0
	if err := a.remember(o.memory); err != nil {
		return api.AgentState{}, err
	}
	s, err := a.ask(o.ctx)
	if err != nil {
		return api.AgentState{}, err
	}
	if s.Replication == nil || s.Replication.Source() != body.Primary.Address {
		return api.AgentState{}, api.Errorf(api.NotReplica, "%s does not replicate from %s", a.db.Address(), body.Primary.Address)
	}
	if err := a.db.Resume(o.ctx); err != nil {
		poke(a.look)
		return api.AgentState{}, o.failed(err)
	}
	a.log.Info("receives again", "stamp", o.Stamp, "primary", body.Primary.Address)
	if s, err = a.ask(o.ctx); err != nil {
		return api.AgentState{}, err
	}
	return a.answer(s, nil), nil
}

package agent

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/zerokeeper/zero/agent/mysql"
	"github.com/zerokeeper/zero/transport/api"
	"github.com/zerokeeper/zero/transport/wire"
)

// order is one order of a switch, checked, with the turn taken for it.
type order struct {
	memory                  // as it is to be after the order
	ctx     context.Context // of what the order does to the server
	release func()          // gives the turn back
}

// begin takes the turn for an order, and checks it before anything is done: it
// names this server (R24), its stamp is not below the highest seen (R8) and of
// a step in which that order is given. The caller remembers what it returns,
// and releases the turn.
func (a *Agent) begin(ctx context.Context, req *wire.Request, r rank, hostGroup string, d api.Datasource, steps ...uint8) (*order, error) {
	text, ok := req.Meta.Lookup(api.MetaStamp)
	if !ok {
		return nil, api.Errorf(api.BadRequest, "%s without a stamp: an order says which switch it belongs to", req.Name)
	}
	stamp, err := api.ParseStamp(text)
	if err != nil {
		return nil, err
	}
	taken, release, err := a.turn.take(ctx, r)
	if err != nil {
		return nil, api.Errorf(api.Busy, "%s: another change of this server runs: %v", req.Name, err)
	}
	a.ordered = req.Name
	m := a.notes.memory
	switch {
	case m.HostGroup != "" && m.HostGroup != hostGroup:
		err = api.Errorf(api.IdentityMismatch, "%s: %s belongs to host group %s, not %s", req.Name, a.db.Address(), m.HostGroup, hostGroup)
	case stamp.Compare(m.Stamp) < 0 && !ignoreStamps: // R8
		err = api.Errorf(api.StaleGeneration, "%s: this agent has seen stamp %s, the order has %s", req.Name, m.Stamp, stamp)
	case !slices.Contains(steps, stamp.Step):
		err = api.Errorf(api.BadRequest, "%s: this order is not given in the step of stamp %s", req.Name, stamp)
	default:
		err = a.isMe(taken, d)
	}
	if err != nil {
		a.ordered = ""
		release()
		return nil, err
	}
	m.HostGroup, m.Stamp = hostGroup, stamp
	a.failsafe.learn(hostGroup, stamp) // R18f
	return &order{memory: m, ctx: taken, release: func() { a.ordered = ""; release() }}, nil
}

// failed gives what went wrong with an order's action its code.
func (o *order) failed(err error) error {
	if context.Cause(o.ctx) == errGaveWay {
		err = fmt.Errorf("%w: %w", errGaveWay, err)
	}
	return databaseError(err)
}

// isMe refuses a datasource that is not this server. One that was never seen is
// asked who it is.
func (a *Agent) isMe(ctx context.Context, d api.Datasource) error {
	if d.Address != a.db.Address() {
		return api.Errorf(api.IdentityMismatch, "this is the agent of %s, not of %s", a.db.Address(), d.Address)
	}
	a.mu.Lock()
	identity := a.identity
	if identity == "" && a.dead {
		identity = a.notes.ServerID // a dead one cannot be asked
	}
	a.mu.Unlock()
	if identity == "" {
		state, err := a.ask(ctx)
		if err != nil {
			return err
		}
		identity = state.Identity
	}
	if d.ServerID != "" && d.ServerID != identity {
		return api.Errorf(api.IdentityMismatch, "the server at %s is %s, not %s", d.Address, identity, d.ServerID)
	}
	return nil
}

// PrepareDatasourceProcessor readies the candidate (R13): it remembers the
// generation before it answers.
func (a *Agent) PrepareDatasourceProcessor(ctx context.Context, req *wire.Request, body api.PrepareDatasourceRequest) (api.AgentState, error) {
	o, err := a.begin(ctx, req, rankOrder, body.HostGroup, body.Candidate, api.StepStopping)
	if err != nil {
		return api.AgentState{}, err
	}
	defer o.release()
	o.Prepared, o.Role = o.Stamp.Generation, roleNotPrimary
	if err := a.remember(o.memory); err != nil { // R13, R16
		return api.AgentState{}, err
	}
	a.lease.shut()
	a.rotateAhead()
	if err := a.promises.over(body.LeaseMS); err != nil { // R13: prepared for good, and not answered so yet
		return api.AgentState{}, err
	}
	s, err := a.ask(o.ctx)
	if err != nil {
		return api.AgentState{}, err
	}
	if s.Replication == nil {
		return api.AgentState{}, api.Errorf(api.NotReplica, "%s does not replicate: it cannot become primary", a.db.Address())
	}
	a.log.Info("prepared", "stamp", o.Stamp)
	return a.answer(s, nil), nil
}

// PromoteDatasourceProcessor makes the new primary writable: the commit point
// is behind it.
func (a *Agent) PromoteDatasourceProcessor(ctx context.Context, req *wire.Request, body api.PromoteDatasourceRequest) (api.AgentState, error) {
	o, err := a.begin(ctx, req, rankOrder, body.HostGroup, body.Primary, api.StepPromoting)
	if err != nil {
		return api.AgentState{}, err
	}
	defer o.release()
	if o.Prepared != o.Stamp.Generation {
		return api.AgentState{}, api.Errorf(api.NotPrepared, "this agent was prepared for generation %d, not %d", o.Prepared, o.Stamp.Generation)
	}
	o.Role, o.Committed, o.Primary, o.Stopped = rolePrimary, o.Stamp.Generation, body.Primary.Address, 0
	a.takeSet(&o.memory, body.ReplicaSet, body.ReplicaVersion) // R17: primary only together with its set
	permit, remembered := a.rememberMeanwhile(o.memory)
	defer remembered()
	if a.lease.Holds() != nil && !a.beating.Load() {
		poke(a.hurry) // the lease comes while replication is ended, if it did not come with the commit
	}
	if _, err := a.db.Promote(o.ctx, permit); err != nil { // R14: a hint; the lease decides
		return api.AgentState{}, o.failed(err)
	}
	a.log.Info("promoted", "stamp", o.Stamp)
	return a.answer(a.acted(promoted), nil), nil
}

// promoted is what a promotion leaves a server as.
func promoted(s *mysql.State) { s.Reachable, s.ReadOnly, s.Replication = true, false, nil }

// FollowDatasourceProcessor makes this server a replica of the new primary.
func (a *Agent) FollowDatasourceProcessor(ctx context.Context, req *wire.Request, body api.FollowDatasourceRequest) (api.AgentState, error) {
	source, err := sourceOf(body.Primary)
	if err != nil {
		return api.AgentState{}, err
	}
	o, err := a.begin(ctx, req, rankFollow, body.HostGroup, body.Replica, api.StepPromoting, api.StepIdle)
	if err != nil {
		return api.AgentState{}, err
	}
	defer o.release()
	o.Role, o.Committed, o.Primary, o.Stopped, o.Lent = roleNotPrimary, o.Stamp.Generation, body.Primary.Address, 0, 0
	o.Acks = o.Acks || body.Acknowledge && a.db.ManagesSemiSync() // R20: on the disk before it is turned on
	source.Async = !body.Acknowledge
	a.lease.shut()
	disk, remembered := a.rememberMeanwhile(o.memory) // a replica stops to receive meanwhile: a first commit may wait for it
	defer remembered()
	source.Ready = disk.durable // R16, R20
	if a.notYet(body.Acknowledge, a.lastState()) {
		err := api.Errorf(api.NotRecorded, "%s was a primary, and follows when the record names it", a.db.Address())
		return api.AgentState{}, errors.Join(disk.durable(o.ctx), err)
	}
	result, err := a.followSafely(o.ctx, source)
	if notDurable := disk.durable(o.ctx); notDurable != nil {
		return api.AgentState{}, notDurable
	}
	if err != nil {
		poke(a.look)
		return api.AgentState{}, o.failed(err)
	}
	a.log.Info("following", "stamp", o.Stamp, "primary", body.Primary.Address)
	return a.answer(a.acted(a.followed(result, source)), nil), nil
}

// followed is what following leaves a server as.
func (a *Agent) followed(result mysql.Following, source mysql.Source) func(*mysql.State) {
	return func(s *mysql.State) {
		s.Reachable, s.ReadOnly, s.Replication = true, true, result.Replication
		if a.db.ManagesSemiSync() {
			s.SemiSync.ReplicaEnabled, s.SemiSync.ReplicaActive = !source.Async, !source.Async
		}
	}
}

// RestoreDatasourceProcessor makes the old primary of a switch that is rolled
// back writable again. A server that replicates by now is not what it was.
func (a *Agent) RestoreDatasourceProcessor(ctx context.Context, req *wire.Request, body api.RestoreDatasourceRequest) (_ api.AgentState, err error) {
	o, err := a.begin(ctx, req, rankOrder, body.HostGroup, body.Primary, api.StepRollingBack)
	if err != nil {
		return api.AgentState{}, err
	}
	defer o.release()
	defer func() { err = a.unlessDead(ctx, err) }()
	living, over := a.whileAlive(o.ctx)
	defer over()
	o.ctx = living
	s, err := a.ask(o.ctx)
	if err != nil {
		return api.AgentState{}, err
	}
	if r := s.Replication; r != nil {
		return api.AgentState{}, api.Errorf(api.StillReplica, "%s replicates from %s: it is not made writable", a.db.Address(), r.Source())
	}
	o.Role = rolePrimary
	if err := a.remember(o.memory); err != nil {
		return api.AgentState{}, err
	}
	// Not only read_only=0: if the server was started meanwhile its semi-sync is
	// off, and commits would be acknowledged that nobody else has.
	poke(a.hurry)
	if _, err := a.db.Promote(o.ctx, a.lease); err != nil { // R14
		return api.AgentState{}, o.failed(err)
	}
	a.log.Info("writable again after a rollback", "stamp", o.Stamp)
	return a.answer(a.acted(promoted), nil), nil
}

// WaitPositionProcessor waits until the candidate has applied what the fenced
// primary wrote, and has nothing that the primary lacks. It changes nothing, so
// that it has the turn only to be checked.
func (a *Agent) WaitPositionProcessor(ctx context.Context, req *wire.Request, body api.WaitPositionRequest) (api.AgentState, error) {
	o, err := a.begin(ctx, req, rankOrder, body.HostGroup, body.Candidate, api.StepFencing, api.StepCatchingUp)
	if err != nil {
		return api.AgentState{}, err
	}
	if o.Prepared != o.Stamp.Generation {
		err = api.Errorf(api.NotPrepared, "this agent was prepared for generation %d, not %d", o.Prepared, o.Stamp.Generation)
	} else {
		err = a.remember(o.memory)
	}
	o.release()
	if err != nil {
		return api.AgentState{}, err
	}
	if err := a.db.WaitPosition(ctx, body.GTID, milliseconds(body.TimeoutMS)); err != nil {
		return api.AgentState{}, databaseError(err)
	}
	poke(a.hurry) // the commit is next: an answer that is made after it has the lease
	mine, err := a.db.Binlog(ctx, mysql.RoleSlave)
	if err != nil {
		return api.AgentState{}, databaseError(err)
	}
	binlog, err := executed(mine)
	if err == nil {
		err = compare(binlog.GTIDBinlogState, body.State)
	}
	if err != nil {
		return api.AgentState{}, err
	}
	a.log.Info("caught up", "stamp", o.Stamp, "position", body.GTID)
	a.standByAhead(o.Stamp)
	return a.answer(a.lastState(), &binlog), nil
}

// executed is a position whose state has all that the server has, whoever wrote
// it: the binary log of a server that was cloned does not begin with what it got
// that way, its gtid_slave_pos has it.
func executed(b mysql.Binlog) (api.Binlog, error) {
	all, err := mysql.State{GTIDBinlogState: b.GTIDBinlogState, GTIDSlavePos: b.GTIDSlavePos}.Executed()
	if err != nil {
		return api.Binlog{}, api.Errorf(api.DataRead, "what this server has executed: %v", err)
	}
	b.GTIDBinlogState = all.String()
	return api.Binlog(b), nil
}

// compare refuses a candidate that lacks something of the primary, or has
// something that the primary lacks.
func compare(candidate, primary string) error {
	if primary == "" {
		return nil
	}
	mine, err1 := mysql.ParseGTIDState(candidate)
	theirs, err2 := mysql.ParseGTIDState(primary)
	if err := errors.Join(err1, err2); err != nil {
		return api.Errorf(api.DataRead, "compare what candidate and primary have: %v", err)
	}
	if missing := mysql.Errant(theirs, mine); len(missing) > 0 {
		return api.Errorf(api.BinlogInconsistent, "the candidate lacks %v of the primary", missing)
	}
	if errant := mysql.Errant(mine, theirs); len(errant) > 0 {
		return api.Errorf(api.BinlogInconsistent, "the candidate has %v that the primary lacks: it is errant", errant)
	}
	return nil
}

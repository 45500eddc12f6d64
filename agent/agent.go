package agent

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"sync"

	"github.com/hashicorp/go-hclog"

	"github.com/zerokeeper/zero/agent/mysql"
	"github.com/zerokeeper/zero/transport/api"
	"github.com/zerokeeper/zero/transport/wire"
)

// Agent is one zeroagent.
type Agent struct {
	cfg         Config
	log         hclog.Logger
	db          Database
	incarnation string
	handlers    wire.Handlers

	role sync.Mutex // held while the server's role changes; guards notes
	// notes is written under both locks, so that either is enough to read it.
	notes *notebook

	mu    sync.Mutex
	state mysql.State // as last asked
	alarm string      // what needs a person
	heard bool        // a keeper's grant was obeyed since the start
}

// New makes an agent.
func New(cfg Config) (*Agent, error) {
	cfg = cfg.withDefaults()
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	notes, err := openNotebook(cfg.DataDir, cfg.Database.Address())
	if err != nil {
		return nil, err
	}
	random := make([]byte, 8)
	if _, err := rand.Read(random); err != nil {
		return nil, fmt.Errorf("choose an incarnation: %w", err)
	}
	a := &Agent{cfg: cfg, log: cfg.Logger, db: cfg.Database, incarnation: hex.EncodeToString(random), notes: notes}
	a.handlers = a.handlerTable()
	return a, nil
}

// Handler answers the keepers' orders.
func (a *Agent) Handler() wire.Handler { return a.handlers.Serve }

// Hello introduces the agent to a keeper.
func (a *Agent) Hello() api.HelloRequest {
	return api.HelloRequest{Version: api.ProtocolVersion, Role: api.RoleAgent, ID: a.cfg.ID, Incarnation: a.incarnation, Address: a.db.Address()}
}

// Ready reports whether the agent does its work: the server answers, and a
// keeper was heard.
func (a *Agent) Ready() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case !a.state.Reachable:
		return fmt.Errorf("the database server %s does not answer", a.db.Address())
	case !a.heard:
		return fmt.Errorf("no keeper has answered yet")
	}
	return nil
}

// remembered is the agent's memory.
func (a *Agent) remembered() memory {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.notes.memory
}

// remember replaces the memory. It is called with the role lock held.
func (a *Agent) remember(m memory) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.notes.write(m)
}

// setAlarm records what needs a person; an empty text takes it back. It is told
// once.
func (a *Agent) setAlarm(text string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if text == a.alarm {
		return
	}
	if a.alarm = text; text != "" {
		a.log.Error("this server needs a person", "datasource", a.db.Address(), "alarm", text)
	} else {
		a.log.Info("alarm is over", "datasource", a.db.Address())
	}
}

// ask asks the server what it is, and remembers the answer for heartbeats.
func (a *Agent) ask(ctx context.Context) (mysql.State, error) {
	ctx, cancel := context.WithTimeout(ctx, a.cfg.StateTimeout)
	defer cancel()
	state, err := a.db.State(ctx)
	a.mu.Lock()
	defer a.mu.Unlock()
	if err == nil || !state.Reachable {
		a.state = state
	}
	return state, databaseError(err)
}

// roleOf is what a server is, by its replication.
func roleOf(s mysql.State) string {
	switch {
	case !s.Reachable:
		return ""
	case s.Replication != nil:
		return "replica"
	case s.ReadOnly:
		return "none"
	}
	return "primary"
}

// answer is what the keepers are told of the server.
func (a *Agent) answer(s mysql.State, binlog *mysql.Binlog) api.AgentState {
	m := a.remembered()
	a.mu.Lock()
	alarm := a.alarm
	a.mu.Unlock()
	answer := api.AgentState{
		Address: a.db.Address(), Incarnation: a.incarnation, ServerID: s.Identity, Version: s.Version, ReadOnly: s.ReadOnly,
		Role: roleOf(s), LagSeconds: -1, Prepared: m.Prepared, Stamp: m.Stamp, Alarm: alarm, SemiSync: semiSync(s.SemiSync),
	}
	if r := s.Replication; r != nil {
		answer.Source, answer.IORunning, answer.SQLRunning, answer.LagSeconds = r.Source(), r.IORunning, r.SQLRunning, r.SecondsBehind
		if err := r.Err(); err != nil {
			answer.Error = err.Error()
		}
	}
	if binlog != nil {
		b := api.Binlog(*binlog)
		answer.Binlog = &b
	}
	return answer
}

func semiSync(s mysql.SemiSync) string {
	switch {
	case s.SourceEnabled && s.SourceActive:
		return fmt.Sprintf("source, %d replicas acknowledge", s.Clients)
	case s.SourceEnabled:
		return "source, waiting for no acknowledgement"
	case s.ReplicaActive:
		return "replica, acknowledging"
	case s.ReplicaEnabled:
		return "replica, not acknowledging"
	}
	return "off"
}

// databaseErrors is what the database's errors are on the wire.
var databaseErrors = []struct {
	err  error
	code api.Code
}{
	{mysql.ErrUnknown, api.OutcomeUnknown},
	{mysql.ErrUnreachable, api.MySQLUnreachable},
	{mysql.ErrPositionTimeout, api.PositionTimeout},
	{mysql.ErrFenceTimeout, api.FenceTimeout},
	{mysql.ErrWaitingForAck, api.WaitingForAck},
	{mysql.ErrNotReplica, api.NotReplica},
	{mysql.ErrRelayNotDrained, api.NotDrained},
	{mysql.ErrStillReplica, api.StillReplica},
	{mysql.ErrErrant, api.BinlogInconsistent},
}

// databaseError gives an error of the database its code.
func databaseError(err error) error {
	if err == nil {
		return nil
	}
	for _, e := range databaseErrors {
		if errors.Is(err, e.err) {
			return &api.Error{Code: e.code, Msg: err.Error()}
		}
	}
	if code, _ := api.CodeOf(err); code != api.Common {
		return err
	}
	return &api.Error{Code: api.MySQLQuery, Msg: err.Error()}
}

package keeper

import (
	"cmp"
	"context"
	"encoding/json"

	"github.com/zerokeeper/zero/fsm"
	"github.com/zerokeeper/zero/transport/api"
	"github.com/zerokeeper/zero/transport/lease"
)

// AgentHeartbeatProcessor keeps the agent on the list and tells it what holds
// for its datasource.
func (k *Keeper) AgentHeartbeatProcessor(ctx context.Context, c *call[api.AgentHeartbeatRequest]) (api.HeartbeatAnswer, error) {
	if err := k.leads(); err != nil {
		return api.HeartbeatAnswer{}, err
	}
	hello := c.who.Hello
	if c.body.Address != hello.Address {
		return api.HeartbeatAnswer{}, api.Errorf(api.BadRequest, "agent %s said Hello for datasource %s and beats for %s", c.who.ID, hello.Address, c.body.Address)
	}
	received := lease.Now()
	k.presence.beatAgent(c.body.Address, c.body)
	if err := k.heard(ctx, c.body.HostGroup, c.body.Stamp, "the agent of "+c.body.Address); err != nil { // R25
		return api.HeartbeatAnswer{}, err
	}
	k.recordChanges(c.body)
	state := k.cfg.Store.State()
	row := state.Agent(c.body.Address)
	want := fsm.RegisterAgent{Address: c.body.Address, ID: c.who.ID, Listen: c.body.Listen, Version: c.body.Version, ServerID: c.body.ServerID, Incarnation: hello.Incarnation, Zone: c.body.Zone}
	if row != nil && want.ServerID == "" {
		want.ServerID = row.ServerID
	}
	if row == nil || want != (fsm.RegisterAgent{Address: row.Address, ID: row.ID, Listen: row.Listen, Version: row.Version, ServerID: row.ServerID, Incarnation: row.Incarnation, Zone: row.Zone}) {
		if row != nil && row.ServerID != "" && want.ServerID != row.ServerID {
			k.log.Warn("another server answers at a datasource's address", "datasource", row.Address, "was", row.ServerID, "is", want.ServerID)
		}
		if err := k.record(ctx, &want); err != nil {
			return api.HeartbeatAnswer{}, err
		}
		k.log.Info("agent registered", "datasource", want.Address, "agent", want.ID)
	} else if row.Status == fsm.StatusLost {
		if err := k.record(ctx, &fsm.SetAgentStatus{Address: row.Address, Incarnation: row.Incarnation, Status: fsm.StatusUp}); err != nil {
			return api.HeartbeatAnswer{}, err
		}
		k.log.Info("agent up", "datasource", row.Address)
	}
	if g, i := k.cfg.Store.State().GroupOf(c.body.Address); c.body.Dead && g != nil && i == g.Writable && g.OpenSwitch == "" {
		// It needs no lease, and is asked again at once: what it says a few times in a
		// row is believed.
		return api.HeartbeatAnswer{Seq: c.body.Seq, Status: fsm.StatusUp, IntervalMS: max(k.cfg.HeartbeatInterval.Milliseconds()/16, 1), Grants: []api.Grant{}}, nil
	}
	by := process{agentHolder(c.body.Address), hello.Incarnation}
	return k.lend(ctx, by, received, func(state *fsm.State, _ bool) (api.HeartbeatAnswer, []string) {
		return k.agentAnswer(state, c.body.Address, hello.Incarnation, c.body.Seq)
	})
}

// agentAnswer is what an agent is told: whether its server is the primary that
// may be writable, or whom it is to follow; and the group that it has a lease for.
func (k *Keeper) agentAnswer(state *fsm.State, address, incarnation string, seq uint64) (api.HeartbeatAnswer, []string) {
	answer := api.HeartbeatAnswer{Seq: seq, Status: fsm.StatusUp, Grants: []api.Grant{}}
	var counts []string
	if row := state.Agent(address); row == nil || row.Incarnation != incarnation {
		return answer, nil // a newer process answers for the server
	}
	answer.LeaseMS = k.times.Lease.Milliseconds()
	g, _ := state.GroupOf(address)
	if g != nil && g.IsFrozen() {
		return answer, nil // R25: what it remembers is asked for, not overwritten; nobody stops to acknowledge
	}
	answer.Moment = api.Moment{Epoch: state.Epoch(), Index: state.Index()}
	if g != nil {
		one := grant(state, g)
		one.Open = agentOpen(g)
		one.Policy = cmp.Or(g.Settings.Policy, fsm.PolicyLossless)
		one.ReplicaSet, one.ReplicaVersion = g.ReplicaSet(), g.RecordVersion // R17
		replica := g.Replica(address)
		one.Acknowledge = replica == fsm.ReplicaJoining || replica == fsm.ReplicaMember // R20
		one.Degraded = g.Degraded.On() && !g.Degraded.Restoring
		one.Failsafe, one.Peers = failsafe(state, g)
		answer.Grants = append(answer.Grants, one)
		if one.Open && one.Primary.Address == address {
			counts = append(counts, g.Name)
		}
	}
	return answer, counts
}

// agentOpen reports whether the writable datasource of g may be writable (R4):
// the old primary until fencing begins and again from rolling-back on, the
// candidate from the commit on. In between nobody.
func agentOpen(g *fsm.HostGroup) bool {
	return g.Step != fsm.StepFencing && g.Step != fsm.StepCatchingUp
}

func (k *Keeper) agentList(ctx context.Context, c *call[api.AgentListRequest]) (api.AgentListAnswer, error) {
	state, err := read(ctx, k, c)
	if err != nil {
		return api.AgentListAnswer{}, err
	}
	agents, next, err := page(k.viewAgents(state), c.body.Page, func(a api.Agent) string { return a.Address })
	return api.AgentListAnswer{Agents: agents, Next: next}, err
}

// askAgent passes a question of an operator on to an agent; its answer is the
// agent's own.
func (k *Keeper) askAgent(ctx context.Context, address, name string, body any) (text, error) {
	if err := k.leads(); err != nil {
		return "", err
	}
	if k.cfg.Store.State().Agent(address) == nil {
		return "", api.Errorf(api.KeyMissing, "no agent for the datasource %s: `zeroctl agent list` shows them", address)
	}
	ctx, cancel := context.WithTimeout(ctx, k.cfg.CallTimeout)
	defer cancel()
	var answer json.RawMessage
	err := order(ctx, &k.agents, address, name, nil, body, &answer)
	return text(answer), err
}

func (k *Keeper) agentLoad(ctx context.Context, c *call[api.AgentRef]) (text, error) {
	return k.askAgent(ctx, c.body.Address, api.LoadFetch, api.LoadFetchRequest{})
}

func (k *Keeper) agentBinlog(ctx context.Context, c *call[api.AgentRef]) (text, error) {
	if c.body.Role != api.BinlogMaster && c.body.Role != api.BinlogSlave {
		return "", api.Errorf(api.BadRequest, "role %q: want %s or %s", c.body.Role, api.BinlogMaster, api.BinlogSlave)
	}
	return k.askAgent(ctx, c.body.Address, api.BinlogFetch, api.BinlogFetchRequest{Role: c.body.Role})
}

func (k *Keeper) agentState(ctx context.Context, c *call[api.AgentRef]) (text, error) {
	return k.askAgent(ctx, c.body.Address, api.StateFetch, api.StateFetchRequest{})
}

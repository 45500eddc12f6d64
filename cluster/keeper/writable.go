package keeper

import (
	"github.com/zerokeeper/zero/fsm"
	"github.com/zerokeeper/zero/transport/api"
)

// confirm notes that an order has just made a server writable, of a generation of its
// group. Heartbeats that its agent sends before it hears that the switch is over are
// made before that, or overtaken by it: they do not take it back.
func (p *presence) confirm(address string, epoch, generation uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	b := p.agents[address]
	b.shut, b.confirmed = false, api.Stamp{Epoch: epoch, Generation: generation, Step: api.StepIdle}
	if p.agents[address] = b; b.at.IsZero() {
		delete(p.agents, address) // it was not heard in this term
	}
}

// isShut reports whether a server answers its agent and is read-only, as a heartbeat has it.
func (b agentBeat) isShut(beat api.AgentHeartbeatRequest) bool {
	return beat.MySQL.Status == 1 && beat.ReadOnly && beat.Stamp.Compare(b.confirmed) >= 0
}

// awaitsWritable reports whether a proxy that has no lease must not be given one yet: the
// primary of the group is going to be made writable, and is not. When every lease has
// ended, as after an outage of all keepers (R4), servers are read-only until their agents have a lease again; a
// proxy that is opened before that gives its clients errors (1290) where it
// would have held them. A proxy that has a lease writes already, and is never held for this: the
// server it writes to is writable, or its own lease would be over.
//
// An agent that was not heard in this term is waited for as long as one of its leases. One that
// is silent says nothing, and keeps nobody out.
func (k *Keeper) awaitsWritable(state *fsm.State, g *fsm.HostGroup) bool {
	primary := g.Datasources[g.Writable]
	if state.Agent(primary) == nil {
		return false
	}
	k.presence.mu.Lock()
	b, heard := k.presence.agents[primary]
	k.presence.mu.Unlock()
	if !heard {
		return k.presence.age() <= k.times.Lease
	}
	_, age, _ := k.presence.agent(primary)
	return b.shut && age <= k.times.Lease
}

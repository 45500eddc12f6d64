package fsm

const maxAgents = 10000

// RegisterAgent records the agent of a datasource, or what changed about it.
type RegisterAgent struct {
	Address     string
	ID          string
	Listen      string
	Version     string
	ServerID    string
	Incarnation string
	Zone        string
}

func (*RegisterAgent) commandType() Type { return typeRegisterAgent }

func (c *RegisterAgent) apply(t *txn) ([]byte, *Refusal) {
	if !validName(c.Address, c.ID) {
		return nil, refuse(CodeBadRequest, "an agent needs a datasource address and an id of 1 to %d bytes each", maxName)
	}
	old := first[Agent](t.Txn, tableAgents, key(c.Address))
	if old == nil && t.count(tableAgents, maxAgents) >= maxAgents {
		return nil, refuse(CodeRateLimited, "%d agents are registered: no more can be", maxAgents)
	}
	a := &Agent{Address: c.Address, ID: c.ID, Listen: c.Listen, Version: c.Version, ServerID: c.ServerID, Incarnation: c.Incarnation, Zone: clip(c.Zone), Status: StatusUp, Since: t.header.Time}
	if old != nil {
		if a.ServerID == "" {
			a.ServerID = old.ServerID // its server is not reachable now; it is still the same one
		}
		if old.Status == StatusUp {
			a.Since = old.Since
		}
	}
	t.put(tableAgents, a)
	return nil, nil
}

// SetAgentStatus records that an agent was lost or is heard again.
type SetAgentStatus struct {
	Address     string
	Incarnation string // refused when the agent was restarted since
	Status      string
}

func (*SetAgentStatus) commandType() Type { return typeSetAgentStatus }

func (c *SetAgentStatus) apply(t *txn) ([]byte, *Refusal) {
	old := first[Agent](t.Txn, tableAgents, key(c.Address))
	switch {
	case old == nil:
		return nil, refuse(CodeKeyMissing, "no agent for %s", c.Address)
	case old.Incarnation != c.Incarnation:
		return nil, refuse(CodeStaleGeneration, "the agent for %s was restarted since", c.Address)
	case c.Status != StatusUp && c.Status != StatusLost:
		return nil, refuse(CodeBadRequest, "no status %q", c.Status)
	case old.Status == c.Status:
		return nil, nil
	}
	a := *old
	a.Status, a.Since = c.Status, t.header.Time
	t.put(tableAgents, &a)
	return nil, nil
}

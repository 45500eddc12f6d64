package model

// answers to heartbeats. The sending of a heartbeat and its receipt are one moment: the way back takes all the delay.
func (x *expansion) answers() {
	m, s := x.m, x.from
	stale := s.Deposed.Exists && !m.has(VerifyGrant)
	undone := s.Record.Step == Promoting && !m.has(Unknown) // the commit's outcome is taken for a failure
	from := s.From[s.Record.Gen]
	for p := range m.Scope.Proxies {
		if !s.Registered.has(p) {
			continue
		}
		if g := m.proxyGrant(&s.Record); !m.has(GroupGrant) || g.Open || g.Drain || g.Stamp > s.Proxies[p].Stamp {
			x.happen(event{Kind: answeredProxy, On: p, By: uint8(leader)}, func(n *State) {
				m.grantProxy(n, p, g, &n.Counts)
			}) // else it would tell the proxy nothing
		}
		if stale {
			x.happen(event{Kind: answeredProxy, On: p, By: uint8(deposedLeader)}, func(n *State) {
				m.grantProxy(n, p, m.proxyGrant(&n.Deposed.Record), &n.Deposed.Counts)
			})
		}
		if undone {
			x.happen(event{Kind: answeredProxy, On: p, By: uint8(undoingLeader)}, func(n *State) {
				n.Proxies[p].Grant = Grant{Left: m.Scope.Lease, Stamp: stamp(n.Record.Gen, RollingBack), Index: from,
					CommitGen: n.Proxies[p].CommitGen, Open: true}
				n.Counts.Proxy[p] = m.wait()
			})
		}
	}
	hasty := s.Record.Step == CatchingUp && !m.has(LogFirst) && m.caughtUp(s)
	for i := range m.Scope.Servers {
		a := &s.Servers[i]
		g, set := m.agentGrant(s, &s.Record, i)
		if !m.has(Level) || g.Open || g.Stamp != a.Stamp || a.Prepared > 0 || set != a.ReplicaSet {
			x.happen(event{Kind: answeredAgent, On: i, By: uint8(leader)}, func(n *State) {
				m.grantAgent(n, i, g, set, &n.Counts)
			})
		}
		if stale {
			x.happen(event{Kind: answeredAgent, On: i, By: uint8(deposedLeader)}, func(n *State) {
				g, set := m.agentGrant(n, &n.Deposed.Record, i)
				m.grantAgent(n, i, g, set, &n.Deposed.Counts)
			})
		}
		if undone && i == from {
			x.happen(event{Kind: answeredAgent, On: i, By: uint8(undoingLeader)}, func(n *State) {
				m.orderPrimary(n, i, stamp(n.Record.Gen, RollingBack), n.Servers[i].CommitGen)
			})
		}
		if hasty && i == s.Record.Target {
			x.happen(event{Kind: answeredAgent, On: i, By: uint8(hastyLeader)}, func(n *State) {
				m.orderPrimary(n, i, stamp(n.Record.Gen, Promoting), n.Record.Gen)
			})
		}
	}
}

// proxyGrant is what a leader with that record says to a proxy. "Held" is one state for a proxy, whatever the step.
func (m *Model) proxyGrant(r *Record) Grant {
	g := Grant{Left: m.Scope.Lease}
	if m.has(GroupGrant) {
		g.Stamp, g.Index, g.CommitGen = stamp(r.Gen, Stopping), r.Primary, r.CommitGen
		if r.Step == Idle {
			g.Stamp, g.Open = stamp(r.Gen, Idle), true
		}
		g.Drain = m.Scope.Drain && r.Step == Stopping
	}
	return g
}

func (m *Model) grantProxy(s *State, p uint8, g Grant, counts *Countdowns) {
	if (g.Open || g.Drain && m.has(DrainCounted) || !m.has(GroupGrant)) && m.has(OwnWait) {
		counts.Proxy[p] = m.wait()
	}
	s.Proxies[p].Grant = g
}

// agentGrant is what a leader with that record says to an agent, and the replica set that it sends along.
func (m *Model) agentGrant(s *State, r *Record, i uint8) (Grant, bits) {
	g := Grant{Left: m.Scope.Lease}
	if !m.has(Level) {
		return g, s.Servers[i].GrantSet
	}
	g.Stamp, g.CommitGen = stamp(r.Gen, r.Step), r.CommitGen
	if r.Step == CatchingUp {
		g.Stamp = stamp(r.Gen, Fencing)
	}
	g.Open = i == r.Primary && r.Step != Fencing && r.Step != CatchingUp
	return g, s.Electable | s.Joining
}

func (m *Model) grantAgent(s *State, i uint8, g Grant, set bits, counts *Countdowns) {
	if (g.Open || !m.has(Level)) && m.has(OwnWait) {
		counts.Agent[i] = m.wait()
	}
	s.Servers[i].Grant, s.Servers[i].GrantSet = g, set
}

// orderPrimary is the mistake of two mutants: a grant to be primary that no entry of the log stands behind.
func (m *Model) orderPrimary(s *State, i uint8, k Stamp, commitGen uint8) {
	s.Servers[i].Grant = Grant{Left: m.Scope.Lease, Stamp: k, CommitGen: commitGen, Open: true}
	s.Servers[i].GrantSet = s.Electable
	s.Counts.Agent[i] = m.wait()
}

// membership: proxies register and leave, a replica joins.
func (x *expansion) membership() {
	m, s := x.m, x.from
	for p := range m.Scope.Proxies {
		if s.Registered.has(p) {
			x.add(m.unregister(&x.next, p), event{Kind: unregistered, On: p})
		} else {
			x.add(m.register(&x.next, p), event{Kind: registered, On: p})
		}
	}
	if m.Scope.Join {
		x.add(m.join(&x.next), event{Kind: joined, On: 2})
	}
}

func (m *Model) register(s *State, p uint8) bool {
	if s.Budget.Registrations == 0 {
		return false
	}
	s.Budget.Registrations--
	s.Registered = s.Registered.with(p)
	if !m.has(GroupGrant) { // the answer is the configuration, as it stands
		x, r := &s.Proxies[p], &s.Record
		x.Stamp, x.Index, x.CommitGen, x.Open = stamp(r.CommitGen, Idle), r.Primary, r.CommitGen, true
	}
	return true
}

func (m *Model) unregister(s *State, p uint8) bool {
	if s.Budget.Registrations == 0 || m.has(UnregWait) && s.Counts.Proxy[p] > 0 {
		return false
	}
	s.Budget.Registrations--
	s.Registered = s.Registered.without(p)
	s.Counts.Proxy[p] = 0
	return true
}

// join makes server 2 a replica that can be promoted: first it waits, until the primary's agent knows of it.
func (m *Model) join(s *State) bool {
	if s.Record.Step != Idle || s.Electable.has(2) {
		return false
	}
	known := s.Joining.has(2) && s.Servers[s.Record.Primary].ReplicaSet.has(2)
	if known || !m.has(SetAcked) {
		s.Electable, s.Joining = s.Electable.with(2), 0
		return true
	}
	if s.Joining.has(2) {
		return false
	}
	s.Joining = s.Joining.with(2)
	return true
}

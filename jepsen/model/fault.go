package model

// faults: pauses, crashes and restarts of agents, restarts of mysqld.
func (x *expansion) faults(i uint8) {
	m, s := x.m, x.from
	switch s.Servers[i].Process {
	case Paused:
		x.happen(event{Kind: resumedAgent, On: i}, func(n *State) { n.Servers[i].Process = Woken })
	case Dead:
		x.happen(event{Kind: startedAgent, On: i}, func(n *State) { m.startAgent(&n.Servers[i]) })
	case Running:
		if s.Budget.AgentFaults > 0 {
			x.happen(event{Kind: pausedAgent, On: i}, func(n *State) {
				n.Budget.AgentFaults--
				n.Servers[i].Process = Paused
			})
			x.happen(event{Kind: crashedAgent, On: i}, func(n *State) {
				n.Budget.AgentFaults--
				m.crashAgent(&n.Servers[i], i)
			})
		}
	}
	if s.Budget.MysqlRestarts > 0 {
		x.happen(event{Kind: restartedMysqld, On: i}, func(n *State) { m.restartMysqld(n, i) })
	}
}

func (m *Model) startAgent(a *Server) {
	a.Process = Woken
	if !m.has(StartFence) {
		a.Process = Running
	}
}

// crashAgent loses what is only in memory.
func (m *Model) crashAgent(a *Server, i uint8) {
	a.Process = Dead
	a.Lease, a.Failsafe, a.Round, a.Promised, a.Armed = 0, 0, 0, 0, false
	a.Grant, a.GrantSet = Grant{}, 0
	if !m.has(PromiseKept) {
		a.Promise = 0
	}
	if !m.has(LockKept) {
		a.Prepared = 0
	}
	if !m.has(Durable) {
		a.Stamp, a.CommitGen, a.Primary = stamp(1, Idle), 1, i == 0
	}
}

// restartMysqld ends every session of the server; what it is afterwards is what my.cnf says.
func (m *Model) restartMysqld(s *State, i uint8) {
	s.Budget.MysqlRestarts--
	s.Servers[i].ReadOnly = m.has(MyCnf)
	for p := range m.Scope.Proxies {
		if w := &s.Proxies[p].Write; w.Phase >= Sent && w.Index == i {
			*w = Write{}
		}
	}
}

package model

// failsafe: the primary's agent asks every replica's agent for a promise, and lends leases to the proxies.
func (x *expansion) failsafe(i uint8) {
	m, a := x.m, &x.from.Servers[i]
	if a.Process != Running || !a.Primary || m.has(FsIdle) && a.Stamp.step() == Stopping {
		return
	}
	if a.Round < m.Scope.Lease {
		x.happen(event{Kind: askedPromises, On: i}, func(n *State) {
			n.Servers[i].Round, n.Servers[i].Promised = m.Scope.Lease, 0
		})
	}
	for j := range m.Scope.Servers {
		x.add(m.promise(&x.next, i, j), event{Kind: promised, On: j, By: i})
	}
	x.add(m.holdFailsafe(&x.next, i), event{Kind: heldFailsafe, On: i})
	if a.Failsafe == 0 {
		return
	}
	for p := range m.Scope.Proxies {
		x.happen(event{Kind: lentLease, On: i, By: p}, func(n *State) { m.lend(n, i, p) })
	}
}

// promise: agent j answers the round of agent i.
func (m *Model) promise(s *State, i, j uint8) bool {
	a, b := &s.Servers[i], &s.Servers[j]
	if a.Round == 0 || j == i || !a.ReplicaSet.has(j) || a.Promised.has(j) || b.Process != Running || b.Primary {
		return false
	}
	if m.has(FsRefuse) && (b.Stamp > a.Stamp || b.Prepared != 0) {
		return false
	}
	b.Promise = m.wait()
	a.Promised = a.Promised.with(j)
	return true
}

// holdFailsafe: the round has what it needs.
func (m *Model) holdFailsafe(s *State, i uint8) bool {
	a := &s.Servers[i]
	all := a.Promised == a.ReplicaSet.without(i)
	if a.Round == 0 || !all && (m.has(AskAll) || a.Promised == 0) {
		return false
	}
	a.Failsafe = max(a.Failsafe, a.Round)
	if !m.has(FsFromSend) {
		a.Failsafe = m.Scope.Lease
	}
	a.Round, a.Promised, a.Armed = 0, 0, true
	return true
}

// lend answers a proxy that has no keeper.
func (m *Model) lend(s *State, i, p uint8) {
	a := &s.Servers[i]
	g := Grant{Left: m.Scope.Lease}
	if m.has(LentBound) {
		g.Left = a.Failsafe
	}
	if m.has(GroupGrant) {
		g.Stamp, g.Index, g.CommitGen, g.Open = a.Stamp, i, a.CommitGen, true
	}
	s.Proxies[p].Grant = g
	a.Lent = max(a.Lent, g.Left)
}

package model

// entitled says whether the agent may leave its server writable now.
func (m *Model) entitled(a *Server) bool {
	return (a.Lease > 0 || a.Failsafe > 0) && (a.Primary || !m.has(Level))
}

// owes says whether a live agent must set read_only before time goes on.
func (m *Model) owes(a *Server) bool {
	return !a.ReadOnly && (a.Process == Running || a.Process == Woken) && !m.entitled(a) && (a.Armed || m.has(StartFence))
}

// due says whether the agent must act now: its right is gone or, with SoftLimit, ends with this unit of time.
func (m *Model) due(a *Server) bool {
	if m.owes(a) {
		return true
	}
	if !m.has(SoftLimit) || a.ReadOnly {
		return false
	}
	later := *a
	countDown(&later.Lease)
	countDown(&later.Failsafe)
	return m.owes(&later)
}

// agent: grants, orders, read_only and replication of a server.
func (x *expansion) agent(i uint8) {
	m, s := x.m, x.from
	x.add(m.takeAgentGrant(&x.next, i), event{Kind: tookAgent, On: i})
	x.add(m.setReadOnly(&x.next, i), event{Kind: setReadOnly, On: i})
	x.add(m.setWritable(&x.next, i), event{Kind: setWritable, On: i})
	for g := uint8(2); g <= s.Record.Gen; g++ {
		x.add(m.fence(&x.next, i, g), event{Kind: gotFence, On: i, By: g})
		x.add(m.prepare(&x.next, i, g), event{Kind: gotPrepare, On: i, By: g})
		x.add(m.obey(&x.next, i, g), event{Kind: gotOrder, On: i, By: g})
	}
	x.add(m.stopIO(&x.next, i), event{Kind: stoppedIO, On: i})
	x.add(m.replicate(&x.next, i), event{Kind: replicated, On: i, By: s.Servers[i].Source})
	x.add(m.repoint(&x.next, i), event{Kind: repointed, On: i, By: s.Record.Primary})
}

// takeAgentGrant delivers the grant under way.
func (m *Model) takeAgentGrant(s *State, i uint8) bool {
	a := &s.Servers[i]
	g, set := a.Grant, a.GrantSet
	if g.Left == 0 || a.Process != Running {
		return false
	}
	a.Grant, a.GrantSet = Grant{}, 0
	left := g.Left
	if !m.has(LeaseFromSend) {
		left = m.Scope.Lease
	}
	if g.Stamp == 0 { // a lease and nothing else
		a.Lease, a.Armed = max(a.Lease, left), true
		return true
	}
	if m.refuses(a.Stamp, g.Stamp) {
		return true
	}
	a.Stamp, a.Primary = g.Stamp, g.Open
	if g.Open {
		a.Lease, a.Armed, a.CommitGen = max(a.Lease, left), true, g.CommitGen
	} else {
		a.Lease, a.Failsafe, a.Round, a.Promised = 0, 0, 0, 0
	}
	if g.Stamp.step() == Idle && g.Stamp.gen() >= a.Prepared {
		a.Prepared = 0
	}
	if !m.has(SetQuiet) || a.Failsafe == 0 && a.Round == 0 && a.Lent == 0 {
		a.ReplicaSet = set
	}
	return true
}

// setReadOnly: the lease is over, or was never there. It is also the first check of an agent that just woke.
func (m *Model) setReadOnly(s *State, i uint8) bool {
	a := &s.Servers[i]
	due := m.due(a)
	if !due && a.Process != Woken {
		return false
	}
	if due {
		a.ReadOnly = true
	}
	a.Process = Running
	return true
}

// setWritable: the agent opens its server because it holds the right to; for a candidate this is the promotion.
func (m *Model) setWritable(s *State, i uint8) bool {
	a := &s.Servers[i]
	if !m.has(Level) || a.Process != Running || !a.ReadOnly || !m.entitled(a) || m.has(PromiseHold) && a.Promise > 0 {
		return false
	}
	a.ReadOnly, a.Source, a.IORunning = false, i, false
	if a.Stamp == stamp(s.Record.Gen, Promoting) {
		s.Answers.Promoted = true
	}
	return true
}

// fence delivers the order to fence. Its answer comes when read_only is set and everything is on disk.
func (m *Model) fence(s *State, i, g uint8) bool {
	a := &s.Servers[i]
	if s.History[g]&fenced == 0 || s.From[g] != i || a.Process != Running || g < a.Stamp.gen() {
		return false
	}
	again := a.Stamp.gen() == g && a.Stamp.step() <= CatchingUp
	if m.has(StepOrder) && !again && stamp(g, Fencing) < a.Stamp {
		return false
	}
	a.Stamp = max(a.Stamp, stamp(g, Fencing))
	a.ReadOnly, a.Primary, a.Failsafe, a.Round, a.Promised = true, false, 0, 0, 0
	if m.has(Level) {
		a.Lease = 0
	}
	if g == s.Record.Gen {
		s.Answers.Fenced = true
	}
	return true
}

// prepare delivers the order to prepare: no failsafe promise from now on, and an answer once no promise is alive.
func (m *Model) prepare(s *State, i, g uint8) bool {
	a := &s.Servers[i]
	if !m.has(PrepareFirst) || s.To[g] != i || a.Process != Running || g < a.Prepared || g < a.Stamp.gen() {
		return false
	}
	if stamp(g, Stopping) < a.Stamp && (a.Stamp.gen() != g || a.Stamp.step() > Stopping) {
		return false
	}
	a.Prepared, a.Stamp = g, stamp(g, Stopping)
	if g == s.Record.Gen && s.Record.Step == Stopping && (a.Promise == 0 || !m.has(PromiseHold)) {
		s.Answers.Prepared = true
	}
	return true
}

// obey delivers what stands, without Level, in the place of grants that name the primary: promote, and undo the fence.
func (m *Model) obey(s *State, i, g uint8) bool {
	a := &s.Servers[i]
	if m.has(Level) || a.Process != Running || g < a.Stamp.gen() {
		return false
	}
	switch {
	case s.History[g]&rolledBack != 0 && s.From[g] == i:
		a.Stamp = stamp(g, RollingBack)
	case s.History[g]&committed != 0 && s.To[g] == i && !(m.has(PromiseHold) && a.Promise > 0):
		a.Stamp, a.Source, a.IORunning, a.CommitGen = stamp(g, Promoting), i, false, g
		if g == s.Record.Gen {
			s.Answers.Promoted = true
		}
	default:
		return false
	}
	a.ReadOnly, a.Primary = false, true
	return true
}

// stopIO: the replica stops receiving, so the old primary cannot be acknowledged any more.
func (m *Model) stopIO(s *State, i uint8) bool {
	r := &s.Record
	if !m.Scope.Lossless || (r.Step != Fencing && r.Step != CatchingUp) || i == r.Primary || s.Servers[i].Process != Running || s.Answers.IOStopped.has(i) {
		return false
	}
	s.Servers[i].IORunning = false
	s.Answers.IOStopped = s.Answers.IOStopped.with(i)
	return true
}

// replicate brings what the source has.
func (m *Model) replicate(s *State, i uint8) bool {
	a := &s.Servers[i]
	source := s.Servers[a.Source].Transaction
	if !a.IORunning || a.Source == i || !a.Transaction.lacks(source) {
		return false
	}
	a.Transaction |= source
	return true
}

// repoint makes a server follow the primary; one that has more than the primary is cloned.
func (m *Model) repoint(s *State, i uint8) bool {
	a, primary := &s.Servers[i], s.Record.Primary
	if s.Record.Step != Idle || i == primary || a.Process != Running || !a.ReadOnly || a.Primary || a.Source == primary && a.IORunning {
		return false
	}
	for p := range m.Scope.Proxies {
		w := &s.Proxies[p].Write
		if w.Phase != InBinlog || w.Index != i {
			continue
		}
		if m.has(NoAckFree) {
			*w = Write{}
		} else {
			w.Phase = Answered // semi-sync is switched off, and the session that waits is told OK
		}
	}
	if s.Servers[primary].Transaction.lacks(a.Transaction) {
		a.Transaction = s.Servers[primary].Transaction
	}
	a.Source, a.IORunning = primary, true
	return true
}

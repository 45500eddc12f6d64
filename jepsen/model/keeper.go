package model

// keepers: elections, what the leader does, and what a deposed one may still do.
func (x *expansion) keepers() {
	m, s := x.m, x.from
	x.add(m.elect(&x.next), event{Kind: elected})
	for to := range m.Scope.Servers {
		x.add(m.request(&x.next, to), event{Kind: requested, On: to})
	}
	x.advance(leader)
	if s.Deposed.Exists && m.proposes(&s.Deposed, s) {
		x.advance(deposedLeader)
	}
	x.answers()
	x.membership()
}

// elect: another keeper leads. The old leader may go on with what it knew and the countdowns that it had.
func (m *Model) elect(s *State) bool {
	if s.Budget.Elections == 0 {
		return false
	}
	s.Budget.Elections--
	s.Deposed = Deposed{Exists: true, Record: s.Record, Counts: s.Counts}
	s.Counts = Countdowns{}
	if !m.has(ElectionWait) {
		return true
	}
	for p := range m.Scope.Proxies {
		if s.Registered.has(p) {
			s.Counts.Proxy[p] = m.wait()
		}
	}
	for i := range m.Scope.Servers {
		s.Counts.Agent[i] = m.wait()
	}
	return true
}

// request opens a switch. After the commit point a stuck switch can only be superseded by a new one.
func (m *Model) request(s *State, to uint8) bool {
	r := &s.Record
	if s.Budget.Switches == 0 || to == r.Primary || !s.Electable.has(to) || (r.Step != Idle && r.Step != Promoting) {
		return false
	}
	if m.Scope.Join && to != 2 {
		return false // the newcomer is what this scope is about
	}
	from := r.Primary
	if r.Step == Promoting && !m.has(Supersede) {
		from = s.From[r.Gen]
	}
	s.Budget.Switches--
	if m.has(FreshGen) || r.Gen == r.CommitGen {
		r.Gen++
	}
	r.Step, r.Target = Stopping, to
	s.From[r.Gen], s.To[r.Gen] = from, to
	s.Answers = Answers{}
	return true
}

// advance proposes the next step of the switch, as the leader sees it, and turning back where that is allowed.
func (x *expansion) advance(who actor) {
	m, s := x.m, x.from
	r, counts := &s.Record, &s.Counts
	if who == deposedLeader {
		r, counts = &s.Deposed.Record, &s.Deposed.Counts
	}
	target := r.Target
	enter := func(step Step) {
		x.happen(event{Kind: advanced, On: uint8(step), By: uint8(who)}, func(n *State) {
			m.enter(n, step, target)
			if who == deposedLeader {
				n.Deposed.Record.Step = step
			}
		})
	}
	if step, ok := m.forward(s, r, counts); ok {
		enter(step)
	}
	if m.mayTurnBack(r.Step) {
		enter(RollingBack)
	}
}

// forward is the next step of the switch, if all that it needs is there.
func (m *Model) forward(s *State, r *Record, counts *Countdowns) (Step, bool) {
	switch r.Step {
	case Stopping:
		return Fencing, m.stopped(s, counts)
	case Fencing:
		return CatchingUp, s.Answers.Fenced || counts.Agent[s.From[r.Gen]] == 0
	case CatchingUp:
		return Promoting, m.caughtUp(s)
	case Promoting:
		return Idle, s.Answers.Promoted
	case RollingBack:
		// With Level, the grants that follow open the proxies again.
		return Idle, m.has(Level) || m.allProxies(s, s.Answers.Reopened, counts)
	}
	return Idle, false
}

// mayTurnBack: never after the commit point, unless by a stale proposal that nothing compares.
func (m *Model) mayTurnBack(at Step) bool {
	return at < Promoting || at == Promoting && !m.has(CAS)
}

// enter applies a step to the record.
func (m *Model) enter(s *State, step Step, target uint8) {
	r := &s.Record
	switch step {
	case Fencing:
		s.History[r.Gen] |= fenced
	case Promoting:
		s.History[r.Gen] |= committed
		if !s.Answers.Fenced && !m.Scope.Lossless {
			s.Safe &= s.Servers[target].Transaction // policy "available": the loss is recorded
		}
		r.Primary, r.CommitGen = target, r.Gen
	case RollingBack:
		s.History[r.Gen] |= rolledBack
		r.Primary = s.From[r.Gen]
	case Idle:
		if r.Step == Promoting {
			s.History[r.Gen] |= completed
		}
	}
	r.Step = step
}

// allProxies says whether each registered proxy has answered or outlived its lease.
func (m *Model) allProxies(s *State, answered bits, counts *Countdowns) bool {
	for p := range m.Scope.Proxies {
		if s.Registered.has(p) && !answered.has(p) && counts.Proxy[p] > 0 {
			return false
		}
	}
	return true
}

// stopped: no proxy writes any more, and the candidate is prepared.
func (m *Model) stopped(s *State, counts *Countdowns) bool {
	return m.allProxies(s, s.Answers.Stopped, counts) && (s.Answers.Prepared || !m.has(PrepareFirst))
}

// caughtUp is the last condition before the commit point.
func (m *Model) caughtUp(s *State) bool {
	from, to := s.Record.Primary, s.Record.Target
	candidate := s.Servers[to].Transaction
	if s.Answers.Fenced {
		return !candidate.lacks(s.Servers[from].Transaction)
	}
	if !m.Scope.Lossless || !m.has(LosslessSet) {
		return true // policy "available", or the guard is off
	}
	for j := range m.Scope.Servers {
		if j == from || !s.Electable.has(j) {
			continue
		}
		if !s.Answers.IOStopped.has(j) || candidate.lacks(s.Servers[j].Transaction) {
			return false
		}
	}
	return true
}

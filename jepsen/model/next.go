package model

// Model is the protocol with some guards, within a scope.
type Model struct {
	Scope  Scope
	Guards Guards
}

func (m *Model) has(g Guard) bool { return m.Guards.Has(g) }

// wait is how long a keeper waits for a lease that it granted, in real ticks at least.
func (m *Model) wait() uint8 {
	if m.has(DriftMargin) {
		return m.Scope.Lease
	}
	return m.Scope.Lease - 1
}

// expansion makes the successors of a state. Transitions work in place, on next: each either changes it and says true,
// or leaves it alone and says false, so that only those that happen cost a copy.
type expansion struct {
	m    *Model
	from *State
	next State // as from, whenever no transition is being made
	emit func(event, *State)
}

// of makes the successors of s. The state that emit gets is valid until it returns.
func (x *expansion) of(s *State) {
	x.from, x.next = s, *s
	m := x.m
	x.add(m.tick(&x.next), event{Kind: tick})
	x.keepers()
	for p := range m.Scope.Proxies {
		x.proxy(p)
	}
	for i := range m.Scope.Servers {
		x.agent(i)
		if m.Scope.Failsafe {
			x.failsafe(i)
		}
		x.faults(i)
	}
}

// add emits what next has become, if the transition happened and makes a difference.
func (x *expansion) add(happened bool, e event) {
	if !happened {
		return
	}
	x.m.normalize(&x.next)
	if x.next != *x.from {
		x.emit(e, &x.next)
		x.next = *x.from
	}
}

// happen is for transitions that nothing prevents once their turn has come.
func (x *expansion) happen(e event, f func(*State)) {
	f(&x.next)
	x.add(true, e)
}

// normalize maps states that differ in nothing that can still matter to one.
func (m *Model) normalize(s *State) {
	for p := range m.Scope.Proxies {
		if s.Proxies[p].Grant.Left == 0 {
			s.Proxies[p].Grant = Grant{}
		}
	}
	for i := range m.Scope.Servers {
		a := &s.Servers[i]
		if a.Grant.Left == 0 {
			a.Grant, a.GrantSet = Grant{}, 0
		}
		if a.Round == 0 {
			a.Promised = 0
		}
		if m.has(StartFence) {
			a.Armed = true
		}
		if m.Scope.Budget.Writes == 0 {
			a.Source, a.IORunning = 0, false
		}
		if !m.Scope.Failsafe {
			a.CommitGen, a.Promise, a.Lent = 0, 0, 0
		}
	}
	d := &s.Deposed
	if d.Exists && m.has(VerifyGrant) && !m.proposes(d, s) {
		d.Exists = false // it can do nothing any more
	}
	if !d.Exists {
		*d = Deposed{}
	}
	switch s.Record.Step {
	case Idle:
		s.Answers = Answers{}
	case Promoting:
		s.Answers = Answers{Promoted: s.Answers.Promoted, Reopened: s.Answers.Reopened}
	}
}

// proposes says whether a deposed leader's next step may still be applied.
func (m *Model) proposes(d *Deposed, s *State) bool {
	return !m.has(Term) && d.Record.Gen == s.Record.Gen && d.Record.Step != Idle && d.Record.Step == s.Record.Step
}

func countDown(x *uint8) {
	if *x > 0 {
		*x--
	}
}

// tick lets one unit of real time pass. It waits for what live agents do by their own clocks, and for nothing else.
func (m *Model) tick(s *State) bool {
	for i := range m.Scope.Servers {
		if a := &s.Servers[i]; a.Process == Woken || m.due(a) {
			return false
		}
	}
	for p := range m.Scope.Proxies {
		x := &s.Proxies[p]
		countDown(&x.Lease)
		countDown(&x.Grant.Left)
		countDown(&s.Counts.Proxy[p])
		countDown(&s.Deposed.Counts.Proxy[p])
	}
	for i := range m.Scope.Servers {
		a := &s.Servers[i]
		countDown(&a.Lease)
		countDown(&a.Failsafe)
		countDown(&a.Round)
		countDown(&a.Lent)
		countDown(&a.Promise)
		countDown(&a.Grant.Left)
		countDown(&s.Counts.Agent[i])
		countDown(&s.Deposed.Counts.Agent[i])
	}
	return true
}

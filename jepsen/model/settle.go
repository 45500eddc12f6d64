package model

import "fmt"

const (
	settleRounds = 40 // more than any switch needs when nothing goes wrong any more
	patience     = 8  // rounds without progress after which the leader turns back
)

// settle checks S4: from here, with no further fault and every message delivered, the switch ends, all proxies write to
// the one primary, and all other servers are read-only. It returns "" or what is left wrong.
func (m *Model) settle(s State) Violation {
	s.Deposed = Deposed{}
	idle := 0
	var left string
	for range settleRounds {
		m.revive(&s)
		m.heartbeats(&s)
		if m.unsettled(&s) == "" {
			return ""
		}
		m.deliver(&s)
		left = m.unsettled(&s)
		if m.lead(&s, idle < patience) {
			idle = 0
		} else {
			idle++
		}
		m.revive(&s)
		m.tick(&s)
		m.normalize(&s)
	}
	return Violation("S4: does not settle without further faults: " + left)
}

// unsettled says what is missing for a finished switch.
func (m *Model) unsettled(s *State) string {
	r := &s.Record
	if r.Step != Idle {
		return "the switch stays in step " + r.Step.String()
	}
	for p := range m.Scope.Proxies {
		if x := &s.Proxies[p]; s.Registered.has(p) && (!x.routes() || x.Index != r.Primary) {
			return fmt.Sprintf("proxy %d does not write to the primary", p)
		}
	}
	for i := range m.Scope.Servers {
		a := &s.Servers[i]
		switch {
		case i == r.Primary && (a.ReadOnly || a.Process != Running):
			return "the primary is not writable"
		case i != r.Primary && !a.ReadOnly:
			return "another server is writable"
		case a.Prepared != 0:
			return "an agent stays prepared"
		}
	}
	return ""
}

// revive lets every agent run, and do what it owes.
func (m *Model) revive(s *State) {
	for i := range m.Scope.Servers {
		switch a := &s.Servers[i]; a.Process {
		case Paused:
			a.Process = Woken
		case Dead:
			m.startAgent(a)
		}
		for range 2 { // the first check after waking, and what is due by the clock
			m.setReadOnly(s, i)
		}
	}
}

// heartbeats: everyone asks the leader, and gets its answer.
func (m *Model) heartbeats(s *State) {
	for p := range m.Scope.Proxies {
		if s.Registered.has(p) {
			m.grantProxy(s, p, m.proxyGrant(&s.Record), &s.Counts)
			m.takeProxyGrant(s, p)
		}
	}
	for i := range m.Scope.Servers {
		g, set := m.agentGrant(s, &s.Record, i)
		m.grantAgent(s, i, g, set, &s.Counts)
		m.takeAgentGrant(s, i)
		m.setReadOnly(s, i)
		m.setWritable(s, i)
	}
}

// deliver brings the messages of the current switch; writes under way are severed.
func (m *Model) deliver(s *State) {
	g, step := s.Record.Gen, s.Record.Step
	for p := range m.Scope.Proxies {
		s.Proxies[p].Write = Write{}
		if step == Stopping {
			m.stopWriting(s, p, g)
		}
		if g > 1 && (step == RollingBack || step == Idle && !s.Answers.Reopened.has(p)) {
			m.reopen(s, p, g)
		}
	}
	for i := range m.Scope.Servers {
		if g > 1 {
			switch step {
			case Stopping:
				m.prepare(s, i, g)
			case Fencing:
				m.fence(s, i, g)
			case Promoting, RollingBack:
				m.obey(s, i, g)
			}
		}
		m.stopIO(s, i)
		m.replicate(s, i)
		m.repoint(s, i)
	}
}

// lead takes the leader's next step: the one forward if there is one and it has patience, else the one back.
func (m *Model) lead(s *State, patient bool) bool {
	step, ok := m.forward(s, &s.Record, &s.Counts)
	if s.Record.Step < Promoting && (!patient || !ok) {
		if patient {
			return false
		}
		step, ok = RollingBack, true
	}
	if ok {
		m.enter(s, step, s.Record.Target)
	}
	return ok
}

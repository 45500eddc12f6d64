package model

// routes says whether the proxy would send a new write now; its Index says where to.
func (p *Proxy) routes() bool { return p.Lease > 0 && p.Open }

// proxy: grants, orders, writes and restarts of a proxy.
func (x *expansion) proxy(p uint8) {
	m, s := x.m, x.from
	x.add(m.takeProxyGrant(&x.next, p), event{Kind: tookProxy, On: p})
	for g := uint8(2); g <= s.Record.Gen; g++ {
		x.add(m.stopWriting(&x.next, p, g), event{Kind: stopped, On: p, By: g})
		x.add(m.reopen(&x.next, p, g), event{Kind: reopened, On: p, By: g})
	}
	x.add(m.countOut(&x.next, p), event{Kind: countedOut, On: p})
	x.write(p)
	if s.Budget.ProxyRestarts > 0 && s.Proxies[p] != (Proxy{}) {
		x.happen(event{Kind: restartedProxy, On: p}, func(n *State) {
			n.Budget.ProxyRestarts--
			n.Proxies[p] = Proxy{}
			if !m.has(StartHeld) { // serves from the configuration on its disk
				n.Proxies[p].Open, n.Proxies[p].Lease, n.Proxies[p].CommitGen = true, m.Scope.Lease, 1
			}
		})
	}
}

// refuses says whether a receiver that has seen one stamp refuses a grant of another.
func (m *Model) refuses(seen, k Stamp) bool {
	if m.has(StepOrder) {
		return k < seen
	}
	return k.gen() < seen.gen()
}

// takeProxyGrant delivers the grant under way. A copy that comes again is no stronger than a second answer.
func (m *Model) takeProxyGrant(s *State, p uint8) bool {
	x := &s.Proxies[p]
	g := x.Grant
	if g.Left == 0 {
		return false
	}
	x.Grant = Grant{}
	left := g.Left
	if !m.has(LeaseFromSend) {
		left = m.Scope.Lease
	}
	if g.Stamp == 0 { // a lease and nothing else
		x.Lease = max(x.Lease, left)
		return true
	}
	if m.refuses(x.Stamp, g.Stamp) {
		return true
	}
	x.Stamp, x.Index, x.CommitGen, x.Open = g.Stamp, g.Index, g.CommitGen, g.Open || g.Drain && !m.has(DrainHeld)
	if g.Open || g.Drain && (x.Lease > 0 || !m.has(DrainLives)) {
		x.Lease = max(x.Lease, left)
	}
	return true
}

// stopWriting delivers StopWriting of generation g. Its answer means: nothing is in flight, nothing will be sent.
func (m *Model) stopWriting(s *State, p, g uint8) bool {
	x := &s.Proxies[p]
	if !s.Registered.has(p) || g < x.Stamp.gen() {
		return false
	}
	again := x.Stamp.gen() == g && !x.Open && x.Stamp.step() <= CatchingUp
	if m.has(StepOrder) && !again && stamp(g, Stopping) < x.Stamp {
		return false
	}
	if !again {
		x.Stamp, x.Open = stamp(g, Stopping), false
	}
	if g == s.Record.Gen && s.Record.Step <= CatchingUp && (x.Write.Phase == NoWrite || !m.has(Drain)) {
		s.Answers.Stopped = s.Answers.Stopped.with(p)
	}
	return true
}

// countOut: the leader takes a proxy that has outlived its lease for stopped, while it still waits for others.
func (m *Model) countOut(s *State, p uint8) bool {
	if !m.Scope.Drain || s.Record.Step != Stopping || !s.Registered.has(p) || s.Answers.Stopped.has(p) || s.Counts.Proxy[p] > 0 {
		return false
	}
	s.Answers.Stopped = s.Answers.Stopped.with(p)
	return true
}

// reopen delivers RollbackProxyDatasource, or SwitchProxyDatasource, and RecoverWriting of generation g.
func (m *Model) reopen(s *State, p, g uint8) bool {
	x := &s.Proxies[p]
	k, index, commitGen := stamp(g, RollingBack), s.From[g], x.CommitGen
	switch {
	case s.History[g]&completed != 0:
		k, index, commitGen = stamp(g, Idle), s.To[g], g
	case s.History[g]&rolledBack == 0:
		return false
	}
	if !s.Registered.has(p) || m.has(StepOrder) && k < x.Stamp || g < x.Stamp.gen() {
		return false
	}
	x.Stamp, x.Index, x.CommitGen, x.Open = k, index, commitGen, true
	if g == s.Record.Gen {
		s.Answers.Reopened = s.Answers.Reopened.with(p)
	}
	return true
}

// write takes one write of the proxy further; a pause of the proxy is any delay between two of its phases.
func (x *expansion) write(p uint8) {
	m, s := x.m, x.from
	at := s.Proxies[p].Write.Index
	switch s.Proxies[p].Write.Phase {
	case NoWrite:
		x.add(m.beginWrite(&x.next, p), event{Kind: beganWrite, On: p, By: s.Proxies[p].Index})
		return
	case Checked:
		x.happen(event{Kind: sentWrite, On: p, By: at}, func(n *State) { n.Proxies[p].Write.Phase = Sent })
	case Sent:
		x.happen(event{Kind: ranWrite, On: p, By: at}, func(n *State) { m.runWrite(n, p) })
	case InBinlog:
		x.add(m.answerWrite(&x.next, p), event{Kind: answeredWrite, On: p, By: at})
	case Answered:
		x.add(m.relayOK(&x.next, p), event{Kind: relayedOK, On: p, By: at})
	}
	// Severed, or the client went away: it knows that the outcome is unknown.
	x.happen(event{Kind: severedWrite, On: p}, func(n *State) { n.Proxies[p].Write = Write{} })
}

func (m *Model) beginWrite(s *State, p uint8) bool {
	x := &s.Proxies[p]
	if s.Budget.Writes == 0 || !x.routes() {
		return false
	}
	x.Write = Write{Phase: Checked, Index: x.Index, CommitGen: x.CommitGen, ID: s.Budget.Writes}
	s.Budget.Writes--
	return true
}

func (m *Model) runWrite(s *State, p uint8) {
	w := &s.Proxies[p].Write
	server := &s.Servers[w.Index]
	if server.ReadOnly {
		*w = Write{}
		return
	}
	server.Transaction = server.Transaction.with(w.ID)
	w.Phase = InBinlog
}

// answerWrite: the server says OK; under "lossless" once a replica that it counts has the transaction.
func (m *Model) answerWrite(s *State, p uint8) bool {
	w := &s.Proxies[p].Write
	if m.Scope.Lossless && !m.semiSyncAcked(s, w.Index, w.ID) {
		return false
	}
	w.Phase = Answered
	return true
}

func (m *Model) semiSyncAcked(s *State, on, id uint8) bool {
	for j := range m.Scope.Servers {
		counts := s.Electable.has(j) || !m.has(SemiRecorded)
		if j != on && counts && s.Servers[j].Transaction.has(id) {
			return true
		}
	}
	return false
}

func (m *Model) relayOK(s *State, p uint8) bool {
	x := &s.Proxies[p]
	w := x.Write
	if m.has(AckCheck) && (x.Lease == 0 || x.CommitGen != w.CommitGen || x.Index != w.Index) {
		return false
	}
	s.Safe = s.Safe.with(w.ID)
	x.Write = Write{}
	return true
}

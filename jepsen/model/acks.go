package model

// The record of one replica and of its group's semi-sync (R20), apart from the switch: it is frozen while one is open.
// Two agents obey it, each late: that of the replica, which may acknowledge while it is recorded, and that of the
// primary, whose commits wait for an acknowledgement unless the group is recorded as degraded.

// AcksGuard is one thing that keeps the record ahead of what it allows.
type AcksGuard uint8

// The guards.
const (
	RecordFirst AcksGuard = iota // an agent is told only what is recorded
	ActedDrop                    // a replica leaves the record only by a report that acted on its leaving
	ActedClear                   // degraded is cleared only by a report that acted on the restoring
	ActInOrder                   // an agent acts on no answer that is older than one that it acted on
	numAcksGuards
)

// The agents, and what each turns on and off.
const (
	ofReplica = 0 // it acknowledges
	ofPrimary = 1 // its commits wait
)

type acksRow uint8

const (
	unrecorded acksRow = iota
	recorded           // joining or member
	leaving
)

type acksMode uint8

const (
	waits acksMode = iota
	degraded
	restoring
)

// order is an answer to an agent, or its report: what is on, and the place in the log that it is from. The zero value
// is none.
type order struct {
	At uint8
	On bool
}

// acksState is all of it. At 1 nothing is recorded, and commits wait.
type acksState struct {
	Now           uint8 // last change of the record
	Row           acksRow
	RowAt         uint8
	Mode          acksMode
	ModeAt        uint8
	Answer, Late  [2]order // under way to the agent: the newest, and an older one
	Doing, Report [2]order
	Acted         [2]uint8
	On            [2]bool
}

// acksModel searches what one agent and its part of the record do, within that many changes; the two do not meet.
type acksModel struct {
	agent   int                  // ofReplica or ofPrimary
	off     func(AcksGuard) bool // guards that are taken out
	changes uint8
}

// violated says whether something is so that the record does not allow.
func (s *acksState) violated() string {
	switch {
	case s.On[ofReplica] && s.Row == unrecorded:
		return "R20: a replica acknowledges that is not recorded"
	case !s.On[ofPrimary] && s.Mode == waits:
		return "R20: commits wait for nobody, and the group is not recorded as degraded"
	}
	return ""
}

// next are the states after one step.
func (m *acksModel) next(s acksState) []acksState {
	var all []acksState
	step := func(may bool, f func(n *acksState)) {
		if may {
			n := s
			f(&n)
			all = append(all, n)
		}
	}
	row := func(may bool, to acksRow) {
		step(may && m.agent == ofReplica && s.Now < m.changes, func(n *acksState) { n.Now++; n.Row, n.RowAt = to, n.Now })
	}
	mode := func(may bool, to acksMode) {
		step(may && m.agent == ofPrimary && s.Now < m.changes, func(n *acksState) { n.Now++; n.Mode, n.ModeAt = to, n.Now })
	}
	r, p := s.Report[ofReplica], s.Report[ofPrimary]
	row(s.Row != recorded, recorded)
	row(s.Row == recorded, leaving)
	row(s.Row == leaving && r.At > 0 && !r.On && (r.At >= s.RowAt || m.off(ActedDrop)), unrecorded)
	mode(s.Mode != degraded, degraded)
	mode(s.Mode == degraded, restoring)
	mode(s.Mode == restoring && p.At > 0 && p.On && (p.At >= s.ModeAt || m.off(ActedClear)), waits)
	i := m.agent
	tell := func(on bool) {
		step(true, func(n *acksState) { n.Late[i], n.Answer[i] = s.Answer[i], order{s.Now, on} })
	}
	said := [2]bool{s.Row == recorded, s.Mode != degraded}[i]
	tell(said)
	if m.off(RecordFirst) {
		tell(!said)
	}
	for _, from := range []*[2]order{&s.Answer, &s.Late} {
		o := from[i]
		step(s.Doing[i].At == 0 && o.At > 0 && (o.At >= s.Acted[i] || m.off(ActInOrder)), func(n *acksState) { n.Doing[i] = o })
	}
	step(s.Doing[i].At > 0, func(n *acksState) { // it takes its time
		n.On[i], n.Acted[i], n.Doing[i] = s.Doing[i].On, s.Doing[i].At, order{}
	})
	step(true, func(n *acksState) { n.Report[i] = order{max(s.Acted[i], 1), s.On[i]} })
	return all
}

// search visits every state, and returns how many there are and what the first that is wrong violates.
func (m *acksModel) search() (states int, wrong string) {
	start := acksState{Now: 1, RowAt: 1, ModeAt: 1, On: [2]bool{false, true}}
	seen := map[acksState]bool{start: true}
	for queue := []acksState{start}; len(queue) > 0; queue = queue[1:] {
		if wrong := queue[0].violated(); wrong != "" {
			return len(seen), wrong
		}
		for _, n := range m.next(queue[0]) {
			if !seen[n] {
				seen[n] = true
				queue = append(queue, n)
			}
		}
	}
	return len(seen), ""
}

package model

import (
	"fmt"
	"strings"
)

// TraceStep is one step of a counterexample.
type TraceStep struct {
	Time  int    // ticks since the start
	Event string // who did what
	State string // what matters of the state after it
}

// String is the step on one line.
func (t TraceStep) String() string {
	return fmt.Sprintf("t=%d  %-58s %s", t.Time, t.Event, t.State)
}

// actor is who acts for the keepers.
type actor uint8

const (
	leader actor = iota
	deposedLeader
	undoingLeader // takes an unknown outcome for a failure
	hastyLeader   // acts before the entry is in the log
)

var actorNames = [...]string{"leader", "deposed leader", "leader, taking unknown for failed,", "leader, before the commit is in the log,"}

// kind is what can happen.
type kind uint8

const (
	tick kind = iota
	elected
	requested
	advanced
	answeredProxy
	answeredAgent
	registered
	unregistered
	joined
	tookProxy
	stopped
	reopened
	beganWrite
	sentWrite
	ranWrite
	answeredWrite
	relayedOK
	severedWrite
	restartedProxy
	tookAgent
	setReadOnly
	setWritable
	gotFence
	gotPrepare
	gotOrder
	stoppedIO
	countedOut
	replicated
	repointed
	askedPromises
	promised
	heldFailsafe
	lentLease
	pausedAgent
	crashedAgent
	resumedAgent
	startedAgent
	restartedMysqld
	numKinds
)

// templates tell an event: {p} proxy On, {s} server On, {S} server By, {P} proxy By, {g} generation By, {k} keeper By,
// {step} step On.
var templates = [numKinds]string{
	tick:            "time passes",
	elected:         "another keeper is elected; the old leader does not know",
	requested:       "switch to {s} is requested",
	advanced:        "{k}: step {step}",
	answeredProxy:   "{k} answers a heartbeat of proxy {p}",
	answeredAgent:   "{k} answers a heartbeat of agent {s}",
	registered:      "proxy {p} registers",
	unregistered:    "proxy {p} is unregistered",
	joined:          "replica {s} joins",
	tookProxy:       "proxy {p} gets that answer",
	stopped:         "proxy {p} gets StopWriting g{g}",
	reopened:        "proxy {p} gets Rollback/Switch+Recover g{g}",
	beganWrite:      "proxy {p} passes a write's lease check, for {S}",
	sentWrite:       "proxy {p} sends the write to {S}",
	ranWrite:        "{S} runs the write of proxy {p}",
	answeredWrite:   "{S} answers OK to proxy {p}",
	relayedOK:       "proxy {p} relays OK to its client",
	severedWrite:    "proxy {p} severs the write",
	restartedProxy:  "proxy {p} restarts",
	tookAgent:       "agent {s} gets that answer",
	setReadOnly:     "agent {s}: check, read_only if due",
	setWritable:     "agent {s} sets read_only=0",
	gotFence:        "agent {s} gets Fence g{g}",
	gotPrepare:      "agent {s} gets Prepare g{g}",
	gotOrder:        "agent {s} gets Promote/Unfence g{g}",
	countedOut:      "proxy {p} has outlived its lease, and counts as stopped",
	stoppedIO:       "replica {s} stops receiving",
	replicated:      "{s} replicates from {S}",
	repointed:       "{s} follows {S}",
	askedPromises:   "agent {s} asks for failsafe promises",
	promised:        "agent {s} promises to {S}",
	heldFailsafe:    "agent {s} has its failsafe lease",
	lentLease:       "agent {s} lends a lease to proxy {P}",
	pausedAgent:     "agent {s} is paused",
	crashedAgent:    "agent {s} dies",
	resumedAgent:    "agent {s} resumes",
	startedAgent:    "agent {s} starts",
	restartedMysqld: "mysqld {s} restarts",
}

// event is one transition: what happened, to whom, and by or with whom.
type event struct {
	Kind   kind
	On, By uint8
}

func serverName(i uint8) string { return string('A' + rune(i)) }

// String tells the event in words.
func (e event) String() string {
	pairs := []string{"{p}", fmt.Sprint(e.On), "{P}", fmt.Sprint(e.By), "{g}", fmt.Sprint(e.By),
		"{s}", serverName(e.On), "{S}", serverName(e.By)}
	switch e.Kind {
	case advanced:
		pairs = append(pairs, "{step}", Step(e.On).String())
		fallthrough
	case answeredProxy, answeredAgent:
		pairs = append(pairs, "{k}", actorNames[e.By])
	}
	return strings.NewReplacer(pairs...).Replace(templates[e.Kind])
}

// trace walks a path of fingerprints again, and tells each step.
func (m *Model) trace(path []fingerprint) []TraceStep {
	at := m.Scope.initial()
	m.normalize(&at)
	steps := make([]TraceStep, 0, len(path))
	now := 0
	for _, want := range path {
		var then State
		var by event
		x := &expansion{m: m, emit: func(e event, s *State) {
			if fingerprintOf(s) == want {
				then, by = *s, e
			}
		}}
		x.of(&at)
		if by.Kind == tick {
			now++
		}
		at = then
		steps = append(steps, TraceStep{Time: now, Event: by.String(), State: m.brief(&at)})
	}
	return steps
}

// brief shows what matters of a state on one line.
func (m *Model) brief(s *State) string {
	var b strings.Builder
	r := &s.Record
	fmt.Fprintf(&b, "g%d %v primary %s", r.Gen, r.Step, serverName(r.Primary))
	for p := range m.Scope.Proxies {
		x := &s.Proxies[p]
		open := "held"
		if x.Open {
			open = "open"
		}
		fmt.Fprintf(&b, " | proxy %d %s>%s lease %d keeper waits %d", p, open, serverName(x.Index), x.Lease, s.Counts.Proxy[p])
		if x.Write.Phase != NoWrite {
			fmt.Fprintf(&b, " write %s", phaseNames[x.Write.Phase])
		}
	}
	for i := range m.Scope.Servers {
		a := &s.Servers[i]
		mode := "ro"
		if !a.ReadOnly {
			mode = "RW"
		}
		fmt.Fprintf(&b, " | %s %s lease %d keeper waits %d", serverName(i), mode, a.Lease, s.Counts.Agent[i])
		if m.Scope.Failsafe {
			fmt.Fprintf(&b, " failsafe %d promise %d", a.Failsafe, a.Promise)
		}
		if a.Process != Running {
			fmt.Fprintf(&b, " %s", processNames[a.Process])
		}
	}
	for w := range m.Scope.Budget.Writes {
		if s.Safe.has(w + 1) {
			fmt.Fprintf(&b, " | write %d acknowledged", w+1)
		}
	}
	return b.String()
}

var (
	phaseNames   = [...]string{"none", "checked", "sent", "in binlog", "answered"}
	processNames = [...]string{"runs", "paused", "dead", "woken"}
)

package fsm

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"time"
)

// Kinds of switches.
const (
	KindPlanned  = "planned"
	KindFailover = "failover"
)

// maxSwitches is how many ended switches each group keeps.
const maxSwitches = 200

// transitions is the order of design §7: what may come after each state. Before
// the commit point (promoting) a switch can be rolled back, after it there is
// only forward. A switch that changed nothing yet needs no rolling back.
var transitions = map[string][]string{
	StateRequested:   {StatePreflight, StateRolledBack},
	StatePreflight:   {StateVoting, StateRolledBack},
	StateVoting:      {StateStopping, StateRolledBack},
	StateStopping:    {StateFencing, StateRollingBack},
	StateFencing:     {StateCatchingUp, StateRollingBack},
	StateCatchingUp:  {StatePromoting, StateRollingBack},
	StatePromoting:   {StateSwitching},
	StateSwitching:   {StateRecovering},
	StateRecovering:  {StateRepointing},
	StateRepointing:  {StateDone},
	StateRollingBack: {StateRolledBack},
}

// States are the states that a switch may be in, sorted.
func States() []string {
	return slices.Sorted(maps.Keys(stampStep))
}

// stampStep is the step of the stamp in each state (R8). The group is open in
// StepRequested (nothing was changed) and in StepIdle, held in between.
var stampStep = map[string]uint8{
	StateRequested:   StepRequested,
	StatePreflight:   StepRequested,
	StateVoting:      StepRequested,
	StateStopping:    StepStopping,
	StateFencing:     StepFencing,
	StateCatchingUp:  StepCatchingUp,
	StatePromoting:   StepPromoting,
	StateSwitching:   StepPromoting,
	StateRecovering:  StepIdle,
	StateRepointing:  StepIdle,
	StateDone:        StepIdle,
	StateRollingBack: StepRollingBack,
	StateRolledBack:  StepIdle,
}

// IsOpen reports whether the switch is not over.
func (s *Switch) IsOpen() bool {
	return s.State != StateDone && s.State != StateRolledBack && s.State != StateSuperseded
}

// Committed reports whether the commit point was passed.
func (s *Switch) Committed() bool {
	switch s.State {
	case StatePromoting, StateSwitching, StateRecovering, StateRepointing, StateDone, StateSuperseded:
		return true
	}
	return false
}

// Open reports whether writes are allowed on the group (R4).
func (g *HostGroup) Open() bool {
	return !g.IsFrozen() && (g.Step == StepRequested || g.Step == StepIdle)
}

// RequestSwitch opens a switch and spends a generation for it (R8).
type RequestSwitch struct {
	Group       string
	From        int // refused unless it is the writable one
	To          int
	Kind        string
	Reason      string
	RequestedBy string
	ByOperator  bool

	Policy string // of a failover; empty: the group's
	Any    bool   // in a failover: To is where the choice stands, the commit names the one that it fell on
}

func (*RequestSwitch) commandType() Type { return typeRequestSwitch }

func (c *RequestSwitch) apply(t *txn) ([]byte, *Refusal) {
	old := first[HostGroup](t.Txn, tableGroups, key(c.Group))
	if old == nil || old.Removed {
		return nil, refuse(CodeKeyMissing, "no host group %q", c.Group)
	}
	superseding := t.superseding(c, old)
	if r := c.check(old, superseding, t.cools(c, old, superseding), t.header.Time); r != nil {
		return nil, r
	}
	warnings, r := t.restrained(c, old, superseding)
	if r != nil {
		return nil, r
	}
	g := *old
	g.Generation++
	g.Step = StepRequested
	s := &Switch{
		ID: fmt.Sprintf("%s-%d", g.Name, g.Generation), Group: g.Name, Cluster: g.Cluster, Kind: c.Kind,
		From: c.From, To: c.To, FromAddress: g.Datasources[c.From], ToAddress: g.Datasources[c.To],
		Reason: clip(c.Reason), RequestedBy: clip(c.RequestedBy), ByOperator: c.ByOperator,
		State: StateRequested, Epoch: t.meta().Epoch, Generation: g.Generation, Number: t.index,
		Members: g.Datasources, Settings: g.Settings, Warnings: warnings, HooksOpen: true,
		Steps: []Step{{State: StateRequested, Time: t.header.Time, Term: t.term}},
	}
	s.FromServer, s.ToServer = t.serverID(s.FromAddress), t.serverID(s.ToAddress)
	if c.Kind == KindFailover {
		s.Any, s.Policy = c.Any, cmp.Or(c.Policy, g.Settings.Policy, PolicyLossless)
	}
	if g.OpenSwitch != "" { // R23: only forward
		t.supersede(&g, s)
	}
	g.OpenSwitch = s.ID
	t.put(tableGroups, &g)
	t.put(tableSwitches, s)
	t.forgetOldSwitches(g.Name)
	return []byte(s.ID), nil
}

func (t *txn) serverID(address string) string {
	if a := first[Agent](t.Txn, tableAgents, key(address)); a != nil {
		return a.ServerID
	}
	return ""
}

// supersede ends the group's open switch, which has passed its commit point, in
// favour of s (R23): never by turning back. The group stays held.
func (t *txn) supersede(g *HostGroup, s *Switch) {
	old := *first[Switch](t.Txn, tableSwitches, key(g.OpenSwitch))
	old.State = StateSuperseded
	old.Steps = append(slices.Clone(old.Steps), Step{State: StateSuperseded, Time: t.header.Time, Term: t.term})
	old.Error = "superseded by " + s.ID
	t.put(tableSwitches, &old)
	s.Supersedes = old.ID
	g.LastSwitch = old.ID
	g.Step = heldStep(s, StepRequested)
}

// heldStep is the step of the stamp. What supersedes a switch found the group
// held, on a primary that may never have been promoted, and holds it on.
func heldStep(s *Switch, step uint8) uint8 {
	if s.Supersedes != "" && step == StepRequested {
		return StepStopping
	}
	return step
}

// superseding reports whether c may take the place of the open switch of g.
func (t *txn) superseding(c *RequestSwitch, g *HostGroup) bool {
	open := first[Switch](t.Txn, tableSwitches, key(g.OpenSwitch))
	return open != nil && c.Kind == KindFailover && open.Committed() && c.From == g.Writable
}

// cools reports whether the cooldown of group g counts for c. An open switch that is
// superseded has not ended. A planned one that was rolled back changed nothing, and its
// reason may have been that the primary died: no failover waits for that.
func (t *txn) cools(c *RequestSwitch, g *HostGroup, superseding bool) bool {
	last := first[Switch](t.Txn, tableSwitches, key(g.LastSwitch))
	undone := last != nil && last.Kind == KindPlanned && last.State == StateRolledBack
	return !superseding && !(c.Kind == KindFailover && undone)
}

// check is why a switch of group g is refused now (original, C2).
func (c *RequestSwitch) check(g *HostGroup, superseding, cools bool, now int64) *Refusal {
	switch n := len(g.Datasources); {
	case g.IsFrozen(): // R25
		return refuse(CodeGroupFrozen, "host group %s is frozen: %s. `zeroctl group show %s` says whom it waits for", g.Name, g.Frozen, g.Name)
	case c.Any && c.Kind != KindFailover:
		return refuse(CodeInvalidSwitch, "only in a failover the new primary is chosen: name the index to switch to")
	case c.Policy != "" && c.Policy != PolicyLossless && c.Policy != PolicyAvailable:
		return refuse(CodeInvalidSwitch, "no policy %q: %s or %s", c.Policy, PolicyLossless, PolicyAvailable)
	case c.Kind != KindPlanned && c.Kind != KindFailover:
		return refuse(CodeInvalidSwitch, "no switch of kind %q", c.Kind)
	case c.From < 0 || c.From >= n || c.To < 0 || c.To >= n:
		return refuse(CodeInvalidSwitch, "host group %s has the indexes 0 to %d: cannot switch from %d to %d", g.Name, n-1, c.From, c.To)
	case g.OpenSwitch != "" && !superseding:
		return refuse(CodeSwitchInProgress, "switch %s of host group %s is in progress: wait for it, or abort it", g.OpenSwitch, g.Name)
	case c.From == c.To:
		return refuse(CodeInvalidSwitch, "host group %s: from and to are both %d", g.Name, c.To)
	case c.From != g.Writable:
		return refuse(CodeInvalidSwitch, "host group %s: the writable index is %d (%s), not %d", g.Name, g.Writable, g.Datasources[g.Writable], c.From)
	case c.Kind == KindFailover && !g.Settings.AutoFailover && !c.ByOperator:
		return refuse(CodeInvalidSwitch, "host group %s: auto_failover is false, only an operator may fail over", g.Name)
	case !g.Settings.EnableSwitch && !c.ByOperator:
		return refuse(CodeInvalidSwitch, "host group %s: enable_switch is false, only an operator may switch", g.Name)
	}
	if wait := g.CooldownLeft(now); cools && wait > 0 {
		return refuse(CodeTooFrequent, "switch %s of host group %s ended %s ago: the next is allowed in %s (switch.frequency)", g.LastSwitch, g.Name,
			time.Duration(now-g.LastEnd).Round(time.Millisecond), wait.Round(time.Millisecond))
	}
	return nil
}

// forgetOldSwitches keeps the newest ended switches of a group.
func (t *txn) forgetOldSwitches(group string) {
	var ended []*Switch
	each(t.Txn, tableSwitches, nil, func(s *Switch) bool {
		if s.Group == group && !s.IsOpen() {
			ended = append(ended, s)
		}
		return true
	})
	if len(ended) <= maxSwitches {
		return
	}
	slices.SortFunc(ended, func(a, b *Switch) int { return int(int64(a.Number) - int64(b.Number)) })
	for _, s := range ended[:len(ended)-maxSwitches] {
		for _, v := range all[Vote](t.Txn, tableVotes, key(s.ID)) {
			t.drop(tableVotes, v)
		}
		t.drop(tableSwitches, s)
	}
}

// AdvanceSwitch moves a switch from one state to the next: compare-and-set on
// the generation and the state it was decided on; the header's term, which the
// leader must set, does the same for the term (R7).
type AdvanceSwitch struct {
	ID         string
	Generation uint64
	From       string
	To         string
	Note       string // what the state that ends brought

	Checks      []Check
	VoteRule    string
	Position    Position
	Incarnation string
	Code        uint16 // of the outcome, to rolling-back or rolled-back
	Error       string

	Prepared  []Prepared
	Stopped   []Stopped
	Fenced    string
	Replicas  []Replica
	MayBeLost string
	Chosen    string // with the commit of a switch whose To is any: the datasource it fell on
}

func (*AdvanceSwitch) commandType() Type { return typeAdvanceSwitch }

func (c *AdvanceSwitch) apply(t *txn) ([]byte, *Refusal) {
	old := first[Switch](t.Txn, tableSwitches, key(c.ID))
	switch {
	case old == nil:
		return nil, refuse(CodeKeyMissing, "no switch %s", c.ID)
	// R7: compare-and-set; the header's term was compared before this was called.
	case t.header.Term == 0:
		return nil, refuse(CodeBadRequest, "switch %s: a transition names the term of the leader that decided it", c.ID)
	case old.Generation != c.Generation || old.State != c.From:
		return nil, refuse(CodeStaleGeneration, "switch %s is in %s of generation %d, not in %s of %d", c.ID, old.State, old.Generation, c.From, c.Generation)
	case !slices.Contains(transitions[c.From], c.To):
		return nil, refuse(CodeInvalidSwitch, "switch %s: no way from %s to %s", c.ID, c.From, c.To)
	}
	group := first[HostGroup](t.Txn, tableGroups, key(old.Group))
	if group == nil || group.OpenSwitch != old.ID || group.Generation != old.Generation {
		return nil, refuse(CodeStaleGeneration, "switch %s is not the open switch of host group %s", c.ID, old.Group)
	}
	if c.To == StatePromoting && old.Abort != "" {
		return nil, refuse(CodeInvalidSwitch, "switch %s was aborted: %s", c.ID, old.Abort)
	}
	s, g := *old, *group
	if r := c.choose(t, &s); r != nil {
		return nil, r
	}
	s.State = c.To
	s.Steps = slices.Clone(old.Steps)
	s.Steps[len(s.Steps)-1].Note = clip(c.Note)
	s.Steps = append(s.Steps, Step{State: c.To, Time: t.header.Time, Term: t.term})
	c.fill(&s)
	g.Step = heldStep(&s, stampStep[c.To])
	switch c.To {
	case StatePromoting: // the commit point
		if r := t.recordCommit(&g, &s); r != nil {
			return nil, r
		}
		g.Writable, g.Committed = s.To, s.Generation
	case StateDone, StateRolledBack:
		g.OpenSwitch, g.LastSwitch = "", s.ID
		// A failover that was given up before it touched anything is not a switch to
		// cool down from: the primary may be gone a moment later.
		if s.Kind != KindFailover || c.From != StateRequested && c.From != StatePreflight && c.From != StateVoting {
			g.LastEnd = t.header.Time
		}
		g.awaitAck(&s, t.header.Time)
	}
	t.put(tableSwitches, &s)
	t.put(tableGroups, &g)
	return nil, nil
}

// choose makes the datasource that the commit names the new primary. It must be
// one that was prepared for this switch (R13).
func (c *AdvanceSwitch) choose(t *txn, s *Switch) *Refusal {
	if c.Chosen == "" || c.Chosen == s.ToAddress {
		return nil
	}
	prepared := slices.ContainsFunc(s.Prepared, func(p Prepared) bool { return p.Address == c.Chosen })
	index := slices.Index(s.Members, c.Chosen)
	if c.To != StatePromoting || !s.Any || !prepared || index < 0 || index == s.From {
		return refuse(CodeInvalidSwitch, "switch %s: %s cannot be chosen: it was not prepared for it", s.ID, c.Chosen)
	}
	s.To, s.ToAddress, s.ToServer = index, c.Chosen, t.serverID(c.Chosen)
	return nil
}

// fill takes over what the transition brings.
func (c *AdvanceSwitch) fill(s *Switch) {
	if len(c.Checks) > 0 {
		s.Checks = append(slices.Clone(s.Checks), c.Checks...)
	}
	if c.VoteRule != "" {
		s.VoteRule = c.VoteRule
	}
	if c.Position != (Position{}) {
		s.Position = c.Position
	}
	if c.Incarnation != "" {
		s.Incarnation = c.Incarnation
	}
	if len(c.Prepared) > 0 {
		s.Prepared = c.Prepared
	}
	if len(c.Stopped) > 0 {
		s.Stopped = c.Stopped
	}
	if len(c.Replicas) > 0 {
		s.Replicas = c.Replicas
	}
	if c.Fenced != "" {
		s.Fenced = c.Fenced
	}
	if c.MayBeLost != "" {
		s.MayBeLost = clip(c.MayBeLost)
	}
	if c.Code != 0 {
		s.Code, s.Error = c.Code, clip(c.Error)
	}
}

// AbortSwitch asks for a switch to be rolled back. It is refused from the
// commit point on.
type AbortSwitch struct {
	ID     string
	Reason string
}

func (*AbortSwitch) commandType() Type { return typeAbortSwitch }

func (c *AbortSwitch) apply(t *txn) ([]byte, *Refusal) {
	old := first[Switch](t.Txn, tableSwitches, key(c.ID))
	switch {
	case old == nil:
		return nil, refuse(CodeKeyMissing, "no switch %s", c.ID)
	case !old.IsOpen():
		return nil, refuse(CodeInvalidSwitch, "switch %s is over: it is %s", c.ID, old.State)
	case old.Committed():
		return nil, refuse(CodeInvalidSwitch, "switch %s has passed its commit point and only goes forward; switch back when it is done", c.ID)
	case c.Reason == "":
		return nil, refuse(CodeBadRequest, "an abort needs a reason")
	}
	s := *old
	s.Abort = clip(c.Reason)
	t.put(tableSwitches, &s)
	return nil, nil
}

// CastVote records a proxy's vote on a switch, while it is voting.
type CastVote struct {
	Generation uint64
	Vote       Vote
}

func (*CastVote) commandType() Type { return typeCastVote }

func (c *CastVote) apply(t *txn) ([]byte, *Refusal) {
	s := first[Switch](t.Txn, tableSwitches, key(c.Vote.Switch))
	switch {
	case s == nil:
		return nil, refuse(CodeKeyMissing, "no switch %s", c.Vote.Switch)
	case s.State != StateVoting || s.Generation != c.Generation:
		return nil, refuse(CodeStaleGeneration, "switch %s is in %s of generation %d: no votes are taken", s.ID, s.State, s.Generation)
	case !validName(c.Vote.Proxy):
		return nil, refuse(CodeBadRequest, "a vote needs a proxy")
	}
	v := c.Vote
	v.Error, v.NoAnswer, v.Time = clip(v.Error), clip(v.NoAnswer), t.header.Time
	t.put(tableVotes, &v)
	return nil, nil
}

package fsm

import (
	"fmt"
	"slices"
	"time"
)

// maxHold bounds how long a maintenance may be asked for in advance.
const maxHold = 366 * 24 * time.Hour

// Hold keeps a host group (maintenance) or all of them (the brake) from being
// switched by anybody but an operator.
type Hold struct {
	On     bool
	By     string
	Reason string
	Since  int64
	Until  int64 // 0: until it is taken off
}

// Active reports whether the hold counts at a moment of the leader's clock. An
// end in the past is off, without anybody taking it off.
func (h Hold) Active(now int64) bool { return h.On && (h.Until == 0 || now < h.Until) }

// String says who holds, since when, until when and why.
func (h Hold) String() string {
	end := "until it is taken off"
	if h.Until != 0 {
		end = "until " + utc(h.Until)
	}
	return fmt.Sprintf("by %s since %s, %s: %s", h.By, utc(h.Since), end, h.Reason)
}

func utc(nanos int64) string { return time.Unix(0, nanos).UTC().Format("2006-01-02 15:04:05 UTC") }

// Pending is a failover that nobody asked for and nobody has acknowledged.
type Pending struct {
	Switch string
	Since  int64 // its end
}

// pendingUntil is when the acknowledgement counts as given; 0 when none is waited for.
func (g *HostGroup) pendingUntil() int64 {
	if g.Pending.Switch == "" || g.Settings.AckAfter <= 0 {
		return 0
	}
	return g.Pending.Since + g.Settings.AckAfter
}

// AckPending is the failover that must be acknowledged before the next automatic
// switch of the group, and until when; empty when there is none.
func (g *HostGroup) AckPending(now int64) (id string, until int64) {
	if until = g.pendingUntil(); until <= now {
		return "", 0
	}
	return g.Pending.Switch, until
}

// CooldownLeft is how long the group has to wait for its next switch.
func (g *HostGroup) CooldownLeft(now int64) time.Duration {
	if g.LastEnd == 0 {
		return 0
	}
	if g.LastEnd-now > g.Settings.Cooldown {
		return 0 // it ended in the future: the clock that stamps commands has jumped back, and that must not forbid failovers for as long
	}
	return max(0, time.Duration(g.LastEnd+g.Settings.Cooldown-now))
}

// Ack is who took note of a switch.
type Ack struct {
	By     string
	Reason string
	Time   int64
}

// restrained is why nobody but an operator may switch g now. An operator is only
// told, in the record.
func (t *txn) restrained(c *RequestSwitch, g *HostGroup, superseding bool) (warnings []string, refusal *Refusal) {
	now := t.header.Time
	brake := t.meta().Brake
	pending, until := g.AckPending(now)
	if c.ByOperator {
		if brake.Active(now) {
			warnings = append(warnings, "the brake is on, "+brake.String())
		}
		if g.Maintenance.Active(now) {
			warnings = append(warnings, "the host group is in maintenance, "+g.Maintenance.String())
		}
		return warnings, nil
	}
	switch {
	case brake.Active(now):
		return nil, refuse(CodeBraked, "the brake is on, %s; only an operator may switch (zeroctl brake off)", brake)
	case g.Maintenance.Active(now):
		return nil, refuse(CodeMaintenance, "host group %s is in maintenance, %s; only an operator may switch it (zeroctl group maintenance %s off)", g.Name, g.Maintenance, g.Name)
	case pending != "" && !superseding: // R23: what is held without a primary is still the same failover
		return nil, refuse(CodeAckPending, "host group %s: nobody has acknowledged the failover %s yet; the next one by itself is allowed after `zeroctl switch ack %s`, or from %s on (switch.auto_ack_after)", g.Name, pending, pending, utc(until))
	}
	return nil, nil
}

// awaitAck remembers a failover that came about without an operator.
func (g *HostGroup) awaitAck(s *Switch, now int64) {
	if s.Kind == KindFailover && !s.ByOperator && s.State == StateDone {
		g.Pending = Pending{Switch: s.ID, Since: now}
	}
}

// Brake is the brake of the whole cluster.
func (s *State) Brake() Hold { return s.meta().Brake }

// Preview is the record of the switch that c would open if the leader proposed
// it at that time, or why it would be refused. Nothing is changed.
func (s *State) Preview(c *RequestSwitch, now int64) (*Switch, *Refusal) {
	db := s.db.Snapshot()
	t := &txn{Txn: db.Txn(true), db: db, header: Header{Time: now}, index: s.index + 1, term: s.term}
	defer t.Abort()
	id, refusal := c.apply(t)
	if refusal != nil {
		return nil, refusal
	}
	return first[Switch](t.Txn, tableSwitches, key(string(id))), nil
}

// hold makes the hold that an operator asks for.
func hold(on bool, by, reason string, length, now int64) (Hold, *Refusal) {
	switch {
	case by == "":
		return Hold{}, refuse(CodeBadRequest, "it is recorded who does this: a name is needed")
	case on && reason == "":
		return Hold{}, refuse(CodeBadRequest, "a reason is needed: it is what others will read")
	case length < 0 || time.Duration(length) > maxHold:
		return Hold{}, refuse(CodeBadRequest, "for %s: want up to %s", time.Duration(length), maxHold)
	case !on && length != 0:
		return Hold{}, refuse(CodeBadRequest, "taking it off has no length")
	}
	h := Hold{On: on, By: clip(by), Reason: clip(reason), Since: now}
	if length > 0 {
		h.Until = now + length
	}
	return h, nil
}

// SetMaintenance puts a host group into maintenance, or takes it out.
type SetMaintenance struct {
	Group  string
	On     bool
	By     string
	Reason string
	For    int64 // 0: until it is taken off
}

func (*SetMaintenance) commandType() Type { return typeSetMaintenance }

func (c *SetMaintenance) apply(t *txn) ([]byte, *Refusal) {
	old := first[HostGroup](t.Txn, tableGroups, key(c.Group))
	if old == nil || old.Removed {
		return nil, refuse(CodeKeyMissing, "no host group %q", c.Group)
	}
	h, refusal := hold(c.On, c.By, c.Reason, c.For, t.header.Time)
	if refusal != nil {
		return nil, refusal
	}
	g := *old
	g.Maintenance = h
	t.put(tableGroups, &g)
	return nil, nil
}

// SetBrake puts the brake on, or takes it off.
type SetBrake struct {
	On     bool
	By     string
	Reason string
}

func (*SetBrake) commandType() Type { return typeSetBrake }

func (c *SetBrake) apply(t *txn) ([]byte, *Refusal) {
	h, refusal := hold(c.On, c.By, c.Reason, 0, t.header.Time)
	if refusal != nil {
		return nil, refusal
	}
	m := t.meta()
	m.Brake = h
	t.put(tableMeta, &m)
	return nil, nil
}

// AckSwitch records who took note of a switch that is over, and allows the next
// one by itself.
type AckSwitch struct {
	ID     string
	By     string
	Reason string
}

func (*AckSwitch) commandType() Type { return typeAckSwitch }

func (c *AckSwitch) apply(t *txn) ([]byte, *Refusal) {
	old := first[Switch](t.Txn, tableSwitches, key(c.ID))
	switch {
	case old == nil:
		return nil, refuse(CodeKeyMissing, "no switch %q", c.ID)
	case c.By == "":
		return nil, refuse(CodeBadRequest, "it is recorded who acknowledges: a name is needed")
	case old.IsOpen():
		return nil, refuse(CodeSwitchInProgress, "switch %s is in %s: acknowledge it when it is over", c.ID, old.State)
	case old.Acked.By != "":
		return nil, refuse(CodeConflict, "switch %s was acknowledged already, by %s at %s", c.ID, old.Acked.By, utc(old.Acked.Time))
	}
	s := *old
	s.Acked = Ack{By: clip(c.By), Reason: clip(c.Reason), Time: t.header.Time}
	t.put(tableSwitches, &s)
	if g := first[HostGroup](t.Txn, tableGroups, key(s.Group)); g != nil && g.Pending.Switch == s.ID {
		g := *g
		g.Pending = Pending{}
		t.put(tableGroups, &g)
	}
	return nil, nil
}

// Bounds of what is kept of hooks.
const (
	maxHookResults = 128 // of one switch
	maxHookNote    = 300 // bytes
)

// HookResult is what became of one hook at one event of a switch.
type HookResult struct {
	Hook   string
	Event  string // "switch/before", "promoting/after", …
	OK     bool
	Note   string // what it said, or why it failed
	Keeper string // on whose host it ran
	Time   int64  // of the record
	Took   int64
	Tries  int
}

// RecordHook records that a hook was run. A leader that comes later does not run
// it again. Closed: all of the switch's hooks were.
type RecordHook struct {
	ID         string
	Generation uint64
	Result     HookResult // none when Hook is empty
	Closed     bool
}

func (*RecordHook) commandType() Type { return typeRecordHook }

func (c *RecordHook) apply(t *txn) ([]byte, *Refusal) {
	old := first[Switch](t.Txn, tableSwitches, key(c.ID))
	switch {
	case old == nil:
		return nil, refuse(CodeKeyMissing, "no switch %q", c.ID)
	case old.Generation != c.Generation:
		return nil, refuse(CodeStaleGeneration, "switch %s has generation %d, not %d", c.ID, old.Generation, c.Generation)
	case c.Closed && old.IsOpen():
		return nil, refuse(CodeSwitchInProgress, "switch %s is in %s: there will be more for its hooks", c.ID, old.State)
	}
	s := *old
	if c.Closed {
		s.HooksOpen = false
	}
	if r := c.Result; r.Hook != "" {
		if len(r.Note) > maxHookNote {
			r.Note = r.Note[:maxHookNote]
		}
		r.Hook, r.Event, r.Keeper, r.Time = clip(r.Hook), clip(r.Event), clip(r.Keeper), t.header.Time
		s.Hooks = slices.Clone(old.Hooks)
		if i := slices.IndexFunc(s.Hooks, func(h HookResult) bool { return h.Hook == r.Hook && h.Event == r.Event }); i >= 0 {
			s.Hooks[i] = r // at least once: the newest counts
		} else if len(s.Hooks) >= maxHookResults {
			return nil, refuse(CodeTooLarge, "switch %s has the results of %d hooks: no more are kept", c.ID, maxHookResults)
		} else {
			s.Hooks = append(s.Hooks, r)
		}
	}
	t.put(tableSwitches, &s)
	return nil, nil
}

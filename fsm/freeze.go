package fsm

import (
	"fmt"
	"slices"
)

// maxLead is how far a stamp that somebody reports may be ahead of the record. A
// backup is not that old: what is further ahead is nonsense, and not believed.
const maxLead = 1 << 20

// IsFrozen reports whether nobody may write to the group, and no switch may be
// requested, until it is known again who its primary is (R25).
func (g *HostGroup) IsFrozen() bool { return g.Frozen != "" }

// Ahead reports whether a stamp that a proxy or an agent has seen of the group is
// one that these keepers have not given: they were restored from an older state,
// or it belongs to another cluster. epoch is the cluster's. sensible is false for
// one that no history explains.
//
// A stamp of a lower epoch is compared too, as long as nobody has decided for the
// group since: a group that is created anew after a restore begins with generation 0.
func (g *HostGroup) Ahead(epoch, seenEpoch, generation uint64, step uint8) (ahead, sensible bool) {
	switch {
	case seenEpoch > epoch:
		ahead = true
	case seenEpoch == epoch:
		ahead = generation > g.Generation || generation == g.Generation && step > g.Step
	default:
		ahead = seenEpoch >= g.Decided && generation > g.Generation
	}
	if !ahead {
		return false, true
	}
	return true, step <= StepIdle && (seenEpoch <= epoch || seenEpoch-epoch <= maxLead) && (generation <= g.Generation || generation-g.Generation <= maxLead)
}

// FreezeGroup freezes a host group because somebody has seen a higher stamp of it
// than the record has (R25), and raises the cluster epoch above that. It does
// nothing when the record has caught up.
type FreezeGroup struct {
	Group      string
	Epoch      uint64 // the stamp that was heard
	Generation uint64
	Step       uint8
	By         string // who has seen it
}

func (*FreezeGroup) commandType() Type { return typeFreezeGroup }

func (c *FreezeGroup) apply(t *txn) ([]byte, *Refusal) {
	old := first[HostGroup](t.Txn, tableGroups, key(c.Group))
	if old == nil || old.Removed {
		return nil, refuse(CodeKeyMissing, "no host group %q", c.Group)
	}
	m := t.meta()
	ahead, sensible := old.Ahead(m.Epoch, c.Epoch, c.Generation, c.Step)
	switch {
	case !ahead:
		return nil, nil
	case !sensible:
		return nil, refuse(CodeBadRequest, "host group %s: %s reports the stamp %d.%d.%d, the record has %d.%d.%d: no restore explains that", c.Group, clip(c.By), c.Epoch, c.Generation, c.Step, m.Epoch, old.Generation, old.Step)
	}
	g := *old
	g.Heard = max(g.Heard, c.Generation)
	if !g.IsFrozen() {
		t.freeze(&g, fmt.Sprintf("%s has seen the stamp %d.%d.%d, the keepers only gave %d.%d.%d: they were restored from an older state", clip(c.By), c.Epoch, c.Generation, c.Step, m.Epoch, old.Generation, old.Step))
		m.Epoch++ // whoever is not heard now comes back with a lower one
	}
	m.Epoch = max(m.Epoch, c.Epoch)
	t.put(tableGroups, &g)
	t.put(tableMeta, &m)
	return nil, nil
}

// freezeAll freezes every host group, after a restore or a recovery. Those that no
// configuration names keep it for when one does.
func (t *txn) freezeAll(why string) {
	for _, old := range all[HostGroup](t.Txn, tableGroups, nil) {
		if old.IsFrozen() {
			continue
		}
		g := *old
		t.freeze(&g, why)
		t.put(tableGroups, &g)
	}
}

// freeze ends the group's open switch where it stands: whether its orders were
// obeyed, and what came after it, only the agents know.
func (t *txn) freeze(g *HostGroup, why string) {
	if open := first[Switch](t.Txn, tableSwitches, key(g.OpenSwitch)); open != nil {
		s := *open
		s.State = StateRolledBack
		if open.Committed() {
			s.State = StateSuperseded
		}
		s.Steps = append(slices.Clone(open.Steps), Step{State: s.State, Time: t.header.Time, Term: t.term})
		s.Code, s.Error = CodeGroupFrozen, clip("the host group was frozen: "+why)
		t.put(tableSwitches, &s)
		g.OpenSwitch, g.LastSwitch = "", s.ID
	}
	g.Frozen, g.FrozenAt, g.Heard = clip(why), t.index, 0
}

// ThawGroup opens a frozen host group again, with the primary that its agents
// agree on, or that an operator names. Its stamp leads every one that was seen.
// The leader has let W pass since the group was frozen (R2).
type ThawGroup struct {
	Group      string
	FrozenAt   uint64 // decided on this freeze
	Primary    string
	Committed  uint64 // generation of the commit that made it the primary
	Generation uint64 // the highest that anybody has seen
	By         string
	ByOperator bool // its word is a commit of its own
	Reason     string
}

func (*ThawGroup) commandType() Type { return typeThawGroup }

func (c *ThawGroup) apply(t *txn) ([]byte, *Refusal) {
	old := first[HostGroup](t.Txn, tableGroups, key(c.Group))
	switch {
	case old == nil || old.Removed:
		return nil, refuse(CodeKeyMissing, "no host group %q", c.Group)
	case t.header.Term == 0:
		return nil, refuse(CodeBadRequest, "host group %s: a thaw names the term of the leader that let the leases run out", c.Group)
	case !old.IsFrozen():
		return nil, refuse(CodeNotFrozen, "host group %s is not frozen", c.Group)
	case old.FrozenAt != c.FrozenAt:
		return nil, refuse(CodeStaleGeneration, "host group %s was frozen again since", c.Group)
	}
	writable := slices.Index(old.Datasources, c.Primary)
	if writable < 0 {
		return nil, refuse(CodeBadRequest, "host group %s has no datasource %s", c.Group, c.Primary)
	}
	g := *old
	g.Generation = max(g.Generation, g.Heard, c.Generation) + 1
	g.Step, g.Writable, g.Committed = StepIdle, writable, c.Committed
	if c.ByOperator {
		g.Committed = g.Generation
	}
	g.Frozen, g.FrozenAt, g.Heard, g.Decided = "", 0, 0, t.meta().Epoch
	t.recordThaw(&g)
	g.Thawed = clip(fmt.Sprintf("by %s in generation %d, primary %s: %s", c.By, g.Generation, c.Primary, c.Reason))
	t.put(tableGroups, &g)
	return nil, nil
}

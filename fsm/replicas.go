package fsm

import (
	"cmp"
	"slices"
)

// States of a recorded replica. Whoever is recorded may acknowledge writes (R20)
// and counts in a lossless failover (R19); only a member may become the primary
// (R17).
const (
	ReplicaJoining = "joining" // recorded; the primary's agent has not stored the set with it yet
	ReplicaMember  = "member"
	ReplicaLeaving = "leaving" // not promotable any more; its agent has not confirmed yet that it acknowledges nothing
)

// What SetDegraded makes of a group's semi-sync.
const (
	SemiSyncOn        = "on"        // commits wait for an acknowledgement
	SemiSyncRestoring = "restoring" // they are to wait again, the primary's agent has not confirmed it yet
	SemiSyncOff       = "off"       // they wait for none
)

// Recorded is a replica that the record of its group names.
type Recorded struct {
	Address string
	State   string
	Index   uint64 // of the entry that put it into this state
	Since   int64
	Why     string
}

// Degraded says that a group's commits wait for no acknowledgement, by a recorded
// decision (R20). The zero value: they do wait.
type Degraded struct {
	Since     int64
	Why       string
	By        string
	Restoring bool
	Index     uint64 // of the entry that last changed it
}

// On reports whether the group is recorded as degraded.
func (d Degraded) On() bool { return d.Since != 0 }

// replicaTransitions is what may become of a recorded replica; the empty state is
// that of one that is not recorded. No way leads from a state in which it may
// acknowledge out of the record but through leaving (R20).
var replicaTransitions = map[string][]string{
	"":             {ReplicaJoining},
	ReplicaJoining: {ReplicaMember, ReplicaLeaving},
	ReplicaMember:  {ReplicaLeaving},
	ReplicaLeaving: {ReplicaJoining, ""},
}

// Replica is the recorded state of a replica, "" when it is not recorded.
func (g *HostGroup) Replica(address string) string {
	if i := g.replica(address); i >= 0 {
		return g.Recorded[i].State
	}
	return ""
}

func (g *HostGroup) replica(address string) int {
	return slices.IndexFunc(g.Recorded, func(r Recorded) bool { return r.Address == address })
}

// ReplicaSet are the addresses of all that are recorded.
func (g *HostGroup) ReplicaSet() []string {
	set := make([]string, len(g.Recorded))
	for i, r := range g.Recorded {
		set[i] = r.Address
	}
	return set
}

// SetReplica moves one replica from one state of the record to the next:
// compare-and-set on both the state and the version of the group's record. It is
// refused while a switch is open (R17: the set is frozen then).
type SetReplica struct {
	Group   string
	Address string
	From    string // states; "": not recorded
	To      string
	Version uint64 // of the record that the decision was made on
	Why     string

	// Force is an operator's: out of the record from any state, though nobody
	// confirmed that it acknowledges nothing.
	Force bool
}

func (*SetReplica) commandType() Type { return typeSetReplica }

func (c *SetReplica) apply(t *txn) ([]byte, *Refusal) {
	old := first[HostGroup](t.Txn, tableGroups, key(c.Group))
	if old == nil || old.Removed {
		return nil, refuse(CodeKeyMissing, "no host group %q", c.Group)
	}
	i, now := old.replica(c.Address), old.Replica(c.Address)
	index := slices.Index(old.Datasources, c.Address)
	switch {
	case old.OpenSwitch != "": // R17
		return nil, refuse(CodeSwitchInProgress, "switch %s of host group %s is open: its replica set does not change", old.OpenSwitch, c.Group)
	case c.Force && now == "":
		return nil, refuse(CodeKeyMissing, "%s is not a recorded replica of host group %s", c.Address, c.Group)
	case c.Force && c.To != "":
		return nil, refuse(CodeBadRequest, "by force a replica only leaves the record")
	case !c.Force && t.header.Term == 0:
		return nil, refuse(CodeBadRequest, "replica %s: a change of the record names the term of the leader that decided it", c.Address)
	case !c.Force && (old.RecordVersion != c.Version || now != c.From):
		return nil, refuse(CodeStaleGeneration, "replica %s of host group %s is %q in version %d of the record, not %q in %d", c.Address, c.Group, now, old.RecordVersion, c.From, c.Version)
	case !c.Force && !slices.Contains(replicaTransitions[c.From], c.To):
		return nil, refuse(CodeBadRequest, "replica %s: no way from %q to %q", c.Address, c.From, c.To)
	case c.To == ReplicaJoining && (index < 0 || index == old.Writable):
		return nil, refuse(CodeNotRecorded, "%s is no replica of host group %s", c.Address, c.Group)
	}
	if c.To == ReplicaJoining {
		if r := t.recordedElsewhere(c.Group, c.Address); r != nil {
			return nil, r
		}
	}
	g := *old
	g.Recorded = slices.Clone(old.Recorded)
	row := Recorded{Address: c.Address, State: c.To, Index: t.index, Since: t.header.Time, Why: clip(c.Why)}
	switch {
	case c.To == "":
		g.Recorded = slices.Delete(g.Recorded, i, i+1)
	case i < 0:
		g.Recorded = append(g.Recorded, row)
	default:
		g.Recorded[i] = row
	}
	g.RecordVersion = t.index
	t.put(tableGroups, &g)
	return nil, nil
}

// recordedElsewhere refuses a server that another group still counts on.
func (t *txn) recordedElsewhere(group, address string) *Refusal {
	var in string
	each(t.Txn, tableGroups, nil, func(g *HostGroup) bool {
		if g.Name != group && !g.Removed && g.replica(address) >= 0 {
			in = g.Name
		}
		return in == ""
	})
	if in == "" {
		return nil
	}
	return refuse(CodeConflict, "%s is recorded as a replica of host group %s: it belongs to one group", address, in)
}

// SetDegraded records that the commits of a group wait for no acknowledgement,
// before the primary's agent is told so; that they are to wait again; and that they
// do (R20). Before the commit of an open switch it is refused: what its preflight saw must
// stay true. It is compare-and-set on the version of the group's record.
type SetDegraded struct {
	Group   string
	To      string // SemiSyncOn, SemiSyncRestoring or SemiSyncOff
	Version uint64
	Why     string
	By      string
}

func (*SetDegraded) commandType() Type { return typeSetDegraded }

func (c *SetDegraded) apply(t *txn) ([]byte, *Refusal) {
	old := first[HostGroup](t.Txn, tableGroups, key(c.Group))
	if old == nil || old.Removed {
		return nil, refuse(CodeKeyMissing, "no host group %q", c.Group)
	}
	d := old.Degraded
	switch {
	case t.header.Term == 0:
		return nil, refuse(CodeBadRequest, "host group %s: a change of the record names the term of the leader that decided it", c.Group)
	case old.OpenSwitch != "" && old.Step != StepIdle: // R17
		return nil, refuse(CodeSwitchInProgress, "switch %s of host group %s is open: its record does not change", old.OpenSwitch, c.Group)
	case old.RecordVersion != c.Version:
		return nil, refuse(CodeStaleGeneration, "the record of host group %s has version %d, not %d", c.Group, old.RecordVersion, c.Version)
	case c.To == SemiSyncOff && old.Settings.Policy != PolicyAvailable:
		return nil, refuse(CodeInvalidSwitch, "host group %s: its policy is %s, its commits wait", c.Group, cmp.Or(old.Settings.Policy, PolicyLossless))
	case c.To == SemiSyncOff && d.On() && !d.Restoring, c.To == SemiSyncRestoring && (!d.On() || d.Restoring), c.To == SemiSyncOn && !d.Restoring:
		return nil, refuse(CodeBadRequest, "host group %s: degraded is %v, restoring is %v: semi-sync cannot become %q", c.Group, d.On(), d.Restoring, c.To)
	case c.To != SemiSyncOff && c.To != SemiSyncRestoring && c.To != SemiSyncOn:
		return nil, refuse(CodeBadRequest, "host group %s: semi-sync cannot be %q", c.Group, c.To)
	}
	g := *old
	switch c.To {
	case SemiSyncOn:
		g.Degraded = Degraded{}
	case SemiSyncRestoring:
		g.Degraded.Restoring, g.Degraded.Index = true, t.index
	case SemiSyncOff:
		if !d.On() {
			g.Degraded.Since, g.Degraded.Why, g.Degraded.By = max(t.header.Time, 1), clip(c.Why), clip(c.By)
		}
		g.Degraded.Restoring, g.Degraded.Index = false, t.index
	}
	g.RecordVersion = t.index
	t.put(tableGroups, &g)
	return nil, nil
}

// recordCommit makes the record what it is for the new primary. The commit is
// refused unless that is a member (R17).
//
// The others stay as they are, so that there is no moment in which nobody may
// acknowledge: the agent of the new primary becomes primary only together with the set
// of this entry or a later one (PromoteDatasource and grants carry it). The old primary is
// recorded when it was fenced alive and the new one has all that it has; else it may be gone,
// and is recorded when it is seen to follow.
func (t *txn) recordCommit(g *HostGroup, s *Switch) *Refusal {
	if state := g.Replica(s.ToAddress); state != ReplicaMember {
		return refuse(CodeNotRecorded, "switch %s: %s is %q in the record of host group %s, want %q", s.ID, s.ToAddress, state, g.Name, ReplicaMember)
	}
	rows := slices.DeleteFunc(slices.Clone(g.Recorded), func(r Recorded) bool { return r.Address == s.ToAddress })
	if s.Position.GTIDPos != "" && g.replica(s.FromAddress) < 0 {
		rows = append(rows, Recorded{Address: s.FromAddress, State: ReplicaMember, Index: t.index, Since: t.header.Time, Why: s.ID})
	}
	g.Recorded, g.RecordVersion = rows, t.index
	// The new primary is promoted with semi-sync on.
	g.Degraded = Degraded{}
	if len(rows) == 0 && cmp.Or(s.Policy, g.Settings.Policy) == PolicyAvailable && g.Settings.Policy == PolicyAvailable {
		g.Degraded = Degraded{Since: max(t.header.Time, 1), Why: "no other replica is recorded", By: s.ID, Index: t.index}
	}
	return nil
}

// recordThaw makes the record of a group whose keepers were restored what may be true:
// the one that was restored is older than that of the agents, and whoever joined since may
// have acknowledged. So every datasource counts (R19), and none is promotable before
// the primary's agent has stored the set with it (R17).
func (t *txn) recordThaw(g *HostGroup) {
	rows := slices.DeleteFunc(slices.Clone(g.Recorded), func(r Recorded) bool { return slices.Contains(g.Datasources, r.Address) })
	for i, address := range g.Datasources {
		if i != g.Writable {
			rows = append(rows, Recorded{Address: address, State: ReplicaJoining, Index: t.index, Since: t.header.Time, Why: "the keepers were restored: it may have joined since"})
		}
	}
	g.Recorded, g.RecordVersion = rows, t.index
}

// recordDatasources lets those leave that a configuration does not name any more:
// they count until they confirm that they acknowledge nothing.
func (t *txn) recordDatasources(g *HostGroup) {
	rows := slices.Clone(g.Recorded)
	for i, r := range rows {
		if r.State != ReplicaLeaving && !slices.Contains(g.Datasources, r.Address) {
			rows[i] = Recorded{Address: r.Address, State: ReplicaLeaving, Index: t.index, Since: t.header.Time, Why: "the configuration does not name it any more"}
		}
	}
	g.Recorded, g.RecordVersion = rows, t.index
}

package keeper

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/zerokeeper/zero/fsm"
	"github.com/zerokeeper/zero/transport/api"
)

const (
	// ackStuck is for how long commits wait, none acknowledged, until it counts.
	ackStuck = time.Second
	// recordGap is the least time between two looks at all groups.
	recordGap = 20 * time.Millisecond
	// recordSteps bounds the changes of one group's record within one look.
	recordSteps = 64
)

// keepRecord keeps the record of every group's replicas in step with what their
// agents say: who may acknowledge (R17, R20), and whether commits wait for it.
func (k *Keeper) keepRecord(ctx context.Context, term uint64) {
	tick := time.NewTicker(k.cfg.HeartbeatInterval / 2)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		case <-k.recordDue:
		}
		for _, g := range k.cfg.Store.State().Groups() {
			k.keepGroup(ctx, term, g.Name)
		}
		pause(ctx, recordGap)
	}
}

// keepGroup makes the changes of one group's record, one after the other: each is
// decided on what the one before left.
func (k *Keeper) keepGroup(ctx context.Context, term uint64, name string) {
	for range recordSteps {
		state := k.cfg.Store.State()
		g := state.Group(name)
		if g == nil || g.Removed || ctx.Err() != nil {
			return
		}
		change := k.nextChange(state, g)
		if change == nil {
			return
		}
		attempt, cancel := context.WithTimeout(ctx, k.cfg.CallTimeout)
		_, err := refused(k.cfg.Store.ProposeInTerm(attempt, term, fsm.Header{}, change))
		cancel()
		switch {
		case err == nil:
			k.tellChange(g, change)
		case ctx.Err() != nil:
			return
		case errors.Is(err, api.ErrStaleGeneration), errors.Is(err, &api.Error{Code: api.SwitchInProgress}):
			return // it was changed meanwhile: look again later
		default:
			k.log.Warn("the record of a group cannot be changed", "group", name, "error", err)
			return
		}
	}
}

func (k *Keeper) tellChange(g *fsm.HostGroup, change fsm.Command) {
	switch c := change.(type) {
	case *fsm.SetReplica:
		k.log.Info("replica", "group", c.Group, "datasource", c.Address, "was", cmp.Or(c.From, "not recorded"), "is", cmp.Or(c.To, "not recorded"), "why", c.Why)
	case *fsm.SetDegraded:
		if c.To == fsm.SemiSyncOff {
			k.log.Warn("the group is degraded: commits wait for no acknowledgement, and what is written may be lost with the primary", "group", c.Group, "why", c.Why)
			return
		}
		k.log.Info("semi-sync of a degraded group", "group", c.Group, "becomes", c.To, "degraded_for", time.Since(time.Unix(0, g.Degraded.Since)).Round(time.Millisecond), "why", c.Why)
	}
}

// nextChange is the next change of a group's record, nil when it is as it should be.
func (k *Keeper) nextChange(state *fsm.State, g *fsm.HostGroup) fsm.Command {
	v := k.viewRecord(state, g)
	if c := v.degraded(); c != nil {
		c.Group, c.Version, c.By = g.Name, g.RecordVersion, "keeper "+k.name()
		return c
	}
	if g.OpenSwitch != "" {
		return nil // R17: frozen
	}
	addresses := slices.Clone(g.Datasources)
	for _, r := range g.Recorded {
		if !slices.Contains(addresses, r.Address) {
			addresses = append(addresses, r.Address)
		}
	}
	for _, address := range addresses {
		from := g.Replica(address)
		to, why := v.replica(address)
		if to == from {
			continue
		}
		if to == fsm.ReplicaJoining && elsewhere(state, g, address) {
			continue // another group still counts on it
		}
		return &fsm.SetReplica{Group: g.Name, Address: address, From: from, To: to, Version: g.RecordVersion, Why: why}
	}
	return nil
}

func elsewhere(state *fsm.State, g *fsm.HostGroup, address string) bool {
	return slices.ContainsFunc(state.Groups(), func(o *fsm.HostGroup) bool { return o.Name != g.Name && o.Replica(address) != "" })
}

// heardBeat is what an agent last said, if that is not too long ago.
type heardBeat struct {
	api.AgentHeartbeatRequest
	fresh  bool
	before string // GTID position of its server one heartbeat earlier
}

// recordView is all that the record of a group is decided on.
type recordView struct {
	group   *fsm.HostGroup
	epoch   uint64
	primary string
	beats   map[string]heardBeat
}

func (k *Keeper) viewRecord(state *fsm.State, g *fsm.HostGroup) recordView {
	v := recordView{group: g, epoch: state.Epoch(), primary: g.Datasources[g.Writable], beats: map[string]heardBeat{}}
	for _, address := range slices.Concat(g.Datasources, g.ReplicaSet()) {
		beat, age, heard := k.presence.agent(address)
		v.beats[address] = heardBeat{beat, heard && age <= k.times.Lease, k.presence.positionBefore(address)}
	}
	return v
}

// acted reports whether an agent has acted on what the record is since that entry.
func (v recordView) acted(b heardBeat, index uint64) bool {
	return b.fresh && b.SemiSync.Acted.Epoch == v.epoch && b.SemiSync.Acted.Index >= index
}

// replica is the state that a replica should have in the record, and why.
func (v recordView) replica(address string) (to, why string) {
	now, b := v.group.Replica(address), v.beats[address]
	i := slices.IndexFunc(v.group.Recorded, func(r fsm.Recorded) bool { return r.Address == address })
	named := slices.Contains(v.group.Datasources, address)
	follows := b.fresh && named && address != v.primary && !b.Dead && b.MySQL.Status == 1 && b.ReadOnly && b.Receiving && b.Source == v.primary && b.Unfit == ""
	// An old primary is recorded before it follows: MariaDB takes back what came from its
	// own server_id only over a connection that acknowledges, and else skips what it lost.
	returns := b.fresh && named && address != v.primary && !b.Dead && b.MySQL.Status == 1 && b.ReadOnly && b.Role == "none" && b.Unfit == "" &&
		b.SemiSync.Managed && v.group.Committed != 0
	switch now {
	case "":
		switch {
		case follows:
			return fsm.ReplicaJoining, "it follows " + v.primary
		case returns:
			return fsm.ReplicaJoining, "it is about to follow " + v.primary
		}
	case fsm.ReplicaJoining:
		switch p := v.beats[v.primary]; {
		case b.fresh && b.Unfit != "":
			return fsm.ReplicaLeaving, b.Unfit
		case follows && p.fresh && p.ReplicaVersion >= v.group.Recorded[i].Index && slices.Contains(p.ReplicaSet, address): // R17
			return fsm.ReplicaMember, "the agent of " + v.primary + " has stored the set with it"
		}
	case fsm.ReplicaMember:
		if b.fresh && b.Unfit != "" {
			return fsm.ReplicaLeaving, b.Unfit
		}
	case fsm.ReplicaLeaving:
		switch {
		case follows:
			return fsm.ReplicaJoining, "it follows " + v.primary + " again"
		case v.acted(b, v.group.Recorded[i].Index) && b.SemiSync.Known && !b.SemiSync.Replica: // R20
			return "", "it confirmed that it acknowledges nothing"
		}
	}
	return now, ""
}

// stuck is why commits wait in vain, empty when they do not.
func (v recordView) stuck() string {
	s := v.beats[v.primary].SemiSync
	if !v.beats[v.primary].fresh || !s.Managed || s.Waiting == 0 || time.Duration(s.WaitMS)*time.Millisecond < ackStuck {
		return ""
	}
	who := "none of " + strings.Join(v.group.ReplicaSet(), ", ") + " acknowledges"
	if len(v.group.Recorded) == 0 {
		who = "no replica is recorded that may acknowledge"
	}
	return fmt.Sprintf("%d commits wait for an acknowledgement: %s", s.Waiting, who)
}

// caughtUp names a recorded replica that is connected and has what the primary had
// a heartbeat ago.
func (v recordView) caughtUp() string {
	want, err := parseGTIDs(v.beats[v.primary].before)
	if err != nil {
		return ""
	}
	for _, r := range v.group.Recorded {
		b := v.beats[r.Address]
		got, err := parseGTIDs(b.Received)
		if r.State != fsm.ReplicaLeaving && b.fresh && b.Receiving && b.Source == v.primary && b.SemiSync.Replica && v.acted(b, r.Index) && err == nil && got.covers(want) {
			return r.Address
		}
	}
	return ""
}

// degraded is the change of the group's semi-sync that is due, nil when none is.
func (v recordView) degraded() *fsm.SetDegraded {
	g, p := v.group, v.beats[v.primary]
	if g.OpenSwitch != "" && g.Step != fsm.StepIdle {
		return nil // R17: frozen
	}
	available, stuck := g.Settings.Policy == fsm.PolicyAvailable, v.stuck()
	switch d := g.Degraded; {
	case (!d.On() || d.Restoring) && available && stuck != "" && p.SemiSync.Source && (!d.On() || v.acted(p, d.Index)):
		return &fsm.SetDegraded{To: fsm.SemiSyncOff, Why: stuck}
	case d.On() && !d.Restoring && !available:
		return &fsm.SetDegraded{To: fsm.SemiSyncRestoring, Why: "the policy is " + fsm.PolicyLossless}
	case d.On() && !d.Restoring:
		if who := v.caughtUp(); who != "" {
			return &fsm.SetDegraded{To: fsm.SemiSyncRestoring, Why: who + " is connected and has caught up"}
		}
	case d.Restoring && v.acted(p, d.Index) && p.SemiSync.Source && (p.SemiSync.Clients > 0 || !available): // R20: it is on
		return &fsm.SetDegraded{To: fsm.SemiSyncOn, Why: "commits wait for an acknowledgement"}
	}
	return nil
}

// recordChanges wakes keepRecord when a heartbeat says that commits wait in vain.
func (k *Keeper) recordChanges(beat api.AgentHeartbeatRequest) {
	if time.Duration(beat.SemiSync.WaitMS)*time.Millisecond < ackStuck {
		return
	}
	select {
	case k.recordDue <- struct{}{}:
	default:
	}
}

// positionBefore is the position that the heartbeat before the last one named.
func (p *presence) positionBefore(address string) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.agents[address].before
}

// recorded are the addresses that a lossless failover counts (R19), without the
// primary that is left.
func (k *Keeper) recorded(s *fsm.Switch) []string {
	g := k.cfg.Store.State().Group(s.Group)
	if g == nil {
		return nil
	}
	return slices.DeleteFunc(g.ReplicaSet(), func(a string) bool { return a == s.FromAddress })
}

// membership is the state of a replica in the record, "" when it has none.
func (k *Keeper) membership(group, address string) string {
	if g := k.cfg.Store.State().Group(group); g != nil {
		return g.Replica(address)
	}
	return ""
}

// notMember is why a replica that is not a member cannot be the primary (R17).
func notMember(state string) string {
	switch state {
	case fsm.ReplicaMember:
		return ""
	case fsm.ReplicaJoining:
		return "it is joining the recorded replicas: the primary's agent has not stored the set with it yet"
	case fsm.ReplicaLeaving:
		return "it is leaving the recorded replicas"
	}
	return "it is not a recorded replica"
}

// checkMember: only a member becomes the primary (R17).
func (d *driver) checkMember(s *fsm.Switch) fsm.Check {
	state := d.membership(s.Group, s.ToAddress)
	return fsm.Check{Rule: ruleMember, OK: state == fsm.ReplicaMember, Input: s.ToAddress + " is " + cmp.Or(state, "not recorded"), Detail: notMember(state)}
}

// checkDegraded: a degraded group has acknowledged writes that only its primary
// may have.
func (d *driver) checkDegraded(s *fsm.Switch) fsm.Check {
	check := fsm.Check{Rule: ruleDegraded, OK: true, Input: "not degraded"}
	text := d.degradedText(s.Group)
	if text == "" {
		return check
	}
	check.Input, check.OK = text, s.Policy == fsm.PolicyAvailable
	check.Detail = "what was acknowledged since then may be on the primary alone"
	return check
}

// degradedText says since when a group is degraded and why; empty when it is not.
func (k *Keeper) degradedText(group string) string {
	g := k.cfg.Store.State().Group(group)
	if g == nil || !g.Degraded.On() {
		return ""
	}
	return fmt.Sprintf("degraded since %s: %s", unixTime(g.Degraded.Since).UTC().Format(time.RFC3339), g.Degraded.Why)
}

// replicaDrop takes a replica out of the record by an operator's force: one that is
// gone for good cannot confirm that it acknowledges nothing.
func (k *Keeper) replicaDrop(ctx context.Context, c *call[api.ReplicaDropRequest]) (none, error) {
	if err := k.leads(); err != nil {
		return none{}, err
	}
	if c.body.Reason == "" {
		return none{}, api.Errorf(api.BadRequest, "%s: a reason is needed: it is what the others will read", c.req.Name)
	}
	if _, again, err := k.replied(k.cfg.Store.State(), c.req); again || err != nil {
		return none{}, err
	}
	beat, age, heard := k.presence.agent(c.body.Address)
	if g := k.cfg.Store.State().Group(c.body.HostGroup); g != nil && heard && age <= k.times.Lease && !beat.Dead && beat.Receiving && beat.Source == g.Datasources[g.Writable] {
		return none{}, api.Errorf(api.InvalidSwitch, "%s follows the primary, its agent was heard %v ago: it would be recorded again at once. Stop its server, or take it out of the configuration", c.body.Address, age.Round(time.Millisecond))
	}
	_, err := k.propose(ctx, c.req, &fsm.SetReplica{Group: c.body.HostGroup, Address: c.body.Address, Force: true, Why: c.body.Reason})
	if err == nil {
		k.log.Warn("a replica was dropped from the record by force: what it alone has acknowledged is not counted any more", "group", c.body.HostGroup, "datasource", c.body.Address, "by", c.who.ID, "reason", c.body.Reason)
	}
	return none{}, err
}

// recordProblems are what an operator should know of a group's record.
func (k *Keeper) recordProblems(state *fsm.State, g *fsm.HostGroup, add func(format string, args ...any)) {
	if g.Degraded.On() {
		add("host group %s is %s; what is written now may be lost with %s", g.Name, k.degradedText(g.Name), g.Datasources[g.Writable])
	}
	v := k.viewRecord(state, g)
	if stuck := v.stuck(); stuck != "" {
		add("host group %s: %s (policy %s)", g.Name, stuck, cmp.Or(g.Settings.Policy, fsm.PolicyLossless))
	}
	gone := slices.DeleteFunc(g.ReplicaSet(), func(a string) bool { return slices.Contains(g.Datasources, a) })
	for _, address := range slices.Concat(g.Datasources, gone) {
		switch state := g.Replica(address); {
		case address == g.Datasources[g.Writable] || state == fsm.ReplicaMember || g.OpenSwitch != "":
		case !slices.Contains(g.Datasources, address):
			add("%s is not in host group %s any more, and has not confirmed that it acknowledges nothing", address, g.Name)
		case v.beats[address].fresh || k.term.Load() == 0: // else its agent is listed already
			add("datasource %s of host group %s cannot take over: %s", address, g.Name, notMember(state))
		}
	}
}

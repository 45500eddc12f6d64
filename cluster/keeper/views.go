package keeper

import (
	"cmp"
	"fmt"
	"time"

	"github.com/zerokeeper/zero/fsm"
	"github.com/zerokeeper/zero/transport/api"
)

// viewProxies joins what the state holds of the proxies with what this leader
// heard of them.
func (k *Keeper) viewProxies(state *fsm.State) []api.Proxy {
	list := []api.Proxy{}
	for _, row := range state.Proxies("") {
		key := proxyKey(row.Cluster, row.ID)
		beat, age, heard := k.presence.proxy(key)
		_, connected := k.proxies.Get(key)
		list = append(list, api.Proxy{
			ID: row.ID, Cluster: row.Cluster, Address: row.Address, Status: row.Status, ConfVersion: row.ConfVersion, ConfError: row.ConfError,
			Version: row.Version, Connected: connected, SystemInfo: beat.SystemInfo, AgeMS: ageOf(age, heard),
		})
	}
	return list
}

// unfenceable is said of a primary that never had an agent.
const unfenceable = "no agent was ever seen beside it: nothing can fence it, so it is never failed over; start a zeroagent"

func ageOf(age time.Duration, heard bool) int64 {
	if !heard {
		return -1
	}
	return age.Milliseconds()
}

// viewAgents joins what the state holds of the agents with what this leader
// heard of them.
func (k *Keeper) viewAgents(state *fsm.State) []api.Agent {
	list := []api.Agent{}
	for _, row := range state.Agents() {
		beat, age, heard := k.presence.agent(row.Address)
		_, connected := k.agents.Get(row.Address)
		list = append(list, api.Agent{
			ID: row.ID, Address: row.Address, Status: row.Status, Version: row.Version, ServerID: row.ServerID, Role: beat.Role, ReadOnly: beat.ReadOnly,
			Alarm: beat.Alarm, Zone: row.Zone, Connected: connected, MySQL: beat.MySQL, SystemInfo: beat.SystemInfo, AgeMS: ageOf(age, heard),
		})
	}
	return list
}

func (k *Keeper) viewGroup(state *fsm.State, g *fsm.HostGroup) api.Group {
	view := api.Group{
		Name: g.Name, Cluster: g.Cluster, Writable: g.Writable, Primary: g.Datasources[g.Writable], Datasources: []api.GroupMember{},
		Stamp: stampOf(state, g), Committed: g.Committed, OpenSwitch: g.OpenSwitch, LastSwitch: g.LastSwitch,
		Failsafe: g.Settings.Failsafe,
		Policy:   cmp.Or(g.Settings.Policy, fsm.PolicyLossless),
	}
	if d := g.Degraded; d.On() {
		view.Degraded = &api.Degraded{SinceMS: d.Since / int64(time.Millisecond), Why: d.Why, By: d.By, Restoring: d.Restoring}
	}
	view.HungAfterMS = time.Duration(g.Settings.HungAfter).Milliseconds()
	view.Frozen, view.Thawed = g.Frozen, g.Thawed
	var known []witness
	if g.IsFrozen() && k.term.Load() != 0 {
		a, all := k.adoptionOf(state, g)
		view.Waits, known = a.waits, all
	}
	for i, address := range g.Datasources {
		member := api.GroupMember{Index: i, Address: address, Agent: "none", Replica: g.Replica(address)}
		if known != nil {
			member.Says = known[i].String()
		}
		if a := state.Agent(address); a != nil {
			beat, _, heard := k.presence.agent(address)
			member.ServerID, member.Agent, member.Listen = a.ServerID, a.Status, a.Listen
			if heard {
				member.Role, member.ReadOnly, member.Alarm = beat.Role, beat.ReadOnly, beat.Alarm
			}
		}
		if i == g.Writable && member.Agent == "none" {
			member.Alarm = unfenceable
		}
		view.Datasources = append(view.Datasources, member)
	}
	k.viewHeld(&view, state, g)
	return view
}

// viewSwitch is a switch's record for people: times, durations, outcome.
func (k *Keeper) viewSwitch(state *fsm.State, s *fsm.Switch) api.Switch {
	view := api.Switch{
		ID: s.ID, HostGroup: s.Group, Cluster: s.Cluster, Kind: s.Kind, FromIndex: s.From, ToIndex: s.To, From: s.FromAddress, To: s.ToAddress,
		Reason: s.Reason, RequestedBy: s.RequestedBy, State: s.State, Generation: s.Generation, VoteRule: s.VoteRule,
		Open: s.IsOpen(), Code: api.Code(s.Code), Error: s.Error,
	}
	var stopped, recovered int64
	for i, step := range s.Steps {
		v := api.SwitchStep{State: step.State, Time: unixTime(step.Time), Term: step.Term, Note: step.Note}
		if i+1 < len(s.Steps) {
			v.TookMS = milliseconds(s.Steps[i+1].Time - step.Time)
		}
		view.Steps = append(view.Steps, v)
		switch step.State {
		case fsm.StateStopping:
			stopped = step.Time
		case fsm.StateRepointing, fsm.StateRolledBack: // the proxies have been told to go on
			recovered = step.Time
		}
	}
	if stopped != 0 && recovered != 0 {
		view.BlackoutMS = milliseconds(recovered - stopped)
	}
	view.TotalMS = milliseconds(s.Steps[len(s.Steps)-1].Time - s.Steps[0].Time)
	for _, c := range s.Checks {
		view.Checks = append(view.Checks, api.Check(c))
	}
	if s.Position != (fsm.Position{}) {
		view.Position = &api.Binlog{File: s.Position.File, Position: s.Position.Pos, GTIDBinlogPos: s.Position.GTIDPos, GTIDBinlogState: s.Position.GTIDState}
	}
	view.Policy, view.Fenced, view.MayBeLost, view.Supersedes = s.Policy, s.Fenced, s.MayBeLost, s.Supersedes
	for _, p := range s.Stopped {
		view.Proxies = append(view.Proxies, api.SwitchProxy(p))
	}
	for _, r := range s.Replicas {
		view.Replicas = append(view.Replicas, api.SwitchReplica(r))
	}
	for _, v := range state.Votes(s.ID) {
		vote := api.SwitchVote{Proxy: v.Proxy, NoAnswer: v.NoAnswer, ProxyVote: api.ProxyVote{
			Vote: v.Vote, HostGroup: s.Group, FromIndex: v.FromIndex, ToIndex: v.ToIndex, Failures: v.Failures, Error: v.Error, TargetReachable: v.TargetReachable,
		}}
		if v.LastSuccess != 0 {
			at := unixTime(v.LastSuccess)
			vote.LastSuccess = &at
		}
		view.Votes = append(view.Votes, vote)
	}
	k.viewNight(&view, state, s)
	return view
}

func milliseconds(nanos int64) float64 { return float64(nanos/1000) / 1000 }

// problems are what an operator should look at.
func (k *Keeper) problems(state *fsm.State, members []api.Member) []string {
	list := []string{}
	add := func(format string, args ...any) { list = append(list, fmt.Sprintf(format, args...)) }
	k.heldProblems(state, add)
	voters := 0
	for _, m := range members {
		if m.Voter {
			voters++
		}
	}
	if voters < 3 && !k.cfg.Dev {
		add("%d voting keepers: the loss of one stops all changes; run three or five", voters)
	}
	for _, p := range k.viewProxies(state) {
		switch {
		case p.Status != api.StatusUp:
			add("proxy %s is %s", p.ID, p.Status)
		case p.ConfError != "":
			add("proxy %s refused a configuration: %s", p.ID, p.ConfError)
		case !p.Connected && k.term.Load() != 0: // another keeper does not know
			add("proxy %s is not connected to the leader", p.ID)
		}
		if live := state.LiveConfig(p.Cluster); live != nil && p.Status == api.StatusUp && p.ConfError == "" && p.ConfVersion != live.ConfigID {
			add("proxy %s runs configuration %q, %s is live", p.ID, p.ConfVersion, live.ConfigID)
		}
	}
	k.frozenProblems(state, add)
	for _, g := range state.Groups() {
		view := k.viewGroup(state, g)
		k.recordProblems(state, g, add)
		if g.OpenSwitch != "" {
			add("switch %s of host group %s is open", g.OpenSwitch, g.Name)
		}
		for _, m := range view.Datasources {
			switch {
			case m.Agent == "none" && m.Index == g.Writable:
				add("datasource %s is the writable one of host group %s: %s", m.Address, g.Name, unfenceable)
			case m.Agent != fsm.StatusUp:
				add("datasource %s of host group %s: agent %s", m.Address, g.Name, m.Agent)
			case k.silentFor(m.Address) > 0:
				add("datasource %s of host group %s: its agent is silent for %s; what is shown is what it said last", m.Address, g.Name, k.silentFor(m.Address).Round(time.Second))
			case view.Failsafe && m.Listen == "" && len(view.Datasources) > 1:
				add("datasource %s of host group %s: failsafe is on, and its agent does not listen: without --listen the primary cannot stay writable when no keeper is in reach", m.Address, g.Name)
			case m.Alarm == "" && k.serverMute(m.Address) && g.OpenSwitch == "":
				add("datasource %s of host group %s: its agent is up, and its server does not answer it: look at the agent's log", m.Address, g.Name)
			case m.Alarm != "":
				add("datasource %s of host group %s: %s", m.Address, g.Name, m.Alarm)
			case m.Index == g.Writable && m.ReadOnly && g.OpenSwitch == "":
				add("datasource %s is the writable one of host group %s, but read-only", m.Address, g.Name)
			case m.Index != g.Writable && !m.ReadOnly && m.Role != "" && g.OpenSwitch == "":
				add("datasource %s of host group %s is not the writable one, but not read-only", m.Address, g.Name)
			}
		}
	}
	return list
}

// silentFor is for how long an agent was not heard, 0 while that is no longer than a lease.
func (k *Keeper) silentFor(address string) time.Duration {
	if _, age, heard := k.presence.agent(address); heard && age > k.times.Lease {
		return age
	}
	return 0
}

// serverMute reports whether an agent says that its server does not answer it.
func (k *Keeper) serverMute(address string) bool {
	beat, _, heard := k.presence.agent(address)
	return heard && beat.Role == "" && beat.MySQL.Status != 1
}

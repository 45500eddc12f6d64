package keeper

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/zerokeeper/zero/fsm"
	"github.com/zerokeeper/zero/transport/api"
)

// groupMaintenance puts a host group into maintenance, or takes it out.
func (k *Keeper) groupMaintenance(ctx context.Context, c *call[api.GroupMaintenanceRequest]) (none, error) {
	if err := k.leads(); err != nil {
		return none{}, err
	}
	if c.body.ForMS < 0 || c.body.ForMS > (366*24*time.Hour).Milliseconds() {
		return none{}, api.Errorf(api.BadRequest, "forMs %d: want up to a year", c.body.ForMS)
	}
	_, err := k.propose(ctx, c.req, &fsm.SetMaintenance{
		Group: c.body.HostGroup, On: c.body.On, By: c.who.ID, Reason: c.body.Reason, For: c.body.ForMS * int64(time.Millisecond),
	})
	if err == nil {
		k.log.Info("maintenance", "group", c.body.HostGroup, "on", c.body.On, "by", c.who.ID, "reason", c.body.Reason)
	}
	return none{}, err
}

// brakeSet puts the brake on, or takes it off.
func (k *Keeper) brakeSet(ctx context.Context, c *call[api.BrakeRequest]) (none, error) {
	if err := k.leads(); err != nil {
		return none{}, err
	}
	_, err := k.propose(ctx, c.req, &fsm.SetBrake{On: c.body.On, By: c.who.ID, Reason: c.body.Reason})
	if err == nil {
		k.log.Warn("brake", "on", c.body.On, "by", c.who.ID, "reason", c.body.Reason)
	}
	return none{}, err
}

// switchAck records who took note of a switch.
func (k *Keeper) switchAck(ctx context.Context, c *call[api.SwitchRef]) (none, error) {
	if err := k.leads(); err != nil {
		return none{}, err
	}
	_, err := k.propose(ctx, c.req, &fsm.AckSwitch{ID: c.body.ID, By: c.who.ID, Reason: c.body.Reason})
	if err == nil {
		k.log.Info("switch acknowledged", "switch", c.body.ID, "by", c.who.ID, "reason", c.body.Reason)
	}
	return none{}, err
}

// refusals remember, for each host group, the last switch that was refused
// before it began: it has no record. Only in memory, of this keeper.
type refusals struct {
	mu   sync.Mutex
	last map[string]api.Refused
}

// note keeps a refusal. What is not one, but an outcome that is not known or a
// keeper that does not lead, is not kept; nor that a switch is open already, which
// every proxy hears that saw the same.
func (r *refusals) note(state *fsm.State, at time.Time, request *fsm.RequestSwitch, err error) {
	code, msg := api.CodeOf(err)
	switch code {
	case api.SwitchInProgress, api.NotLeader, api.NoLeader, api.NotReady, api.OutcomeUnknown, api.Deadline, api.Cancelled, api.Busy, api.SessionGone:
		return
	}
	if state.Group(request.Group) == nil {
		return // names that nobody knows are not collected
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.last == nil {
		r.last = map[string]api.Refused{}
	}
	r.last[request.Group] = api.Refused{Time: at.UTC(), By: request.RequestedBy, Reason: request.Reason, Code: code, Error: msg}
}

func (r *refusals) of(group string) *api.Refused {
	r.mu.Lock()
	defer r.mu.Unlock()
	if last, ok := r.last[group]; ok {
		return &last
	}
	return nil
}

// viewHold is a hold while it counts, nil otherwise.
func viewHold(h fsm.Hold, now time.Time) *api.Hold {
	if !h.Active(now.UnixNano()) {
		return nil
	}
	view := &api.Hold{By: h.By, Reason: h.Reason, Since: unixTime(h.Since)}
	if h.Until != 0 {
		until := unixTime(h.Until)
		view.Until = &until
	}
	return view
}

func viewPending(g *fsm.HostGroup, now time.Time) *api.PendingAck {
	id, until := g.AckPending(now.UnixNano())
	if id == "" {
		return nil
	}
	return &api.PendingAck{Switch: id, Until: unixTime(until)}
}

// viewHeld adds what keeps a group from being switched by itself.
func (k *Keeper) viewHeld(view *api.Group, state *fsm.State, g *fsm.HostGroup) {
	now := k.cfg.Now()
	view.Maintenance, view.Brake = viewHold(g.Maintenance, now), viewHold(state.Brake(), now)
	view.AckPending, view.CooldownLeftMS = viewPending(g, now), g.CooldownLeft(now.UnixNano()).Milliseconds()
}

// viewDetail is everything about one group.
func (k *Keeper) viewDetail(state *fsm.State, g *fsm.HostGroup) *api.GroupDetail {
	view := &api.GroupDetail{Settings: viewSettings(g.Settings), Refused: k.refusals.of(g.Name), Proxies: []api.Proxy{}, Agents: []api.Agent{}}
	for id, into := range map[string]**api.Switch{g.OpenSwitch: &view.Open, g.LastSwitch: &view.Last} {
		if s := state.Switch(id); s != nil {
			one := k.viewSwitch(state, s)
			*into = &one
		}
	}
	for _, p := range k.viewProxies(state) {
		if p.Cluster == g.Cluster {
			view.Proxies = append(view.Proxies, p)
		}
	}
	for _, a := range k.viewAgents(state) {
		if slices.Contains(g.Datasources, a.Address) {
			view.Agents = append(view.Agents, a)
		}
	}
	return view
}

func viewSettings(s fsm.Settings) api.GroupSettings {
	ms := func(nanos int64) int64 { return time.Duration(nanos).Milliseconds() }
	policy := s.Policy
	if policy == "" {
		policy = fsm.PolicyLossless
	}
	return api.GroupSettings{
		EnableSwitch: s.EnableSwitch, AutoFailover: s.AutoFailover, Policy: policy, NeedVote: s.NeedVote, VoteRatio: s.VoteRatio, Probes: s.Probes,
		NeedLoadCheck: s.NeedLoadCheck, SafeLoad: float64(s.SafeLoad) / 1000, NeedBinlogCheck: s.NeedBinlogCheck, SafeBinlogDelay: s.SafeBinlogDelay,
		BinlogWaitMS: ms(s.BinlogWait), FrequencyMS: ms(s.Cooldown), DrainTimeoutMS: ms(s.DrainTimeout), FenceTimeoutMS: ms(s.FenceTimeout),
		AutoAckAfterMS: ms(s.AckAfter), SafeLagMS: ms(s.SafeLag), Prefer: s.Prefer, Never: s.Never,
	}
}

// viewNight adds what an operator did and was told, and what became of hooks.
func (k *Keeper) viewNight(view *api.Switch, state *fsm.State, s *fsm.Switch) {
	view.Warnings = s.Warnings
	if s.Acked.By != "" {
		view.Ack = &api.Ack{By: s.Acked.By, Reason: s.Acked.Reason, Time: unixTime(s.Acked.Time)}
	}
	if g := state.Group(s.Group); g != nil && g.Pending.Switch == s.ID {
		view.AckPending = viewPending(g, k.cfg.Now())
	}
	for _, h := range s.Hooks {
		view.Hooks = append(view.Hooks, api.SwitchHook{
			Hook: h.Hook, Event: h.Event, OK: h.OK, Note: h.Note, Keeper: h.Keeper, Time: unixTime(h.Time), TookMS: milliseconds(h.Took), Tries: h.Tries,
		})
	}
}

// heldProblems are what keeps groups from being switched by themselves: an
// operator should know of each.
func (k *Keeper) heldProblems(state *fsm.State, add func(format string, args ...any)) {
	now := k.cfg.Now()
	if brake := state.Brake(); brake.Active(now.UnixNano()) {
		add("THE BRAKE IS ON, %s: nothing is switched by itself in the whole cluster", brake)
	}
	for _, g := range state.Groups() {
		if g.Maintenance.Active(now.UnixNano()) {
			add("host group %s is in maintenance, %s", g.Name, g.Maintenance)
		}
		if id, until := g.AckPending(now.UnixNano()); id != "" {
			add("failover %s of host group %s is not acknowledged: the next one by itself waits for `zeroctl switch ack %s`, or until %s", id, g.Name, id, unixTime(until).Format(time.RFC3339))
		}
	}
}

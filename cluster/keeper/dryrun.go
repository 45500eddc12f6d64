package keeper

import (
	"cmp"
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/zerokeeper/zero/fsm"
	"github.com/zerokeeper/zero/transport/api"
)

// operatorRequest is the command that an operator's SwitchStartRequest asks for.
func (k *Keeper) operatorRequest(state *fsm.State, who string, body api.SwitchStartRequest) *fsm.RequestSwitch {
	from := 0
	if body.FromIndex != nil {
		from = *body.FromIndex
	} else if g := state.Group(body.HostGroup); g != nil {
		from = g.Writable
	}
	return &fsm.RequestSwitch{
		Group: body.HostGroup, From: from, To: body.ToIndex, Kind: cmp.Or(body.Kind, fsm.KindPlanned), Policy: body.Policy,
		Reason: body.Reason, RequestedBy: "operator " + who, ByOperator: true,
	}
}

// choosing settles where the choice of a failover's new primary stands, when it
// was left to the keeper.
func (k *Keeper) choosing(state *fsm.State, request *fsm.RequestSwitch) error {
	if request.To != api.AnyIndex || request.Kind != fsm.KindFailover {
		return nil
	}
	g := state.Group(request.Group)
	if g == nil || g.Removed {
		return api.Errorf(api.KeyMissing, "no host group %q", request.Group)
	}
	to, err := k.provisional(g)
	if err != nil {
		return err
	}
	request.To, request.Any = to, true
	return nil
}

// switchDryRun examines what a switch would find, and leaves nothing behind: no
// generation is spent, no record written, no cooldown begun, and what is asked of
// agents are questions that change nothing.
func (k *Keeper) switchDryRun(ctx context.Context, c *call[api.SwitchStartRequest]) (api.SwitchDryRunAnswer, error) {
	if err := k.leads(); err != nil {
		return api.SwitchDryRunAnswer{}, err
	}
	if c.body.Reason == "" {
		return api.SwitchDryRunAnswer{}, api.Errorf(api.BadRequest, "a switch needs a reason: it is what the others will read")
	}
	state, err := k.cfg.Store.Linearizable(ctx)
	if err != nil {
		return api.SwitchDryRunAnswer{}, err
	}
	request := k.operatorRequest(state, c.who.ID, c.body)
	answer := api.SwitchDryRunAnswer{HostGroup: request.Group, Kind: request.Kind, FromIndex: request.From, ToIndex: request.To, Checks: []api.Check{}}
	g := state.Group(request.Group)
	if g == nil || g.Removed {
		return api.SwitchDryRunAnswer{}, api.Errorf(api.KeyMissing, "no host group %q: `zeroctl group list` shows them", request.Group)
	}
	answer.From = addressAt(g, request.From)
	if request.Kind == fsm.KindFailover {
		answer.Candidates = k.viewCandidates(g)
	}
	refuse := func(err error) (api.SwitchDryRunAnswer, error) {
		answer.Code, answer.Error = api.CodeOf(err)
		return answer, nil
	}
	if err := k.choosing(state, request); err != nil {
		return refuse(err)
	}
	now := k.cfg.Now().UnixNano()
	answer.ToIndex, answer.To = request.To, addressAt(g, request.To)
	answer.Automatic = k.wouldRefuse(state, request, now)
	answer.VoteRule, answer.VoteAuto = "skipped: operator", k.votesNeeded(state, g)
	s, refusal := state.Preview(request, now)
	if refusal != nil {
		return refuse(&api.Error{Code: api.Code(refusal.Code), Msg: refusal.Msg})
	}
	answer.Policy, answer.Warnings = s.Policy, s.Warnings
	if names := k.vetoes(); len(names) > 0 {
		answer.Warnings = append(answer.Warnings, "not asked in a dry run: the hooks that may say no, "+strings.Join(names, ", "))
	}
	d := &driver{Keeper: k, term: k.term.Load(), id: s.ID}
	out := d.preflight(ctx, s)
	for _, check := range out.Checks {
		answer.Checks = append(answer.Checks, api.Check(check))
	}
	if answer.Would = out.to == fsm.StateVoting; !answer.Would {
		answer.Code, answer.Error = api.Code(out.Code), out.Error
	}
	return answer, nil
}

func addressAt(g *fsm.HostGroup, index int) string {
	if index < 0 || index >= len(g.Datasources) {
		return ""
	}
	return g.Datasources[index]
}

// wouldRefuse is why a failover that nobody asked for would be refused now.
func (k *Keeper) wouldRefuse(state *fsm.State, request *fsm.RequestSwitch, now int64) string {
	auto := *request
	auto.Kind, auto.ByOperator, auto.Policy, auto.RequestedBy = fsm.KindFailover, false, "", "detector"
	if _, refusal := state.Preview(&auto, now); refusal != nil {
		return refusal.Msg
	}
	return ""
}

// votesNeeded is what the voting needs of a switch that nobody asked for.
func (k *Keeper) votesNeeded(state *fsm.State, g *fsm.HostGroup) string {
	if !g.Settings.NeedVote {
		return "none: need_vote is false"
	}
	listed := 0
	for _, p := range state.Proxies(g.Cluster) {
		if p.Status != fsm.StatusUnreg {
			listed++
		}
	}
	return fmt.Sprintf("more than %d%% of %d proxies, or all", g.Settings.VoteRatio, listed)
}

// viewCandidates are those that a failover may choose from, as things stand.
func (k *Keeper) viewCandidates(g *fsm.HostGroup) []api.SwitchCandidate {
	list := k.contenders(g)
	found, err := choose(list, fsm.PolicyAvailable)
	views := make([]api.SwitchCandidate, len(list))
	for i, c := range list {
		views[i] = api.SwitchCandidate{
			Address: c.address, Chosen: err == nil && found.address == c.address, Received: c.received, Applied: c.applied,
			BehindMS: behindMS(c.behind), Zone: c.zone, Excluded: c.excluded,
		}
	}
	return views
}

func behindMS(d time.Duration) int64 {
	if d < 0 {
		return -1
	}
	return d.Milliseconds()
}

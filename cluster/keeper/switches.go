package keeper

import (
	"cmp"
	"context"
	"slices"

	"github.com/zerokeeper/zero/fsm"
	"github.com/zerokeeper/zero/transport/api"
	"github.com/zerokeeper/zero/transport/wire"
)

// ClusterDatasourcesSwitchProcessor asks for a switch of the writable
// datasource. The answer comes when the switch is over, as in the original;
// with "wait": false when it was accepted. Its id is in the answer's metadata.
func (k *Keeper) ClusterDatasourcesSwitchProcessor(ctx context.Context, c *call[api.ClusterDatasourcesSwitchRequest]) (none, error) {
	byOperator := c.who.Role == api.RoleOperator
	if g := k.cfg.Store.State().Group(c.body.HostGroup); !byOperator && g != nil && g.Cluster != c.who.Hello.Cluster {
		return none{}, api.Errorf(api.Forbidden, "host group %s belongs to cluster %s, the proxy %s to %s", g.Name, g.Cluster, c.who.ID, c.who.Hello.Cluster)
	}
	kind := c.body.Kind
	if kind == "" {
		kind = k.usualKind(c.body.HostGroup, byOperator)
	}
	request := &fsm.RequestSwitch{
		Group: c.body.HostGroup, From: c.body.FromIndex, To: c.body.ToIndex, Kind: kind,
		Reason: c.body.Reason, RequestedBy: c.who.Role + " " + c.who.ID, ByOperator: byOperator,
	}
	if err := k.refuted(request); err != nil {
		return none{}, err
	}
	id, err := k.requestSwitch(ctx, c.req, request)
	if err != nil {
		return none{}, err
	}
	c.meta = c.meta.With(api.MetaSwitchID, id)
	if c.body.Wait != nil && !*c.body.Wait {
		return none{}, nil
	}
	s, err := k.awaitSwitch(ctx, id)
	if err != nil {
		return none{}, err
	}
	if s.State != fsm.StateDone {
		return none{}, api.Errorf(api.Code(s.Code), "switch %s was rolled back: %s", id, s.Error)
	}
	return none{}, nil
}

// usualKind is what one asks for who does not say so: a proxy that knows only the
// seed asks because its probes failed. If the primary's agent does not say that
// its server is alive, that is a failover.
func (k *Keeper) usualKind(group string, byOperator bool) string {
	state := k.cfg.Store.State()
	g := state.Group(group)
	if byOperator || g == nil || g.Removed || !g.Settings.AutoFailover {
		return fsm.KindPlanned
	}
	if e := k.evidenceOf(state, g); e.dead == 0 && e.silent <= e.lease && !e.hangs() {
		return fsm.KindPlanned
	}
	return fsm.KindFailover
}

// refuted is why a failover that a proxy asks for would not pass the preflight: the primary is not gone. It is
// refused without a record. Proxies ask again and again for as long as a server hangs, and each
// record would spend a generation, push others out of the list and be a page for every hook.
func (k *Keeper) refuted(request *fsm.RequestSwitch) error {
	state := k.cfg.Store.State()
	g := state.Group(request.Group)
	if request.ByOperator || request.Kind != fsm.KindFailover || g == nil || g.Removed || g.OpenSwitch != "" || k.leads() != nil {
		return nil // whoever comes next says so
	}
	gone, why := k.evidenceOf(state, g).gone()
	if gone {
		return nil
	}
	asked := *request
	if err := k.choosing(state, &asked); err != nil {
		return nil
	}
	if _, refusal := state.Preview(&asked, k.cfg.Now().UnixNano()); refusal != nil {
		return nil // for another reason, which does not pass by itself
	}
	err := api.Errorf(api.PrimaryAlive, "%s is not gone: %s", g.Datasources[g.Writable], why)
	k.refusals.note(state, k.cfg.Now(), request, err)
	return err
}

// requestSwitch opens a switch and starts to drive it.
func (k *Keeper) requestSwitch(ctx context.Context, req *wire.Request, request *fsm.RequestSwitch) (string, error) {
	if err := k.leads(); err != nil {
		return "", err
	}
	if request.Reason == "" {
		return "", api.Errorf(api.BadRequest, "a switch needs a reason: it is what the others will read")
	}
	if err := k.choosing(k.cfg.Store.State(), request); err != nil {
		k.refusals.note(k.cfg.Store.State(), k.cfg.Now(), request, err)
		return "", err
	}
	result, err := k.propose(ctx, req, request)
	if err != nil {
		k.refusals.note(k.cfg.Store.State(), k.cfg.Now(), request, err)
		return "", err
	}
	id := string(result.Data)
	k.log.Info("switch requested", "switch", id, "group", request.Group, "from", request.From, "to", request.To, "by", request.RequestedBy, "reason", request.Reason)
	k.startDriver(id)
	return id, nil
}

// awaitSwitch waits until a switch is over. When ctx ends first the outcome is
// unknown.
func (k *Keeper) awaitSwitch(ctx context.Context, id string) (*fsm.Switch, error) {
	for {
		changed := k.cfg.Store.Changed()
		s := k.cfg.Store.State().Switch(id)
		if s == nil {
			return nil, api.Errorf(api.KeyMissing, "no switch %s", id)
		}
		if !s.IsOpen() {
			return s, nil
		}
		select {
		case <-ctx.Done():
			return nil, api.Errorf(api.OutcomeUnknown, "switch %s is in %s: its outcome is not known yet", id, s.State)
		case <-changed:
		}
	}
}

func (k *Keeper) switchStart(ctx context.Context, c *call[api.SwitchStartRequest]) (api.SwitchStarted, error) {
	if err := k.leads(); err != nil {
		return api.SwitchStarted{}, err
	}
	id, err := k.requestSwitch(ctx, c.req, k.operatorRequest(k.cfg.Store.State(), c.who.ID, c.body))
	if err != nil {
		return api.SwitchStarted{}, err
	}
	started := api.SwitchStarted{ID: id}
	if s := k.cfg.Store.State().Switch(id); s != nil {
		started.Generation = s.Generation
	}
	return started, nil
}

func (k *Keeper) switchAbort(ctx context.Context, c *call[api.SwitchRef]) (none, error) {
	if err := k.leads(); err != nil {
		return none{}, err
	}
	_, err := k.propose(ctx, c.req, &fsm.AbortSwitch{ID: c.body.ID, Reason: c.body.Reason})
	if err == nil {
		k.log.Info("switch is to be aborted", "switch", c.body.ID, "by", c.who.ID, "reason", c.body.Reason)
	}
	return none{}, err
}

func (k *Keeper) switchList(ctx context.Context, c *call[api.SwitchListRequest]) (api.SwitchListAnswer, error) {
	state, err := read(ctx, k, c)
	if err != nil {
		return api.SwitchListAnswer{}, err
	}
	rows := slices.DeleteFunc(state.Switches(), func(s *fsm.Switch) bool {
		return c.body.HostGroup != "" && s.Group != c.body.HostGroup
	})
	slices.SortFunc(rows, func(a, b *fsm.Switch) int { return cmp.Compare(b.Number, a.Number) })
	rows, next, err := page(rows, c.body.Page, func(s *fsm.Switch) string { return s.ID })
	if err != nil {
		return api.SwitchListAnswer{}, err
	}
	answer := api.SwitchListAnswer{Switches: []api.Switch{}, Next: next}
	for _, s := range rows {
		answer.Switches = append(answer.Switches, k.viewSwitch(state, s))
	}
	return answer, nil
}

func (k *Keeper) switchShow(ctx context.Context, c *call[api.SwitchRef]) (api.Switch, error) {
	state, err := read(ctx, k, c)
	if err != nil {
		return api.Switch{}, err
	}
	s := state.Switch(c.body.ID)
	if s == nil {
		return api.Switch{}, api.Errorf(api.KeyMissing, "no switch %q: `zeroctl switch list` shows them", c.body.ID)
	}
	return k.viewSwitch(state, s), nil
}

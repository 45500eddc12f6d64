package keeper

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/zerokeeper/zero/fsm"
	"github.com/zerokeeper/zero/transport/api"
	"github.com/zerokeeper/zero/transport/conf"
	"github.com/zerokeeper/zero/transport/wire"
)

// ConfigFetchProcessor answers the live configuration of the caller's cluster,
// its version beside it.
func (k *Keeper) ConfigFetchProcessor(ctx context.Context, c *call[api.ConfigFetchRequest]) (text, error) {
	state, err := read(ctx, k, c)
	if err != nil {
		return "", err
	}
	cluster := c.body.ClusterName
	if cluster == "" {
		cluster = c.who.Hello.Cluster
	}
	live := state.LiveConfig(cluster)
	if live == nil {
		return "", api.Errorf(api.KeyMissing, "no configuration was published for cluster %q: use `zeroctl config push`", cluster)
	}
	c.meta = c.meta.With(api.MetaConfigID, live.ConfigID)
	return text(live.Content), nil
}

// configPush checks a configuration whole, makes it the live one and waits for
// the proxies to take it. When one refuses it and push_when_fail is off, the
// version before becomes live again, as a new version.
func (k *Keeper) configPush(ctx context.Context, c *call[api.ConfigPushRequest]) (api.ConfigPushAnswer, error) {
	if err := k.leads(); err != nil {
		return api.ConfigPushAnswer{}, err
	}
	parsed, err := conf.Parse([]byte(c.body.Content), conf.Options{Dev: k.cfg.Dev})
	if err != nil {
		return api.ConfigPushAnswer{}, &api.Error{Code: api.ConfigCheck, Msg: err.Error()}
	}
	cluster := parsed.Name
	state, err := k.cfg.Store.Linearizable(ctx)
	if err != nil {
		return api.ConfigPushAnswer{}, err
	}
	result, again, err := k.replied(state, c.req)
	var warnings []string
	if err == nil && !again {
		if warnings, err = warningsOf(parsed, state); err != nil {
			return api.ConfigPushAnswer{}, err
		}
		result, err = k.publish(ctx, c.req, state, &fsm.PublishConfig{
			Cluster: cluster, Content: []byte(c.body.Content), Author: c.who.ID, Comment: c.body.Comment, Groups: groupSpecs(parsed),
		}, c.body.Edit, c.body.Expect)
	}
	if err != nil {
		return api.ConfigPushAnswer{}, err
	}
	answer := api.ConfigPushAnswer{ConfigID: string(result.Data), Cluster: cluster, Warnings: warnings}
	answer.Proxies = k.deliver(ctx, cluster, answer.ConfigID, "", c.body.WaitMS)
	if parsed.PushWhenFail || !slices.ContainsFunc(answer.Proxies, func(a api.ProxyAck) bool { return a.Error != "" }) {
		return answer, nil
	}
	if before := k.before(cluster, answer.ConfigID); before != nil {
		undone, err := k.rollBackTo(ctx, &wire.Request{Name: c.req.Name}, before, c.who.ID, "a proxy refused "+answer.ConfigID, c.body.WaitMS)
		if err != nil {
			k.log.Error("a refused configuration could not be rolled back", "cluster", cluster, "config", answer.ConfigID, "error", err)
			return answer, nil
		}
		answer.RolledBack = undone.ConfigID
	}
	return answer, nil
}

// publish gives the version its number and proposes it.
func (k *Keeper) publish(ctx context.Context, req *wire.Request, state *fsm.State, p *fsm.PublishConfig, edit bool, expect string) (fsm.Result, error) {
	version := conf.Version{}
	if live := state.LiveConfig(p.Cluster); live != nil {
		v, err := conf.ParseVersion(live.ConfigID)
		if err != nil {
			return fsm.Result{}, api.Errorf(api.DataRead, "the live version of cluster %s: %v", p.Cluster, err)
		}
		version, p.Previous = v, live.ConfigID
	}
	if expect != "" && expect != p.Previous {
		return fsm.Result{}, api.Errorf(api.StaleGeneration, "the live version of cluster %s is %q, not %q: look at it and push again", p.Cluster, p.Previous, expect)
	}
	if edit && p.Previous != "" {
		p.ConfigID = version.NextEdit().String()
	} else {
		p.ConfigID = version.NextFull().String()
	}
	p.Digest = conf.Digest(p.Content)
	result, err := k.propose(ctx, req, p)
	if err == nil {
		k.log.Info("configuration published", "cluster", p.Cluster, "config", p.ConfigID, "replaces", p.Previous, "of", p.Of, "author", p.Author)
	}
	return result, err
}

// configRollback publishes the content of an older version as a new one. It
// never moves a writable datasource.
func (k *Keeper) configRollback(ctx context.Context, c *call[api.ConfigRollbackRequest]) (api.ConfigPushAnswer, error) {
	if err := k.leads(); err != nil {
		return api.ConfigPushAnswer{}, err
	}
	state, err := k.cfg.Store.Linearizable(ctx)
	if err != nil {
		return api.ConfigPushAnswer{}, err
	}
	cluster, err := onlyCluster(state, c.body.Cluster)
	if err != nil {
		return api.ConfigPushAnswer{}, err
	}
	if result, again, err := k.replied(state, c.req); again || err != nil {
		if err != nil {
			return api.ConfigPushAnswer{}, err
		}
		id := string(result.Data)
		return api.ConfigPushAnswer{ConfigID: id, Cluster: cluster, Proxies: k.deliver(ctx, cluster, id, "", c.body.WaitMS)}, nil
	}
	var target *fsm.Config
	if c.body.ConfigID == "" {
		if live := state.LiveConfig(cluster); live != nil {
			target = k.before(cluster, live.ConfigID)
		}
	} else {
		target = configOf(state, cluster, c.body.ConfigID)
	}
	if target == nil {
		return api.ConfigPushAnswer{}, api.Errorf(api.KeyMissing, "cluster %s has no version %q to return to: `zeroctl config list` shows them", cluster, c.body.ConfigID)
	}
	return k.rollBackTo(ctx, c.req, target, c.who.ID, c.body.Comment, c.body.WaitMS)
}

func (k *Keeper) rollBackTo(ctx context.Context, req *wire.Request, target *fsm.Config, author, comment string, waitMS int64) (api.ConfigPushAnswer, error) {
	parsed, err := conf.Parse(target.Content, conf.Options{Dev: k.cfg.Dev})
	if err != nil {
		return api.ConfigPushAnswer{}, &api.Error{Code: api.ConfigCheck, Msg: err.Error()}
	}
	state := k.cfg.Store.State()
	warnings, err := warningsOf(parsed, state)
	if err != nil {
		return api.ConfigPushAnswer{}, err
	}
	result, err := k.publish(ctx, req, state, &fsm.PublishConfig{
		Cluster: target.Cluster, Content: target.Content, Author: author, Comment: comment, Of: target.ConfigID, Groups: groupSpecs(parsed),
	}, false, "")
	if err != nil {
		return api.ConfigPushAnswer{}, err
	}
	answer := api.ConfigPushAnswer{ConfigID: string(result.Data), Cluster: target.Cluster, Warnings: warnings}
	answer.Proxies = k.deliver(ctx, target.Cluster, answer.ConfigID, target.ConfigID, waitMS)
	return answer, nil
}

// before is the version before that one, nil when there is none.
func (k *Keeper) before(cluster, id string) *fsm.Config {
	versions := k.cfg.Store.State().Configs(cluster)
	i := slices.IndexFunc(versions, func(v *fsm.Config) bool { return v.ConfigID == id })
	if i < 1 {
		return nil
	}
	return versions[i-1]
}

func configOf(state *fsm.State, cluster, id string) *fsm.Config {
	for _, v := range state.Configs(cluster) {
		if v.ConfigID == id {
			return v
		}
	}
	return nil
}

// onlyCluster is the cluster that is meant when none was named.
func onlyCluster(state *fsm.State, name string) (string, error) {
	if name != "" {
		return name, nil
	}
	var names []string
	for _, v := range state.Configs("") {
		if !slices.Contains(names, v.Cluster) {
			names = append(names, v.Cluster)
		}
	}
	switch len(names) {
	case 0:
		return "", api.Errorf(api.KeyMissing, "no configuration was published yet: use `zeroctl config push`")
	case 1:
		return names[0], nil
	}
	return "", api.Errorf(api.BadRequest, "there are the clusters %v: name one", names)
}

func (k *Keeper) configList(ctx context.Context, c *call[api.ConfigListRequest]) (api.ConfigListAnswer, error) {
	state, err := read(ctx, k, c)
	if err != nil {
		return api.ConfigListAnswer{}, err
	}
	var infos []api.ConfigInfo
	for _, v := range slices.Backward(state.Configs(c.body.Cluster)) {
		infos = append(infos, configInfo(state, v))
	}
	infos, next, err := page(infos, c.body.Page, func(i api.ConfigInfo) string { return i.Cluster + "/" + i.ConfigID })
	return api.ConfigListAnswer{Configs: infos, Next: next}, err
}

func (k *Keeper) configShow(ctx context.Context, c *call[api.ConfigShowRequest]) (api.ConfigShowAnswer, error) {
	state, err := read(ctx, k, c)
	if err != nil {
		return api.ConfigShowAnswer{}, err
	}
	cluster, err := onlyCluster(state, c.body.Cluster)
	if err != nil {
		return api.ConfigShowAnswer{}, err
	}
	v := state.LiveConfig(cluster)
	if c.body.ConfigID != "" {
		v = configOf(state, cluster, c.body.ConfigID)
	}
	if v == nil {
		return api.ConfigShowAnswer{}, api.Errorf(api.KeyMissing, "cluster %s has no version %q: `zeroctl config list` shows them", cluster, c.body.ConfigID)
	}
	return api.ConfigShowAnswer{ConfigInfo: configInfo(state, v), Content: string(v.Content), Proxies: acks(state, cluster, v.ConfigID)}, nil
}

func configInfo(state *fsm.State, v *fsm.Config) api.ConfigInfo {
	live := state.LiveConfig(v.Cluster)
	return api.ConfigInfo{
		Cluster: v.Cluster, ConfigID: v.ConfigID, Live: live != nil && live.ConfigID == v.ConfigID, Time: unixTime(v.Time),
		Author: v.Author, Comment: v.Comment, Digest: v.Digest, Of: v.Of, Size: len(v.Content),
	}
}

// acks is which proxies of a cluster run that version.
func acks(state *fsm.State, cluster, id string) []api.ProxyAck {
	list := []api.ProxyAck{}
	for _, p := range state.Proxies(cluster) {
		if p.Status != fsm.StatusUnreg {
			list = append(list, api.ProxyAck{ID: p.ID, Applied: p.ConfVersion == id, Error: p.ConfError})
		}
	}
	return list
}

// groupSpecs is what the state machine needs of a configuration.
func groupSpecs(parsed *conf.Config) []fsm.GroupSpec {
	specs := make([]fsm.GroupSpec, 0, len(parsed.HostGroups))
	for i := range parsed.HostGroups {
		g := &parsed.HostGroups[i]
		specs = append(specs, fsm.GroupSpec{Name: g.Name, Datasources: g.Addresses(), ActiveWrite: g.ActiveWrite, Settings: settings(parsed, g)})
	}
	return specs
}

func settings(parsed *conf.Config, g *conf.HostGroup) fsm.Settings {
	s := g.Switch
	return fsm.Settings{
		EnableSwitch: g.EnableSwitch, NeedVote: s.NeedVote, VoteRatio: s.VoteApproveRatio,
		NeedLoadCheck: s.NeedLoadCheck, SafeLoad: int64(s.SafeLoad * 1000),
		NeedBinlogCheck: s.NeedBinlogCheck, SafeBinlogDelay: s.SafeBinlogDelay, BinlogWait: int64(s.BinlogWaitTime),
		Cooldown: int64(s.Frequency), DrainTimeout: int64(s.DrainTimeout), FenceTimeout: int64(s.FenceTimeout),
		PushWhenFail: parsed.PushWhenFail,
	}
}

// warningsOf is what the pusher should know of a configuration that is
// accepted: its own warnings, and what becomes of the writable datasources. An
// error is why the configuration cannot be accepted as things stand.
func warningsOf(parsed *conf.Config, state *fsm.State) ([]string, error) {
	var warnings []string
	for _, w := range parsed.Warnings {
		warnings = append(warnings, w.String())
	}
	for i := range parsed.HostGroups {
		g := &parsed.HostGroups[i]
		row := state.Group(g.Name)
		if row == nil || row.Removed {
			continue
		}
		_, more, err := conf.Remap(row.Datasources, row.Writable, row.OpenSwitch != "", g.Addresses(), g.GivenActive())
		switch {
		case errors.Is(err, conf.ErrSwitchInProgress):
			return nil, api.Errorf(api.SwitchInProgress, "host group %s: %v", g.Name, err)
		case err != nil:
			return nil, api.Errorf(api.ConfigCheck, "host group %s: %v", g.Name, err)
		}
		for _, w := range more {
			warnings = append(warnings, "host group "+g.Name+": "+w)
		}
	}
	return warnings, nil
}

// waitFor bounds a wait that a request named in milliseconds.
func waitFor(ms int64) time.Duration {
	switch wait := time.Duration(ms) * time.Millisecond; {
	case wait <= 0:
		return 10 * time.Second
	case wait > 10*time.Minute:
		return 10 * time.Minute
	default:
		return wait
	}
}

package keeper

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/zerokeeper/zero/fsm"
	"github.com/zerokeeper/zero/transport/api"
	"github.com/zerokeeper/zero/transport/conf"
	"github.com/zerokeeper/zero/transport/wire"
)

// edition is a version that is about to be published.
type edition struct {
	parsed  *conf.Config
	content []byte
	author  string
	comment string
	of      string // the version whose content it is
	edit    bool   // a single edit: the version's last digit rises
	expect  string // refuse unless this is the live version; empty: any
}

// editionOf is the content of an older version once more.
func (k *Keeper) editionOf(target *fsm.Config, author, comment string) (edition, error) {
	parsed, err := conf.Parse(target.Content, conf.Options{Dev: k.cfg.Dev})
	if err != nil {
		return edition{}, &api.Error{Code: api.ConfigCheck, Msg: err.Error()}
	}
	return edition{parsed: parsed, content: target.Content, author: author, comment: comment, of: target.ConfigID}, nil
}

// publish makes a configuration the live one, once for every session and
// sequence, and returns its version. draft is given the newest state;
// versions are published one after the other.
func (k *Keeper) publish(ctx context.Context, req *wire.Request, draft func(*fsm.State) (edition, error)) (id string, warnings []string, err error) {
	select {
	case k.publishing <- struct{}{}:
		defer func() { <-k.publishing }()
	case <-ctx.Done():
		return "", nil, api.Errorf(api.Deadline, "another configuration is being published: %v", ctx.Err())
	}
	state, err := k.cfg.Store.Linearizable(ctx)
	if err != nil {
		return "", nil, err
	}
	e, err := draft(state)
	result, again, replyErr := k.replied(state, req)
	if replyErr != nil {
		return "", nil, notBusy(result, replyErr)
	}
	if err == nil {
		warnings, err = warningsOf(e.parsed, state)
	}
	if again { // it is published: nothing can be wrong with it any more
		return string(result.Data), warnings, nil
	}
	if err != nil {
		return "", nil, err
	}
	p, err := e.command(state)
	if err != nil {
		return "", nil, err
	}
	result, err = k.propose(ctx, req, p)
	if err != nil {
		return "", nil, notBusy(result, err)
	}
	k.log.Info("configuration published", "cluster", p.Cluster, "config", p.ConfigID, "replaces", p.Previous, "of", p.Of, "author", p.Author)
	return string(result.Data), warnings, nil
}

// notBusy turns the state machine's refusal of a version that was published
// meanwhile into one that clients do not try again: it stays refused.
func notBusy(result fsm.Result, err error) error {
	if result.Code == fsm.CodeBusy {
		return &api.Error{Code: api.StaleGeneration, Msg: result.Msg}
	}
	return err
}

// command gives the edition its number.
func (e *edition) command(state *fsm.State) (*fsm.PublishConfig, error) {
	p := &fsm.PublishConfig{
		Cluster: e.parsed.Name, Content: e.content, Digest: conf.Digest(e.content), Author: e.author, Comment: e.comment, Of: e.of, Groups: groupSpecs(e.parsed),
	}
	version := conf.Version{}
	if live := state.LiveConfig(p.Cluster); live != nil {
		v, err := conf.ParseVersion(live.ConfigID)
		if err != nil {
			return nil, api.Errorf(api.DataRead, "the live version of cluster %s: %v", p.Cluster, err)
		}
		version, p.Previous = v, live.ConfigID
	}
	if e.expect != "" && e.expect != p.Previous {
		return nil, api.Errorf(api.StaleGeneration, "the live version of cluster %s is %q, not %q: look at it and push again", p.Cluster, p.Previous, e.expect)
	}
	if p.ConfigID = version.NextFull().String(); e.edit && p.Previous != "" {
		p.ConfigID = version.NextEdit().String()
	}
	return p, nil
}

// spread gives a version that was published to the proxies. With undo the
// version before replaces it as soon as one refused it, unless another was
// published meanwhile. Of one that is not live any more it only says what
// became of it.
func (k *Keeper) spread(ctx context.Context, term uint64, cluster, id, author string, waitMS int64, undo bool) api.ConfigPushAnswer {
	answer := api.ConfigPushAnswer{ConfigID: id, Cluster: cluster, Proxies: []api.ProxyAck{}}
	state := k.cfg.Store.State()
	version, live := configOf(state, cluster, id), state.LiveConfig(cluster)
	if version == nil || live == nil || live.ConfigID != id {
		answer.Proxies, answer.RolledBack = acks(state, cluster, id), undoneBy(state, cluster, id)
		return answer
	}
	refusedBy := ""
	for _, d := range k.deliver(ctx, term, cluster, id, version.Of, waitMS) {
		if answer.Proxies = append(answer.Proxies, d.ack); d.refused {
			refusedBy = d.ack.ID
		}
	}
	if refusedBy == "" || !undo || ctx.Err() != nil {
		return answer
	}
	undone, _, err := k.publish(ctx, &wire.Request{}, func(state *fsm.State) (edition, error) {
		target := before(state, cluster, id)
		if target == nil {
			return edition{}, api.Errorf(api.KeyMissing, "there is no version before %s", id)
		}
		e, err := k.editionOf(target, author, undoComment(id))
		e.expect = id
		return e, err
	})
	if err != nil {
		k.log.Error("a configuration that a proxy refused stays live: it could not be rolled back", "cluster", cluster, "config", id, "proxy", refusedBy, "error", err)
		answer.RolledBack = undoneBy(k.cfg.Store.State(), cluster, id)
		return answer
	}
	k.log.Warn("a configuration was rolled back: a proxy refused it", "cluster", cluster, "config", id, "proxy", refusedBy, "by", undone)
	answer.RolledBack = undone
	k.spread(ctx, term, cluster, undone, author, waitMS, false)
	return answer
}

// undoComment marks the version that replaces one that a proxy refused.
func undoComment(id string) string { return "a proxy refused " + id }

// undoneBy is the version that replaced one that a proxy refused; empty when
// there is none.
func undoneBy(state *fsm.State, cluster, id string) string {
	versions := state.Configs(cluster)
	i := slices.IndexFunc(versions, func(v *fsm.Config) bool { return v.ConfigID == id })
	if i >= 0 && i+1 < len(versions) && versions[i+1].Of != "" && versions[i+1].Comment == undoComment(id) {
		return versions[i+1].ConfigID
	}
	return ""
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
		AutoFailover: s.AutoFailover, Policy: s.Policy, Probes: s.PingCount, Prefer: commaList(s.Prefer), Never: commaList(s.Never),
		AckAfter: int64(s.AutoAckAfter), SafeLag: int64(s.SafeLag),
		Failsafe:  s.Failsafe,
		HungAfter: int64(s.HungAfter),
	}
}

func commaList(list string) []string {
	return slices.DeleteFunc(strings.Split(list, ","), func(s string) bool { return s == "" })
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

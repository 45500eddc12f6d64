package keeper

import (
	"context"
	"fmt"
	"slices"

	"github.com/zerokeeper/zero/fsm"
	"github.com/zerokeeper/zero/transport/api"
	"github.com/zerokeeper/zero/transport/conf"
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
	id, warnings, err := k.publish(ctx, c.req, func(*fsm.State) (edition, error) {
		return edition{
			parsed: parsed, content: []byte(c.body.Content), author: c.who.ID, comment: c.body.Comment,
			edit: c.body.Edit, expect: c.body.Expect,
		}, nil
	})
	if err != nil {
		return api.ConfigPushAnswer{}, err
	}
	answer, err := carryOn(ctx, k, func(ctx context.Context, term uint64) api.ConfigPushAnswer {
		return k.spread(ctx, term, parsed.Name, id, c.who.ID, c.body.WaitMS, !parsed.PushWhenFail)
	})
	answer.Warnings = warnings
	return answer, published(id, err)
}

// configRollback publishes the content of an older version as a new one. It
// never moves a writable datasource.
func (k *Keeper) configRollback(ctx context.Context, c *call[api.ConfigRollbackRequest]) (api.ConfigPushAnswer, error) {
	if err := k.leads(); err != nil {
		return api.ConfigPushAnswer{}, err
	}
	cluster := c.body.Cluster
	id, warnings, err := k.publish(ctx, c.req, func(state *fsm.State) (edition, error) {
		var err error
		if cluster, err = onlyCluster(state, c.body.Cluster); err != nil {
			return edition{}, err
		}
		target := configOf(state, cluster, c.body.ConfigID)
		if live := state.LiveConfig(cluster); c.body.ConfigID == "" && live != nil {
			target = before(state, cluster, live.ConfigID)
		}
		if target == nil {
			return edition{}, api.Errorf(api.KeyMissing, "cluster %s has no version %q to return to: `zeroctl config list` shows them", cluster, c.body.ConfigID)
		}
		return k.editionOf(target, c.who.ID, c.body.Comment)
	})
	if err != nil {
		return api.ConfigPushAnswer{}, err
	}
	answer, err := carryOn(ctx, k, func(ctx context.Context, term uint64) api.ConfigPushAnswer {
		return k.spread(ctx, term, cluster, id, c.who.ID, c.body.WaitMS, false)
	})
	answer.Warnings = warnings
	return answer, published(id, err)
}

// published says of an error that the version is live all the same.
func published(id string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("version %s is published, what the proxies made of it is not known: %w", id, err)
}

// before is the version before that one, nil when there is none.
func before(state *fsm.State, cluster, id string) *fsm.Config {
	versions := state.Configs(cluster)
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
	infos := []api.ConfigInfo{}
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

// acks is which proxies of a cluster run that version. What they refused is
// told of the live one only.
func acks(state *fsm.State, cluster, id string) []api.ProxyAck {
	list := []api.ProxyAck{}
	live := state.LiveConfig(cluster)
	for _, p := range state.Proxies(cluster) {
		if p.Status == fsm.StatusUnreg {
			continue
		}
		ack := api.ProxyAck{ID: p.ID, Applied: p.ConfVersion == id}
		if live != nil && live.ConfigID == id && !ack.Applied {
			ack.Error = p.ConfError
		}
		list = append(list, ack)
	}
	return list
}

package proxy

import (
	"context"
	"fmt"

	"github.com/zerokeeper/zero/proxy/gate"
	"github.com/zerokeeper/zero/proxy/mysql"
	"github.com/zerokeeper/zero/transport/api"
	"github.com/zerokeeper/zero/transport/conf"
	"github.com/zerokeeper/zero/transport/wire"
)

// PushConfigProcessor applies a configuration, whole or not at all, and keeps
// it on the disk before it answers.
func (p *Proxy) PushConfigProcessor(_ context.Context, _ *wire.Request, body api.PushConfigRequest) (any, error) {
	return nil, p.apply(version{body.ConfigID, body.Content})
}

// RollbackConfigProcessor returns to the configuration that was applied before
// the last push; one that names a version is refused unless it is that one.
func (p *Proxy) RollbackConfigProcessor(_ context.Context, _ *wire.Request, body api.RollbackConfigRequest) (any, error) {
	p.applying.Lock()
	before := p.kept.Previous
	p.applying.Unlock()
	if before == nil || (body.ConfigID != "" && before.ConfigID != body.ConfigID) {
		return nil, api.Errorf(api.NothingToUndo, "this proxy did not keep the configuration %q to return to", body.ConfigID)
	}
	back := *before
	if body.NewConfigID != "" {
		back.ConfigID = body.NewConfigID
	}
	return nil, p.apply(back)
}

// apply makes a configuration the live one. When it cannot be used, the one
// before stays and the reason goes with the next heartbeats.
func (p *Proxy) apply(v version) (err error) {
	p.applying.Lock()
	defer p.applying.Unlock()
	defer func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		if err != nil {
			p.confError, p.refused = err.Error(), v.ConfigID
		} else {
			p.confError, p.refused = "", ""
		}
		p.poke()
	}()
	if p.kept.Applied != nil && *p.kept.Applied == v {
		return nil
	}
	if err := p.load(v); err != nil {
		return err
	}
	next := kept{Cluster: p.cfg.Cluster, Applied: &v, Previous: p.kept.Applied}
	if err := p.store.saveConfigs(next); err != nil {
		return err
	}
	p.kept = next
	p.log.Info("configuration applied", "config", v.ConfigID)
	return nil
}

// load checks a configuration, resolves its secrets and puts it to work.
func (p *Proxy) load(v version) error {
	parsed, err := conf.Parse([]byte(v.Content), conf.Options{Dev: p.cfg.Dev})
	if err != nil {
		return &api.Error{Code: api.ConfigCheck, Msg: err.Error()}
	}
	if parsed.Name != p.cfg.Cluster {
		return api.Errorf(api.ConfigCheck, "the configuration is of cluster %q, this proxy of %q", parsed.Name, p.cfg.Cluster)
	}
	users, accounts, err := p.resolve(parsed)
	if err != nil {
		return &api.Error{Code: api.ConfigCheck, Msg: err.Error()}
	}
	groups, gone, err := p.makeGroups(parsed)
	if err != nil {
		return err
	}
	p.mu.Lock()
	p.live, p.confID, p.users, p.accounts, p.groups = parsed, v.ConfigID, users, accounts, groups
	p.mu.Unlock()
	var names []string
	for _, g := range gone {
		g.gate.Close()
		names = append(names, g.name)
	}
	if len(names) > 0 {
		p.stopProbers(names...)
	}
	p.startProbers()
	return nil
}

// resolve reads the secrets that the configuration refers to.
func (p *Proxy) resolve(parsed *conf.Config) (map[string]mysql.User, map[string]account, error) {
	secret := func(what string, ref conf.Ref) (string, error) {
		s, err := ref.Resolve(p.cfg.ReadSecretFile, p.cfg.Getenv, p.cfg.Dev)
		if err != nil {
			return "", fmt.Errorf("password of %s: %w", what, err)
		}
		return s.Reveal(), nil
	}
	users := map[string]mysql.User{}
	for i := range parsed.Users {
		u := &parsed.Users[i]
		password, err := secret("user "+u.Name, u.Password)
		if err != nil {
			return nil, nil, err
		}
		user := mysql.User{Name: u.Name, Password: password, HostGroup: u.HostGroup, MaxConnections: u.MaxConnections}
		if u.Mapped {
			user.BackendUser = u.BackendUser
			if user.BackendPassword, err = secret("backend user "+u.BackendUser, u.BackendPassword); err != nil {
				return nil, nil, err
			}
		}
		users[u.Name] = user
	}
	accounts := map[string]account{}
	for i := range parsed.HostGroups {
		g := &parsed.HostGroups[i]
		if g.User == "" {
			continue
		}
		password, err := secret("host group "+g.Name, g.Password)
		if err != nil {
			return nil, nil, err
		}
		accounts[g.Name] = account{g.User, password}
	}
	return users, accounts, nil
}

// makeGroups makes the host groups of a configuration: those that are there
// already keep their gates, new ones start held with what the disk remembers.
func (p *Proxy) makeGroups(parsed *conf.Config) (groups map[string]*group, gone []*group, err error) {
	p.mu.RLock()
	old := p.groups
	p.mu.RUnlock()
	groups = map[string]*group{}
	for i := range parsed.HostGroups {
		hg := &parsed.HostGroups[i]
		g := old[hg.Name]
		if g == nil {
			if g, err = p.newGroup(hg); err != nil {
				return nil, nil, err
			}
		}
		if err := g.configure(hg.Addresses(), gateConfig(hg.Switch), hg.Switch.DrainTimeout); err != nil {
			return nil, nil, err
		}
		g.seed(hg.ActiveWrite)
		groups[hg.Name] = g
	}
	for name, g := range old {
		if groups[name] == nil {
			gone = append(gone, g)
		}
	}
	return groups, gone, nil
}

func (p *Proxy) newGroup(hg *conf.HostGroup) (*group, error) {
	state, err := p.store.group(hg.Name)
	if err != nil {
		return nil, err
	}
	gt, err := gate.New(hg.Name, gateConfig(hg.Switch))
	if err != nil {
		return nil, err
	}
	g := &group{name: hg.Name, gate: gt, log: p.log, state: state, write: hg.Addresses(), save: func(s groupState) error { return p.store.saveGroup(hg.Name, s) }}
	if state.Known && hg.IndexOf(state.Current.Address) >= 0 {
		if err := g.point(); err != nil {
			return nil, err
		}
	}
	return g, nil
}

package proxy

import (
	"context"
	"errors"
	"fmt"
	"time"
	"unicode/utf8"

	"github.com/zerokeeper/zero/proxy/gate"
	"github.com/zerokeeper/zero/proxy/mysql"
	"github.com/zerokeeper/zero/transport/api"
	"github.com/zerokeeper/zero/transport/conf"
	"github.com/zerokeeper/zero/transport/wire"
)

// live is a configuration at work. It does not change: another takes its place.
// The data plane reads it at every statement, without a lock.
type live struct {
	version
	conf     *conf.Config // nil before the first
	users    map[string]mysql.User
	accounts map[string]account // of probes, by host group
	groups   map[string]*group
}

// account logs in to the servers of a host group.
type account struct{ user, password string }

// maxConfError bounds the reason that heartbeats carry, in bytes.
const maxConfError = 2000

// PushConfigProcessor applies a configuration, whole or not at all, and keeps
// it on the disk before it answers.
func (p *Proxy) PushConfigProcessor(_ context.Context, _ *wire.Request, body api.PushConfigRequest) (any, error) {
	p.applying.Lock()
	defer p.applying.Unlock()
	return nil, p.apply(version{body.ConfigID, body.Content})
}

// RollbackConfigProcessor returns to the configuration that was applied before
// the last push; one that names a version is refused unless it is that one.
func (p *Proxy) RollbackConfigProcessor(_ context.Context, _ *wire.Request, body api.RollbackConfigRequest) (any, error) {
	p.applying.Lock()
	defer p.applying.Unlock()
	applied, before := p.kept.Applied, p.kept.Previous
	if body.NewConfigID != "" && applied != nil && applied.ConfigID == body.NewConfigID {
		return nil, p.apply(*applied) // asked again
	}
	if before == nil || (body.ConfigID != "" && before.ConfigID != body.ConfigID) {
		return nil, api.Errorf(api.NothingToUndo, "this proxy did not keep the configuration %q to return to", body.ConfigID)
	}
	back := *before
	if body.NewConfigID != "" {
		back.ConfigID = body.NewConfigID
	}
	return nil, p.apply(back)
}

// apply makes a configuration the live one: everything that can fail comes
// first, then the disk, then the change. When it cannot be used, the one before
// stays, and the reason goes with the heartbeats. applying is held.
func (p *Proxy) apply(v version) error {
	err := p.change(v)
	p.mu.Lock()
	if err != nil {
		p.confError, p.refused, p.refusedAt = clip(err.Error(), maxConfError), v.ConfigID, time.Now()
	} else {
		p.confError, p.refused = "", ""
	}
	p.mu.Unlock()
	p.poke()
	return err
}

func (p *Proxy) change(v version) error {
	again := p.kept.Applied != nil && *p.kept.Applied == v
	if again && p.live.Load().version == v {
		return nil
	}
	next, err := p.prepare(v)
	if err != nil {
		return err
	}
	if !again {
		keep := kept{Cluster: p.cfg.Cluster, Applied: &v, Previous: p.kept.Applied}
		if err := p.store.saveConfigs(keep); err != nil {
			return err
		}
		p.kept = keep
	}
	p.commit(next)
	p.log.Info("configuration applied", "config", v.ConfigID)
	return nil
}

// prepare checks a configuration, resolves its secrets and makes its new host
// groups. It changes nothing.
func (p *Proxy) prepare(v version) (*live, error) {
	if _, err := conf.ParseVersion(v.ConfigID); err != nil {
		return nil, api.Errorf(api.ConfigCheck, "the version %q: %v", clip(v.ConfigID, 64), err)
	}
	parsed, err := conf.Parse([]byte(v.Content), conf.Options{Dev: p.cfg.Dev})
	if err != nil {
		return nil, &api.Error{Code: api.ConfigCheck, Msg: err.Error()}
	}
	if parsed.Name != p.cfg.Cluster {
		return nil, api.Errorf(api.ConfigCheck, "the configuration is of cluster %q, this proxy of %q", parsed.Name, p.cfg.Cluster)
	}
	next := &live{version: v, conf: parsed, users: map[string]mysql.User{}, accounts: map[string]account{}, groups: map[string]*group{}}
	if err := p.resolve(next); err != nil {
		return nil, &api.Error{Code: api.ConfigCheck, Msg: err.Error()}
	}
	old := p.live.Load().groups
	for i := range parsed.HostGroups {
		hg := &parsed.HostGroups[i]
		g := old[hg.Name]
		if g == nil {
			g, err = p.newGroup(hg)
		} else {
			err = gateConfig(hg.Switch).Validate()
		}
		if err != nil {
			return nil, api.Errorf(api.ConfigCheck, "host group %s: %v", hg.Name, err)
		}
		next.groups[hg.Name] = g
	}
	return next, nil
}

// commit puts a prepared configuration to work. Host groups that stay keep their
// gates and what is in flight; those that are gone turn their waiters away.
func (p *Proxy) commit(next *live) {
	for i := range next.conf.HostGroups {
		hg := &next.conf.HostGroups[i]
		if err := next.groups[hg.Name].configure(hg); err != nil {
			p.log.Error("a host group keeps its former limits", "group", hg.Name, "error", err) // prepare has checked them
		}
	}
	before := p.live.Swap(next)
	for name, g := range before.groups {
		if next.groups[name] == nil {
			g.gate.Close()
		}
	}
	p.reprobe()
}

// resolve reads the secrets that the configuration refers to.
func (p *Proxy) resolve(next *live) error {
	secret := func(ref conf.Ref, format string, name string) (string, error) {
		s, err := ref.Resolve(p.cfg.ReadSecretFile, p.cfg.Getenv, p.cfg.Dev)
		if err != nil {
			return "", fmt.Errorf("password of "+format+": %w", name, err)
		}
		return s.Reveal(), nil
	}
	var errs []error
	for i := range next.conf.Users {
		u := &next.conf.Users[i]
		user := mysql.User{Name: u.Name, HostGroup: u.HostGroup, MaxConnections: u.MaxConnections}
		var err error
		user.Password, err = secret(u.Password, "user %s", u.Name)
		errs = append(errs, err)
		if u.Mapped {
			user.BackendUser = u.BackendUser
			user.BackendPassword, err = secret(u.BackendPassword, "backend user %s", u.BackendUser)
			errs = append(errs, err)
		}
		next.users[u.Name] = user
	}
	for i := range next.conf.HostGroups {
		g := &next.conf.HostGroups[i]
		password, err := secret(g.Password, "host group %s", g.Name)
		errs = append(errs, err)
		next.accounts[g.Name] = account{g.User, password}
	}
	return errors.Join(errs...)
}

// newGroup makes a host group that is held, with what the disk remembers of it.
func (p *Proxy) newGroup(hg *conf.HostGroup) (*group, error) {
	state, err := p.store.group(hg.Name)
	if err != nil {
		return nil, err
	}
	// R11: a new gate is held, has no lease, and takes nothing of an earlier run's.
	gt, err := gate.New(hg.Name, gateConfig(hg.Switch))
	if err != nil {
		return nil, err
	}
	g := &group{
		name: hg.Name, gate: gt, log: p.log, serving: &p.serving, poke: p.poke, state: state, write: hg.Addresses(),
		save: func(s groupState) error { return p.store.saveGroup(hg.Name, s) },
	}
	return g, g.start(hg)
}

// clip bounds a text to whole characters within n bytes.
func clip(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}

package proxy

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/zerokeeper/zero/proxy/gate"
	"github.com/zerokeeper/zero/proxy/mysql"
	"github.com/zerokeeper/zero/transport/api"
	"github.com/zerokeeper/zero/transport/conf"
	"github.com/zerokeeper/zero/transport/wire"
)

// Proxy is one zeroproxy: what it knows of its cluster. It is the directory of
// users and host groups for the data plane.
type Proxy struct {
	cfg         Config
	log         hclog.Logger
	incarnation string
	store       store
	handlers    wire.Handlers

	registered atomic.Bool // since the start, or the last activation

	applying sync.Mutex // one configuration is applied at a time
	kept     kept       // guarded by applying

	mu        sync.RWMutex
	status    string
	confID    string // applied
	confError string // why a newer one was refused
	refused   string // that newer one
	live      *conf.Config
	users     map[string]mysql.User
	accounts  map[string]account // of probes, by host group
	groups    map[string]*group
	probers   map[string]*probing
	wake      chan struct{} // a heartbeat is due now
	run       context.Context
}

// account logs in to the servers of a host group.
type account struct{ user, password string }

// probing is a prober at work.
type probing struct {
	*prober
	needed int
	stop   context.CancelFunc
	done   chan struct{}
}

// New makes a proxy that runs the configuration on its disk, if there is one:
// reads are served from it, writes are held until a keeper says open (R11).
func New(cfg Config) (*Proxy, error) {
	cfg = cfg.withDefaults()
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	store, err := openStore(cfg.DataDir)
	if err != nil {
		return nil, err
	}
	random := make([]byte, 8)
	if _, err := rand.Read(random); err != nil {
		return nil, fmt.Errorf("choose an incarnation: %w", err)
	}
	p := &Proxy{
		cfg: cfg, log: cfg.Logger, store: store, incarnation: hex.EncodeToString(random), status: api.StatusReady,
		users: map[string]mysql.User{}, groups: map[string]*group{}, probers: map[string]*probing{}, wake: make(chan struct{}, 1),
	}
	p.handlers = p.handlerTable()
	if p.kept, err = store.configs(cfg.Cluster); err != nil {
		return nil, err
	}
	if v := p.kept.Applied; v != nil {
		if err := p.load(*v); err != nil {
			return nil, fmt.Errorf("apply the configuration %s of the last run: %w", v.ConfigID, err)
		}
		p.log.Info("serving reads with the configuration of the last run until a keeper answers", "config", v.ConfigID)
	}
	return p, nil
}

// Handler answers the keepers' orders.
func (p *Proxy) Handler() wire.Handler { return p.handlers.Serve }

// Hello introduces the proxy to a keeper.
func (p *Proxy) Hello() api.HelloRequest {
	return api.HelloRequest{Version: api.ProtocolVersion, Role: api.RoleProxy, ID: p.cfg.ID, Cluster: p.cfg.Cluster, Incarnation: p.incarnation, Address: p.cfg.Address}
}

// LookupUser finds an account that clients log in with.
func (p *Proxy) LookupUser(name string) (mysql.User, bool) {
	p.mu.RLock()
	defer p.mu.RUnlock()
	u, ok := p.users[name]
	return u, ok
}

// LookupGroup finds a host group.
func (p *Proxy) LookupGroup(name string) (mysql.Group, bool) {
	p.mu.RLock()
	defer p.mu.RUnlock()
	g, ok := p.groups[name]
	if !ok {
		return mysql.Group{}, false
	}
	return mysql.Group{Name: name, Gate: g.gate}, true
}

var _ mysql.Directory = (*Proxy)(nil)

func (p *Proxy) group(name string) (*group, error) {
	p.mu.RLock()
	defer p.mu.RUnlock()
	g, ok := p.groups[name]
	if !ok {
		return nil, api.Errorf(api.NoSuchGroup, "no host group %q on this proxy: it runs configuration %q", name, p.confID)
	}
	return g, nil
}

// Status is what the proxy says of itself: ready, up or unreg.
func (p *Proxy) Status() string {
	p.mu.RLock()
	defer p.mu.RUnlock()
	return p.status
}

// Ready reports whether clients can be served: a configuration is applied, and
// the proxy is not unregistered.
func (p *Proxy) Ready() error {
	p.mu.RLock()
	defer p.mu.RUnlock()
	switch {
	case p.status == api.StatusUnreg:
		return fmt.Errorf("unregistered: `zeroctl proxy activate %s` brings it back", p.cfg.ID)
	case p.live == nil:
		return fmt.Errorf("no configuration yet: is one published for cluster %s?", p.cfg.Cluster)
	case p.status != api.StatusUp:
		return fmt.Errorf("no keeper answered yet: reads are served, writes are held")
	}
	return nil
}

// GroupView is a host group for metrics.
type GroupView struct {
	Name     string
	Primary  string
	Open     bool
	InFlight int
	Held     int
}

// Groups are the host groups as they stand.
func (p *Proxy) Groups() []GroupView {
	p.mu.RLock()
	defer p.mu.RUnlock()
	views := make([]GroupView, 0, len(p.groups))
	for name, g := range p.groups {
		primary, open, _ := g.gate.Current()
		held, _ := g.gate.Held()
		views = append(views, GroupView{Name: name, Primary: primary.Address, Open: open, InFlight: g.gate.InFlight(), Held: held})
	}
	return views
}

// probe logs in to a datasource of a host group with its account.
func (p *Proxy) probe(ctx context.Context, hostGroup, address string) error {
	p.mu.RLock()
	a, ok := p.accounts[hostGroup]
	p.mu.RUnlock()
	if !ok {
		return api.Errorf(api.ParameterNil, "host group %s has no account to probe with: set user and password of the group or of basic", hostGroup)
	}
	return mysql.Probe(ctx, address, a.user, a.password)
}

// evidence is what this proxy's probes of the writable found, and how many must
// have failed for a vote.
func (p *Proxy) evidence(hostGroup string) (probeResult, int) {
	p.mu.RLock()
	pr := p.probers[hostGroup]
	p.mu.RUnlock()
	if pr == nil {
		return probeResult{}, 1
	}
	return pr.snapshot(), pr.needed
}

// Run keeps the proxy in touch with the keepers until ctx ends.
func (p *Proxy) Run(ctx context.Context, link Link) {
	p.mu.Lock()
	p.run = ctx
	p.mu.Unlock()
	p.startProbers()
	p.beat(ctx, link)
	p.stopProbers()
}

// poke makes a heartbeat due now.
func (p *Proxy) poke() {
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// startProbers probes the writable of every host group that has an account.
func (p *Proxy) startProbers() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.run == nil || p.run.Err() != nil || p.live == nil {
		return
	}
	for i := range p.live.HostGroups {
		hg := &p.live.HostGroups[i]
		if old := p.probers[hg.Name]; old != nil {
			old.setInterval(hg.Switch.PingInterval)
			continue
		}
		g := p.groups[hg.Name]
		if _, ok := p.accounts[hg.Name]; !ok || g == nil {
			continue
		}
		ctx, cancel := context.WithCancel(p.run)
		pr := &probing{
			prober: &prober{probe: func(ctx context.Context, address string) error { return p.probe(ctx, hg.Name, address) }, now: time.Now, interval: hg.Switch.PingInterval},
			needed: hg.Switch.PingCount, stop: cancel, done: make(chan struct{}),
		}
		p.probers[hg.Name] = pr
		go func() {
			defer close(pr.done)
			pr.run(ctx, func() (string, bool) {
				current, _, known := g.gate.Current()
				return current.Address, known
			})
		}()
	}
}

// stopProbers ends all probing and waits for it; names limits it to those.
func (p *Proxy) stopProbers(names ...string) {
	p.mu.Lock()
	var stopped []*probing
	for name, pr := range p.probers {
		if len(names) == 0 || slices.Contains(names, name) {
			stopped = append(stopped, pr)
			delete(p.probers, name)
		}
	}
	p.mu.Unlock()
	for _, pr := range stopped {
		pr.stop()
		<-pr.done
	}
}

// gateConfig is what a host group's rules say of holding.
func gateConfig(s conf.Switch) gate.Config {
	return gate.Config{HoldTimeout: s.HoldTimeout, MaxHeld: s.MaxHeld, MaxHeldBytes: s.MaxHeldBytes}
}

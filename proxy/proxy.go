package proxy

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/zerokeeper/zero/proxy/mysql"
	"github.com/zerokeeper/zero/transport/api"
	"github.com/zerokeeper/zero/transport/lease"
	"github.com/zerokeeper/zero/transport/wire"
)

// Proxy is one zeroproxy: what it knows of its cluster. It is the directory of
// users and host groups for the data plane.
type Proxy struct {
	cfg         Config
	log         hclog.Logger
	incarnation string
	store       *store
	handlers    wire.Handlers

	live     atomic.Pointer[live]
	serving  atomic.Bool  // the keepers count this proxy; see standing
	answered atomic.Int64 // when a keeper answered last, since started
	leaseMS  atomic.Int64 // length of the lease that the last answer granted
	started  time.Time    // for monotonic time
	now      func() lease.Instant
	wake     chan struct{} // a heartbeat is due now
	peers    Peers         // agents, that lend when no keeper answers; nil: none does

	applying sync.Mutex // one configuration is applied at a time
	kept     kept       // guarded by applying

	turn sync.Mutex // one unregistration or activation at a time; taken before mu

	mu        sync.Mutex
	standing  standing
	confError string // why a configuration was refused
	refused   string // that configuration
	refusedAt time.Time
	probers   map[string]*prober
	run       context.Context // of probers, nil before Run
	link      Link            // to the keepers, nil before Run
}

// Open makes a proxy that runs the configuration in its data directory, if there
// is one: reads are served from it, writes are held until a keeper says open
// (R11). One that cannot be used any more is reported, and waits for another.
// The directory belongs to the proxy until Close. Errors are ErrForeign,
// durable.ErrInUse and durable.ErrDamaged, among others.
func Open(cfg Config) (*Proxy, error) {
	cfg = cfg.withDefaults()
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	store, err := openStore(cfg.DataDir)
	if err != nil {
		return nil, err
	}
	keep, err := store.configs(cfg.Cluster)
	if err != nil {
		return nil, errors.Join(err, store.close())
	}
	p := &Proxy{
		cfg: cfg, log: cfg.Logger, store: store, kept: keep, incarnation: newIncarnation(), started: time.Now(), now: lease.Now,
		wake: make(chan struct{}, 1), standing: standing{status: api.StatusReady}, probers: map[string]*prober{},
	}
	p.live.Store(&live{})
	p.handlers = p.handlerTable()
	if v := keep.Applied; v != nil {
		p.applying.Lock()
		defer p.applying.Unlock()
		if err := p.apply(*v); err != nil {
			p.log.Error("the configuration of the last run cannot be used; waiting for a keeper to bring another", "config", v.ConfigID, "error", err)
		} else {
			p.log.Info("serving reads with the configuration of the last run until a keeper answers", "config", v.ConfigID)
		}
	}
	return p, nil
}

func newIncarnation() string {
	var random [8]byte
	rand.Read(random[:]) // never fails
	return hex.EncodeToString(random[:])
}

// Close gives the data directory back. Run has returned by then.
func (p *Proxy) Close() error { return p.store.close() }

// Handler answers the keepers' orders.
func (p *Proxy) Handler() wire.Handler { return p.handlers.Serve }

// Hello introduces the proxy to a keeper.
func (p *Proxy) Hello() api.HelloRequest {
	return api.HelloRequest{Version: api.ProtocolVersion, Role: api.RoleProxy, ID: p.cfg.ID, Cluster: p.cfg.Cluster, Incarnation: p.incarnation, Address: p.cfg.Address}
}

// LookupUser finds an account that clients log in with.
func (p *Proxy) LookupUser(name string) (mysql.User, bool) {
	u, ok := p.live.Load().users[name]
	return u, ok
}

// LookupGroup finds a host group.
func (p *Proxy) LookupGroup(name string) (mysql.Group, bool) {
	g, ok := p.live.Load().groups[name]
	if !ok {
		return mysql.Group{}, false
	}
	return mysql.Group{Name: name, Gate: g.gate}, true
}

var _ mysql.Directory = (*Proxy)(nil)

func (p *Proxy) group(name string) (*group, error) {
	now := p.live.Load()
	g, ok := now.groups[name]
	if !ok {
		return nil, api.Errorf(api.NoSuchGroup, "no host group %q on this proxy: it runs configuration %q", name, now.ConfigID)
	}
	return g, nil
}

// Ready reports whether clients should be sent here: a configuration is applied
// and a keeper has put this proxy on its list. Once that is so, it stays so
// while no keeper answers: clients are better served by a proxy that goes on
// than by none. Silence tells of that.
func (p *Proxy) Ready() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.standing.status == api.StatusUnreg:
		return fmt.Errorf("unregistered: `zeroctl proxy activate %s` brings it back", p.cfg.ID)
	case p.live.Load().conf == nil && p.confError != "":
		return fmt.Errorf("no configuration can be used here: %s", p.confError)
	case p.live.Load().conf == nil:
		return fmt.Errorf("no configuration yet: is one published for cluster %s?", p.cfg.Cluster)
	case p.standing.status != api.StatusUp:
		return errors.New("no keeper has put this proxy on its list yet: reads are served, writes are held")
	}
	return nil
}

// Silence is how long no keeper has answered.
func (p *Proxy) Silence() time.Duration {
	return time.Since(p.started) - time.Duration(p.answered.Load())
}

// GroupView is a host group for metrics.
type GroupView struct {
	Name     string
	Primary  string
	Open     bool
	InFlight int
	Held     int
	Lease    time.Duration // what is left of it; 0: none
	// Lent: the lease is one that the primary's agent lent, since LentSince.
	Lent      bool
	LentSince time.Time
}

// Groups are the host groups as they stand, by name.
func (p *Proxy) Groups() []GroupView {
	groups := p.live.Load().groups
	views := make([]GroupView, 0, len(groups))
	for name, g := range groups {
		primary, open, _ := g.gate.Current()
		held, _ := g.gate.Held()
		views = append(views, GroupView{Name: name, Primary: primary.Address, Open: open, InFlight: g.gate.InFlight(), Held: held,
			Lease: max(0, lease.Until(g.gate.Until())), Lent: !g.lentSince().IsZero(), LentSince: g.lentSince()})
	}
	slices.SortFunc(views, func(a, b GroupView) int { return cmp.Compare(a.Name, b.Name) })
	return views
}

// Run keeps the proxy in touch with the keepers until ctx ends. It is called
// once.
func (p *Proxy) Run(ctx context.Context, link Link) {
	p.mu.Lock()
	p.run, p.link = ctx, link
	p.mu.Unlock()
	p.reprobe()
	var lending sync.WaitGroup
	lending.Go(func() { p.borrow(ctx) })
	p.beat(ctx, link)
	lending.Wait()
	p.stopProbers()
}

// poke makes a heartbeat due now.
func (p *Proxy) poke() {
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

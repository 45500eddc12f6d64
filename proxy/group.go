package proxy

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/zerokeeper/zero/proxy/gate"
	"github.com/zerokeeper/zero/transport/api"
	"github.com/zerokeeper/zero/transport/conf"
	"github.com/zerokeeper/zero/transport/lease"
)

// target is a datasource that a host group writes to, by its name: the index is
// its place in the configuration of the moment.
type target struct {
	Address    string `json:"address"`    // empty: nothing was said yet
	Generation uint64 `json:"generation"` // of the commit that made it primary
}

// primary is the target as the gate knows it. Its index is left out: it changes
// with a configuration that only re-orders the list, and nobody asks for it.
func (t target) primary() gate.Primary {
	return gate.Primary{Address: t.Address, Generation: t.Generation}
}

// is reports whether o names the same reign of the same server. A generation
// that was taken from an order may be above that of the commit, never below.
func (t target) is(o target) bool { return t.Address == o.Address && o.Generation <= t.Generation }

// groupState is what a host group remembers.
type groupState struct {
	Stamp   api.Stamp `json:"stamp"` // highest seen
	Current target    `json:"current"`
	// Previous is what the switch of generation PreviousOf replaced; 0: none.
	Previous   target `json:"previous"`
	PreviousOf uint64 `json:"previousOf"`
	// Peers are the agents that lend leases when no keeper is in reach, as
	// api.JoinPeers writes them; empty when the group does not use failsafe.
	Peers string `json:"peers,omitempty"`
}

func (s groupState) known() bool { return s.Current.Address != "" }

// onDisk is what of it must survive the process. The step within a generation
// need not: a start is held, whatever step it was in.
func (s groupState) onDisk() groupState {
	s.Stamp.Step = 0
	return s
}

// leave remembers, for RollbackProxyDatasource, what a switch is about to
// replace. Until then the current one is what a rollback returns to.
func (s *groupState) leave(generation uint64) {
	if s.known() && s.PreviousOf != generation {
		s.Previous, s.PreviousOf = s.Current, generation
	}
}

// group is one host group on this proxy: its gate, and what the keepers say of
// it, one thing at a time.
type group struct {
	name    string
	gate    *gate.Gate
	log     hclog.Logger
	serving *atomic.Bool           // the keepers count this proxy in a switch: without that nothing is opened
	poke    func()                 // makes a heartbeat due
	save    func(groupState) error // to the disk

	mu           sync.Mutex // held while an order or a grant is carried out, except while it drains
	write        []string   // addresses of the live configuration, by index
	drainTimeout time.Duration
	autoFailover bool // failovers may be asked for
	state        groupState
	borrowed     borrowed // R18e
}

// admit checks an order's stamp: not below the highest seen (R8), and of a step
// in which that order is given. The lock is held.
func (g *group) admit(stamp api.Stamp, steps ...uint8) error {
	if stamp.Compare(g.state.Stamp) < 0 && !ignoreStamps { // R8: stamps only rise
		return api.Errorf(api.StaleGeneration, "host group %s has seen stamp %s, this order has %s", g.name, g.state.Stamp, stamp)
	}
	if !slices.Contains(steps, stamp.Step) {
		return api.Errorf(api.BadRequest, "host group %s: this order is not given in the step of stamp %s", g.name, stamp)
	}
	return nil
}

// named refuses an index that does not name the same server here (R24). An
// order of the seed alone carries no address; then the index is all there is.
func (g *group) named(index int, d api.Datasource) (string, error) {
	if index < 0 || index >= len(g.write) {
		return "", api.Errorf(api.IdentityMismatch, "host group %s has no datasource %d here, it has %d", g.name, index, len(g.write))
	}
	if d.Address != "" && d.Address != g.write[index] { // R24: names, not positions
		return "", api.Errorf(api.IdentityMismatch, "datasource %d of host group %s is %s here, not %s: this proxy runs another configuration", index, g.name, g.write[index], d.Address)
	}
	return g.write[index], nil
}

// keep replaces the state, on the disk first. When that fails, the state is what
// it was: nothing was promised. The lock is held.
func (g *group) keep(next groupState) error {
	if next.onDisk() != g.state.onDisk() {
		if err := g.save(next); err != nil {
			return err
		}
	}
	g.state = next
	return nil
}

// switchTo points the group at another datasource, held. For the one that it
// points at already there is nothing to do.
func (g *group) switchTo(stamp api.Stamp, req api.SwitchProxyDatasourceRequest) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if err := g.admit(stamp, api.StepPromoting, api.StepIdle); err != nil {
		return err
	}
	address, err := g.named(req.ToIndex, req.Primary)
	if err != nil {
		return err
	}
	next := g.state
	next.Stamp = stamp
	if g.state.Current.Address != address {
		next.leave(stamp.Generation)
		next.Current = target{address, stamp.Generation}
	}
	return g.move(next)
}

// rollback points the group back at what it wrote to before the switch of that
// generation, held. The order carries no index: the proxy remembers.
func (g *group) rollback(stamp api.Stamp) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if err := g.admit(stamp, api.StepRollingBack); err != nil {
		return err
	}
	if !g.state.known() {
		return api.Errorf(api.NothingToUndo, "host group %s has no datasource yet, and none to return to", g.name)
	}
	g.gate.Hold() // also when StopWriting never came: the keeper lifts it
	next := g.state
	next.Stamp = stamp
	if next.PreviousOf == stamp.Generation {
		next.Current = next.Previous
	}
	if err := g.move(next); err != nil {
		return err
	}
	g.log.Info("switch rolled back here", "group", g.name, "datasource", next.Current.Address, "stamp", stamp)
	return nil
}

// move keeps the state and points the gate at its target; a gate that points
// elsewhere is held for it. The lock is held.
func (g *group) move(next groupState) error {
	moved := next.Current != g.state.Current
	if moved {
		g.gate.Hold()
	}
	if err := g.keep(next); err != nil || !moved {
		return err
	}
	if err := g.gate.SetPrimary(next.Current.primary()); err != nil {
		return fmt.Errorf("switch host group %s: %w", g.name, err)
	}
	return nil
}

// recoverWriting lets the held writes go on.
func (g *group) recoverWriting(stamp api.Stamp, req api.RecoverWritingProxyDatasourceRequest) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if err := g.admit(stamp, api.StepIdle); err != nil {
		return err
	}
	address, err := g.named(req.Index, req.Primary)
	switch {
	case err != nil:
		return err
	case !g.state.known():
		return api.Errorf(api.NotReady, "host group %s has no datasource here yet: the next heartbeat names it", g.name)
	case g.state.Current.Address != address:
		return api.Errorf(api.IdentityMismatch, "host group %s points at %s here, not at %s", g.name, g.state.Current.Address, address)
	case !g.serving.Load():
		return api.Errorf(api.NotReady, "host group %s stays held: this proxy is not on the keepers' list", g.name)
	}
	next := g.state
	next.Stamp = stamp
	if err := g.keep(next); err != nil {
		return err
	}
	// An order brings no lease: what is left of the one that the last open grant
	// brought counts. If nothing is, the next heartbeat's answer opens.
	return g.open(0)
}

// open admits writes to the current target, as long as the lease lasts. That is
// the group's own: an answer that holds the group, or does not name it, renews
// nothing for it (R4). The lock is held.
func (g *group) open(until lease.Instant) error {
	_, wasOpen, _ := g.gate.Current()
	// R4: only an open grant comes here with a lease; until is this group's alone.
	switch err := g.gate.Open(g.state.Current.primary(), until); {
	case errors.Is(err, gate.ErrLeaseOver):
		g.poke()
		return nil
	case err != nil:
		return fmt.Errorf("open host group %s: %w", g.name, err)
	}
	if !wasOpen {
		g.log.Info("writing", "group", g.name, "datasource", g.state.Current.Address, "stamp", g.state.Stamp)
	}
	return nil
}

// grant takes over what a heartbeat's answer says (R4), by name: positions are
// those of a configuration that may be on its way here still. One that is older
// than what was seen is passed over. One that names a server which this proxy
// does not know as the group's shows that it is behind: it holds. An open one
// renews the group's lease until then; 0: there is none.
func (g *group) grant(grant api.Grant, until lease.Instant) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if grant.Stamp.Compare(g.state.Stamp) < 0 && !ignoreStamps { // R8: stamps only rise
		return nil
	}
	foreign := !slices.Contains(g.write, grant.Primary.Address)
	if foreign || !grant.Open {
		g.hold("stamp", grant.Stamp) // needs no memory, and is never wrong
	}
	next := g.state
	next.Stamp = grant.Stamp
	if now := (target{grant.Primary.Address, grant.Committed}); !foreign && !next.Current.is(now) {
		next.Current = now
	}
	if err := g.move(next); err != nil {
		return err
	}
	g.keepPeers(grant)
	if grant.Drain && !grant.Open && !foreign && until != 0 && g.serving.Load() {
		g.gate.Prolong(until)
	}
	switch {
	case foreign:
		return api.Errorf(api.IdentityMismatch, "host group %s is held: the keepers name %q as its primary, which is not in the configuration that runs here", g.name, grant.Primary.Address)
	case !grant.Open || until == 0 || !g.serving.Load():
		return nil
	}
	g.returned("a keeper answers again")
	return g.open(until)
}

// hold stops admitting, and says so if that is news. The lock is held.
func (g *group) hold(why ...any) {
	if _, open, _ := g.gate.Current(); open {
		g.log.Info("writes are held", append([]any{"group", g.name}, why...)...)
	}
	g.gate.Hold()
}

// stop holds the group, until a grant opens it.
func (g *group) stop(why string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.hold("reason", why)
}

// configure takes over the group's part of a configuration. What it writes to
// is known by name, so that a list in another order changes nothing.
func (g *group) configure(hg *conf.HostGroup) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.write, g.drainTimeout, g.autoFailover = hg.Addresses(), hg.Switch.DrainTimeout, hg.Switch.AutoFailover
	err := g.gate.Configure(gateConfig(hg.Switch))
	if known := g.state.known(); known && !slices.Contains(g.write, g.state.Current.Address) {
		g.hold("reason", "the configuration has no "+g.state.Current.Address)
	}
	return err
}

// start gives a fresh gate, held, a datasource for reads: what the disk
// remembers, or else what the configuration begins with.
func (g *group) start(hg *conf.HostGroup) error {
	reads := g.state.Current
	if !slices.Contains(g.write, reads.Address) {
		if hg.ActiveWrite >= len(g.write) {
			return errors.New("active_write names no datasource")
		}
		reads = target{Address: g.write[hg.ActiveWrite]}
	}
	return g.gate.SetPrimary(reads.primary())
}

// addressOf is the datasource at an index, and indexOf the way back; -1 when the
// configuration has it no more.
func (g *group) addressOf(index int) (string, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.named(index, api.Datasource{})
}

func (g *group) indexOf(address string) int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.Index(g.write, address)
}

func (g *group) snapshot() groupState {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.state
}

// gateConfig is what a host group's rules say of holding.
func gateConfig(s conf.Switch) gate.Config {
	return gate.Config{HoldTimeout: s.HoldTimeout, MaxHeld: s.MaxHeld, MaxHeldBytes: s.MaxHeldBytes}
}

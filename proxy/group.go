package proxy

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/zerokeeper/zero/proxy/gate"
	"github.com/zerokeeper/zero/transport/api"
)

// target is a datasource that a host group writes to.
type target struct {
	Index      int    `json:"index"`
	Address    string `json:"address"`
	Generation uint64 `json:"generation"` // of the commit that made it primary
}

// groupState is what a host group remembers on disk.
type groupState struct {
	Stamp    api.Stamp `json:"stamp"` // highest seen
	Known    bool      `json:"known"` // Current says something
	Current  target    `json:"current"`
	Previous target    `json:"previous"` // of the switch with generation PreviousOf
	// PreviousOf is the generation of the switch that left Previous; 0: none.
	PreviousOf uint64 `json:"previousOf"`
}

// group is one host group on this proxy: its gate, and the orders about it one
// at a time.
type group struct {
	name string
	gate *gate.Gate
	log  hclog.Logger
	save func(groupState) error // writes it to the disk

	mu           sync.Mutex // held while an order or a grant is carried out, except while it drains
	write        []string   // addresses of the live configuration, by index
	drainTimeout time.Duration
	state        groupState
}

// check refuses a stamp below the highest seen, and takes over a higher one. It
// is called with the lock held, and the caller saves.
func (g *group) check(stamp api.Stamp) error {
	if stamp.Compare(g.state.Stamp) < 0 {
		return api.Errorf(api.StaleGeneration, "host group %s has seen stamp %s, this order has %s", g.name, g.state.Stamp, stamp)
	}
	g.state.Stamp = stamp
	return nil
}

// named refuses an index that does not name the same server here (R24). An
// order of the seed alone carries no address; then the index is all there is.
func (g *group) named(index int, d api.Datasource) (string, error) {
	if index < 0 || index >= len(g.write) {
		return "", api.Errorf(api.IdentityMismatch, "host group %s has no datasource %d here, it has %d", g.name, index, len(g.write))
	}
	if d.Address != "" && d.Address != g.write[index] {
		return "", api.Errorf(api.IdentityMismatch, "datasource %d of host group %s is %s here, not %s: this proxy runs another configuration", index, g.name, g.write[index], d.Address)
	}
	return g.write[index], nil
}

// stopWriting holds new writes and transactions and waits until none is in
// flight.
func (g *group) stopWriting(ctx context.Context, stamp api.Stamp, req api.StopWritingProxyDatasourceRequest) error {
	g.mu.Lock()
	before := g.state
	address, err := g.named(req.Index, req.Primary)
	if err == nil && g.state.Known && g.state.Current.Address != address {
		err = api.Errorf(api.IdentityMismatch, "host group %s writes to %s here, not to %s", g.name, g.state.Current.Address, address)
	}
	if err == nil {
		err = g.check(stamp)
	}
	if err != nil {
		g.mu.Unlock()
		return err
	}
	g.gate.Hold()
	if g.state.PreviousOf != stamp.Generation && g.state.Known {
		g.state.Previous, g.state.PreviousOf = g.state.Current, stamp.Generation
	}
	if err := g.saveIfChanged(before); err != nil {
		g.mu.Unlock()
		return err
	}
	timeout := g.drainTimeout
	g.mu.Unlock()

	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	if err := g.gate.Drain(ctx); err != nil {
		return api.Errorf(api.DrainTimeout, "%v: waited %s (switch.drain_timeout)", err, timeout)
	}
	g.log.Info("writing stopped", "group", g.name, "stamp", stamp)
	return nil
}

// switchTo points the held group at another datasource.
func (g *group) switchTo(stamp api.Stamp, req api.SwitchProxyDatasourceRequest) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	before := g.state
	address, err := g.named(req.ToIndex, req.Primary)
	if err != nil {
		return err
	}
	if err := g.check(stamp); err != nil {
		return err
	}
	if g.state.PreviousOf != stamp.Generation && g.state.Known {
		g.state.Previous, g.state.PreviousOf = g.state.Current, stamp.Generation
	}
	g.state.Current, g.state.Known = target{req.ToIndex, address, stamp.Generation}, true
	if err := g.saveIfChanged(before); err != nil {
		return err
	}
	return g.point()
}

// point gives the gate the current target, held.
func (g *group) point() error {
	g.gate.Hold()
	if err := g.gate.SetPrimary(gate.Primary(g.state.Current)); err != nil {
		return fmt.Errorf("switch host group %s: %w", g.name, err)
	}
	return nil
}

// rollback points the held group back at what it wrote to before the switch of
// that generation. The order carries no index: the proxy remembers.
func (g *group) rollback(stamp api.Stamp) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	before := g.state
	if err := g.check(stamp); err != nil {
		return err
	}
	if g.state.PreviousOf != stamp.Generation {
		// StopWriting of this switch never came: nothing was changed here, but the
		// hold is the keeper's to lift.
		if !g.state.Known {
			return api.Errorf(api.NothingToUndo, "host group %s has no datasource yet, and none to return to", g.name)
		}
	} else {
		g.state.Current = g.state.Previous
	}
	if err := g.saveIfChanged(before); err != nil {
		return err
	}
	g.log.Info("switch rolled back here", "group", g.name, "datasource", g.state.Current.Address, "stamp", stamp)
	return g.point()
}

// recoverWriting lets the held writes go on.
func (g *group) recoverWriting(stamp api.Stamp, req api.RecoverWritingProxyDatasourceRequest) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	before := g.state
	address, err := g.named(req.Index, req.Primary)
	if err != nil {
		return err
	}
	if !g.state.Known {
		return api.Errorf(api.NotReady, "host group %s has no datasource here yet: the next heartbeat names it", g.name)
	}
	if g.state.Current.Address != address {
		return api.Errorf(api.IdentityMismatch, "host group %s points at %s here, not at %s", g.name, g.state.Current.Address, address)
	}
	if err := g.check(stamp); err != nil {
		return err
	}
	if err := g.saveIfChanged(before); err != nil {
		return err
	}
	return g.open()
}

// open admits writes to the current target.
func (g *group) open() error {
	_, wasOpen, _ := g.gate.Current()
	if err := g.point(); err != nil {
		return err
	}
	if err := g.gate.Open(gate.Primary(g.state.Current)); err != nil {
		return fmt.Errorf("open host group %s: %w", g.name, err)
	}
	if !wasOpen {
		g.log.Info("writing", "group", g.name, "datasource", g.state.Current.Address, "stamp", g.state.Stamp)
	}
	return nil
}

// grant takes over what a heartbeat's answer says (R4). One that is older than
// what was seen, or speaks of another configuration, is passed over.
func (g *group) grant(grant api.Grant) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if grant.Stamp.Compare(g.state.Stamp) < 0 {
		return nil
	}
	address, err := g.named(grant.Index, grant.Primary)
	if err != nil {
		return err
	}
	before := g.state
	now := target{grant.Index, address, grant.Committed}
	g.state.Stamp = grant.Stamp
	moved := !g.state.Known || g.state.Current != now
	if moved && grant.Committed == grant.Stamp.Generation && g.state.PreviousOf != grant.Committed && g.state.Known {
		g.state.Previous, g.state.PreviousOf = g.state.Current, grant.Committed
	}
	g.state.Current, g.state.Known = now, true
	if err := g.saveIfChanged(before); err != nil {
		return err
	}
	if moved {
		if err := g.point(); err != nil {
			return err
		}
	}
	if !grant.Open {
		g.gate.Hold()
		return nil
	}
	if p, open, _ := g.gate.Current(); open && p == gate.Primary(now) {
		return nil
	}
	return g.open()
}

// configure takes over the group's part of a configuration. A writable that is
// still in the list keeps its place by address; a new list is obeyed by the
// keeper's next grant.
func (g *group) configure(write []string, cfg gate.Config, drainTimeout time.Duration) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if err := g.gate.Configure(cfg); err != nil {
		return err
	}
	g.write, g.drainTimeout = write, drainTimeout
	if !g.state.Known {
		return nil
	}
	for i, address := range write {
		if address != g.state.Current.Address {
			continue
		}
		if i == g.state.Current.Index {
			return nil
		}
		_, open, _ := g.gate.Current()
		before := g.state
		g.state.Current.Index = i
		if err := g.saveIfChanged(before); err != nil {
			return err
		}
		if err := g.point(); err != nil || !open {
			return err
		}
		return g.open()
	}
	return nil // not in the list any more: the next grant names another one
}

// seed makes a group that was never told anything read from a datasource of
// its configuration; it does not open it.
func (g *group) seed(index int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.state.Known && index < len(g.write) {
		if err := g.gate.SetPrimary(gate.Primary{Index: index, Address: g.write[index]}); err != nil {
			g.log.Warn("no datasource for reads yet", "group", g.name, "error", err)
		}
	}
}

// saveIfChanged writes the state to the disk if it is another than before. When
// that fails, the state is what it was: nothing was promised.
func (g *group) saveIfChanged(before groupState) error {
	if g.state == before {
		return nil
	}
	if err := g.save(g.state); err != nil {
		g.state = before
		return fmt.Errorf("remember host group %s: %w", g.name, err)
	}
	return nil
}

func (g *group) snapshot() groupState {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.state
}

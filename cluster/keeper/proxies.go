package keeper

import (
	"context"
	"errors"
	"slices"

	"github.com/zerokeeper/zero/fsm"
	"github.com/zerokeeper/zero/transport/api"
	"github.com/zerokeeper/zero/transport/lease"
	"github.com/zerokeeper/zero/transport/wire"
)

// proxyKey is a proxy's terminal id: its id within its cluster.
func proxyKey(cluster, id string) string { return cluster + "/" + id }

// Connected is called when a connection said Hello. The command connection of a
// proxy or agent carries the orders to it; when it comes again, the new one
// takes the place of the older.
func (k *Keeper) Connected(inv *wire.Invoker) {
	who := inv.Principal()
	if who.ConnectionType != wire.ConnectionCommand {
		return
	}
	var replaced *wire.Invoker
	switch who.Role {
	case api.RoleProxy:
		replaced = k.proxies.Register(proxyKey(who.Hello.Cluster, who.ID), inv)
	case api.RoleAgent:
		replaced = k.agents.Register(who.Hello.Address, inv)
	}
	if replaced != nil {
		k.log.Info("a newer connection takes over", "role", who.Role, "id", who.ID, "remote", inv.RemoteAddr())
		replaced.Stop(errors.New("the same id connected again"))
	}
}

// Closed is called when a connection that said Hello is over.
func (k *Keeper) Closed(inv *wire.Invoker) {
	switch who := inv.Principal(); who.Role {
	case api.RoleProxy:
		k.proxies.Remove(proxyKey(who.Hello.Cluster, who.ID), inv)
	case api.RoleAgent:
		k.agents.Remove(who.Hello.Address, inv)
	}
}

// ProxyRegisterProcessor puts the proxy on the list, as ready.
func (k *Keeper) ProxyRegisterProcessor(ctx context.Context, c *call[api.ProxyRegisterRequest]) (none, error) {
	if err := k.leads(); err != nil {
		return none{}, err
	}
	hello := c.who.Hello
	if c.body.ClusterName != "" && c.body.ClusterName != hello.Cluster {
		return none{}, api.Errorf(api.BadRequest, "proxy %s said Hello for cluster %q and registers in %q", c.who.ID, hello.Cluster, c.body.ClusterName)
	}
	return none{}, k.register(ctx, c.req, c.who, c.body.Address, c.body.Version)
}

// register puts a proxy on the list; an empty address is that of its Hello.
func (k *Keeper) register(ctx context.Context, req *wire.Request, who wire.Principal, address, version string) error {
	hello := who.Hello
	if address == "" {
		address = hello.Address
	}
	if old := k.cfg.Store.State().Proxy(hello.Cluster, who.ID); old != nil && old.Incarnation != hello.Incarnation && old.Status != fsm.StatusUnreg {
		// R5: the process before this one leaves the list, and may hold a lease.
		back, err := k.awaitOut(ctx, old)
		if err != nil {
			return err
		}
		defer back()
	}
	_, err := k.propose(ctx, req, &fsm.RegisterProxy{Cluster: hello.Cluster, ID: who.ID, Address: address, Version: version, Incarnation: hello.Incarnation})
	if err == nil {
		k.log.Info("proxy registered", "cluster", hello.Cluster, "proxy", who.ID, "address", address)
	}
	return err
}

// ProxyUnregisterProcessor takes the proxy off the list; the last one that is
// up stays, unless it is forced.
func (k *Keeper) ProxyUnregisterProcessor(ctx context.Context, c *call[api.ProxyUnregisterRequest]) (none, error) {
	if err := k.leads(); err != nil {
		return none{}, err
	}
	return none{}, k.unregister(ctx, c.req, c.who.Hello.Cluster, c.who.ID, c.body.Reason, c.body.Force, c.body.Released)
}

// unregister takes a proxy off the list, at once when it gave up its lease, else
// when that is over (R5). What is decided in this term is proposed in it: the next
// leader may grant the proxy another lease.
func (k *Keeper) unregister(ctx context.Context, req *wire.Request, cluster, id, reason string, force, released bool) error {
	term := k.term.Load()
	row := k.cfg.Store.State().Proxy(cluster, id)
	if row != nil && row.Status != fsm.StatusUnreg && !released {
		if err := k.lastProxy(row, force); err != nil {
			return err
		}
		back, err := k.awaitOut(ctx, row)
		if err != nil {
			return err
		}
		defer back()
	}
	h, err := header(req)
	if err != nil {
		return err
	}
	_, err = refused(k.cfg.Store.ProposeInTerm(ctx, term, h, &fsm.SetProxyStatus{Cluster: cluster, ID: id, To: fsm.StatusUnreg, Reason: reason, Force: force}))
	if err == nil {
		k.log.Info("proxy unregistered", "cluster", cluster, "proxy", id, "reason", reason)
	}
	return err
}

// ProxyHeartbeatProcessor keeps the proxy on the list and tells it what holds.
// It goes through the log only when something changed.
func (k *Keeper) ProxyHeartbeatProcessor(ctx context.Context, c *call[api.ProxyHeartbeatRequest]) (api.HeartbeatAnswer, error) {
	if err := k.leads(); err != nil {
		return api.HeartbeatAnswer{}, err
	}
	if known := []string{api.StatusReady, api.StatusUp, api.StatusLost, api.StatusUnreg}; !slices.Contains(known, c.body.Status) {
		return api.HeartbeatAnswer{}, api.Errorf(api.BadRequest, "%s: no status %q: one of %v", c.req.Name, c.body.Status, known)
	}
	received, hello := lease.Now(), c.who.Hello
	row := k.cfg.Store.State().Proxy(hello.Cluster, c.who.ID)
	if row != nil && row.Incarnation != hello.Incarnation {
		row = nil // of the process before this one
	}
	switch {
	case row == nil && c.body.Status == api.StatusReady:
		if err := k.register(ctx, &wire.Request{}, c.who, c.body.Address, ""); err != nil {
			return api.HeartbeatAnswer{}, err
		}
	case row == nil && c.body.Status == api.StatusUp:
		// A proxy that believes to be up and is not on the list must fetch its
		// configuration first (original, C4).
		k.activateInBackground(hello.Cluster, c.who.ID)
	}
	k.presence.beatProxy(proxyKey(hello.Cluster, c.who.ID), c.body)
	if now := k.cfg.Store.State().Proxy(hello.Cluster, c.who.ID); row != nil && now != nil && now.Incarnation == row.Incarnation {
		row = now // it may have been lost meanwhile
	}
	if err := k.heardAll(ctx, hello.Cluster, c.who.ID, c.body.Stamps); err != nil { // R25
		return api.HeartbeatAnswer{}, err
	}
	if row != nil && row.Status != fsm.StatusUnreg {
		if err := k.followProxy(ctx, row, c.body); err != nil {
			return api.HeartbeatAnswer{}, err
		}
	}
	by := process{proxyHolder(hello.Cluster, c.who.ID), hello.Incarnation}
	return k.lend(ctx, by, received, func(state *fsm.State, leaving bool) (api.HeartbeatAnswer, []string) {
		return k.proxyAnswer(state, c.who, c.body, leaving)
	})
}

// followProxy proposes what a heartbeat changed: lost proxies that are heard
// again, ready ones that are up now, and what configuration is applied.
func (k *Keeper) followProxy(ctx context.Context, row *fsm.Proxy, beat api.ProxyHeartbeatRequest) error {
	if beat.Status == fsm.StatusUnreg { // it was told to leave; the list is behind
		return k.unregister(ctx, &wire.Request{}, row.Cluster, row.ID, "it says so", true, true)
	}
	if row.Status == fsm.StatusLost || (row.Status == fsm.StatusReady && beat.Status == api.StatusUp) {
		if err := k.record(ctx, &fsm.SetProxyStatus{Cluster: row.Cluster, ID: row.ID, From: row.Status, To: fsm.StatusUp}); err != nil {
			return err
		}
		k.log.Info("proxy up", "cluster", row.Cluster, "proxy", row.ID, "was", row.Status)
	}
	if beat.ConfVersion != row.ConfVersion || beat.ConfError != row.ConfError {
		ack := &fsm.AckConfig{Cluster: row.Cluster, ID: row.ID, Incarnation: row.Incarnation, ConfigID: beat.ConfVersion, Error: beat.ConfError}
		if err := k.record(ctx, ack); err != nil {
			return err
		}
	}
	live := k.cfg.Store.State().LiveConfig(row.Cluster)
	if live != nil && beat.ConfVersion != live.ConfigID && (beat.ConfError == "" || !k.pushes.wasRefused(proxyKey(row.Cluster, row.ID), live.ConfigID)) {
		k.pushInBackground(row.Cluster, row.ID)
	}
	return nil
}

// proxyAnswer is what a proxy is told: its status, the live configuration, and
// what holds for each host group of its cluster (R4). One that is not on the
// list, or about to leave it, is not asked in a switch, and so is told to hold;
// it has no lease. The groups that it may write to are returned as well.
func (k *Keeper) proxyAnswer(state *fsm.State, who wire.Principal, beat api.ProxyHeartbeatRequest, leaving bool) (api.HeartbeatAnswer, []string) {
	cluster := who.Hello.Cluster
	answer := api.HeartbeatAnswer{Seq: beat.Seq, Grants: []api.Grant{}}
	var counts []string
	listed := false
	if row := state.Proxy(cluster, who.ID); row != nil && row.Incarnation == who.Hello.Incarnation {
		answer.Status = row.Status
		listed = row.Status != fsm.StatusUnreg && !leaving
	}
	if listed {
		answer.LeaseMS = k.times.Lease.Milliseconds()
	}
	if live := state.LiveConfig(cluster); live != nil {
		answer.ConfVersion = live.ConfigID
	}
	for _, g := range state.Groups() {
		if g.Cluster == cluster && !g.IsFrozen() { // R25: nothing is said of a frozen one
			one := grant(state, g)
			one.Open = one.Open && listed
			if one.Open && slices.Contains(beat.Leaseless, g.Name) && k.awaitsWritable(state, g) {
				one.Open, answer.IntervalMS = false, max(k.cfg.HeartbeatInterval.Milliseconds()/8, 1) // it asks again soon
			}
			one.Failsafe, one.Peers = failsafe(state, g)
			one.Drain = listed && draining(state, g)
			answer.Grants = append(answer.Grants, one)
			if one.Open || one.Drain { // R2, R4: in a held group nothing is renewed but for what is in flight, and that counts
				counts = append(counts, g.Name)
			}
		}
	}
	return answer, counts
}

// grant is what a proxy is told of a group. It is open only in the steps in
// which nothing is being changed.
func grant(state *fsm.State, g *fsm.HostGroup) api.Grant {
	return api.Grant{
		HostGroup: g.Name,
		Stamp:     stampOf(state, g),
		Committed: g.Committed,
		Index:     g.Writable,
		Primary:   datasource(state, g.Datasources[g.Writable]),
		Open:      g.Open(),
	}
}

func stampOf(state *fsm.State, g *fsm.HostGroup) api.Stamp {
	return api.Stamp{Epoch: state.Epoch(), Generation: g.Generation, Step: g.Step}
}

// datasource is a datasource with the identity that its agent reported.
func datasource(state *fsm.State, address string) api.Datasource {
	d := api.Datasource{Address: address}
	if a := state.Agent(address); a != nil {
		d.ServerID = a.ServerID
	}
	return d
}

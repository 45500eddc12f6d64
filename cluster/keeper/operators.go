package keeper

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/zerokeeper/zero/fsm"
	"github.com/zerokeeper/zero/transport/api"
)

func (k *Keeper) nodeStatus(context.Context, *call[struct{}]) (api.NodeStatusAnswer, error) {
	status := k.cfg.Group.Status()
	status.Version = k.cfg.Version
	return status, nil
}

func (k *Keeper) keeperDiscover(ctx context.Context, c *call[api.KeeperDiscoverRequest]) (api.KeeperDiscoverAnswer, error) {
	return k.cfg.Group.HandleDiscover(ctx, c.body)
}

func (k *Keeper) keeperJoin(ctx context.Context, c *call[api.KeeperJoinRequest]) (none, error) {
	return none{}, k.cfg.Group.HandleJoin(ctx, c.body)
}

func (k *Keeper) clusterView(ctx context.Context, c *call[struct{}]) (api.ClusterViewAnswer, error) {
	state, err := read(ctx, k, c)
	if err != nil {
		return api.ClusterViewAnswer{}, err
	}
	view := api.ClusterViewAnswer{
		ClusterID: state.ClusterID(), Epoch: state.Epoch(), Members: k.cfg.Group.Members(),
		Groups: []api.Group{}, Proxies: k.viewProxies(state), Agents: k.viewAgents(state),
	}
	for _, m := range view.Members {
		if m.Leader {
			view.Leader = m
		}
	}
	for _, g := range state.Groups() {
		view.Groups = append(view.Groups, k.viewGroup(state, g))
	}
	view.Problems, view.Brake = k.problems(state, view.Members), viewHold(state.Brake(), k.cfg.Now())
	return view, nil
}

func (k *Keeper) memberList(ctx context.Context, c *call[struct{}]) (api.MemberListAnswer, error) {
	if _, err := read(ctx, k, c); err != nil {
		return api.MemberListAnswer{}, err
	}
	return api.MemberListAnswer{Members: k.cfg.Group.Members()}, nil
}

func (k *Keeper) memberRemove(ctx context.Context, c *call[api.MemberRemoveRequest]) (none, error) {
	if c.body.Member == "" {
		return none{}, api.Errorf(api.BadRequest, "%s: name the member by its id, name or address", c.req.Name)
	}
	if err := k.leads(); err != nil {
		return none{}, err
	}
	k.log.Info("a keeper is to be removed", "member", c.body.Member, "by", c.who.ID)
	return none{}, k.cfg.Group.RemoveMember(ctx, c.body.Member)
}

func (k *Keeper) leaderTransfer(ctx context.Context, c *call[api.LeaderTransferRequest]) (none, error) {
	if err := k.leads(); err != nil {
		return none{}, err
	}
	k.log.Info("leadership is to be transferred", "to", c.body.To, "by", c.who.ID)
	return none{}, k.cfg.Group.TransferLeadership(ctx, c.body.To)
}

func (k *Keeper) groupList(ctx context.Context, c *call[api.GroupListRequest]) (api.GroupListAnswer, error) {
	state, err := read(ctx, k, c)
	if err != nil {
		return api.GroupListAnswer{}, err
	}
	groups := []api.Group{}
	for _, g := range state.Groups() {
		if c.body.Name == "" || c.body.Name == g.Name {
			view := k.viewGroup(state, g)
			if c.body.Name != "" {
				view.Detail = k.viewDetail(state, g)
			}
			groups = append(groups, view)
		}
	}
	if c.body.Name != "" && len(groups) == 0 {
		return api.GroupListAnswer{}, api.Errorf(api.KeyMissing, "no host group %q: `zeroctl group list` shows them", c.body.Name)
	}
	groups, next, err := page(groups, c.body.Page, func(g api.Group) string { return g.Name })
	return api.GroupListAnswer{Groups: groups, Next: next}, err
}

func (k *Keeper) proxyList(ctx context.Context, c *call[api.ProxyListRequest]) (api.ProxyListAnswer, error) {
	state, err := read(ctx, k, c)
	if err != nil {
		return api.ProxyListAnswer{}, err
	}
	proxies, next, err := page(k.viewProxies(state), c.body.Page, func(p api.Proxy) string { return proxyKey(p.Cluster, p.ID) })
	return api.ProxyListAnswer{Proxies: proxies, Next: next}, err
}

// proxyNamed is the proxy that an operator means by its id, or cluster/id.
func (k *Keeper) proxyNamed(name string) (*fsm.Proxy, error) {
	var found []*fsm.Proxy
	for _, p := range k.cfg.Store.State().Proxies("") {
		if p.ID == name || proxyKey(p.Cluster, p.ID) == name {
			found = append(found, p)
		}
	}
	switch len(found) {
	case 0:
		return nil, api.Errorf(api.KeyMissing, "no proxy %q: `zeroctl proxy list` shows them", name)
	case 1:
		return found[0], nil
	}
	return nil, api.Errorf(api.BadRequest, "%d clusters have a proxy %q: name it CLUSTER/ID", len(found), name)
}

// proxyActivate puts an unregistered proxy back to work.
func (k *Keeper) proxyActivate(ctx context.Context, c *call[api.ProxyRef]) (none, error) {
	if err := k.leads(); err != nil {
		return none{}, err
	}
	p, err := k.proxyNamed(c.body.ID)
	if err != nil {
		return none{}, err
	}
	if p.Status == fsm.StatusUnreg {
		if _, err := k.propose(ctx, c.req, &fsm.SetProxyStatus{Cluster: p.Cluster, ID: p.ID, To: fsm.StatusReady, Reason: c.body.Reason}); err != nil {
			return none{}, err
		}
	}
	ctx, cancel := context.WithTimeout(ctx, k.cfg.PushTimeout)
	defer cancel()
	return none{}, order(ctx, &k.proxies, proxyKey(p.Cluster, p.ID), api.ActivateProxy, nil, api.ActivateProxyRequest{}, nil)
}

// proxyDrop unregisters a proxy. It is told first, and off the list when it has
// stopped writing: a switch in between still counts it. The last one that is up
// stays, unless it is forced; the state machine has the last word on that, and
// one that it keeps is told to go on.
func (k *Keeper) proxyDrop(ctx context.Context, c *call[api.ProxyRef]) (none, error) {
	if err := k.leads(); err != nil {
		return none{}, err
	}
	p, err := k.proxyNamed(c.body.ID)
	if err != nil {
		return none{}, err
	}
	if err := k.lastProxy(p, c.body.Force); err != nil {
		return none{}, err
	}
	told := false
	key := proxyKey(p.Cluster, p.ID)
	if _, ok := k.proxies.Get(key); ok {
		attempt, cancel := context.WithTimeout(ctx, k.cfg.CallTimeout)
		err := order(attempt, &k.proxies, key, api.UnregisterProxy, nil, api.UnregisterProxyRequest{Reason: c.body.Reason}, nil)
		cancel()
		if err != nil && lasting(err) {
			return none{}, fmt.Errorf("proxy %s did not confirm that it stopped, and stays on the list: %w", p.ID, err)
		}
		told = err == nil
	}
	err = k.unregister(ctx, c.req, p.Cluster, p.ID, c.body.Reason, c.body.Force, told)
	if errors.Is(err, &api.Error{Code: api.LastProxy}) { // another left at the same moment
		k.activateInBackground(p.Cluster, p.ID)
	}
	return none{}, err
}

// lastProxy refuses to take the last proxy that is up off the list.
func (k *Keeper) lastProxy(p *fsm.Proxy, force bool) error {
	if p.Status == fsm.StatusUp && !force && k.proxiesUp(p.Cluster) <= 1 {
		return api.Errorf(api.LastProxy, "proxy %s is the last one of cluster %s that is up: unregistering it would leave clients without a way; force it if that is meant", p.ID, p.Cluster)
	}
	return nil
}

func (k *Keeper) proxiesUp(cluster string) int {
	up := 0
	for _, p := range k.cfg.Store.State().Proxies(cluster) {
		if p.Status == fsm.StatusUp {
			up++
		}
	}
	return up
}

// snapshotSave answers the whole state. It is bounded by what one answer can
// carry.
func (k *Keeper) snapshotSave(ctx context.Context, c *call[api.SnapshotSaveRequest]) (api.SnapshotSaveAnswer, error) {
	state, err := read(ctx, k, c)
	if err != nil {
		return api.SnapshotSaveAnswer{}, err
	}
	var buf bounded
	if _, err := state.WriteTo(&buf); err != nil {
		return api.SnapshotSaveAnswer{}, err
	}
	hash := state.Hash()
	return api.SnapshotSaveAnswer{Index: state.Index(), Term: state.Term(), Hash: hex.EncodeToString(hash[:]), Snapshot: buf.Bytes()}, nil
}

// maxSnapshot is what an answer of 64 MiB carries in base64.
const maxSnapshot = 44 << 20

// bounded is a buffer of at most maxSnapshot bytes.
type bounded struct{ bytes.Buffer }

// Write refuses what does not fit.
func (b *bounded) Write(p []byte) (int, error) {
	if b.Len()+len(p) > maxSnapshot {
		return 0, api.Errorf(api.TooLarge, "the snapshot has more than the %d bytes that an answer carries: copy the newest folder under the keeper's snapshots directory", maxSnapshot)
	}
	return b.Buffer.Write(p)
}

package cluster

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/raft"

	"github.com/zerokeeper/zero/transport/api"
)

// sweep is what one round of questions to other keepers found.
type sweep struct {
	own      string                              // cluster id of who asks, empty when it has none
	fresh    map[string]api.KeeperDiscoverAnswer // keepers with an empty log, this one too, by member id
	clusters map[string]bool                     // ids of groups that exist
	leader   string                              // address of a group's leader
	member   string                              // address of any member of a group
	waiting  []string                            // have a log but no group id yet: just being bootstrapped
	silent   []string
}

// enter makes a fresh node a member: it joins the group that exists, or, as the
// member with the lowest id among exactly BootstrapExpect fresh ones, makes one.
func (n *Node) enter(ctx context.Context) error {
	if n.cfg.BootstrapExpect == 0 && len(n.cfg.Join) == 0 {
		return errors.New("nothing to join and nothing to bootstrap: give --join, or --bootstrap-expect on the first keepers")
	}
	seen := n.sweep(ctx, n.cfg.Join)
	if len(seen.clusters) > 1 {
		return fmt.Errorf("the keepers to join belong to different clusters: %v", keys(seen.clusters))
	}
	if len(seen.clusters) == 1 {
		if seen.leader == "" {
			seen.leader = seen.member // it knows the leader soon
		}
		return n.joinVia(ctx, seen.leader)
	}
	members, err := n.electorate(seen)
	if err != nil || members == nil {
		return err
	}
	future := n.raft.BootstrapCluster(raft.Configuration{Servers: members})
	if err := n.await(ctx, future); err != nil {
		if !n.fresh() {
			return nil // another was quicker
		}
		return fmt.Errorf("bootstrap: %w: this directory took part in an election before; remove it and start again", err)
	}
	n.log.Info("bootstrapped the group", "voters", len(members))
	return nil
}

// electorate is the servers to bootstrap with, nil when it is not on this node
// to do it or not time yet.
func (n *Node) electorate(seen sweep) ([]raft.Server, error) {
	expect := n.cfg.BootstrapExpect
	for _, k := range slices.Sorted(maps.Keys(seen.fresh)) {
		if a := seen.fresh[k]; a.Expect != expect && a.Expect != 0 {
			return nil, fmt.Errorf("keeper %s (%s) expects %d keepers, this one %d: --bootstrap-expect must be the same on all", a.Name, a.Address, a.Expect, expect)
		}
	}
	if expect == 0 {
		return nil, fmt.Errorf("%w: no group was found at %s", errWaiting, strings.Join(n.cfg.Join, ", "))
	}
	if len(seen.waiting) > 0 {
		return nil, nil
	}
	all := n.withAskers(seen.fresh)
	if len(all) > expect {
		return nil, fmt.Errorf("%d fresh keepers (%s), but --bootstrap-expect is %d: start the others with --bootstrap-expect 0 when the group is there", len(all), names(all), expect)
	}
	if len(seen.fresh) < expect {
		return nil, fmt.Errorf("%w: %d of %d (%s); no answer from %s", errWaiting, len(seen.fresh), expect, names(seen.fresh), strings.Join(seen.silent, ", "))
	}
	ids := slices.Sorted(maps.Keys(seen.fresh))
	if ids[0] != n.ID() {
		return nil, nil
	}
	byName := make(map[string]bool)
	servers := make([]raft.Server, 0, expect)
	for _, id := range ids {
		a := seen.fresh[id]
		if byName[a.Name] || slices.ContainsFunc(servers, func(s raft.Server) bool { return string(s.Address) == a.Address }) {
			return nil, fmt.Errorf("two keepers have the name %s or the address %s: names and addresses must differ", a.Name, a.Address)
		}
		byName[a.Name] = true
		servers = append(servers, raft.Server{Suffrage: raft.Voter, ID: raft.ServerID(id), Address: raft.ServerAddress(a.Address)})
	}
	return servers, nil
}

// sweep asks keepers at all these addresses at once who they are.
func (n *Node) sweep(ctx context.Context, addresses []string) sweep {
	own := api.KeeperDiscoverAnswer{MemberID: n.ID(), Name: n.cfg.Name, Address: n.cfg.Advertise, Fresh: true, Expect: n.cfg.BootstrapExpect}
	s := sweep{own: n.ClusterID(), fresh: make(map[string]api.KeeperDiscoverAnswer), clusters: make(map[string]bool)}
	if n.fresh() {
		s.fresh[own.MemberID] = own
	}
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	var mu sync.Mutex
	var asking sync.WaitGroup
	for _, address := range addresses {
		if address == n.cfg.Advertise {
			continue
		}
		asking.Go(func() {
			a, err := n.cfg.Peers.Discover(ctx, address, api.KeeperDiscoverRequest{
				MemberID: n.ID(), Name: n.cfg.Name, Address: n.cfg.Advertise, ClusterID: n.ClusterID(), Expect: n.cfg.BootstrapExpect,
			})
			mu.Lock()
			defer mu.Unlock()
			if err != nil || !validID(a.MemberID) {
				s.silent = append(s.silent, address)
				return
			}
			if a.MemberID != n.ID() {
				s.add(address, a)
				n.book.sighted(raft.ServerID(a.MemberID), a.Address)
			}
		})
	}
	asking.Wait()
	slices.Sort(s.silent)
	return s
}

// add sorts one answer in.
func (s *sweep) add(asked string, a api.KeeperDiscoverAnswer) {
	switch {
	case a.ClusterID != "":
		s.clusters[a.ClusterID] = true
		if s.own != "" && s.own != a.ClusterID {
			return // its leader is not ours
		}
		s.member = asked
		if a.Leader.ID != "" && checkAddress(a.Leader.Address) == nil {
			s.leader = a.Leader.Address
		}
	case !a.Fresh:
		s.waiting = append(s.waiting, a.Name)
	case checkAddress(a.Address) == nil && checkName(a.Name) == nil:
		s.fresh[a.MemberID] = a
	}
}

// withAskers adds the fresh keepers that asked this one of late: they may be
// missing from its own join addresses.
func (n *Node) withAskers(fresh map[string]api.KeeperDiscoverAnswer) map[string]api.KeeperDiscoverAnswer {
	all := maps.Clone(fresh)
	n.group.mu.Lock()
	defer n.group.mu.Unlock()
	for id, a := range n.group.askers {
		if _, ok := all[id]; !ok && time.Since(a.seen) < askerTTL && a.expect != 0 {
			all[id] = api.KeeperDiscoverAnswer{MemberID: id, Name: a.name, Address: a.address}
		}
	}
	return all
}

// HandleDiscover answers KeeperDiscover: who this keeper is, and whom it knows
// as leader.
func (n *Node) HandleDiscover(_ context.Context, req api.KeeperDiscoverRequest) (api.KeeperDiscoverAnswer, error) {
	if err := n.usable(); err != nil {
		return api.KeeperDiscoverAnswer{}, err
	}
	if !validID(req.MemberID) {
		return api.KeeperDiscoverAnswer{}, api.Errorf(api.BadRequest, "discover: member id %q: want 32 hex digits", req.MemberID)
	}
	if err := errors.Join(checkName(req.Name), checkAddress(req.Address)); err != nil {
		return api.KeeperDiscoverAnswer{}, api.Errorf(api.BadRequest, "discover: %v", err)
	}
	own := n.ClusterID()
	if req.ClusterID == own {
		n.book.sighted(raft.ServerID(req.MemberID), req.Address)
	}
	if req.ClusterID == "" && req.MemberID != n.ID() {
		n.group.asked(req)
	}
	return api.KeeperDiscoverAnswer{
		MemberID:  n.ID(),
		Name:      n.cfg.Name,
		Address:   n.cfg.Advertise,
		ClusterID: own,
		Fresh:     n.fresh(),
		Expect:    n.cfg.BootstrapExpect,
		Leader:    n.Leader(),
	}, nil
}

// asked notes a fresh keeper, the oldest ones forgotten.
func (g *group) asked(req api.KeeperDiscoverRequest) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.askers == nil {
		g.askers = make(map[string]asker)
	}
	maps.DeleteFunc(g.askers, func(_ string, a asker) bool { return time.Since(a.seen) >= askerTTL })
	if len(g.askers) < maxAskers {
		g.askers[req.MemberID] = asker{name: req.Name, address: req.Address, expect: req.Expect, seen: time.Now()}
	}
}

func names(fresh map[string]api.KeeperDiscoverAnswer) string {
	var list []string
	for _, a := range fresh {
		list = append(list, a.Name)
	}
	slices.Sort(list)
	return strings.Join(list, ", ")
}

func keys(set map[string]bool) []string { return slices.Sorted(maps.Keys(set)) }

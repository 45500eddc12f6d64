package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/raft"

	"github.com/zerokeeper/zero/fsm"
	"github.com/zerokeeper/zero/transport/api"
)

const (
	roundPause = 250 * time.Millisecond // between tries to become a member, and up to twice this
	idlePause  = time.Second            // between looks at the own record
	silence    = 6                      // Elections without a leader, after which a member asks around
	askTimeout = time.Second            // for one question to one keeper
	joinBudget = 5 * time.Second        // for a Join: the leader commits entries for it
	maxHops    = 5                      // from keeper to keeper, to the leader
	askerTTL   = 10 * time.Second       // how long a fresh keeper that asked is counted
	maxAskers  = 64
)

// errWaiting is the problem of a start that only needs the others.
var errWaiting = errors.New("not all keepers are there")

// group is what a node knows of its way into a group.
type group struct {
	mu      sync.Mutex
	problem error // why it is not a member yet
	askers  map[string]asker
	joining chan struct{} // held by who changes the members
}

// lock waits for the right to change the members.
func (g *group) lock(ctx context.Context) error {
	select {
	case g.joining <- struct{}{}:
		return nil
	case <-ctx.Done():
		return api.Errorf(api.Busy, "the members are being changed by another request")
	}
}

func (g *group) unlock() { <-g.joining }

// asker is a fresh keeper that asked this one.
type asker struct {
	name, address string
	expect        int
	seen          time.Time
}

func (g *group) currentProblem() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.problem
}

// setProblem records why the node is not a member; true when that is news.
func (g *group) setProblem(err error) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	news := err != nil && (g.problem == nil || g.problem.Error() != err.Error())
	g.problem = err
	return news
}

// WaitReady waits until the node is ready. When ctx ends first, the error says
// what it waited for.
func (n *Node) WaitReady(ctx context.Context) error {
	ticker := time.NewTicker(10 * time.Millisecond)
	defer ticker.Stop()
	for {
		err := n.Ready()
		if err == nil {
			return nil
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return fmt.Errorf("wait for the keeper to be ready: %w: %w", ctx.Err(), err)
		case <-n.dead:
			return n.stopped()
		}
	}
}

// membershipLoop makes the node a member, and keeps what the group knows of it
// right, with the same configuration at every start: a fresh node bootstraps or
// joins, another announces itself when its record differs, and asks around when
// it has not heard of a leader for long.
func (n *Node) membershipLoop(ctx context.Context) {
	led := time.Now() // when a leader was last known
	for ctx.Err() == nil {
		if n.Leader().ID != "" {
			led = time.Now()
		}
		pause := roundPause + rand.N(roundPause)
		var err error
		switch {
		case n.fresh():
			err = n.enter(ctx)
		case !n.recorded():
			err = n.announce(ctx)
		case time.Since(led) > silence*n.cfg.Timing.Election && n.cfg.Peers != nil:
			pause, err = idlePause, n.inquire(ctx)
		default:
			pause = idlePause
		}
		if err = n.judgeRefusal(err); err != nil {
			n.fail(err)
			return
		}
		sleep(ctx, pause)
	}
}

// fresh reports whether the own log is empty.
func (n *Node) fresh() bool { return n.raft.LastIndex() == 0 }

// judgeRefusal returns err when the group refused this member for good, and
// else notes it as the problem of the moment.
func (n *Node) judgeRefusal(err error) error {
	if e, ok := errors.AsType[*api.Error](err); ok && e.Code == api.Forbidden {
		n.older(e.Data)
	}
	if errors.Is(err, api.ErrForbidden) || errors.Is(err, api.ErrBadRequest) || errors.Is(err, &api.Error{Code: api.ForeignCluster}) || errors.Is(err, ErrDirectory) {
		return fmt.Errorf("the group refuses this keeper: %w", err)
	}
	if n.ctx.Err() != nil {
		return nil
	}
	if news := n.group.setProblem(err); news && n.fresh() {
		if errors.Is(err, errWaiting) {
			n.log.Info("waiting for the other keepers", "reason", err)
		} else {
			n.log.Error("cannot become a member of a group yet, trying on", "reason", err)
		}
	}
	return nil
}

// record is what the group should know of this node.
func (n *Node) record() fsm.Member {
	id := n.stores.identity.get()
	return fsm.Member{
		ID:          id.MemberID,
		Name:        id.Name,
		Address:     n.cfg.Advertise,
		HTTP:        n.cfg.HTTPAdvertise,
		Version:     n.cfg.Version,
		Incarnation: id.Incarnation,

		FeatureLevel: n.cfg.FeatureLevel,
	}
}

// recorded reports whether the group knows this node as it is now.
func (n *Node) recorded() bool {
	own := n.record()
	server, ok := find(n.configuration(), raft.ServerID(own.ID))
	known := n.State().Member(own.ID)
	if !ok || string(server.Address) != own.Address || known == nil {
		return false
	}
	return *known == own
}

// joinRequest introduces this node to the leader.
func (n *Node) joinRequest() api.KeeperJoinRequest {
	own := n.record()
	return api.KeeperJoinRequest{
		MemberID:    own.ID,
		Name:        own.Name,
		Address:     own.Address,
		HTTP:        own.HTTP,
		Version:     own.Version,
		ClusterID:   n.ClusterID(),
		Incarnation: own.Incarnation,

		FeatureLevel: own.FeatureLevel,
	}
}

// announce tells the leader what this node is now. With no leader to be heard
// it asks around: that also tells the others its address, and it theirs.
func (n *Node) announce(ctx context.Context) error {
	if n.IsLeader() {
		return n.HandleJoin(ctx, n.joinRequest())
	}
	if leader := n.Leader(); leader.ID != "" && n.cfg.Peers != nil {
		return n.joinVia(ctx, leader.Address)
	}
	seen := n.sweep(ctx, n.cfg.Join)
	if id := n.ClusterID(); id != "" && len(seen.clusters) > 0 && !seen.clusters[id] {
		return fmt.Errorf("%w: the directory is of cluster %s, but the keepers to join are of %v", ErrForeign, id, keys(seen.clusters))
	}
	if seen.leader != "" {
		return n.joinVia(ctx, seen.leader)
	}
	return errors.New("no leader is known to announce this keeper to")
}

// inquire introduces this member to a leader that it does not hear. If it was
// removed while it was cut off, raft would never tell it: its votes are refused, and
// nobody sends it the entry. The leader that does proves first that it leads, so that
// what it says is no word of one that lags.
func (n *Node) inquire(ctx context.Context) error {
	addresses := slices.Clone(n.cfg.Join)
	for _, s := range n.configuration().Servers {
		if address := n.book.address(s.ID); !slices.Contains(addresses, address) {
			addresses = append(addresses, address)
		}
	}
	seen := n.sweep(ctx, addresses)
	if seen.leader == "" {
		return errors.New("no keeper of the group that answers knows a leader")
	}
	return n.joinVia(ctx, seen.leader)
}

// joinVia asks the keeper at address to take this node in, and follows it to
// the leader.
func (n *Node) joinVia(ctx context.Context, address string) error {
	ctx, cancel := context.WithTimeout(ctx, joinBudget)
	defer cancel()
	var err error
	for range maxHops {
		err = n.cfg.Peers.Join(ctx, address, n.joinRequest())
		next, ok := leaderIn(err)
		if !ok || next == address {
			return err
		}
		address = next
	}
	return err
}

// leaderIn is the leader's address that a NotLeader error names.
func leaderIn(err error) (string, bool) {
	e, ok := errors.AsType[*api.Error](err)
	if !ok || e.Code != api.NotLeader {
		return "", false
	}
	var hint api.LeaderHint
	if json.Unmarshal([]byte(e.Data), &hint) != nil || checkAddress(hint.Address) != nil {
		return "", false
	}
	return hint.Address, true
}

// learnLoop writes the group's id into the identity file as soon as the state
// has it.
func (n *Node) learnLoop(ctx context.Context) {
	for {
		changed := n.Changed()
		if id := n.State().ClusterID(); id != "" {
			if err := n.stores.identity.learn(id); err != nil {
				n.fail(err)
				return
			}
			n.group.setProblem(nil)
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return
		}
	}
}

package cluster

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/zerokeeper/zero/fsm"
	"github.com/zerokeeper/zero/transport/api"
)

func voter(n *Node, id string) bool {
	for _, m := range n.Members() {
		if m.ID == id {
			return m.Voter
		}
	}
	return false
}

func TestFourthJoinsAndIsPromoted(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	nodes := f.group(3)
	f.mustPut("a", "1")
	leader := f.leader(nodes...)
	fourth := f.mustOpen(f.config("k4", 0, others(nodes, leader)[0].cfg.Advertise)) // a follower sends it on
	f.ready(fourth)
	if get(fourth.State(), "a") != "1" {
		t.Error("a ready joiner lacks a write from before")
	}
	f.eventually("it is a voter everywhere", func() bool {
		for _, n := range append(nodes, fourth) {
			if !voter(n, fourth.ID()) {
				return false
			}
		}
		return true
	})
	// Removed for good: its directory is not let in again, a new one is.
	f.eventually("it is removed", func() bool { return f.leader(nodes...).RemoveMember(t.Context(), "k4") == nil })
	if err := wantFatal(t, fourth, nil); !errors.Is(err, api.ErrForbidden) {
		t.Errorf("a removed keeper ends with %v", err)
	}
	f.eventually("its record is gone", func() bool { return f.leader(nodes...).State().Member(fourth.ID()) == nil })
	f.close(fourth)
	if err := os.RemoveAll(fourth.cfg.DataDir); err != nil {
		t.Fatal(err)
	}
	anew := f.restart(fourth)
	f.ready(anew)
	if anew.ID() == fourth.ID() {
		t.Error("a new directory got the old member id")
	}
}

func TestWipedVoterRefused(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	nodes := f.group(3)
	f.mustPut("a", "1")
	wiped := others(nodes, f.leader(nodes...))[0]
	f.crash(wiped)
	if err := os.RemoveAll(wiped.cfg.DataDir); err != nil {
		t.Fatal(err)
	}
	rest := others(nodes, wiped)
	back := f.restart(wiped)
	err := wantFatal(t, back, nil)
	if !errors.Is(err, api.ErrForbidden) || !strings.Contains(err.Error(), wiped.ID()) {
		t.Errorf("a wiped voter ends with %v", err)
	}
	if back.raft.LastIndex() != 0 {
		t.Error("the wiped one took entries that were meant for the old one")
	}
	f.close(back)
	// As the message says: remove the member, then it may join anew.
	f.eventually("the old one is removed", func() bool { return f.leader(rest...).RemoveMember(t.Context(), wiped.ID()) == nil })
	again := f.restart(wiped)
	f.ready(again)
	f.eventually("the new one votes", func() bool { return voter(f.leader(rest...), again.ID()) })
}

func TestForeignJoinRefused(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	a := f.mustOpen(f.config("a1", 1))
	b := f.mustOpen(f.config("b1", 1))
	f.ready(a, b)
	f.close(b)
	if err := a.HandleJoin(t.Context(), b.joinRequest()); !errors.Is(err, &api.Error{Code: api.ForeignCluster}) {
		t.Errorf("a member of another cluster joins: %v", err)
	}
	if a.State().Member(b.ID()) != nil {
		t.Error("the foreign keeper was recorded")
	}
}

// A keeper that joins twice is one; under the id of another it is refused, and
// so is one of another cluster, with what to do.
func TestJoinTwiceAndUnderAnothersID(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	nodes := f.group(3)
	f.mustPut("a", "1")
	leader := f.leader(nodes...)
	twin := others(nodes, leader)[0].joinRequest()
	join := func(r api.KeeperJoinRequest) error {
		var err error
		f.eventually("an answer of the leader", func() bool {
			err = f.leader(nodes...).HandleJoin(t.Context(), r)
			return !errors.Is(err, api.ErrNotLeader) && !errors.Is(err, api.ErrNoLeader) && !errors.Is(err, api.ErrNotReady)
		})
		return err
	}
	for range 2 {
		if err := join(twin); err != nil {
			t.Errorf("a keeper that joins again: %v", err)
		}
	}
	thief := twin
	thief.Address, thief.Incarnation = "127.0.0.1:1", "1-thief"
	if err := join(thief); !errors.Is(err, api.ErrForbidden) || !strings.Contains(err.Error(), "older copy") {
		t.Errorf("a keeper under another's id: %v", err)
	}
	fresh := twin
	fresh.MemberID, fresh.ClusterID, fresh.Name = randomID(), "", "k9"
	if err := join(fresh); !errors.Is(err, api.ErrForbidden) || !strings.Contains(err.Error(), "remove the member first") {
		t.Errorf("a fresh keeper at another's address: %v", err)
	}
	foreign := twin
	foreign.MemberID, foreign.ClusterID = randomID(), randomID()
	if err := join(foreign); !errors.Is(err, &api.Error{Code: api.ForeignCluster}) || !strings.Contains(err.Error(), "start it with an empty directory, or at its own cluster") {
		t.Errorf("a keeper of another cluster: %v", err)
	}
	state, err := f.leader(nodes...).Linearizable(t.Context())
	if err != nil || get(state, "a") != "1" || len(state.Members()) != 3 || *state.Member(twin.MemberID) != fsm.Member(*recordOf(twin)) {
		t.Errorf("afterwards: %v", err)
	}
	f.mustPut("b", "1")
}

func recordOf(r api.KeeperJoinRequest) *fsm.RegisterMember {
	return &fsm.RegisterMember{ID: r.MemberID, Name: r.Name, Address: r.Address, HTTP: r.HTTP, Version: r.Version, FeatureLevel: r.FeatureLevel, Incarnation: r.Incarnation}
}

// A member that cannot hear its own group and finds only another one stops.
func TestForeignGroupAtJoinAddress(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	nodes := f.group(3)
	stranger := f.mustOpen(f.config("s1", 1))
	f.ready(stranger)
	n := nodes[0]
	for _, n := range nodes {
		f.crash(n)
	}
	c := f.config(n.cfg.Name, 3, stranger.cfg.Advertise)
	lost := f.mustOpen(c)
	if err := wantFatal(t, lost, ErrForeign); !strings.Contains(err.Error(), stranger.ClusterID()) {
		t.Errorf("the error does not name the cluster that was found: %v", err)
	}
}

func TestAddressesChange(t *testing.T) {
	if raceEnabled {
		// raft v1.7.3 itself: startStopReplication writes a follower's new address
		// while its replication goroutine reads the record (replication.go,
		// updateLastAppended). What is read is the id, which does not change.
		t.Skip("SKIPPED: the race detector finds raft's own race on a changed address; `make unit` runs this test without it")
	}
	t.Parallel()
	f := newFleet(t)
	nodes := f.group(3)
	f.mustPut("a", "1")
	t.Run("of one", func(t *testing.T) {
		n := others(nodes, f.leader(nodes...))[0]
		f.crash(n)
		delete(f.addrs, n.cfg.Name)
		moved := f.restart(n)
		if moved.cfg.Advertise == n.cfg.Advertise {
			t.Skip("the same port again")
		}
		f.ready(moved)
		for i := range nodes {
			if nodes[i] == n {
				nodes[i] = moved
			}
		}
		f.eventually("the others know the address", func() bool {
			id, err := f.leader(nodes...).resolve(moved.cfg.Advertise)
			return err == nil && string(id) == moved.ID()
		})
	})
	t.Run("of all at once", func(t *testing.T) {
		var join []string
		for _, n := range nodes {
			f.crash(n)
			delete(f.addrs, n.cfg.Name)
			l := f.listen(n.cfg.Name)
			join = append(join, l.Addr().String())
			_ = l.Close()
		}
		for i, n := range nodes {
			nodes[i] = f.mustOpen(f.config(n.cfg.Name, 3, join...))
		}
		f.ready(nodes...)
		state, err := f.leader(nodes...).Linearizable(t.Context())
		if err != nil || get(state, "a") != "1" {
			t.Errorf("a = %q, %v", get(state, "a"), err)
		}
	})
}

// Starts that cannot become a group say why, and go on when it is put right.
func TestBootstrapRefusals(t *testing.T) {
	problem := func(f *fleet, n *Node, text string) {
		f.t.Helper()
		f.eventually(n.cfg.Name+" says "+text, func() bool {
			err := n.Ready()
			return err != nil && strings.Contains(err.Error(), text)
		})
	}
	t.Run("unequal expect", func(t *testing.T) {
		t.Parallel()
		f := newFleet(t)
		join := f.reserve("k1", "k2")
		a := f.mustOpen(f.config("k1", 2, join...))
		b := f.mustOpen(f.config("k2", 3, join...))
		problem(f, a, "--bootstrap-expect must be the same")
		problem(f, b, "--bootstrap-expect must be the same")
		f.close(b)
		b = f.restart(&Node{cfg: f.config("k2", 2, join...)})
		f.ready(a, b)
	})
	t.Run("too many", func(t *testing.T) {
		t.Parallel()
		f := newFleet(t)
		join := f.reserve("k1", "k2", "k3")
		f.setup = func(_ string, c *Config) { c.Peers = slowPeers{f.peers} } // nobody is first
		var nodes []*Node
		for _, name := range []string{"k1", "k2", "k3"} {
			nodes = append(nodes, f.mustOpen(f.config(name, 2, join...)))
		}
		for _, n := range nodes {
			problem(f, n, "3 fresh keepers")
		}
	})
	t.Run("same name", func(t *testing.T) {
		t.Parallel()
		f := newFleet(t)
		join := f.reserve("k1", "k2")
		a := f.mustOpen(f.config("k1", 2, join...))
		c := f.config("k2", 2, join...)
		l := f.listen("k2")
		c.Name, c.Listener, c.Advertise = "k1", l, l.Addr().String()
		b, err := Open(t.Context(), c)
		if err != nil {
			t.Fatal(err)
		}
		f.nodes["twin"] = b
		f.peers.put(c.Advertise, b)
		lowest := a
		if b.ID() < a.ID() {
			lowest = b
		}
		problem(f, lowest, "two keepers have the name k1")
	})
	t.Run("nothing to do", func(t *testing.T) {
		t.Parallel()
		f := newFleet(t)
		problem(f, f.mustOpen(f.config("k1", 0)), "nothing to join and nothing to bootstrap")
	})
	t.Run("waiting", func(t *testing.T) {
		t.Parallel()
		f := newFleet(t)
		problem(f, f.mustOpen(f.config("k1", 3, f.reserve("k2", "k3")...)), "1 of 3")
	})
	t.Run("name in use", func(t *testing.T) {
		t.Parallel()
		f := newFleet(t)
		a := f.mustOpen(f.config("k1", 1))
		f.ready(a)
		req := a.joinRequest()
		req.MemberID, req.Address, req.ClusterID = randomID(), "127.0.0.1:1", ""
		if err := a.HandleJoin(t.Context(), req); !errors.Is(err, api.ErrForbidden) {
			t.Errorf("a second k1 joins: %v", err)
		}
	})
}

// reserve picks addresses for names.
func (f *fleet) reserve(names ...string) []string {
	f.t.Helper()
	var join []string
	for _, name := range names {
		l := f.listen(name)
		join = append(join, l.Addr().String())
		_ = l.Close()
	}
	return join
}

// slowPeers answers only once three keepers are there to be found.
type slowPeers struct{ *directory }

func (p slowPeers) Discover(ctx context.Context, address string, req api.KeeperDiscoverRequest) (api.KeeperDiscoverAnswer, error) {
	for {
		p.mu.Lock()
		count := len(p.nodes)
		p.mu.Unlock()
		if count >= 3 || ctx.Err() != nil {
			return p.directory.Discover(ctx, address, req)
		}
		pause(ctx, 5*time.Millisecond)
	}
}

func TestHandleDiscoverAndJoinRefuseNonsense(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	n := f.mustOpen(f.config("k1", 1))
	f.ready(n)
	good := n.joinRequest()
	good.MemberID, good.Name, good.Address, good.ClusterID = randomID(), "k2", "127.0.0.1:1", ""
	tests := []struct {
		name  string
		spoil func(r *api.KeeperJoinRequest)
	}{
		{"no id", func(r *api.KeeperJoinRequest) { r.MemberID = "" }},
		{"short id", func(r *api.KeeperJoinRequest) { r.MemberID = "abcd" }},
		{"upper case id", func(r *api.KeeperJoinRequest) { r.MemberID = strings.Repeat("AB", 16) }},
		{"no name", func(r *api.KeeperJoinRequest) { r.Name = "" }},
		{"long name", func(r *api.KeeperJoinRequest) { r.Name = strings.Repeat("x", 65) }},
		{"name with a line break", func(r *api.KeeperJoinRequest) { r.Name = "k\n2" }},
		{"no port", func(r *api.KeeperJoinRequest) { r.Address = "127.0.0.1" }},
		{"unspecified address", func(r *api.KeeperJoinRequest) { r.Address = "0.0.0.0:7001" }},
		{"long address", func(r *api.KeeperJoinRequest) { r.Address = strings.Repeat("x", 300) + ":1" }},
		{"bad HTTP address", func(r *api.KeeperJoinRequest) { r.HTTP = "x" }},
		{"no incarnation", func(r *api.KeeperJoinRequest) { r.Incarnation = "" }},
		{"long version", func(r *api.KeeperJoinRequest) { r.Version = strings.Repeat("x", 300) }},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			r := good
			test.spoil(&r)
			if err := n.HandleJoin(t.Context(), r); !errors.Is(err, api.ErrBadRequest) {
				t.Errorf("join: %v", err)
			}
		})
	}
	for _, r := range []api.KeeperDiscoverRequest{{}, {MemberID: randomID()}, {MemberID: randomID(), Name: "k", Address: "x"}} {
		if _, err := n.HandleDiscover(t.Context(), r); !errors.Is(err, api.ErrBadRequest) {
			t.Errorf("discover %+v: %v", r, err)
		}
	}
	if got := len(n.Members()); got != 1 {
		t.Errorf("%d members after nonsense", got)
	}
}

// A leader that is to be removed hands over; the next one removes it.
func TestRemoveLeader(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	nodes := f.group(3)
	f.mustPut("a", "1")
	var removed *Node
	f.eventually("the leader is removed", func() bool {
		leader := f.leader(nodes...)
		if removed == nil {
			removed = leader
		}
		err := leader.RemoveMember(t.Context(), removed.ID())
		if e, ok := errors.AsType[*api.Error](err); leader == removed && ok && e.Code == api.NotLeader && !strings.Contains(e.Data, "address") {
			t.Errorf("it does not say who leads: %v", err)
		}
		return err == nil
	})
	if removed.IsLeader() {
		t.Error("it leads still")
	}
	rest := others(nodes, removed)
	f.mustPut("b", "1")
	f.eventually("two are left", func() bool { return len(f.leader(rest...).Members()) == 2 })
	alone := newFleet(t)
	n := alone.mustOpen(alone.config("k1", 1))
	alone.ready(n)
	if err := n.RemoveMember(t.Context(), "k1"); !errors.Is(err, api.ErrBadRequest) || n.usable() != nil {
		t.Errorf("the only keeper is removed: %v", err)
	}
}

// A keeper that stops without a quorum hands nothing over, and does not say so.
func TestCloseWithoutQuorum(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	nodes := f.group(3)
	leader := f.leader(nodes...)
	for _, n := range others(nodes, leader) {
		f.crash(n)
	}
	f.close(leader)
	if strings.Contains(f.log.String(), "handed leadership over") {
		t.Error("it says that it handed over")
	}
}

// Removing one of the two that are left would stop the group for good.
func TestRemoveKeepsQuorum(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	nodes := f.group(3)
	rest := others(nodes, f.leader(nodes...))
	f.crash(rest[0])
	leader := f.leader(others(nodes, rest[0])...)
	alive := others(others(nodes, rest[0]), leader)[0]
	if err := leader.RemoveMember(t.Context(), alive.ID()); !errors.Is(err, api.ErrNotReady) {
		t.Errorf("removing the last one that lives: %v", err)
	}
	f.mustPut("a", "1")
	f.eventually("the dead one is removed", func() bool {
		return f.leader(leader, alive).RemoveMember(t.Context(), rest[0].ID()) == nil
	})
	f.mustPut("b", "1")
}

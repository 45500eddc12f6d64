package cluster

import (
	"cmp"
	"encoding/hex"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/raft"

	"github.com/zerokeeper/zero/fsm"
	"github.com/zerokeeper/zero/transport/api"
)

const (
	// readyLag is how many entries a ready node may be behind what it knows to
	// be committed.
	readyLag = 1024
	// minContact is how long without a leader a follower stays ready at least;
	// else five heartbeats.
	minContact = 2 * time.Second
	// digestShare bounds the time spent on state hashes: one that took d is not
	// made again for d times this.
	digestShare = 50
)

// configuration is raft's latest, committed or not; empty before the bootstrap.
func (n *Node) configuration() raft.Configuration {
	r := n.live.Load()
	if r == nil {
		return raft.Configuration{}
	}
	return r.GetConfiguration().Configuration()
}

// voters counts the voters.
func voters(c raft.Configuration) int {
	count := 0
	for _, s := range c.Servers {
		if s.Suffrage == raft.Voter {
			count++
		}
	}
	return count
}

// Members are the keepers of the group: of raft's configuration, with what they
// registered. A member that did not register yet has only id and address.
func (n *Node) Members() []api.Member {
	state, leader := n.State(), n.Leader().ID
	servers := n.configuration().Servers
	members := make([]api.Member, 0, len(servers))
	for _, s := range servers {
		m := api.Member{ID: string(s.ID), Address: string(s.Address), Voter: s.Suffrage == raft.Voter, Leader: string(s.ID) == leader}
		if r := state.Member(m.ID); r != nil {
			m.Name, m.HTTP, m.Version = r.Name, r.HTTP, r.Version
		}
		members = append(members, m)
	}
	slices.SortFunc(members, func(a, b api.Member) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.ID, b.ID))
	})
	return members
}

// Status is this node's own view.
func (n *Node) Status() api.NodeStatusAnswer {
	id, state := n.stores.identity.get(), n.State()
	hash, hashIndex := n.digest.of(state)
	markHash, markIndex := n.same.newest()
	return api.NodeStatusAnswer{
		ClusterID: id.ClusterID,
		MemberID:  id.MemberID,
		Name:      id.Name,
		Version:   n.cfg.Version,
		Address:   n.cfg.Advertise,
		HTTP:      n.cfg.HTTPAdvertise,
		State:     n.roleName(),
		Leader:    n.Leader(),
		Term:      n.raft.CurrentTerm(),
		Index:     n.applier.index.Load(),
		Commit:    n.raft.CommitIndex(),
		Ready:     n.Ready() == nil,
		Recorded:  n.recorded(),
		Hash:      hash,
		HashIndex: hashIndex,
		DiskFree:  n.stores.space.free(),
		DiskLow:   n.stores.space.isLow(),
		MarkHash:  markHash,
		MarkIndex: markIndex,
	}
}

func (n *Node) roleName() string {
	if n.usable() != nil {
		return "shutdown"
	}
	return strings.ToLower(n.raft.State().String())
}

// Ready is nil when this node serves: it is part of a group, knows the leader,
// and its state is as new as it can tell. Else the error says what it waits
// for.
func (n *Node) Ready() error {
	for _, check := range []func() error{n.usable, n.joined, n.contact, n.caughtUp} {
		if err := check(); err != nil {
			return err
		}
	}
	return nil
}

// joined is nil when the node is part of a group.
func (n *Node) joined() error {
	if _, member := find(n.configuration(), raft.ServerID(n.ID())); member && n.ClusterID() != "" {
		return nil
	}
	if p := n.group.currentProblem(); p != nil {
		return api.Errorf(api.NotReady, "not part of a group: %v", p)
	}
	return api.Errorf(api.NotReady, "not part of a group yet")
}

// contact is nil when a leader is known and heard.
func (n *Node) contact() error {
	if _, leading := n.leads(); leading {
		return nil
	}
	if n.Leader().ID == "" {
		return api.Errorf(api.NotReady, "no leader")
	}
	if age := time.Since(n.raft.LastContact()); age > max(minContact, 5*n.cfg.Timing.Heartbeat) {
		return api.Errorf(api.NotReady, "the leader was not heard for %v", age.Round(time.Millisecond))
	}
	return nil
}

// contactSeconds is for the metrics.
func (n *Node) contactSeconds() float64 {
	if n.IsLeader() {
		return 0
	}
	last := n.raft.LastContact()
	if last.IsZero() {
		return -1
	}
	return time.Since(last).Seconds()
}

// caughtUp is nil when the state holds what is committed: on the leader
// everything of the terms before, on a follower what the leader announced.
func (n *Node) caughtUp() error {
	if term, leading := n.leads(); leading {
		if !n.tenures.barrierDone(term) {
			return api.Errorf(api.NotReady, "the state is not complete for term %d yet", term)
		}
		return nil
	}
	commit, applied := n.raft.CommitIndex(), n.raft.AppliedIndex()
	switch {
	case commit == 0:
		return api.Errorf(api.NotReady, "the leader did not say yet what is committed")
	case commit > applied+readyLag:
		return api.Errorf(api.NotReady, "%d entries behind", commit-applied)
	}
	// raft counts as applied what it queued for the state machine.
	if queued, err := strconv.Atoi(n.raft.Stats()["fsm_pending"]); err != nil || queued > readyLag/maxAppendEntries {
		return api.Errorf(api.NotReady, "%d batches of entries wait to be applied", queued)
	}
	return nil
}

// digest remembers the hash of one state: making one reads the whole state.
type digest struct {
	mu    sync.Mutex
	hash  string
	index uint64
	made  time.Time
	took  time.Duration
}

// of is the hash of the state, or of an earlier one when that was made a short
// while ago, with the index it is of.
func (d *digest) of(state *fsm.State) (string, uint64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.hash != "" && (d.index == state.Index() || time.Since(d.made) < digestShare*d.took) {
		return d.hash, d.index
	}
	start := time.Now()
	sum := state.Hash()
	d.hash, d.index = hex.EncodeToString(sum[:]), state.Index()
	d.made = time.Now()
	d.took = d.made.Sub(start)
	return d.hash, d.index
}

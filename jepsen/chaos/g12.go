package chaos

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"time"

	"github.com/zerokeeper/zero/jepsen/fleet"
	"github.com/zerokeeper/zero/transport/api"
)

func init() {
	register(&Scenario{
		Name: "G12", Title: "registers, and members that come and go", Invariants: "I1 I2 I3 I12 I14",
		Nodes: 3, AlsoNodes: []int{5}, Spare: 2, Fabric: bridged, Quiet: memberLines, Limit: 150 * time.Second,
		Play: func(ctx context.Context, r *Run) error {
			return r.playRegisters(ctx, []nemesis{
				replaced("follower replaced", aFollower), replaced("leader replaced", theLeader), grown(), moved(), handedOver(), removedInPartition(),
			}, pace{on: 700 * time.Millisecond, off: 500 * time.Millisecond})
		},
	})
}

// memberLines are what keepers say that were removed, or whose place another has.
var memberLines = []string{`the group refuses this keeper`}

// remove takes a member out of the group, however often the request must be sent.
func (r *Run) remove(ctx context.Context, id string) error {
	ctx, cancel := context.WithTimeout(ctx, settleTime)
	defer cancel()
	body, err := json.Marshal(api.MemberRemoveRequest{Member: id})
	if err != nil {
		return err
	}
	return fleet.Eventually(ctx, 50*time.Millisecond, func(ctx context.Context) error {
		_, err := r.Quorum.peers.Call(ctx, api.MemberRemove, nil, body)
		if errors.Is(err, api.ErrKeyMissing) {
			return nil // an attempt whose answer was lost
		}
		return err
	})
}

// rejoin makes a keeper a new member: the old one is removed from the group, its
// directory is deleted, and it starts with the same command line.
func (r *Run) rejoin(ctx context.Context, n *Node, memberID string) error {
	if err := r.remove(ctx, memberID); err != nil {
		return fmt.Errorf("remove %s: %w", n.Name(), err)
	}
	if err := n.Kill(); err != nil {
		return err
	}
	if err := os.RemoveAll(n.Data()); err != nil {
		return err
	}
	if err := n.Start(ctx); err != nil {
		return err
	}
	return r.voting(ctx, n)
}

// voting waits until a keeper is ready and a voter.
func (r *Run) voting(ctx context.Context, n *Node) error {
	ctx, cancel := context.WithTimeout(ctx, 2*settleTime)
	defer cancel()
	return fleet.Eventually(ctx, 50*time.Millisecond, func(ctx context.Context) error {
		if err := n.ready(ctx); err != nil {
			return err
		}
		members, err := r.members(ctx)
		if err != nil {
			return err
		}
		for _, m := range members {
			if m.Name == n.Name() && m.Voter {
				return nil
			}
		}
		return fmt.Errorf("%s is not a voter yet", n.Name())
	})
}

// members is the group as it sees itself.
func (r *Run) members(ctx context.Context) ([]api.Member, error) {
	resp, err := r.Quorum.peers.Call(ctx, api.MemberList, nil, []byte("{}"))
	if err != nil {
		return nil, err
	}
	var list api.MemberListAnswer
	return list.Members, json.Unmarshal(resp.Data, &list)
}

// memberID is the id of the member that a keeper is.
func (r *Run) memberID(ctx context.Context, n *Node) (id string, err error) {
	ctx, cancel := context.WithTimeout(ctx, settleTime)
	defer cancel()
	err = fleet.Eventually(ctx, 50*time.Millisecond, func(ctx context.Context) error {
		status, err := r.Quorum.status(ctx, n)
		id = status.MemberID
		return err
	})
	return id, err
}

// replaced takes a keeper's disk away: it is removed, and comes back as a new
// member with an empty directory.
func replaced(name string, pick victims) nemesis {
	return nemesis{name: name, run: func(ctx context.Context, r *Run, rand *rand.Rand, on time.Duration) error {
		nodes, err := pick(ctx, r, rand)
		if err != nil {
			return err
		}
		n := nodes[0]
		before, err := r.memberID(ctx, n)
		if err != nil {
			return err
		}
		n.ExpectEnd() // it stops when it learns that it is no member
		r.Timeline.Inject(name, "%s (member %.8s) is removed and loses its disk", n.Name(), before)
		if err := r.rejoin(ctx, n, before); err != nil {
			return err
		}
		after, err := r.memberID(ctx, n)
		if err != nil {
			return err
		}
		if after != before {
			r.Timeline.Bite(name, fmt.Sprintf("%s is member %.8s after %.8s", n.Name(), after, before))
		}
		wait(ctx, on)
		return nil
	}}
}

// grown takes two keepers more into the group, and removes them again.
func grown() nemesis {
	const name = "grown by two and shrunk"
	return nemesis{name: name, run: func(ctx context.Context, r *Run, _ *rand.Rand, on time.Duration) error {
		spare := r.Quorum.nodes[r.Quorum.expect:]
		r.Timeline.Inject(name, "%s join", nodeNames(spare))
		for _, n := range spare {
			if err := os.RemoveAll(n.Data()); err != nil {
				return err
			}
			if err := n.Start(ctx); err != nil {
				return err
			}
		}
		var ids []string
		for _, n := range spare {
			if err := r.voting(ctx, n); err != nil {
				return err
			}
			id, err := r.memberID(ctx, n)
			if err != nil {
				return err
			}
			ids = append(ids, id)
		}
		members, err := r.members(ctx)
		if err != nil {
			return err
		}
		wait(ctx, on)
		for i, n := range spare {
			n.ExpectEnd()
			if err := r.remove(ctx, ids[i]); err != nil {
				return err
			}
			if err := n.Kill(); err != nil {
				return err
			}
		}
		r.Timeline.Note("%s are removed", nodeNames(spare))
		if len(members) == r.Nodes+len(spare) {
			r.Timeline.Bite(name, fmt.Sprintf("there were %d members", len(members)))
		}
		return nil
	}}
}

// moved starts a follower on another port, and back.
func moved() nemesis {
	const name = "address changed"
	return nemesis{name: name, run: func(ctx context.Context, r *Run, rand *rand.Rand, on time.Duration) error {
		nodes, err := aFollower(ctx, r, rand)
		if err != nil {
			return err
		}
		n := nodes[0]
		for _, port := range []int{machinePort + 1, machinePort} {
			if err := n.Stop(ctx); err != nil {
				return err
			}
			n.port = port
			r.Timeline.Inject(name, "%s starts at %s", n.Name(), n.Addr())
			if err := n.Start(ctx, "--listen", n.Addr()); err != nil {
				return err
			}
			if err := r.voting(ctx, n); err != nil {
				return err
			}
			members, err := r.members(ctx)
			if err != nil {
				return err
			}
			for _, m := range members {
				if m.Name == n.Name() && m.Address == n.Addr() {
					r.Timeline.Bite(name, fmt.Sprintf("%s is known at %s", n.Name(), n.Addr()))
				}
			}
			wait(ctx, on)
		}
		return nil
	}}
}

// removedInPartition removes a keeper that cannot hear of it. When the line is
// whole again it must neither lead nor disturb who does, and stop by itself.
func removedInPartition() nemesis {
	const name = "removed while cut off"
	return nemesis{name: name, run: func(ctx context.Context, r *Run, rand *rand.Rand, on time.Duration) error {
		nodes, err := aFollower(ctx, r, rand)
		if err != nil {
			return err
		}
		n := nodes[0]
		id, err := r.memberID(ctx, n)
		if err != nil {
			return err
		}
		r.Timeline.Inject(name, "%s (member %.8s)", n.Name(), id)
		if err := r.Quorum.net.Set(isolate(r, n)); err != nil {
			return err
		}
		n.ExpectEnd()
		if err := r.remove(ctx, id); err != nil {
			return err
		}
		wait(ctx, on) // long enough that it wants to be elected
		if err := r.Quorum.net.Set(nil); err != nil {
			return err
		}
		if n.leads(ctx) {
			r.Violation("I1: %s leads and is not a member", n.Name())
		}
		if how, err := n.endsBySelf(ctx, settleTime); err != nil {
			r.Violation("I12: %s was removed and did not learn of it: %v", n.Name(), err)
		} else {
			r.Timeline.Note("%s", how)
		}
		members, err := r.members(ctx)
		if err != nil {
			return err
		}
		if len(members) == r.Nodes-1 {
			r.Timeline.Bite(name, fmt.Sprintf("%d members were left", len(members)))
		}
		return r.rejoin(ctx, n, id)
	}}
}

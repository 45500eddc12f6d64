package chaos

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/zerokeeper/zero/jepsen/fault"
	"github.com/zerokeeper/zero/jepsen/fault/netns"
)

type rules = map[fault.Pair]fault.Rule

// netFault sets rules for a while. They bite when they dropped or changed
// something.
func netFault(name string, rulesFor func(ctx context.Context, r *Run, rand *rand.Rand) (rules, string, error)) nemesis {
	return nemesis{name: name, run: func(ctx context.Context, r *Run, rand *rand.Rand, on time.Duration) error {
		set, text, err := rulesFor(ctx, r, rand)
		if err != nil {
			return err
		}
		before, err := r.Quorum.net.Affected()
		if err != nil {
			return err
		}
		r.Timeline.Inject(name, "%s", text)
		if err := r.Quorum.net.Set(set); err != nil {
			return err
		}
		wait(ctx, on)
		if err := r.Quorum.net.Set(nil); err != nil {
			return err
		}
		after, err := r.Quorum.net.Affected()
		if err != nil {
			return err
		}
		r.Timeline.Note("%s is over", name)
		if after > before {
			r.Timeline.Bite(name, fmt.Sprintf("%d packets", after-before))
		}
		return nil
	}}
}

// aboutLeader is a net fault that concerns whoever leads when it begins.
func aboutLeader(name string, rulesFor func(leader, nodes int) rules) nemesis {
	return netFault(name, func(ctx context.Context, r *Run, _ *rand.Rand) (rules, string, error) {
		leader, err := r.leader(ctx)
		if err != nil {
			return nil, "", err
		}
		return rulesFor(leader.index, r.Nodes), fmt.Sprintf("%s: %s leads", name, leader.Name()), nil
	})
}

// partitions are the ways in which connections between keepers break. Clients
// reach everybody all the time: who is alone must not answer them wrongly.
func partitions() []nemesis {
	return []nemesis{
		netFault("halves", func(_ context.Context, r *Run, rand *rand.Rand) (rules, string, error) {
			set := netns.Halves(rand, r.Nodes, netns.NodesOnly)
			return set, describe("halves", set), nil
		}),
		aboutLeader("leader isolated", func(leader, nodes int) rules { return netns.Isolate(nodes, leader, netns.NodesOnly) }),
		netFault("majorities ring", func(_ context.Context, r *Run, rand *rand.Rand) (rules, string, error) {
			set := netns.MajoritiesRing(rand, r.Nodes, netns.NodesOnly)
			return set, describe("each sees only its neighbours", set), nil
		}),
		netFault("bridge", func(_ context.Context, r *Run, rand *rand.Rand) (rules, string, error) {
			set := netns.BridgeSplit(rand, r.Nodes, netns.NodesOnly)
			return set, describe("two groups that only one keeper sees both of", set), nil
		}),
		aboutLeader("leader deaf", func(leader, nodes int) rules { return netns.OneWayDeaf(nodes, leader, netns.NodesOnly) }),
		aboutLeader("leader mute", func(leader, nodes int) rules { return netns.OneWayMute(nodes, leader, netns.NodesOnly) }),
	}
}

// isolate cuts a keeper off from all others.
func isolate(r *Run, n *Node) rules { return netns.Isolate(r.Nodes, n.index, netns.NodesOnly) }

// describe names the pairs that are cut.
func describe(what string, set rules) string {
	text := what + ", cut:"
	for from := range 16 {
		for to := range 16 {
			if set[fault.Pair{From: from, To: to}].Cut {
				text += fmt.Sprintf(" %d>%d", from+1, to+1)
			}
		}
	}
	return text
}

// bad lines are ways in which packets suffer on all connections between keepers.
func badLines() []nemesis {
	lines := []struct {
		name string
		rule fault.Rule
	}{
		{"delay", fault.Rule{Delay: 60 * time.Millisecond}},
		{"jitter", fault.Rule{Delay: 40 * time.Millisecond, Jitter: 40 * time.Millisecond}},
		{"loss", fault.Rule{Loss: 0.1}},
		{"duplicates", fault.Rule{Duplicate: 0.2}},
		{"reordering", fault.Rule{Delay: 5 * time.Millisecond, Reorder: 0.2}},
		{"corruption", fault.Rule{Corrupt: 0.05}},
	}
	var all []nemesis
	for _, line := range lines {
		all = append(all, netFault(line.name, func(_ context.Context, r *Run, _ *rand.Rand) (rules, string, error) {
			set := rules{}
			for from := range r.Nodes {
				for to := range r.Nodes {
					if from != to {
						set[fault.Pair{From: from, To: to}] = line.rule
					}
				}
			}
			return set, fmt.Sprintf("%s on all lines between keepers: %+v", line.name, line.rule), nil
		}))
	}
	return all
}

// leader is the keeper that leads now; a fault that is about the leader has to
// wait until there is one.
func (r *Run) leader(ctx context.Context) (*Node, error) {
	ctx, cancel := context.WithTimeout(ctx, settleTime)
	defer cancel()
	return r.Quorum.leader(ctx)
}

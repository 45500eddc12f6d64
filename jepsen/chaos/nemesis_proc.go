package chaos

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/zerokeeper/zero/jepsen/fault/proc"
)

// victims picks the keepers that a fault is about.
type victims func(ctx context.Context, r *Run, rand *rand.Rand) ([]*Node, error)

func theLeader(ctx context.Context, r *Run, _ *rand.Rand) ([]*Node, error) {
	leader, err := r.leader(ctx)
	return []*Node{leader}, err
}

func aFollower(ctx context.Context, r *Run, rand *rand.Rand) ([]*Node, error) {
	leader, err := r.leader(ctx)
	if err != nil {
		return nil, err
	}
	others := append(append([]*Node(nil), r.Quorum.members()[:leader.index]...), r.Quorum.members()[leader.index+1:]...)
	return []*Node{others[rand.IntN(len(others))]}, nil
}

// aMinority is as many as the quorum can do without, the leader among them.
func aMinority(ctx context.Context, r *Run, rand *rand.Rand) ([]*Node, error) {
	picked, err := theLeader(ctx, r, rand)
	if err != nil {
		return nil, err
	}
	for _, i := range rand.Perm(r.Nodes) {
		if n := r.Quorum.members()[i]; len(picked) < (r.Nodes-1)/2 && n != picked[0] {
			picked = append(picked, n)
		}
	}
	return picked, nil
}

func everybody(_ context.Context, r *Run, _ *rand.Rand) ([]*Node, error) {
	return r.Quorum.members(), nil
}

func nodeNames(nodes []*Node) string {
	var list []string
	for _, n := range nodes {
		list = append(list, n.Name())
	}
	return strings.Join(list, ", ")
}

// killed ends keepers with SIGKILL and starts them again after a while.
func killed(name string, pick victims) nemesis {
	return nemesis{name: name, run: func(ctx context.Context, r *Run, rand *rand.Rand, on time.Duration) error {
		nodes, err := pick(ctx, r, rand)
		if err != nil {
			return err
		}
		r.Timeline.Inject(name, "kill -9 %s", nodeNames(nodes))
		dead := 0
		for _, n := range nodes {
			if err := n.Kill(); err != nil {
				return err
			}
			if !n.Running() {
				dead++
			}
		}
		wait(ctx, on)
		if err := r.Quorum.revive(ctx); err != nil {
			return err
		}
		r.Timeline.Note("%s started again", nodeNames(nodes))
		if dead == len(nodes) {
			r.Timeline.Bite(name, fmt.Sprintf("%d keepers were dead for %v", dead, on.Round(time.Millisecond)))
		}
		return nil
	}}
}

// paused stops keepers in their tracks. A leader that is paused for longer than
// an election takes must find out when it goes on, before it answers anybody.
func paused(name string, pick victims) nemesis {
	return nemesis{name: name, run: func(ctx context.Context, r *Run, rand *rand.Rand, on time.Duration) error {
		nodes, err := pick(ctx, r, rand)
		if err != nil {
			return err
		}
		r.Timeline.Inject(name, "SIGSTOP %s", nodeNames(nodes))
		for _, n := range nodes {
			if err := n.Pause(ctx); err != nil {
				return err
			}
		}
		wait(ctx, on)
		silent := 0
		for _, n := range nodes {
			if _, _, err := n.ask(ctx, "/livez"); err != nil {
				silent++
			}
			if err := n.Resume(); err != nil {
				return err
			}
		}
		r.Timeline.Note("SIGCONT %s", nodeNames(nodes))
		if silent == len(nodes) {
			r.Timeline.Bite(name, fmt.Sprintf("%d keepers did not answer", silent))
		}
		return nil
	}}
}

// limited takes something from one keeper. What was taken is given back at the
// end, also from one that died of it.
func limited(name string, pick victims, take func(ctx context.Context, r *Run, n *Node, p *proc.Proc, on time.Duration) error) nemesis {
	return nemesis{name: name, run: func(ctx context.Context, r *Run, rand *rand.Rand, on time.Duration) error {
		nodes, err := pick(ctx, r, rand)
		if err != nil {
			return err
		}
		p, err := nodes[0].breaker()
		if err != nil {
			return err
		}
		err = take(ctx, r, nodes[0], p, on)
		if closed := p.Close(); closed != nil && !errors.Is(closed, proc.ErrEnded) {
			err = errors.Join(err, closed)
		}
		if err != nil {
			return err
		}
		return r.Quorum.revive(ctx)
	}}
}

// starved leaves the leader a share of a core.
func starved() nemesis {
	const name = "CPU starved"
	return limited(name, theLeader, func(ctx context.Context, r *Run, n *Node, p *proc.Proc, on time.Duration) error {
		r.Timeline.Inject(name, "%s gets 5 %% of a core", n.Name())
		if err := p.LimitCPU(0.05); err != nil {
			return err
		}
		wait(ctx, on)
		throttled, err := p.Throttled()
		if throttled > 0 {
			r.Timeline.Bite(name, fmt.Sprintf("throttled %d times", throttled))
		}
		return err
	})
}

// outOfMemory lets the kernel kill a keeper.
func outOfMemory() nemesis {
	const name = "out of memory"
	return limited(name, theLeader, func(ctx context.Context, r *Run, n *Node, p *proc.Proc, on time.Duration) error {
		n.ExpectEnd()
		r.Timeline.Inject(name, "%s gets 4 MiB of memory", n.Name())
		if err := p.LimitMemory(4 << 20); err != nil {
			return err
		}
		if how, err := n.endsBySelf(ctx, 5*time.Second); err == nil {
			r.Timeline.Bite(name, how)
		}
		wait(ctx, on)
		return nil
	})
}

// outOfFiles takes the file descriptors of the leader, all but those that it has.
func outOfFiles() nemesis {
	const name = "out of files"
	return limited(name, theLeader, func(ctx context.Context, r *Run, n *Node, p *proc.Proc, on time.Duration) error {
		r.Timeline.Inject(name, "%s may open no more files", n.Name())
		if err := p.LimitFiles(8); err != nil {
			return err
		}
		refused := 0
		until := time.Now().Add(on)
		for time.Now().Before(until) && ctx.Err() == nil {
			if _, _, err := n.ask(ctx, "/livez"); err != nil { // a new connection each time
				refused++
			}
			wait(ctx, on/10)
		}
		if refused > 0 {
			r.Timeline.Bite(name, fmt.Sprintf("%d connections were not taken", refused))
		}
		return nil
	})
}

// handedOver asks the leader to let another lead.
func handedOver() nemesis {
	const name = "leadership transferred"
	return nemesis{name: name, run: func(ctx context.Context, r *Run, _ *rand.Rand, on time.Duration) error {
		before, err := r.leader(ctx)
		if err != nil {
			return err
		}
		r.Timeline.Inject(name, "%s is asked to hand over", before.Name())
		if err := r.transfer(ctx); err != nil {
			r.Timeline.Note("the transfer was refused: %v", err)
		}
		after, err := r.leader(ctx)
		if err != nil {
			return err
		}
		if after != before {
			r.Timeline.Bite(name, fmt.Sprintf("%s leads after %s", after.Name(), before.Name()))
		}
		wait(ctx, on)
		return nil
	}}
}

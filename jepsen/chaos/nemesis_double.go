package chaos

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"time"

	"github.com/zerokeeper/zero/jepsen/fleet"
)

// doublesAPass is how many double faults of each kind a pass has.
const doublesAPass = 3

// doubleFaults are two faults at once, drawn by each step: two partitions; a partition and a process that is killed or
// stopped; a partition and the death of the new primary in the moment of the heal.
func doubleFaults() []nemesis {
	var all []nemesis
	for range doublesAPass {
		all = append(all, mendedAfter(twoSplits()), mendedAfter(splitAndVictim()), mendedAfter(deathAtHeal()))
	}
	return all
}

func twoSplits() nemesis {
	return netFault("two partitions", func(ctx context.Context, r *Run, rand *rand.Rand) (rules, string, error) {
		now, err := r.sides(ctx)
		if err != nil {
			return nil, "", err
		}
		a, b := splits[rand.IntN(len(splits))], splits[rand.IntN(len(splits))]
		set := a.rules(now, rand)
		maps.Copy(set, b.rules(now, rand))
		return set, fmt.Sprintf("%s and %s: %s leads, %s is the primary; %s", a.name, b.name, r.placeName(now.leader), r.placeName(now.primary), r.cuts(set)), nil
	})
}

// victim is a process that something is done to.
type victim struct {
	proc  *fleet.Proc
	kill  func() error
	raise func() error
	host  int // whose agent it is; -1: no agent
}

// victims are all processes.
func (r *Run) victims() []victim {
	var all []victim
	add := func(p *fleet.Proc, host int) {
		all = append(all, victim{proc: p, kill: p.Kill, raise: func() error { return up(p) }, host: host})
	}
	for _, n := range r.Quorum.members() {
		add(n.Proc, -1)
	}
	for _, p := range r.Data.Proxies {
		add(p.Proc, -1)
	}
	for i, h := range r.Data.Hosts {
		add(h.Agent, i)
		all = append(all, victim{proc: h.Maria.Proc, kill: h.KillServer, raise: h.Raise, host: -1})
	}
	return all
}

// splitAndVictim cuts, and kills or stops a process somewhere in the first half of it, which goes on before the heal or after it.
func splitAndVictim() nemesis {
	const name = "partition and victim"
	return nemesis{name: name, run: func(ctx context.Context, r *Run, rand *rand.Rand, on time.Duration) error {
		all := r.victims()
		v, kill, first := all[rand.IntN(len(all))], rand.IntN(2) == 0, rand.IntN(2) == 0
		cut, early := splits[rand.IntN(len(splits))], time.Duration(rand.Int64N(int64(on/2)))
		now, err := r.sides(ctx)
		if err != nil {
			return err
		}
		set := cut.rules(now, rand)
		what := map[bool]string{true: "killed", false: "stopped"}[kill]
		r.Timeline.Inject(name, "%s, and %s is %s %v later: %s leads, %s is the primary; %s", cut.name, v.proc.Name(), what, early.Round(time.Millisecond), r.placeName(now.leader), r.placeName(now.primary), r.cuts(set))
		before, err := r.Quorum.net.Affected()
		if err != nil {
			return err
		}
		if err := r.Quorum.net.Set(set); err != nil {
			return err
		}
		wait(ctx, early)
		if v.host >= 0 {
			r.sampler.excuseFor(v.host, on)
		}
		if kill {
			err = v.kill()
		} else if v.proc.Running() {
			err = v.proc.Pause(ctx)
		}
		if err != nil {
			return err
		}
		wait(ctx, on-early)
		heal := func() error { return r.Quorum.net.Set(nil) }
		raise := func() error {
			if v.host >= 0 {
				r.sampler.excuse(v.host)
			}
			return v.raise()
		}
		steps := []func() error{heal, raise}
		if first {
			steps = []func() error{raise, heal}
		}
		for _, step := range steps {
			if err := step(); err != nil {
				return err
			}
			wait(ctx, time.Duration(rand.Int64N(int64(time.Second))))
		}
		after, err := r.Quorum.net.Affected()
		if err == nil && after > before {
			r.Timeline.Bite(name, fmt.Sprintf("%d packets, %s %s", after-before, v.proc.Name(), what))
		}
		return err
	}}
}

// deathAtHeal cuts the primary's host off until another is the primary, heals, and kills that one's server in the first
// second: the old one may just have come back.
func deathAtHeal() nemesis {
	const name = "new primary killed at the heal"
	return withoutMoves(nemesis{name: name, run: func(ctx context.Context, r *Run, rand *rand.Rand, on time.Duration) error {
		now, err := r.sides(ctx)
		if err != nil {
			return err
		}
		set := part(rules{}, []int{now.primary}, without(now.all(), now.primary))
		r.Timeline.Inject(name, "%s is the primary; %s", r.placeName(now.primary), r.cuts(set))
		if err := r.Quorum.net.Set(set); err != nil {
			return err
		}
		wait(ctx, on)
		if err := r.Quorum.net.Set(nil); err != nil {
			return err
		}
		wait(ctx, time.Duration(rand.Int64N(int64(time.Second))))
		after, err := r.sides(ctx)
		if err != nil {
			return err
		}
		h := r.hostAt(after.primary)
		if err := h.KillServer(); err != nil {
			return err
		}
		r.Timeline.Note("kill -9 of %s", h.Name())
		if after.primary != now.primary {
			r.Timeline.Bite(name, h.Name()+" had just become the primary")
		}
		wait(ctx, on/2)
		return h.Raise()
	}})
}

package chaos

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/zerokeeper/zero/fsm"
	"github.com/zerokeeper/zero/jepsen/fleet"
	"github.com/zerokeeper/zero/transport/api"
)

// The bounds of a struck switch.
const (
	strikeTime = 5 * time.Second  // from the strike to the switch's end
	comeTime   = 8 * time.Second  // from the request to the point
	usableTime = 15 * time.Second // from the victim's return to a fleet that nothing is wrong with
	tries      = 3                // of a case, until its victim comes to its point
	// crowded is a load average for each core above which nothing is said about times.
	crowded = 6
)

// deadLines are what agents and keepers say of databases and agents that were killed
// or stopped.
var deadLines = []string{
	`zeroagent\.agent: the database server is dead`,
	`zeroagent\.agent: this server needs a person: .*source not reachable`,
	`zeroagent\.agent: this server needs a person: .*alarm="commits wait for an acknowledgement: `,
	`zerokeeper\.keeper: the old primary is not writable after a rollback`,
}

// pointed is a data plane with fault points: as it is, or with programs that are
// broken as ZERO_CONTROL says.
func pointed(broken map[string]string) *dataPlan {
	p := &dataPlan{Proxies: 2, Databases: 3, Bin: dirPoints, Switch: []string{"policy: lossless"}}
	if broken != nil {
		p.Bin = dirBroken
	}
	p.Env = func(r *Run, name string) []string {
		env := slices.Clone(pointsEnv)
		if what := broken[strings.TrimRight(name, "0123456789")]; what != "" && !r.Sound {
			env = append(env, "ZERO_CONTROL="+what)
		}
		return env
	}
	return p
}

func init() {
	register(&Scenario{
		Name: "G8", Title: "a planned switch, and the leader killed before and after every step; others by the seed", Invariants: "I3 I4 I5 I8 I12 I14",
		Nodes: 3, Fabric: bridged, Limit: 5 * time.Minute, Most: 0.2, Quiet: deadLines, Data: pointed(nil),
		Play: func(ctx context.Context, r *Run) error {
			return r.playStrikes(ctx, smoke(rand.New(rand.NewPCG(r.Seed, 0x68))))
		},
	})
	register(&Scenario{
		Name: "G8-full", Title: "everybody killed and stopped before and after every step, planned and failing over", Invariants: "I3 I4 I5 I8 I12 I14",
		Nodes: 3, Fabric: bridged, Limit: 2 * time.Hour, Most: 0.3, Longer: true, Quiet: deadLines, Data: pointed(nil),
		Play: func(ctx context.Context, r *Run) error {
			all := matrix()
			rand.New(rand.NewPCG(r.Seed, 0x68f)).Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
			return r.playStrikes(ctx, all)
		},
	})
}

// striking plays strikes, one after the other, on one stage.
type striking struct {
	*Run
	draw  *rand.Rand
	ended []time.Duration // from the strike to the end of the switch, the leader being the victim
	other []time.Duration // somebody else being it
}

// playStrikes plays all cases; when the run has a length, as many as it allows.
func (r *Run) playStrikes(ctx context.Context, all []strike) error {
	g := &striking{Run: r, draw: rand.New(rand.NewPCG(r.Seed, 0x685))}
	played := 0
	for _, s := range all {
		if r.Duration > 0 && r.Timeline.Since() > r.Duration {
			break
		}
		if err := ctx.Err(); err != nil {
			return context.Cause(ctx)
		}
		came := false
		for try := 0; !came && try < tries; try++ { // the leadership had moved, or an order was not needed
			var err error
			if came, err = g.play(ctx, s); err != nil {
				return fmt.Errorf("%s: %w", s, err)
			}
		}
		if !came {
			r.Timeline.Note("%s: nobody came to that point", s)
			if s.victim == hitLeader {
				r.worse(Void, "the leader did not come to %s in %d switches (%s)", s.point, tries, s.path)
			}
			continue
		}
		played++
	}
	if err := g.judgePoints(); err != nil {
		return err
	}
	r.Stat("strikes", played)
	r.Stat("leader_struck_to_end_ms", spread(g.ended))
	r.Stat("other_struck_to_end_ms", spread(g.other))
	return nil
}

// judgePoints makes a run void in which a point was never come to: it would be a
// name that means nothing.
func (g *striking) judgePoints() error {
	var procs []*fleet.Proc
	for _, n := range g.Quorum.members() {
		procs = append(procs, n.Proc)
	}
	counts, err := passed(append(procs, g.Data.processes()...))
	if err != nil {
		return err
	}
	for _, s := range matrix() {
		if counts[s.point] == 0 && s.path != failedOver {
			g.worse(Void, "nobody ever came to %s", s.point)
			counts[s.point] = 1 // told once
		}
	}
	g.Stat("points", len(counts))
	return nil
}

// spread is the median and the most, in milliseconds.
func spread(all []time.Duration) string {
	if len(all) == 0 {
		return "none"
	}
	slices.Sort(all)
	return fmt.Sprintf("p50 %d, most %d of %d", all[len(all)/2].Milliseconds(), all[len(all)-1].Milliseconds(), len(all))
}

// hit is what a strike does, and how it is undone.
type hit struct {
	arms []armed
	// external is what happens at the leader's point to a victim that has no points.
	external func() error
	excuse   int // the host whose agent cannot act meanwhile; -1: none
}

// play plays one case: came is whether it came to the point.
func (g *striking) play(ctx context.Context, s strike) (came bool, err error) {
	leader, err := g.leader(ctx)
	if err != nil {
		return false, err
	}
	group, err := g.group(ctx)
	if err != nil {
		return false, err
	}
	from := group.Writable
	to := (from + 1 + g.draw.IntN(len(g.Data.Hosts)-1)) % len(g.Data.Hosts)
	h, err := g.aim(s, leader, from, to)
	if err != nil {
		return false, err
	}
	defer func() {
		for _, a := range h.arms {
			err = errors.Join(err, a.disarm())
		}
	}()
	coming, cancel := context.WithTimeout(ctx, comeTime)
	defer cancel()
	if err := g.request(coming, s.path, leader, group, to); err != nil {
		return false, err
	}
	point := h.arms[0]
	for !point.reached() && coming.Err() == nil {
		if now, err := g.group(coming); err == nil && now.Stamp.Generation > group.Stamp.Generation && now.OpenSwitch == "" && !point.reached() {
			wait(coming, 100*time.Millisecond) // what comes at the end is told a moment after it
			break
		}
		wait(coming, 2*time.Millisecond)
	}
	came = point.reached()
	struck := g.Timeline.Since()
	if came {
		g.Timeline.Inject(s.name(), "%s", s)
		if h.external != nil {
			err = h.external()
			struck = g.Timeline.Since()
			if err = errors.Join(err, point.disarm()); err != nil {
				return came, err
			}
		}
		if h.excuse >= 0 {
			g.sampler.excuseFor(h.excuse, strikeTime)
		}
	}
	if err := g.ends(ctx, s, group, struck, came, h); err != nil {
		return came, err
	}
	return came, g.usable(ctx, s)
}

// aim arms the points of a strike.
func (g *striking) aim(s strike, leader *Node, from, to int) (*hit, error) {
	h := &hit{excuse: -1}
	target := leader.Proc
	switch s.victim {
	case hitFollower:
		others := slices.DeleteFunc(slices.Clone(g.Quorum.members()), func(n *Node) bool { return n == leader })
		target = others[g.draw.IntN(len(others))].Proc
	case hitAgent:
		h.excuse = g.side(s.point, from, to)
		target = g.Data.Hosts[h.excuse].Agent
	case hitProxy:
		target = g.Data.Proxies[g.draw.IntN(len(g.Data.Proxies))].Proc
	case hitPrimary:
		target, h.excuse = g.Data.Hosts[from].Proc, from
	}
	at, what := target, s.act
	if !s.own() {
		at, what = leader.Proc, actWait
		h.external = func() error {
			switch {
			case s.act == actStop:
				return target.Pause(context.Background())
			case s.victim == hitPrimary:
				return g.Data.Hosts[from].KillServer()
			}
			return target.Kill()
		}
	}
	a, err := arm(at, s.point, what)
	h.arms = append(h.arms, a)
	return h, err
}

// side is the host whose agent comes to a point: of the candidate's orders the
// candidate's, of the primary's the primary's, else one of both.
func (g *striking) side(point string, from, to int) int {
	order := strings.Split(point, "/")[1]
	switch ofCandidate, ofPrimary := slices.Contains(candidateOrders, order), slices.Contains(primaryOrders, order); {
	case ofCandidate && !ofPrimary:
		return to
	case ofPrimary && !ofCandidate:
		return from
	}
	return []int{from, to}[g.draw.IntN(2)]
}

// request begins a switch on its path.
func (g *striking) request(ctx context.Context, way path, leader *Node, group api.Group, to int) error {
	start := api.SwitchStartRequest{HostGroup: dataGroup, ToIndex: to, Reason: "G8"}
	var stop armed
	var err error
	switch way {
	case failedOver:
		start.Kind, start.ToIndex = api.KindFailover, api.AnyIndex
		g.Timeline.Note("kill -9 %s, the primary", g.Data.Hosts[group.Writable].Name())
		err = g.Data.Hosts[group.Writable].KillServer()
	case rolledBack:
		stop, err = arm(leader.Proc, "keeper/"+fsm.StateStopping+"/after", actWait)
	}
	if err != nil {
		return err
	}
	var started api.SwitchStarted
	err = g.asked(ctx, api.SwitchStart, start, &started)
	for ; errors.Is(err, &api.Error{Code: api.TooFrequent}) && ctx.Err() == nil; err = g.asked(ctx, api.SwitchStart, start, &started) {
		wait(ctx, 20*time.Millisecond)
	}
	if err != nil && !errors.Is(err, api.ErrOutcomeUnknown) && !errors.Is(err, api.ErrNoLeader) && ctx.Err() == nil {
		if now, look := g.group(ctx); look == nil && now.Stamp.Generation == group.Stamp.Generation {
			return fmt.Errorf("the switch was refused: %w", err)
		}
	}
	if way != rolledBack {
		return nil
	}
	defer func() { err = errors.Join(err, stop.disarm()) }()
	if err := stop.await(ctx); err != nil { // another leads
		g.Timeline.Note("not aborted: %v", err)
		return nil
	}
	return g.asked(ctx, api.SwitchAbort, api.SwitchRef{ID: started.ID, Reason: "G8"}, nil)
}

// asked asks the keepers, whoever leads.
func (g *striking) asked(ctx context.Context, name string, body, answer any) error {
	data, err := json.Marshal(body)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	resp, err := g.Quorum.peers.Call(ctx, name, nil, data)
	if err != nil || answer == nil {
		return err
	}
	return json.Unmarshal(resp.Data, answer)
}

// group is the host group, as the leader knows it.
func (g *striking) group(ctx context.Context) (api.Group, error) {
	var list api.GroupListAnswer
	if err := g.asked(ctx, api.GroupList, api.GroupListRequest{}, &list); err != nil {
		return api.Group{}, err
	}
	if len(list.Groups) != 1 {
		return api.Group{}, fmt.Errorf("%d host groups, want one", len(list.Groups))
	}
	return list.Groups[0], nil
}

// ends waits for the end of the switch: within strikeTime, with the victim down.
// One that needs the victim ends within strikeTime of its return; the leader's is
// never needed.
func (g *striking) ends(ctx context.Context, s strike, before api.Group, struck time.Duration, came bool, h *hit) error {
	over := func(ctx context.Context) error {
		now, err := g.group(ctx)
		if err == nil && (now.OpenSwitch != "" || now.Stamp.Generation == before.Stamp.Generation) {
			err = fmt.Errorf("switch %q of generation %d is open", now.OpenSwitch, now.Stamp.Generation)
		}
		return err
	}
	limited, cancel := context.WithTimeout(ctx, strikeTime-(g.Timeline.Since()-struck))
	err := fleet.Eventually(limited, 5*time.Millisecond, over)
	cancel()
	took := g.Timeline.Since() - struck
	if came && err == nil {
		g.Timeline.Bite(s.name(), fmt.Sprintf("the switch ended %d ms later", took.Milliseconds()))
		if s.victim == hitLeader {
			g.ended = append(g.ended, took)
		} else {
			g.other = append(g.other, took)
		}
	}
	if err != nil && came {
		g.Timeline.Bite(s.name(), fmt.Sprintf("the switch was open %v later", strikeTime))
		if s.victim == hitLeader && s.path != failedOver {
			g.late("I8: %s: the switch had not ended %v later: %v", s, strikeTime, err)
		}
	}
	for _, a := range h.arms {
		if err := a.disarm(); err != nil {
			return err
		}
	}
	if back := g.revive(ctx); back != nil {
		return back
	}
	if h.excuse >= 0 {
		g.sampler.excuse(h.excuse)
	}
	if err == nil {
		return nil
	}
	limited, cancel = context.WithTimeout(ctx, strikeTime)
	defer cancel()
	if err := fleet.Eventually(limited, 5*time.Millisecond, over); err != nil {
		g.late("I8: %s: the switch had not ended %v after everybody was back: %v", s, strikeTime, err)
	}
	return nil
}

// late records that something took too long: a violation, unless the machine has
// so much else to do that nothing can be said.
func (g *striking) late(format string, args ...any) {
	text, err := os.ReadFile("/proc/loadavg")
	var load float64
	if err == nil {
		_, err = fmt.Sscan(string(text), &load)
	}
	if err == nil && load > crowded*float64(runtime.NumCPU()) {
		g.worse(Void, "the load of this machine is %.0f: %s", load, fmt.Sprintf(format, args...))
		return
	}
	g.Violation(format, args...)
}

// revive resumes and starts everything.
func (g *striking) revive(ctx context.Context) error {
	return errors.Join(g.Quorum.revive(ctx), g.Data.revive())
}

// usable waits until the next switch may come: nothing is open, nothing is wrong
// with the fleet, and writes are acknowledged.
func (g *striking) usable(ctx context.Context, s strike) error {
	limited, cancel := context.WithTimeout(ctx, usableTime)
	defer cancel()
	acked := g.writers.Acked()
	err := fleet.Eventually(limited, 20*time.Millisecond, func(ctx context.Context) error {
		if now := g.writers.Acked(); now <= acked {
			return errors.New("no write was acknowledged")
		}
		now, err := g.group(ctx)
		if err == nil && now.OpenSwitch != "" {
			err = fmt.Errorf("switch %s is open", now.OpenSwitch)
		}
		return err
	})
	if err == nil {
		err = g.Data.healthy(limited)
	}
	if err == nil {
		err = g.Quorum.allReady(limited)
	}
	if err != nil && ctx.Err() == nil {
		g.late("I12: %s: the fleet was not well again %v after everybody was back: %v", s, usableTime, err)
	}
	return ctx.Err()
}

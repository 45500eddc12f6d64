package chaos

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/zerokeeper/zero/jepsen/check"
	"github.com/zerokeeper/zero/transport"
	"github.com/zerokeeper/zero/transport/api"
	"github.com/zerokeeper/zero/transport/wire"
)

// The times of registrations in this scenario.
const (
	leaseTTL     = 1500 * time.Millisecond
	leaseBeat    = 300 * time.Millisecond
	leaseHolders = 4
	// An election, and the leader that follows it grants everybody a TTL anew.
	leaseBound   = leaseTTL + 3*time.Second
	leaseEpsilon = time.Second
)

func init() {
	register(&Scenario{
		Name: "G5", Title: "registrations under pauses and moved clocks", Invariants: "I9 I3 I12 I14",
		Nodes: 3, AlsoNodes: []int{5}, Fabric: bridged, Clock: true,
		Args: []string{"--lost-after", leaseTTL.String(), "--remove-after", "1h"},
		Play: func(ctx context.Context, r *Run) error {
			return r.playLeases(ctx, []nemesis{
				clockMoved("clock a day ahead", 24*time.Hour), clockMoved("clock a day back", -24*time.Hour),
				clockMoved("clock an hour back", -time.Hour), clockStrobed(),
				paused("leader paused", theLeader), handedOver(), killed("leader killed", theLeader),
			}, pace{on: 1800 * time.Millisecond, off: 400 * time.Millisecond})
		},
		Judge: judgeLeases,
	})
}

// playLeases has agents that register, beat for a while and fall silent for a
// while, and an observer who looks at the list all the time.
func (r *Run) playLeases(ctx context.Context, all []nemesis, p pace) error {
	holding, stop := context.WithCancel(ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer stop()
	for i := range leaseHolders {
		h := &holder{run: r, rand: r.newRand(), address: fmt.Sprintf("10.9.0.%d:3306", i+1)}
		wg.Go(func() { h.live(holding) })
	}
	wg.Go(func() { r.watchLeases(holding) })
	// Writes beside it, so that the quorum has something to lose and the end of
	// all faults can be seen.
	w, err := r.startWorkload(ctx, 2, 100*time.Millisecond, new(additions).step)
	if err != nil {
		return err
	}
	defer w.stop()
	if err := r.disturb(ctx, all, p); err != nil {
		return err
	}
	if err := r.settle(ctx, w); err != nil {
		return err
	}
	stop()
	wg.Wait()
	return nil
}

// holder is an agent, of which only the registration is real.
type holder struct {
	run     *Run
	rand    *rand.Rand
	address string
	life    int // incarnations so far
}

// live beats for some TTLs, is silent until its loss was surely seen, and begins
// anew.
func (h *holder) live(ctx context.Context) {
	for ctx.Err() == nil {
		h.life++
		h.beatFor(ctx, 2*leaseTTL+time.Duration(h.rand.Int64N(int64(3*leaseTTL))))
		if ctx.Err() != nil {
			return
		}
		now := h.run.Timeline.Since()
		h.run.lease(check.LeaseEvent{Holder: h.address, Kind: check.Stopped, Sent: now, Answered: now})
		h.run.awaitLost(ctx, h.address)
	}
}

// beatFor is one life: a process with an incarnation of its own.
func (h *holder) beatFor(ctx context.Context, d time.Duration) {
	incarnation := strconv.Itoa(h.life)
	c, err := transport.NewClient(transport.ClientConfig{
		Endpoints:   h.run.Quorum.addrs()[:h.run.Quorum.expect],
		Hello:       api.HelloRequest{Role: api.RoleAgent, ID: h.address, Address: h.address, Incarnation: incarnation},
		DialTimeout: opTimeout / 2, BackoffMax: 100 * time.Millisecond, GreyTime: 200 * time.Millisecond,
	})
	if err != nil {
		h.run.worse(Failed, "%v", err)
		return
	}
	defer c.Close()
	until := time.Now().Add(d)
	for seq := uint64(1); time.Now().Before(until) && ctx.Err() == nil; seq++ {
		body, err := json.Marshal(api.AgentHeartbeatRequest{Address: h.address, Incarnation: incarnation, Seq: seq})
		if err != nil {
			h.run.worse(Failed, "%v", err)
			return
		}
		e := check.LeaseEvent{Holder: h.address, Kind: check.Heartbeat, Sent: h.run.Timeline.Since()}
		beating, cancel := context.WithTimeout(ctx, opTimeout)
		_, err = c.Call(beating, api.AgentHeartbeat, nil, body)
		cancel()
		e.Answered = h.run.Timeline.Since()
		switch {
		case errors.Is(err, api.ErrOutcomeUnknown):
			e.Kind = check.MaybeHeartbeat
			h.run.lease(e)
		case err == nil:
			h.run.lease(e)
		}
		wait(ctx, leaseBeat)
	}
}

// leases is what was seen of registrations.
type leases struct {
	mu     sync.Mutex
	events []check.LeaseEvent
	lost   map[string]bool // holders that were seen lost since they stopped
}

func (r *Run) lease(e check.LeaseEvent) {
	r.leases.mu.Lock()
	defer r.leases.mu.Unlock()
	r.leases.events = append(r.leases.events, e)
	switch e.Kind {
	case check.Lost:
		r.leases.lost[e.Holder] = true
	case check.Stopped:
		delete(r.leases.lost, e.Holder)
	}
}

// awaitLost waits until the observer saw the holder's loss; the checker says so
// when that never comes.
func (r *Run) awaitLost(ctx context.Context, holder string) {
	ctx, cancel := context.WithTimeout(ctx, leaseTTL+leaseBound+leaseEpsilon)
	defer cancel()
	for ctx.Err() == nil {
		r.leases.mu.Lock()
		lost := r.leases.lost[holder]
		r.leases.mu.Unlock()
		if lost {
			return
		}
		wait(ctx, 20*time.Millisecond)
	}
}

// watchLeases looks at the list, linearizably, and notes who is up and who is
// lost.
func (r *Run) watchLeases(ctx context.Context) {
	for ctx.Err() == nil {
		sent := r.Timeline.Since()
		asking, cancel := context.WithTimeout(ctx, opTimeout)
		resp, err := r.Quorum.peers.Call(asking, api.AgentList, wire.Meta{{Key: api.MetaConsistency, Value: "linearizable"}}, []byte("{}"))
		cancel()
		answered := r.Timeline.Since()
		var list api.AgentListAnswer
		if err == nil {
			err = json.Unmarshal(resp.Data, &list)
		}
		if err == nil {
			for _, a := range list.Agents {
				r.seen(a, sent, answered)
			}
		}
		wait(ctx, 30*time.Millisecond)
	}
}

// seen notes one row of the list.
func (r *Run) seen(a api.Agent, sent, answered time.Duration) {
	kind := check.Held
	if a.Status == api.StatusLost {
		kind = check.Lost
	}
	r.lease(check.LeaseEvent{Holder: a.Address, Kind: kind, Sent: sent, Answered: answered})
}

func judgeLeases(_ context.Context, r *Run) {
	r.leases.mu.Lock()
	defer r.leases.mu.Unlock()
	r.take("I9", check.Lease(finished(r.leases.events), check.LeaseConfig{TTL: leaseTTL, Bound: leaseBound, Epsilon: leaseEpsilon}))
}

// finished leaves out the last Stopped of holders whose loss nobody could wait
// for, because the run ended first.
func finished(events []check.LeaseEvent) []check.LeaseEvent {
	if len(events) == 0 {
		return events
	}
	end := events[len(events)-1].Answered
	return slices.DeleteFunc(slices.Clone(events), func(e check.LeaseEvent) bool {
		return e.Kind == check.Stopped && end-e.Sent < leaseTTL+leaseBound+leaseEpsilon
	})
}

// clockMoved moves the wall clock of the leader, and back.
func clockMoved(name string, offset time.Duration) nemesis {
	return nemesis{name: name, run: func(ctx context.Context, r *Run, _ *rand.Rand, on time.Duration) error {
		leader, err := r.leader(ctx)
		if err != nil {
			return err
		}
		r.Timeline.Inject(name, "wall clock of %s by %v", leader.Name(), offset)
		if err := leader.clock.Set(offset); err != nil {
			return err
		}
		wait(ctx, on)
		skew, err := leader.wallSkew(ctx)
		if err != nil {
			return err
		}
		if err := leader.clock.Set(0); err != nil {
			return err
		}
		wait(ctx, on/4)
		if (skew > 0) == (offset > 0) && skew.Abs() > offset.Abs()/2 {
			r.Timeline.Bite(name, fmt.Sprintf("%s believed it was %v later", leader.Name(), skew.Round(time.Minute)))
		}
		return nil
	}}
}

// clockStrobed moves all wall clocks to and fro by up to five seconds.
func clockStrobed() nemesis {
	const name = "clocks strobed"
	return nemesis{name: name, run: func(ctx context.Context, r *Run, rand *rand.Rand, on time.Duration) error {
		r.Timeline.Inject(name, "all wall clocks, up to 5 s either way")
		until := time.Now().Add(on)
		moves, widest := 0, time.Duration(0)
		for time.Now().Before(until) && ctx.Err() == nil {
			n := r.Quorum.members()[rand.IntN(r.Nodes)]
			if err := n.clock.Set(time.Duration(rand.Int64N(int64(10*time.Second))) - 5*time.Second); err != nil {
				return err
			}
			moves++
			if skew, err := n.wallSkew(ctx); err == nil {
				widest = max(widest, skew.Abs())
			}
			wait(ctx, 50*time.Millisecond)
		}
		for _, n := range r.Quorum.members() {
			if err := n.clock.Set(0); err != nil {
				return err
			}
		}
		if widest > 1500*time.Millisecond { // what is asked for has a resolution of a second
			r.Timeline.Bite(name, fmt.Sprintf("%d moves, by up to %v", moves, widest.Round(time.Second)))
		}
		return nil
	}}
}

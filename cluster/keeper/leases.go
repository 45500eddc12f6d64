package keeper

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/zerokeeper/zero/fsm"
	"github.com/zerokeeper/zero/transport/api"
	"github.com/zerokeeper/zero/transport/lease"
)

// leases is what the leader of one term granted, and to whom it grants no more.
// Times are on the clock of leases.
type leases struct {
	mu    sync.Mutex
	since lease.Instant // the term's barrier was applied: what was granted before is older
	last  map[granted]lease.Instant
	// leaving are the processes that get no lease any more, so that theirs runs out.
	leaving map[process]int
}

// granted names a lease: a holder may write to a group.
type granted struct{ holder, group string }

// process is one incarnation of a holder.
type process struct{ holder, incarnation string }

func proxyHolder(cluster, id string) string { return "proxy " + proxyKey(cluster, id) }
func agentHolder(address string) string     { return "agent " + address }

func newLeases() *leases {
	l := &leases{}
	l.reset()
	return l
}

// reset begins a term.
func (l *leases) reset() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.since = lease.Now()
	l.last, l.leaving = map[granted]lease.Instant{}, map[process]int{}
}

// out is the time until this leader knows that the holder has no lease for the
// group: zero when it is out.
//
// R2: wait has passed since this leader's last grant, and since it applied its
// own term's barrier: a new leader counts for everyone what an older one may
// have granted. Ask only when the state that holds the group is applied: whoever
// is granted a lease after that is granted what that state says (lend).
func (l *leases) out(holder, group string, wait time.Duration) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	last := l.since
	if at, ok := l.last[granted{holder, group}]; ok {
		last = max(last, at)
	}
	if noWaits {
		return 0
	}
	return max(0, wait-lease.Since(last))
}

// forget drops what has run out.
func (l *leases) forget(wait time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	maps.DeleteFunc(l.last, func(_ granted, at lease.Instant) bool { return lease.Since(at) > wait })
}

// leave stops to grant leases to a process until back is called.
func (l *leases) leave(p process) (back func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	leaving := l.leaving // of this term
	leaving[p]++
	return sync.OnceFunc(func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		if leaving[p]--; leaving[p] == 0 {
			delete(leaving, p)
		}
	})
}

// lend answers a heartbeat that came in at received, with a lease when answer
// asks for one.
//
// R1: leadership is proven by an entry that was proposed after the heartbeat
// came in. What is granted is what the newest state says when it is recorded,
// and it is recorded before the answer goes out: a switch that has applied its
// step and looks at the record sees every grant of the time before.
func (k *Keeper) lend(ctx context.Context, by process, received lease.Instant, answer func(state *fsm.State, leaving bool) (api.HeartbeatAnswer, []string)) (api.HeartbeatAnswer, error) {
	term := k.term.Load()
	if !unprovenGrants {
		if err := k.proofs.await(ctx, k.clientsWait(by)); err != nil {
			return api.HeartbeatAnswer{}, err
		}
	}
	l := k.leases
	l.mu.Lock()
	defer l.mu.Unlock()
	state := k.cfg.Store.State()
	if term == 0 || k.term.Load() != term || state.Term() > term {
		return api.HeartbeatAnswer{}, api.Errorf(api.NotReady, "the leadership of term %d is over", term)
	}
	a, groups := answer(state, l.leaving[by] > 0)
	for _, group := range groups {
		key := granted{by.holder, group}
		l.last[key] = max(l.last[key], received)
	}
	// What the proof took is made up for, so that heartbeats keep their distance.
	late := min(lease.Since(received), k.cfg.HeartbeatInterval/8)
	if a.IntervalMS == 0 {
		a.IntervalMS = max((k.cfg.HeartbeatInterval - late).Milliseconds(), 1)
	}
	return a, nil
}

// clientsWait reports whether a switch waits for a lease of this holder, and clients
// for the switch: the server that it makes writable, or writable again.
func (k *Keeper) clientsWait(by process) bool {
	return slices.ContainsFunc(k.cfg.Store.State().Groups(), func(g *fsm.HostGroup) bool {
		return g.OpenSwitch != "" && (g.Step == fsm.StepPromoting || g.Step == fsm.StepRollingBack) && by.holder == agentHolder(g.Datasources[g.Writable])
	})
}

// outOfAll is the time until the holder has no lease for any group of the
// cluster.
func (k *Keeper) outOfAll(state *fsm.State, cluster, holder string) time.Duration {
	left := k.leases.out(holder, "", k.times.Wait)
	for _, g := range state.Groups() {
		if g.Cluster == cluster {
			left = max(left, k.leases.out(holder, g.Name, k.times.Wait))
		}
	}
	return left
}

// awaitOut lets the leases of a proxy's process run out (R5): it is granted
// none until back is called, and the wait is at most that of one lease.
func (k *Keeper) awaitOut(ctx context.Context, p *fsm.Proxy) (back func(), err error) {
	holder := proxyHolder(p.Cluster, p.ID)
	back = k.leases.leave(process{holder, p.Incarnation})
	for {
		left := k.outOfAll(k.cfg.Store.State(), p.Cluster, holder)
		if left == 0 {
			return back, nil
		}
		pause(ctx, left)
		if ctx.Err() != nil {
			back()
			return nil, api.Errorf(api.Deadline, "proxy %s may still hold a lease: %v", p.ID, ctx.Err())
		}
	}
}

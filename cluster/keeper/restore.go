package keeper

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/zerokeeper/zero/fsm"
	"github.com/zerokeeper/zero/transport/api"
	"github.com/zerokeeper/zero/transport/lease"
)

// frozen is when this leader first saw each frozen group so.
type frozen struct {
	mu   sync.Mutex
	seen map[string]frozenGroup
	told map[string]time.Time // when something about a group or a reporter was logged last
}

type frozenGroup struct {
	at    uint64 // the entry that froze it
	since lease.Instant
}

func (f *frozen) reset() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.seen, f.told = map[string]frozenGroup{}, map[string]time.Time{}
}

// since is when this leader saw that freeze of a group first. Every lease is older:
// a heartbeat that is answered after it was applied gets none.
func (f *frozen) since(g *fsm.HostGroup) lease.Instant {
	f.mu.Lock()
	defer f.mu.Unlock()
	if s, ok := f.seen[g.Name]; ok && s.at == g.FrozenAt {
		return s.since
	}
	now := lease.Now()
	f.seen[g.Name] = frozenGroup{g.FrozenAt, now}
	return now
}

// tell reports whether it is time to log something about that again.
func (f *frozen) tell(about string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if time.Since(f.told[about]) < tellEvery {
		return false
	}
	f.told[about] = time.Now()
	maps.DeleteFunc(f.told, func(_ string, at time.Time) bool { return time.Since(at) > 10*tellEvery })
	return true
}

// heard freezes a host group of which somebody has seen a higher stamp than this
// leader has given (R25), before the heartbeat that says so is answered. What no
// restore explains is not believed.
func (k *Keeper) heard(ctx context.Context, group string, stamp api.Stamp, by string) error {
	state := k.cfg.Store.State()
	g := state.Group(group)
	if g == nil || g.Removed || g.IsFrozen() && stamp.Generation <= g.Heard {
		return nil
	}
	ahead, sensible := g.Ahead(state.Epoch(), stamp.Epoch, stamp.Generation, stamp.Step)
	switch {
	case !ahead:
		return nil
	case !sensible:
		if k.frozen.tell(by + group) {
			k.log.Error("a stamp is reported that no restore explains; it is not believed", "group", group, "by", by, "stamp", stamp, "record", stampOf(state, g))
		}
		return nil
	}
	result, err := k.cfg.Store.ProposeInTerm(ctx, k.term.Load(), fsm.Header{}, &fsm.FreezeGroup{Group: group, Epoch: stamp.Epoch, Generation: stamp.Generation, Step: stamp.Step, By: by})
	if _, err = refused(result, err); err != nil {
		return err
	}
	if now := k.cfg.Store.State().Group(group); now != nil && now.IsFrozen() && !g.IsFrozen() {
		k.log.Error("host group frozen", "group", group, "why", now.Frozen)
	}
	return nil
}

// heardAll is heard for what a proxy reports of the groups of its cluster.
func (k *Keeper) heardAll(ctx context.Context, cluster, id string, stamps map[string]api.Stamp) error {
	state := k.cfg.Store.State()
	for _, name := range slices.Sorted(maps.Keys(stamps)) {
		if g := state.Group(name); g == nil || g.Cluster != cluster {
			continue
		}
		if err := k.heard(ctx, name, stamps[name], "proxy "+id); err != nil {
			return err
		}
	}
	return nil
}

// adoptionOf asks, by their heartbeats, the agents of a frozen group who its primary
// is. What counts came in after W had passed: what an order of before the restore
// might still have changed is in it.
func (k *Keeper) adoptionOf(state *fsm.State, g *fsm.HostGroup) (adoption, []witness) {
	since := k.frozen.since(g)
	passed := lease.Since(since)
	var witnesses []witness
	for _, address := range g.Datasources {
		w := witness{address: address}
		beat, age, heard := k.presence.agent(address)
		row := state.Agent(address)
		switch {
		case row == nil:
			w.missing = "has no agent: an operator decides"
		case !heard || age > k.times.Lease:
			w.missing = "its agent is silent"
		case beat.HostGroup == "":
			w.missing = "its agent remembers nothing: an operator decides"
		case age+k.times.Wait > passed:
			w.missing = "its agent is asked when every lease is over"
		case beat.HostGroup == g.Name:
			w.stamp, w.committed, w.primary = beat.Stamp, beat.Committed, beat.Primary
		}
		witnesses = append(witnesses, w)
	}
	var seen []api.Stamp
	for _, p := range state.Proxies(g.Cluster) {
		if beat, age, heard := k.presence.proxy(proxyKey(p.Cluster, p.ID)); heard && age <= k.times.Lease {
			if stamp, ok := beat.Stamps[g.Name]; ok {
				seen = append(seen, stamp)
			}
		}
	}
	return adopt(g, witnesses, seen), witnesses
}

// watchFrozen thaws frozen groups when all their agents have answered, agree on who
// the primary is, and W has passed (R25).
func (k *Keeper) watchFrozen(ctx context.Context, term uint64) {
	tick := time.NewTicker(max(k.cfg.HeartbeatInterval/4, time.Millisecond))
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		state := k.cfg.Store.State()
		for _, g := range state.Groups() {
			if g.IsFrozen() {
				k.thawIfKnown(ctx, term, state, g)
			}
		}
	}
}

func (k *Keeper) thawIfKnown(ctx context.Context, term uint64, state *fsm.State, g *fsm.HostGroup) {
	a, _ := k.adoptionOf(state, g)
	if left := k.times.Wait - lease.Since(k.frozen.since(g)); len(a.waits) > 0 || left > 0 { // R2
		if len(a.waits) > 0 && left <= 0 && k.frozen.tell(g.Name) {
			k.log.Error("host group frozen: nobody may write to it", "group", g.Name, "why", g.Frozen, "waits", strings.Join(a.waits, "; "))
		}
		return
	}
	_, err := refused(k.cfg.Store.ProposeInTerm(ctx, term, fsm.Header{}, &fsm.ThawGroup{
		Group: g.Name, FrozenAt: g.FrozenAt, Primary: a.primary, Committed: a.committed, Generation: a.generation, By: "the keepers", Reason: a.reason,
	}))
	switch {
	case err == nil:
		k.log.Warn("host group thawed", "group", g.Name, "primary", a.primary, "was", g.Datasources[g.Writable], "reason", a.reason)
	case ctx.Err() == nil && !errors.Is(err, api.ErrStaleGeneration):
		k.log.Warn("a host group cannot be thawed now", "group", g.Name, "error", err)
	}
}

// groupThaw is an operator's decision for a frozen group. Without Apply it only says
// what is known.
func (k *Keeper) groupThaw(ctx context.Context, c *call[api.GroupThawRequest]) (api.GroupThawAnswer, error) {
	var answer api.GroupThawAnswer
	if err := k.leads(); err != nil {
		return answer, err
	}
	term := k.term.Load()
	state, err := k.cfg.Store.Linearizable(ctx)
	if err != nil {
		return answer, err
	}
	if _, done, err := k.replied(state, c.req); done || err != nil {
		return api.GroupThawAnswer{Done: done}, err
	}
	g := state.Group(c.body.HostGroup)
	switch {
	case g == nil || g.Removed:
		return answer, api.Errorf(api.KeyMissing, "no host group %q: `zeroctl group list` shows them", c.body.HostGroup)
	case !g.IsFrozen():
		return answer, api.Errorf(api.NotFrozen, "host group %s is not frozen", g.Name)
	case !slices.Contains(g.Datasources, c.body.Primary):
		return answer, api.Errorf(api.BadRequest, "host group %s has no datasource %q: one of %s", g.Name, c.body.Primary, strings.Join(g.Datasources, ", "))
	case c.body.Apply && c.body.Reason == "":
		return answer, api.Errorf(api.BadRequest, "a thaw needs a reason: it is what the others will read")
	}
	a, witnesses := k.adoptionOf(state, g)
	answer.Frozen, answer.Waits = g.Frozen, a.waits
	for _, w := range witnesses {
		answer.Agents = append(answer.Agents, api.GroupWitness{Address: w.address, Says: w.String()})
		switch {
		case w.missing != "":
			answer.Warnings = append(answer.Warnings, fmt.Sprintf("%s: %s. If it was the primary after that, what was written there is lost", w.address, w.missing))
		case w.primary != c.body.Primary && w.committed > 0:
			answer.Warnings = append(answer.Warnings, fmt.Sprintf("%s knows %s as the primary since generation %d. If that is so, what was written there is lost", w.address, cmp.Or(w.primary, "nobody"), w.committed))
		}
	}
	if !c.body.Apply {
		return answer, nil
	}
	if left := k.times.Wait - lease.Since(k.frozen.since(g)); left > 0 { // R2: also for an operator
		pause(ctx, left)
	}
	if err := ctx.Err(); err != nil {
		return answer, api.Errorf(api.Deadline, "host group %s: leases may still be held: %v", g.Name, err)
	}
	h, err := header(c.req)
	if err != nil {
		return answer, err
	}
	_, err = refused(k.cfg.Store.ProposeInTerm(ctx, term, h, &fsm.ThawGroup{
		Group: g.Name, FrozenAt: g.FrozenAt, Primary: c.body.Primary, Generation: a.generation, By: "operator " + c.who.ID, ByOperator: true, Reason: c.body.Reason,
	}))
	if err == nil {
		answer.Done = true
		k.log.Warn("host group thawed by an operator", "group", g.Name, "primary", c.body.Primary, "by", c.who.ID, "reason", c.body.Reason)
	}
	return answer, err
}

// frozenProblems are what an operator should know of frozen groups, and of stamps
// that are not believed.
func (k *Keeper) frozenProblems(state *fsm.State, add func(format string, args ...any)) {
	for _, g := range state.Groups() {
		if g.IsFrozen() {
			text := fmt.Sprintf("host group %s is FROZEN, nobody may write to it: %s", g.Name, g.Frozen)
			if k.term.Load() != 0 { // another keeper does not know
				if a, _ := k.adoptionOf(state, g); len(a.waits) > 0 {
					text += "; it waits for " + strings.Join(a.waits, "; ")
				}
			}
			add("%s", text)
		}
		for _, address := range g.Datasources {
			beat, _, heard := k.presence.agent(address)
			if s := beat.Stamp; heard && beat.HostGroup == g.Name {
				if ahead, sensible := g.Ahead(state.Epoch(), s.Epoch, s.Generation, s.Step); ahead && !sensible {
					add("the agent of %s says that it has seen the stamp %s of host group %s, which no restore explains; it obeys nothing lower: give it an empty data directory", address, s, g.Name)
				}
			}
		}
	}
}

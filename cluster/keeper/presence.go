package keeper

import (
	"context"
	"maps"
	"sync"
	"time"

	"github.com/zerokeeper/zero/fsm"
	"github.com/zerokeeper/zero/transport/api"
)

// presence is what the leader of one term heard from the fleet. Times are
// monotonic. A new term starts with everybody heard of just now, so that nobody
// expires early; nobody is ever expired before the time it was promised.
type presence struct {
	deciding sync.RWMutex // an expiry is being recorded: held by it, shared by heartbeats that come in; taken before mu

	mu      sync.Mutex
	since   time.Time // the term's start
	proxies map[string]proxyBeat
	agents  map[string]agentBeat
}

type proxyBeat struct {
	at   time.Time
	beat api.ProxyHeartbeatRequest
}

type agentBeat struct {
	at   time.Time
	beat api.AgentHeartbeatRequest
	dead int // beats in a row that said so

	before string // GTID position of the beat before

	shut      bool      // the server answers, and is read-only
	confirmed api.Stamp // an order of before that made it writable
}

func newPresence() *presence {
	p := &presence{}
	p.reset()
	return p
}

func (p *presence) reset() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.since = now()
	p.proxies, p.agents = map[string]proxyBeat{}, map[string]agentBeat{}
}

func (p *presence) beatProxy(key string, beat api.ProxyHeartbeatRequest) {
	p.deciding.RLock()
	defer p.deciding.RUnlock()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.proxies[key] = proxyBeat{now(), beat}
}

func (p *presence) beatAgent(address string, beat api.AgentHeartbeatRequest) {
	p.deciding.RLock()
	defer p.deciding.RUnlock()
	p.mu.Lock()
	defer p.mu.Unlock()
	dead := 0
	if beat.Dead {
		dead = p.agents[address].dead + 1
	}
	last := p.agents[address]
	p.agents[address] = agentBeat{at: now(), beat: beat, dead: dead, before: last.beat.Position, shut: last.isShut(beat), confirmed: last.confirmed}
}

// deadBeats is how many beats in a row said that the server of an agent is dead,
// and how long ago the last came.
func (p *presence) deadBeats(address string) (dead int, age time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if b, ok := p.agents[address]; ok {
		return b.dead, time.Since(b.at)
	}
	return 0, time.Since(p.since)
}

// proxy is the last beat of a proxy and its age; heard is false when none came
// in this term, the age is the term's then.
func (p *presence) proxy(key string) (beat api.ProxyHeartbeatRequest, age time.Duration, heard bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if b, ok := p.proxies[key]; ok {
		return b.beat, time.Since(b.at), true
	}
	return beat, time.Since(p.since), false
}

func (p *presence) agent(address string) (beat api.AgentHeartbeatRequest, age time.Duration, heard bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if b, ok := p.agents[address]; ok {
		return b.beat, time.Since(b.at), true
	}
	return beat, time.Since(p.since), false
}

// forget drops beats of those that are off the list.
func (p *presence) forget(state *fsm.State) {
	p.mu.Lock()
	defer p.mu.Unlock()
	listed := map[string]bool{}
	for _, row := range state.Proxies("") {
		listed[proxyKey(row.Cluster, row.ID)] = true
	}
	maps.DeleteFunc(p.proxies, func(key string, _ proxyBeat) bool { return !listed[key] })
	maps.DeleteFunc(p.agents, func(address string, _ agentBeat) bool { return state.Agent(address) == nil })
}

// watchPresence proposes what silence changes: lost proxies and agents, and
// those that are removed (original, C4).
func (k *Keeper) watchPresence(ctx context.Context, term uint64) {
	interval := max(k.cfg.LostAfter/20, 10*time.Millisecond)
	tick := time.NewTicker(interval)
	defer tick.Stop()
	round, paused := rounds{interval: interval}, false
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if paused = round.late(time.Now()) || paused; paused && !k.resume(ctx) {
			continue
		}
		paused = false
		state := k.cfg.Store.State()
		for _, e := range k.expired(state) {
			k.expire(ctx, term, e)
		}
		k.presence.forget(state)
		k.leases.forget(k.times.Wait)
		k.pushes.forget()
	}
}

// expiry is what the silence of one proxy or agent changes, for as long as it lasts.
type expiry struct {
	command fsm.Command
	silent  func() time.Duration
	least   time.Duration
}

// expire records that somebody was silent for too long. A heartbeat is counted either
// before that, and it was not, or when it is recorded, and takes it back: one that came in
// between would be answered, and its sender lost all the same.
func (k *Keeper) expire(ctx context.Context, term uint64, e expiry) {
	ctx, cancel := context.WithTimeout(ctx, k.cfg.CallTimeout)
	defer cancel()
	k.presence.deciding.Lock()
	defer k.presence.deciding.Unlock()
	if e.silent() < e.least {
		return
	}
	if _, err := refused(k.cfg.Store.ProposeInTerm(ctx, term, fsm.Header{}, e.command)); err != nil && ctx.Err() == nil {
		k.log.Warn("cannot record a silent proxy or agent", "command", e.command, "error", err)
	}
}

// expired is everybody who was silent for too long.
func (k *Keeper) expired(state *fsm.State) []expiry {
	var list []expiry
	for _, row := range state.Proxies("") {
		silent := func() time.Duration {
			_, age, _ := k.presence.proxy(proxyKey(row.Cluster, row.ID))
			return age
		}
		age := silent()
		out := k.outOfAll(state, row.Cluster, proxyHolder(row.Cluster, row.ID)) == 0 // R5
		switch {
		case row.Status == fsm.StatusUp && age >= k.cfg.LostAfter:
			k.log.Warn("proxy lost", "cluster", row.Cluster, "proxy", row.ID, "silent", age.Round(time.Millisecond))
			lost := &fsm.SetProxyStatus{Cluster: row.Cluster, ID: row.ID, From: row.Status, To: fsm.StatusLost, Reason: "no heartbeat for " + age.Round(time.Millisecond).String()}
			list = append(list, expiry{lost, silent, k.cfg.LostAfter})
		case out && row.Status == fsm.StatusLost && age >= k.cfg.LostAfter+k.cfg.RemoveAfter,
			out && (row.Status == fsm.StatusReady || row.Status == fsm.StatusUnreg) && age >= k.cfg.RemoveAfter:
			k.log.Warn("proxy removed", "cluster", row.Cluster, "proxy", row.ID, "was", row.Status, "silent", age.Round(time.Millisecond))
			list = append(list, expiry{&fsm.RemoveProxy{Cluster: row.Cluster, ID: row.ID, From: row.Status}, silent, k.cfg.RemoveAfter})
		}
	}
	for _, row := range state.Agents() {
		silent := func() time.Duration {
			_, age, _ := k.presence.agent(row.Address)
			return age
		}
		if age := silent(); row.Status == fsm.StatusUp && age >= k.cfg.LostAfter {
			k.log.Warn("agent lost", "datasource", row.Address, "silent", age.Round(time.Millisecond))
			list = append(list, expiry{&fsm.SetAgentStatus{Address: row.Address, Incarnation: row.Incarnation, Status: fsm.StatusLost}, silent, k.cfg.LostAfter})
		}
	}
	return list
}

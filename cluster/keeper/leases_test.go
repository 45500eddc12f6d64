package keeper

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/zerokeeper/zero/fsm"
	"github.com/zerokeeper/zero/transport/api"
	"github.com/zerokeeper/zero/transport/lease"
)

// short leases make tests quick.
var short = tuning{config: func(c *Config) { c.Lease = 1500 * time.Millisecond }, waits: brief}

// prover is a store whose proofs a test counts and forbids.
type prover struct {
	Store
	proofs  atomic.Int64
	refuses atomic.Bool
	before  func() // called before a proof, if it is set
}

func (p *prover) Linearizable(ctx context.Context) (*fsm.State, error) {
	p.proofs.Add(1)
	if p.before != nil {
		p.before()
	}
	if p.refuses.Load() {
		return nil, api.Errorf(api.NotReady, "leadership cannot be proven")
	}
	return p.Store.Linearizable(ctx)
}

// R1: without a proof there is no lease.
func TestLeaseOnlyOnProof(t *testing.T) {
	var p *prover
	f := world(t, 1, plainDocument, tuning{config: func(c *Config) { short.config(c); p = &prover{Store: c.Store}; c.Store = p }})
	k := f.leader().keeper.Load()
	for _, a := range []*actor{f.proxies[0], f.agents[0]} {
		if answer := a.beat(); answer.LeaseMS != 1500 || !only(t, answer).Open {
			t.Errorf("%s is answered %+v", a.id, answer)
		}
	}
	k.leases.reset()
	p.refuses.Store(true)
	asked := p.proofs.Load()
	for _, a := range []*actor{f.proxies[0], f.agents[0]} {
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		name, body := api.ProxyHeartbeat, `{"status":"up"}`
		if a.hello.Role == api.RoleAgent {
			name, body = api.AgentHeartbeat, `{"address":"`+db0+`","serverId":"server-0"}`
		}
		resp, err := a.client.Call(ctx, name, nil, []byte(body)) // it tries again until its time is over
		cancel()
		if err == nil {
			t.Errorf("%s is answered %s without a proof", a.id, resp.Data)
		}
	}
	k.leases.mu.Lock()
	granted := len(k.leases.last)
	k.leases.mu.Unlock()
	if granted != 0 || p.proofs.Load() == asked {
		t.Errorf("%d grants are recorded, %d proofs were asked for", granted, p.proofs.Load()-asked)
	}
}

// R1: a leader that is deposed while it proves grants nothing, whatever the
// proof says.
func TestDeposedLeaderGrantsNothing(t *testing.T) {
	var p *prover
	f := world(t, 1, plainDocument, tuning{config: func(c *Config) { short.config(c); p = &prover{Store: c.Store}; c.Store = p }})
	k := f.leader().keeper.Load()
	term := k.term.Load()
	p.before = func() { k.term.Store(term + 1) }
	answer, err := k.lend(within(t), process{"proxy shop/p1", "p1-1"}, lease.Now(), func(*fsm.State, bool) (api.HeartbeatAnswer, []string) {
		return api.HeartbeatAnswer{}, []string{"orders"}
	})
	if wantCode(t, "the answer", err, api.NotReady); err == nil {
		t.Errorf("a leader of another term answers %+v", answer)
	}
	k.term.Store(term)
}

// Many heartbeats share a proof.
func TestProofsAreShared(t *testing.T) {
	var p *prover
	f := world(t, 1, plainDocument, tuning{config: func(c *Config) { short.config(c); p = &prover{Store: c.Store}; c.Store = p }})
	began, before := time.Now(), p.proofs.Load()
	const each = 20
	done := make(chan int)
	for _, a := range append(f.proxies, f.agents...) {
		go func() {
			n := 0
			for range each {
				if a.beat().LeaseMS > 0 {
					n++
				}
			}
			done <- n
		}()
	}
	for range len(f.proxies) + len(f.agents) {
		if n := <-done; n != each {
			t.Errorf("%d of %d beats brought a lease", n, each)
		}
	}
	most := int64(time.Since(began)/(2500*time.Microsecond)) + 2 // an eighth of half of 40 ms: the term is young
	if n := p.proofs.Load() - before; n > most {
		t.Errorf("%d proofs for %d heartbeats in %v, want at most %d", n, 5*each, time.Since(began), most)
	}
}

// R2: a new leader counts a whole wait for everybody, also for whom it never
// heard; then from its own grants, for the groups that were open.
func TestOut(t *testing.T) {
	const wait = 300 * time.Millisecond
	l := newLeases()
	if left := l.out("nobody", "g", wait); left < wait/2 {
		t.Errorf("a new leader waits %v", left)
	}
	l.since = lease.Now().Add(-time.Minute)
	if left := l.out("nobody", "g", wait); left != 0 {
		t.Errorf("one that was granted nothing is waited for %v", left)
	}
	l.last[granted{"p", "g"}] = lease.Now().Add(-100 * time.Millisecond)
	if left := l.out("p", "g", wait); left < 100*time.Millisecond || left > 200*time.Millisecond {
		t.Errorf("%v left of a grant 100 ms ago", left)
	}
	if l.out("p", "other", wait) != 0 {
		t.Error("a grant of one group counts for another")
	}
	l.reset()
	if left := l.out("p", "other", wait); left < wait/2 {
		t.Errorf("the next term waits %v", left)
	}
}

// R2 in a switch: a proxy that cannot be reached costs what is left of its
// lease, not the switch.
func TestUnreachableProxyIsWaitedFor(t *testing.T) {
	t.Parallel()
	f := world(t, 1, plainDocument, short)
	p2, a1 := f.proxies[1], f.agents[1]
	entered, release := a1.block(api.PrepareDatasource)
	id := f.startSwitch(1)
	<-entered
	p2.stop()
	p2.disconnected()
	release()
	s := f.ended(id)
	wantStates(t, s, wayDone...)
	if len(s.Proxies) != 2 || s.Proxies[0].How != api.ProxyStopped || s.Proxies[1].How != api.LeaseOut || s.Proxies[1].Proxy != "p2" {
		t.Errorf("the proxies are recorded as %+v", s.Proxies)
	}
	wantWaited(t, f, s, proxyHolder("shop", "p2"))
}

// wantWaited: the commit came a whole wait after the term began and after the
// holder's last grant.
func wantWaited(t *testing.T, f *fleet, s api.Switch, holder string) {
	t.Helper()
	k := f.leader().keeper.Load()
	k.leases.mu.Lock()
	last := max(k.leases.since, k.leases.last[granted{holder, "orders"}])
	k.leases.mu.Unlock()
	granted := time.Now().Add(-lease.Since(last))
	for _, step := range s.Steps {
		if step.State == fsm.StatePromoting {
			if waited := step.Time.Sub(granted); waited < k.times.Wait-5*time.Millisecond {
				t.Errorf("the commit came %v after the last lease was granted, want %v at least", waited, k.times.Wait)
			}
		}
	}
}

// TestPrimaryHostLostInPlannedSwitch: its agent goes away before the fence.
func TestPrimaryHostLostInPlannedSwitch(t *testing.T) {
	t.Parallel()
	f := world(t, 1, plainDocument, short)
	a0 := f.agents[0]
	entered, release := f.proxies[0].block(api.StopWritingProxyDatasource)
	id := f.startSwitch(1)
	<-entered
	a0.stop()
	a0.disconnected()
	release()
	s := f.ended(id)
	wantStates(t, s, wayDone...)
	if s.Fenced != api.LeaseOut || len(s.Replicas) != 2 {
		t.Errorf("fenced %q, replicas %+v", s.Fenced, s.Replicas)
	}
	wantWaited(t, f, s, agentHolder(db0))
}

// R5: who leaves without giving up its lease is on the list until that is over,
// and gets no other.
func TestLeavingTakesALease(t *testing.T) {
	t.Parallel()
	f := world(t, 1, plainDocument, short)
	p1 := f.proxies[0]
	k := f.leader().keeper.Load()
	if answer := p1.beat(); answer.LeaseMS == 0 {
		t.Fatalf("it is answered %+v", answer)
	}
	granted := time.Now().Add(-10 * time.Millisecond)
	left := make(chan error, 1)
	go func() {
		left <- send(t, p1.client, api.ProxyUnregister, nil, api.ProxyUnregisterRequest{Reason: "r"}, nil)
	}()
	eventually(t, "it gets no lease any more", func() bool {
		answer := p1.beat()
		return answer.LeaseMS == 0 && !only(t, answer).Open
	})
	if f.status("p1") != api.StatusUp {
		t.Error("it is off the list already")
	}
	wantCode(t, "the answer", <-left, api.OK)
	if took := time.Since(granted); took < k.times.Wait-300*time.Millisecond || f.status("p1") != api.StatusUnreg {
		t.Errorf("off the list %v after its lease was granted, as %q", took, f.status("p1"))
	}
}

// R5: so does a process that another one takes the place of.
func TestAnotherProcessWaits(t *testing.T) {
	t.Parallel()
	f := world(t, 1, plainDocument, short)
	k := f.leader().keeper.Load()
	f.proxies[0].beat()
	f.proxies[0].stop()
	f.proxies[0].disconnected()
	again := f.proxyOf("p1", "p1-2")
	again.up()
	k.leases.mu.Lock()
	defer k.leases.mu.Unlock()
	if len(k.leases.leaving) != 0 {
		t.Errorf("still leaving: %v", k.leases.leaving)
	}
}

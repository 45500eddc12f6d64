package keeper

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/zerokeeper/zero/fsm"
	"github.com/zerokeeper/zero/transport/api"
)

// hasty notices silence soon; who is to stay beats much more often.
var hasty = tuning{config: func(c *Config) {
	c.HeartbeatInterval, c.LostAfter, c.RemoveAfter = 20*time.Millisecond, 400*time.Millisecond, 600*time.Millisecond
}}

// keepBeating sends heartbeats for an actor until stopped, which must be before
// the test ends.
func (a *actor) keepBeating() (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var run sync.WaitGroup
	run.Go(func() {
		for ctx.Err() == nil {
			// The test's own context ends before stop is called, when it is a cleanup.
			if _, err := a.tryBeat(); err != nil && ctx.Err() == nil && a.f.t.Context().Err() == nil {
				a.f.t.Errorf("%s: heartbeat: %v", a.id, err)
			}
			pause(ctx, 20*time.Millisecond)
		}
	})
	return func() { cancel(); run.Wait() }
}

// status is what the keepers hold of a proxy; empty when it is not on the list.
func (f *fleet) status(id string) string {
	if row := f.state().Proxy("shop", id); row != nil {
		return row.Status
	}
	return ""
}

func (f *fleet) becomes(id, status string) {
	f.t.Helper()
	eventually(f.t, id+" is "+status, func() bool { return f.status(id) == status })
}

func TestRegistration(t *testing.T) {
	f := world(t, 1, plainDocument, tuning{})
	p := f.proxyOf("p3", "p3-1")
	wantCode(t, "in another cluster", send(t, p.client, api.ProxyRegister, nil, api.ProxyRegisterRequest{ClusterName: "other"}, nil), api.BadRequest)
	if err := send(t, p.client, api.ProxyRegister, nil, api.ProxyRegisterRequest{ClusterName: "shop", Address: "p3:9", Version: "1.2"}, nil); err != nil {
		t.Fatal(err)
	}
	if answer := p.beat(); answer.Status != api.StatusReady || answer.ConfVersion != "1.0.0" || answer.IntervalMS < 30 || answer.IntervalMS > 40 || answer.LeaseMS != 2000 || len(answer.Grants) != 1 {
		t.Errorf("a ready proxy is answered %+v", answer)
	}
	p.set(func(p *actor) { p.status, p.confVersion = api.StatusUp, "1.0.0" })
	if answer := p.beat(); answer.Status != api.StatusUp {
		t.Errorf("a proxy that is up is answered %+v", answer)
	}
	var list api.ProxyListAnswer
	f.must(api.ProxyList, api.ProxyListRequest{}, &list)
	if len(list.Proxies) != 3 {
		t.Fatalf("proxies %+v", list)
	}
	if got := list.Proxies[2]; got.ID != "p3" || got.Address != "p3:9" || got.Version != "1.2" || got.Status != api.StatusUp || got.ConfVersion != "1.0.0" || !got.Connected || got.AgeMS < 0 {
		t.Errorf("listed as %+v", got)
	}

	// One that knows heartbeats only is registered by its first (original).
	plain := f.proxyOf("p4", "p4-1")
	if answer := plain.beat(); answer.Status != api.StatusReady || f.status("p4") != fsm.StatusReady {
		t.Errorf("a ready heartbeat is answered %+v", answer)
	}
	// A new process starts anew.
	f.proxies[0].stop()
	f.proxies[0].disconnected()
	again := f.proxyOf("p1", "p1-2")
	if answer := again.beat(); answer.Status != api.StatusReady || f.state().Proxy("shop", "p1").ConfVersion != "" {
		t.Errorf("a new process is answered %+v", answer)
	}
	wantCode(t, "an unknown status", send(t, p.client, api.ProxyHeartbeat, nil, []byte(`{"status":"happy"}`), nil), api.BadRequest)
}

func TestUnknownProxyIsActivated(t *testing.T) {
	f := world(t, 1, plainDocument, tuning{})
	p := f.proxyOf("p3", "p3-1")
	entered, release := p.block(api.ActivateProxy)
	p.set(func(p *actor) { p.status = api.StatusUp })
	if answer := p.beat(); answer.Status != "" {
		t.Errorf("it is answered %+v", answer)
	}
	<-entered
	p.beat() // while it is being activated nothing more is ordered
	if f.status("p3") != "" {
		t.Error("it was put on the list without its configuration")
	}
	if n := len(f.tape.of(api.ActivateProxy)); n != 1 {
		t.Errorf("it was activated %d times", n)
	}
	release()
	eventually(t, "it starts over", func() bool { return p.beat().Status == api.StatusReady })
	p.up()
}

func TestSilence(t *testing.T) {
	f := world(t, 1, plainDocument, hasty)
	p1, p2, a0 := f.proxies[0], f.proxies[1], f.agents[0]
	defer p1.keepBeating()()
	defer a0.keepBeating()()
	ready := f.proxyOf("p3", "p3-1")
	ready.beat()
	f.becomes("p2", api.StatusLost)
	if answer := p2.beat(); answer.Status != api.StatusUp || f.status("p2") != api.StatusUp {
		t.Errorf("a lost one that beats is answered %+v", answer)
	}
	f.becomes("p2", api.StatusLost)
	lost := time.Now()
	f.becomes("p2", "")
	if gone := time.Since(lost); gone < 300*time.Millisecond {
		t.Errorf("removed %v after it was lost", gone)
	}
	if status := f.status("p3"); status != "" {
		t.Errorf("a ready one that is silent is %q", status)
	}
	if status := f.status("p1"); status != api.StatusUp {
		t.Errorf("the one that beats is %q", status)
	}
	state := f.state()
	if a, b := state.Agent(db0).Status, state.Agent(db1).Status; a != fsm.StatusUp || b != fsm.StatusLost {
		t.Errorf("the agents are %s and %s", a, b)
	}
	f.agents[1].beat()
	if got := f.state().Agent(db1).Status; got != fsm.StatusUp {
		t.Errorf("an agent that beats again is %s", got)
	}
	eventually(t, "only those on the list are remembered", func() bool { return f.leader().keeper.Load().presence.size() == 4 })
}

// size is how many are remembered.
func (p *presence) size() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.proxies) + len(p.agents)
}

// TestNewTermExpiresNobodyEarly: whom this leader did not hear yet counts as
// heard when its term began.
func TestNewTermExpiresNobodyEarly(t *testing.T) {
	f := world(t, 1, plainDocument, tuning{config: func(c *Config) {
		c.LostAfter, c.RemoveAfter = time.Hour, time.Hour
	}})
	k := f.leader().keeper.Load()
	k.presence.reset()
	if got := k.expired(f.state()); len(got) != 0 {
		t.Errorf("expired at once: %v", got)
	}
	k.presence.mu.Lock()
	k.presence.since = time.Now().Add(-61 * time.Minute)
	k.presence.mu.Unlock()
	f.proxies[0].beat()
	if got := k.expired(f.state()); len(got) != 4 { // p2 and three agents
		t.Errorf("expired after an hour: %v", got)
	}
}

// TestEachTermStartsAfresh: what an earlier term heard is forgotten.
func TestEachTermStartsAfresh(t *testing.T) {
	m := newFleet(t, 1, tuning{}).members[0]
	k, err := New(Config{Store: m.node, Group: m.node, Leadership: m.node, Peer: m.peers})
	if err != nil {
		t.Fatal(err)
	}
	k.presence.beatProxy("shop/p1", api.ProxyHeartbeatRequest{})
	k.presence.since = time.Now().Add(-time.Hour)
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := k.lead(ended, 7); err != nil {
		t.Error(err)
	}
	if _, age, heard := k.presence.proxy("shop/p1"); heard || age > time.Minute {
		t.Errorf("heard: %v, %v ago", heard, age)
	}
	if k.term.Load() != 0 || k.startDriver("x") || k.background(func(context.Context, uint64) {}) {
		t.Error("work is taken after the term")
	}
	if _, err := carryOn(t.Context(), k, func(context.Context, uint64) int { return 1 }); err == nil {
		t.Error("work is carried on after the term")
	}
}

func TestSecondConnectionTakesOver(t *testing.T) {
	f := world(t, 1, plainDocument, tuning{})
	old := f.proxies[0].client.CommandConnection()
	second := f.proxyOf("p1", "p1-2")
	second.set(func(a *actor) { a.id = "p1 again" })
	select {
	case <-old.Done():
	case <-time.After(patience):
		t.Fatal("the first connection goes on")
	}
	f.proxies[0].stop() // it would come again and again
	eventually(t, "the second is the one", func() bool {
		inv, ok := f.leader().keeper.Load().proxies.Get("shop/p1")
		return ok && inv.Err() == nil && inv.Principal().Hello.Incarnation == "p1-2"
	})
	f.must(api.ProxyActivate, api.ProxyRef{ID: "p1"}, nil)
	if got := f.tape.of(api.ActivateProxy); len(got) != 1 || got[0].to != "p1 again" {
		t.Errorf("the order went to %v", got)
	}

	// A connection that is not for orders takes nobody's place.
	command := second.client.CommandConnection()
	other := f.client(second.hello, nil)
	if _, err := other.Call(within(t), api.ConfigFetch, nil, nil); err != nil {
		t.Fatal(err)
	}
	f.must(api.ProxyActivate, api.ProxyRef{ID: "p1"}, nil)
	if command.Err() != nil || len(f.tape.of(api.ActivateProxy)) != 2 {
		t.Errorf("the command connection ended: %v", command.Err())
	}
}

func TestIdleSessionsAreForgotten(t *testing.T) {
	f := newFleet(t, 1, tuning{config: func(c *Config) { c.SessionIdle = 300 * time.Millisecond }})
	busy := f.op.NewSession()
	put := func() {
		if _, err := busy.Do(within(t), api.SectionPut, nil, []byte(`{"id":"YQ==","section":"Yg=="}`)); err != nil {
			t.Error(err)
		}
	}
	put()
	id := f.state().Sessions()[0].ID
	if _, err := f.op.NewSession().Do(within(t), api.SectionPut, nil, []byte(`{"id":"YQ==","section":"Yg=="}`)); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the idle one is forgotten", func() bool { put(); return len(f.state().Sessions()) == 1 })
	if put(); f.state().Sessions()[0].ID != id {
		t.Error("the one in use was forgotten")
	}
	eventually(t, "the other one too", func() bool { return len(f.state().Sessions()) == 0 })
}

// TestBeatBesideAnExpiry: a heartbeat that comes in after somebody was found silent,
// and before that is recorded, is not lost: its sender is up when it has the answer.
func TestBeatBesideAnExpiry(t *testing.T) {
	f := world(t, 1, plainDocument, tuning{config: func(c *Config) { c.LostAfter, c.RemoveAfter = time.Hour, time.Hour }})
	k := f.leader().keeper.Load()
	k.presence.reset()
	k.presence.mu.Lock()
	k.presence.since = time.Now().Add(-61 * time.Minute)
	k.presence.mu.Unlock()
	silent := k.expired(f.state())
	f.proxies[0].beat()
	f.agents[0].beat()
	for _, e := range silent {
		k.expire(t.Context(), f.state().Term(), e)
	}
	f.agents[1].beat() // it was recorded as lost
	if p, a, b := f.state().Proxy("shop", "p1"), f.state().Agent(db0), f.state().Agent(db1); p.Status != fsm.StatusUp || a.Status != fsm.StatusUp || b.Status != fsm.StatusUp {
		t.Errorf("the proxy that was heard is %s, the agents are %s and %s", p.Status, a.Status, b.Status)
	}
	if s := f.state().Agent(db2).Status; s != fsm.StatusLost {
		t.Errorf("an agent that was not heard is %s", s)
	}
}

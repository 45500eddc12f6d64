package keeper

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/zerokeeper/zero/fsm"
	"github.com/zerokeeper/zero/transport/api"
)

// shortLived lets leases run out soon.
var shortLived = tuning{config: func(c *Config) {
	c.Lease, c.HeartbeatInterval = 1500*time.Millisecond, 40*time.Millisecond
}}

// remembers makes an agent say what it knows of orders.
func (a *actor) remembers(generation, committed uint64, primary string) {
	a.set(func(a *actor) {
		a.says = func(b *api.AgentHeartbeatRequest) {
			b.HostGroup, b.Stamp, b.Committed, b.Primary = "orders", api.Stamp{Generation: generation, Step: api.StepIdle}, committed, primary
		}
	})
}

// beatAll keeps everybody's heartbeats going until the test ends.
func (f *fleet) beatAll(actors ...*actor) {
	for _, a := range actors {
		f.t.Cleanup(a.keepBeating())
	}
}

// raise does what a recovery does.
func (f *fleet) raise(epoch uint64) {
	f.t.Helper()
	if _, err := refused(f.leader().node.Propose(within(f.t), fsm.Header{}, &fsm.RaiseClusterEpoch{Epoch: epoch})); err != nil {
		f.t.Fatal(err)
	}
}

func (f *fleet) thawed() *fsm.HostGroup {
	f.t.Helper()
	eventually(f.t, "orders is thawed", func() bool { return !f.state().Group("orders").IsFrozen() })
	return f.state().Group("orders")
}

// problem waits for one that has that text.
func (f *fleet) problem(text string) {
	f.t.Helper()
	eventually(f.t, "a problem with "+text, func() bool {
		var view api.ClusterViewAnswer
		f.must(api.ClusterView, struct{}{}, &view)
		return slices.ContainsFunc(view.Problems, func(p string) bool { return strings.Contains(p, text) })
	})
}

// TestRestoredKeeperAsks: the record names db0, db1 is the primary since generation
// 5. Nobody is granted anything before all agents have answered and W has passed;
// then db1 is, with a stamp above every one that was seen (R25).
func TestRestoredKeeperAsks(t *testing.T) {
	f := world(t, 1, plainDocument, shortLived)
	began := time.Now()
	f.raise(1)
	f.agents[0].remembers(5, 0, db0)
	f.agents[1].remembers(5, 5, db1)
	f.agents[2].remembers(6, 5, db1) // 6 was spent
	f.beatAll(f.agents[0], f.agents[1], f.proxies[0])
	if answer := f.agents[0].beat(); len(answer.Grants) != 0 || answer.Moment != (api.Moment{}) {
		t.Errorf("an agent of a frozen group is told %+v: it would take that for not being named any more (R20)", answer)
	}
	if answer := f.proxies[1].beat(); len(answer.Grants) != 0 {
		t.Errorf("a proxy is granted %+v", answer.Grants)
	}
	wantCode(t, "a switch of a frozen group", f.ask(api.SwitchStart, api.SwitchStartRequest{HostGroup: "orders", ToIndex: 1, Reason: "r"}, nil), api.GroupFrozen)
	k := f.leader().keeper.Load()
	eventually(t, "W is over", func() bool { return time.Since(began) > k.times.Wait })
	f.problem("orders is FROZEN")
	f.problem(db2 + ": its agent is silent")
	if !f.state().Group("orders").IsFrozen() {
		t.Fatal("it was thawed although an agent is missing")
	}
	f.beatAll(f.agents[2])
	g := f.thawed()
	if g.Writable != 1 || g.Committed != 5 || g.Generation != 7 || f.state().Epoch() != 1 {
		t.Errorf("thawed as %+v", g)
	}
	if answer := f.agents[1].beat(); len(answer.Grants) != 1 || !answer.Grants[0].Open || answer.Grants[0].Primary.Address != db1 || answer.Grants[0].Stamp != (api.Stamp{Epoch: 1, Generation: 7, Step: api.StepIdle}) {
		t.Errorf("the primary is granted %+v", answer.Grants)
	}
	if show := f.group(); show.Frozen != "" || !strings.Contains(show.Thawed, "generation 5") {
		t.Errorf("group show: %+v", show)
	}
}

// TestWaitsAfterAFreeze: also when all have answered at once, leases of before must
// be over (R2), and what counts was said after that.
func TestWaitsAfterAFreeze(t *testing.T) {
	f := world(t, 1, plainDocument, shortLived)
	for _, a := range f.agents {
		a.remembers(0, 0, db0)
	}
	f.beatAll(f.agents...)
	began := time.Now()
	f.raise(1)
	f.thawed()
	if took := time.Since(began); took < f.leader().keeper.Load().times.Wait {
		t.Errorf("thawed after %v: a lease of before may live", took)
	}
}

// TestHigherStampFreezes: keepers that were put back without a word find out by what
// the fleet has seen; an open switch ends where it stands.
func TestHigherStampFreezes(t *testing.T) {
	for _, test := range []struct {
		name string
		tell func(f *fleet)
	}{
		{"an agent", func(f *fleet) { f.agents[1].remembers(4, 4, db1); f.agents[1].beat() }},
		{"a proxy", func(f *fleet) {
			f.proxies[0].set(func(p *actor) { p.stamps = map[string]api.Stamp{"orders": {Generation: 4, Step: api.StepIdle}} })
			f.proxies[0].beat()
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			f := world(t, 1, plainDocument, shortLived)
			entered, release := f.proxies[0].block(api.StopWritingProxyDatasource)
			defer release()
			id := f.startSwitch(1)
			<-entered
			test.tell(f)
			if g := f.state().Group("orders"); !g.IsFrozen() || f.state().Epoch() == 0 {
				t.Fatalf("not frozen: %+v", g)
			}
			release()
			if s := f.ended(id); s.State != fsm.StateRolledBack || s.Code != api.GroupFrozen {
				t.Errorf("the open switch is %s, code %d", s.State, s.Code)
			}
			for _, a := range f.agents {
				a.remembers(4, 4, db1)
			}
			f.beatAll(f.agents...)
			if g := f.thawed(); g.Writable != 1 || g.Generation != 5 {
				t.Errorf("thawed as %+v", g)
			}
			for _, o := range f.tape.of(api.RecoverWritingProxyDatasource) {
				t.Errorf("after the freeze the switch went on: %s", o)
			}
		})
	}
}

// TestOperatorThaws: where an agent will not come back an operator decides, told
// what that means.
func TestOperatorThaws(t *testing.T) {
	f := world(t, 1, plainDocument, shortLived)
	f.raise(1)
	f.agents[0].remembers(3, 0, db0)
	f.agents[1].remembers(5, 5, db1)
	f.beatAll(f.agents[0], f.agents[1])
	f.problem(db2 + ": its agent is silent")
	var answer api.GroupThawAnswer
	ask := api.GroupThawRequest{HostGroup: "orders", Primary: db0}
	f.must(api.GroupThaw, ask, &answer)
	if answer.Done || len(answer.Agents) != 3 || !strings.Contains(strings.Join(answer.Warnings, "\n"), db2+": its agent is silent") || !f.state().Group("orders").IsFrozen() {
		t.Errorf("what it would mean: %+v", answer)
	}
	wantCode(t, "a primary that is not of the group", f.ask(api.GroupThaw, api.GroupThawRequest{HostGroup: "orders", Primary: "10.0.0.9:1"}, nil), api.BadRequest)
	wantCode(t, "no reason", f.ask(api.GroupThaw, api.GroupThawRequest{HostGroup: "orders", Primary: db1, Apply: true}, nil), api.BadRequest)
	began := time.Now()
	ask = api.GroupThawRequest{HostGroup: "orders", Primary: db1, Reason: "db3 burned", Apply: true}
	f.must(api.GroupThaw, ask, &answer)
	g := f.state().Group("orders")
	if !answer.Done || g.IsFrozen() || g.Writable != 1 || g.Generation != 6 || g.Committed != 6 || !strings.Contains(g.Thawed, "db3 burned") {
		t.Errorf("thawed as %+v, after %v", g, time.Since(began))
	}
	wantCode(t, "again", f.ask(api.GroupThaw, ask, nil), api.NotFrozen)
	// The one that was missing comes back with what it knew: too late.
	f.agents[2].remembers(8, 8, db2)
	f.agents[2].beat()
	if f.state().Group("orders").IsFrozen() {
		t.Error("an agent that was away when it was decided froze the group again")
	}
}

// TestBadInputStamps: what an agent says of stamps is harmless when it cannot be, and
// said.
func TestBadInputStamps(t *testing.T) {
	f := world(t, 1, plainDocument, shortLived)
	for _, stamp := range []api.Stamp{{Generation: 1 << 60}, {Epoch: 1 << 60}, {Generation: 2, Step: 200}} {
		f.agents[2].set(func(a *actor) {
			a.says = func(b *api.AgentHeartbeatRequest) { b.HostGroup, b.Stamp = "orders", stamp }
		})
		f.agents[2].beat()
		if f.state().Group("orders").IsFrozen() || f.state().Epoch() != 0 {
			t.Fatalf("the stamp %s was believed", stamp)
		}
		f.problem("no restore explains")
	}
	f.agents[2].set(func(a *actor) {
		a.says = func(b *api.AgentHeartbeatRequest) { b.HostGroup, b.Stamp = "nobody's", api.Stamp{Generation: 9} }
	})
	f.agents[2].beat()
	// A stamp that might be true stops writes until the others have answered. It
	// does not make its sender the primary.
	f.agents[2].remembers(9, 9, db2)
	f.agents[2].beat()
	if !f.state().Group("orders").IsFrozen() {
		t.Fatal("not frozen")
	}
	f.agents[0].remembers(0, 0, db0)
	f.agents[1].remembers(0, 0, db0)
	f.beatAll(f.agents...)
	f.problem("only " + db2 + " says that " + db2 + " was made the primary in generation 9")
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	<-ctx.Done() // heartbeats go on meanwhile
	if g := f.state().Group("orders"); !g.IsFrozen() || g.Writable != 0 {
		t.Errorf("a liar is the primary: %+v", g)
	}
}

package keeper

import (
	"context"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/zerokeeper/zero/fsm"
	"github.com/zerokeeper/zero/transport/api"
)

// autoDocument is a configuration whose keepers fail over by themselves.
func autoDocument(more string) string {
	return document(db0+", "+db1+", "+db2, "", "  auto_failover: true\n  backend_ping_count: 2\n"+more)
}

// beating sends heartbeats for everybody, as often as the answers say, until the
// test ends; those that fail are tried again.
func (f *fleet) beating() (silence func(a *actor)) {
	stops := map[*actor]func(){}
	for _, a := range slices.Concat(f.proxies, f.agents) {
		ctx, cancel := context.WithCancel(context.Background())
		var run sync.WaitGroup
		run.Go(func() {
			for ctx.Err() == nil {
				_, _ = a.tryBeat() // while nobody leads it fails
				pause(ctx, 20*time.Millisecond)
			}
		})
		stops[a] = func() { cancel(); run.Wait() }
		f.t.Cleanup(stops[a])
	}
	return func(a *actor) { stops[a]() }
}

// probesFail makes the probes of all proxies fail, as those of replicas' IO
// threads do.
func (f *fleet) probesFail() {
	for _, p := range f.proxies {
		p.set(func(p *actor) { p.failing = true })
	}
	for _, a := range f.agents[1:] {
		a.set(func(a *actor) { a.receiving = false })
	}
}

// kill makes the primary's mysqld die under a live agent.
func (f *fleet) kill() {
	f.probesFail()
	f.agents[0].set(func(a *actor) { a.dead = true })
}

// failOver asks for a failover as an operator.
func (f *fleet) failOver(to int, policy string) string {
	f.t.Helper()
	var started api.SwitchStarted
	f.must(api.SwitchStart, api.SwitchStartRequest{HostGroup: "orders", ToIndex: to, Reason: "it burns", Kind: api.KindFailover, Policy: policy}, &started)
	return started.ID
}

// opened waits until the detector has requested a switch, and for its end.
func (f *fleet) opened() api.Switch {
	f.t.Helper()
	eventually(f.t, "a failover is requested", func() bool { return f.state().Switch("orders-1") != nil })
	return f.ended("orders-1")
}

func stepTime(s api.Switch, state string) time.Time {
	for _, step := range s.Steps {
		if step.State == state {
			return step.Time
		}
	}
	return time.Time{}
}

// A dead mysqld under a live agent is fenced: no lease is waited for.
func TestFailoverOfDeadServer(t *testing.T) {
	t.Parallel()
	f := world(t, 1, autoDocument(""), short)
	f.beating()
	f.kill()
	s := f.opened()
	wantStates(t, s, wayDone...)
	if s.Kind != api.KindFailover || s.RequestedBy != "detector" || !strings.Contains(s.Reason, "dead") || s.Fenced != api.FencedDead || s.Policy != api.PolicyLossless || s.MayBeLost != "" {
		t.Errorf("the record: %+v", s)
	}
	if took := stepTime(s, fsm.StatePromoting).Sub(stepTime(s, fsm.StateRequested)); took >= time.Second {
		t.Errorf("committed %v after the request: a lease was waited for", took)
	}
	if len(s.Replicas) != 2 || !s.Replicas[0].Stopped || s.Replicas[0].Received != "0-1-99" || len(s.Votes) != 2 {
		t.Errorf("replicas %+v, votes %+v", s.Replicas, s.Votes)
	}
	if g := f.group(); g.Writable != 1 || g.OpenSwitch != "" {
		t.Errorf("the group afterwards: %+v", g)
	}
	wantStampsRise(t, f)
}

func wantStampsRise(t *testing.T, f *fleet) {
	t.Helper()
	last := map[string]api.Stamp{}
	for _, g := range f.tape.of("") {
		if g.stamped && g.stamp.Compare(last[g.to]) < 0 {
			t.Errorf("%s came after %s", g, last[g.to])
		}
		last[g.to] = g.stamp
	}
}

// A host that went silent costs what is left of its agent's lease.
func TestFailoverOfSilentHost(t *testing.T) {
	t.Parallel()
	f := world(t, 1, autoDocument(""), short)
	silence := f.beating()
	silence(f.agents[0])
	f.agents[0].stop()
	f.agents[0].disconnected()
	f.probesFail()
	s := f.opened()
	wantStates(t, s, wayDone...)
	if s.Fenced != api.LeaseOut || !strings.Contains(s.Reason, "silent") || s.MayBeLost != "" {
		t.Errorf("the record: %+v", s)
	}
	wantWaited(t, f, s, agentHolder(db0))
	if took := stepTime(s, fsm.StateRecovering).Sub(stepTime(s, fsm.StateRequested)); took > time.Second {
		t.Errorf("it took %v, though the lease was out when the host was taken for gone", took)
	}
}

// An overloaded primary is not failed over: its agent or a replica is heard.
func TestOverloadedPrimaryStays(t *testing.T) {
	t.Parallel()
	f := world(t, 1, autoDocument(""), short)
	silence := f.beating()
	f.probesFail()
	err := send(t, f.proxies[0].client, api.ClusterDatasourcesSwitch, nil, api.ClusterDatasourcesSwitchRequest{HostGroup: "orders", ToIndex: api.AnyIndex, Reason: "probes", Kind: api.KindFailover}, nil)
	wantCode(t, "a proxy that asks for a failover of a primary that lives", err, api.PrimaryAlive)
	f.agents[2].set(func(a *actor) { a.receiving = true })
	f.agents[2].beat()
	silence(f.agents[0])
	k := f.leader().keeper.Load()
	eventually(t, "its agent is silent", func() bool { _, age := k.presence.deadBeats(db0); return age > k.times.Lease+100*time.Millisecond })
	// What is refused leaves no record: proxies ask again and again, and each would be a page for every hook.
	if state := f.state(); len(state.Switches()) != 0 || state.Group("orders").Writable != 0 || state.Group("orders").Generation != 0 {
		t.Errorf("it was failed over, or recorded: %+v", state.Switches())
	}
	if last := k.refusals.of("orders"); last == nil || !strings.Contains(last.Error, "does not say that mysqld is dead") {
		t.Errorf("what was refused last: %+v", last)
	}
}

// Without auto_failover only an operator fails over.
func TestNoFailoverUnlessAllowed(t *testing.T) {
	t.Parallel()
	f := world(t, 1, plainDocument, short)
	f.beating()
	f.kill()
	err := send(t, f.proxies[0].client, api.ClusterDatasourcesSwitch, nil, api.ClusterDatasourcesSwitchRequest{HostGroup: "orders", ToIndex: 1, Reason: "probes", Kind: api.KindFailover}, nil)
	wantCode(t, "a proxy", err, api.InvalidSwitch)
	wantStates(t, f.ended(f.failOver(api.AnyIndex, "")), wayDone...)
}

// R19: a lossless failover needs every replica, whether it is known beforehand
// that one is missing or not.
func TestLosslessNeedsEveryReplica(t *testing.T) {
	t.Run("away", func(t *testing.T) {
		t.Parallel()
		f := world(t, 1, autoDocument(""), short)
		f.agents[2].stop()
		f.agents[2].disconnected()
		s := f.ended(f.failOver(1, ""))
		if wantStates(t, s, undoneFrom(fsm.StatePreflight)...); s.Code != api.MayLoseWrites {
			t.Errorf("refused with %d %s", s.Code, s.Error)
		}
	})
	t.Run("does not stop", func(t *testing.T) {
		t.Parallel()
		f := world(t, 1, autoDocument(""), short)
		f.agents[0].set(func(a *actor) { a.dead = true })
		f.agents[2].on(api.StopReceivingDatasource, refuses(api.MySQLUnreachable, "its server hangs"))
		s := f.ended(f.failOver(1, ""))
		if wantStates(t, s, undoneFrom(fsm.StateCatchingUp)...); s.Code != api.MayLoseWrites || !strings.Contains(s.Error, db2) {
			t.Errorf("refused with %d %s", s.Code, s.Error)
		}
		if got := f.tape.of(api.ResumeDatasource); len(got) != 2 || got[0].stamp.Step != api.StepRollingBack {
			t.Errorf("the replicas were told %v", got)
		}
		if len(f.tape.of(api.PromoteDatasource)) != 0 || f.group().Writable != 0 {
			t.Error("something was promoted")
		}
	})
}

// Under PolicyAvailable the best that is left is promoted, and what may be lost
// is recorded.
func TestAvailableRecordsTheLoss(t *testing.T) {
	t.Parallel()
	f := world(t, 1, autoDocument("  policy: available\n"), short)
	f.agents[0].set(func(a *actor) { a.dead = true })
	f.agents[2].stop()
	f.agents[2].disconnected()
	s := f.ended(f.failOver(1, ""))
	wantStates(t, s, wayDone...)
	if s.Policy != api.PolicyAvailable || !strings.Contains(s.MayBeLost, db2) || len(s.Replicas) != 2 || s.Replicas[1].Stopped {
		t.Errorf("the record: %+v", s)
	}
}

// The choice falls on who has received most when all have stopped, not on who
// seemed to before.
func TestFailoverChoosesTheMostAdvanced(t *testing.T) {
	t.Parallel()
	f := world(t, 1, autoDocument("  prefer: "+db1+"\n"), short)
	f.agents[0].set(func(a *actor) { a.dead = true })
	f.agents[2].set(func(a *actor) { a.received = "0-1-100" }) // after its last heartbeat
	s := f.ended(f.failOver(api.AnyIndex, ""))
	wantStates(t, s, wayDone...)
	if g := f.group(); s.To != db2 || s.ToIndex != 2 || g.Writable != 2 || g.Primary != db2 || f.agents[2].isReadOnly() || !f.agents[1].isReadOnly() {
		t.Errorf("it fell on %s, the group is %+v", s.To, g)
	}
	if got := f.tape.of(api.DrainDatasource); len(got) != 1 || got[0].to != "a2" {
		t.Errorf("drained: %v", got)
	}
}

// An index that an operator named is not changed.
func TestFailoverToNamedIndexRefusesOneThatIsBehind(t *testing.T) {
	t.Parallel()
	f := world(t, 1, autoDocument(""), short)
	f.agents[0].set(func(a *actor) { a.dead = true })
	f.agents[2].set(func(a *actor) { a.received = "0-1-100" })
	s := f.ended(f.failOver(1, ""))
	if wantStates(t, s, undoneFrom(fsm.StateCatchingUp)...); s.Code != api.MayLoseWrites {
		t.Errorf("refused with %d %s", s.Code, s.Error)
	}
}

// R13: an agent that was restarted since it was prepared is not promoted.
func TestFailoverNeedsThePreparedProcess(t *testing.T) {
	t.Parallel()
	f := world(t, 1, autoDocument(""), short)
	f.agents[0].set(func(a *actor) { a.dead = true })
	f.agents[1].on(api.DrainDatasource, says(api.AgentState{Incarnation: "a1-2", Applied: "0-1-99"}))
	s := f.ended(f.failOver(1, ""))
	if wantStates(t, s, undoneFrom(fsm.StateCatchingUp)...); s.Code != api.NotPrepared {
		t.Errorf("refused with %d %s", s.Code, s.Error)
	}
}

// A primary that nobody fences is not failed over, not even by an operator.
func TestFailoverNeedsAnAgentOfThePrimary(t *testing.T) {
	t.Parallel()
	f := newFleet(t, 1, short)
	f.must(api.ConfigPush, api.ConfigPushRequest{Content: autoDocument("")}, nil)
	f.agents = append(f.agents, f.agent("a1", db1, "server-1"), f.agent("a2", db2, "server-2"))
	s := f.ended(f.failOver(1, ""))
	if wantStates(t, s, undoneFrom(fsm.StatePreflight)...); s.Code != api.PreflightFailed || !strings.Contains(s.Error, "the primary has an agent") {
		t.Errorf("refused with %d %s", s.Code, s.Error)
	}
}

// In a failover a proxy that does not stop is waited for until its lease is over,
// whatever it says.
func TestFailoverOutlivesAProxy(t *testing.T) {
	for name, how := range map[string]answer{"refuses": refuses(api.DrainTimeout, "2 in flight"), "silent": silent} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := world(t, 1, autoDocument(""), short)
			f.beating()
			f.proxies[1].on(api.StopWritingProxyDatasource, how)
			f.kill()
			s := f.opened()
			wantStates(t, s, wayDone...)
			if s.Proxies[0].How != api.ProxyStopped || s.Proxies[1].How != api.LeaseOut {
				t.Errorf("the proxies are recorded as %+v", s.Proxies)
			}
			for _, g := range f.tape.of(api.StopWritingProxyDatasource) {
				if !bodyOf[api.StopWritingProxyDatasourceRequest](t, g).Sever {
					t.Errorf("%s: nothing is to be waited for", g)
				}
			}
			stopped := stepTime(s, fsm.StateFencing).Sub(stepTime(s, fsm.StateStopping))
			if least := f.leader().keeper.Load().times.Wait - 200*time.Millisecond; stopped < least {
				t.Errorf("it was waited for %v only, want at least %v", stopped, least)
			}
		})
	}
}

// A planned switch that waits for a primary which has died gives way, and the failover
// waits for no cooldown.
func TestDetectorEndsAPlannedSwitch(t *testing.T) {
	t.Parallel()
	f := world(t, 1, autoDocument(""), tuning{})
	f.beating()
	entered, release := f.proxies[0].block(api.StopWritingProxyDatasource)
	defer release()
	planned := f.startSwitch(1)
	<-entered
	f.kill()
	if s := f.ended(planned); s.State != fsm.StateRolledBack || !strings.Contains(s.Error, "the primary is gone") {
		t.Errorf("it ended as %s: %s", s.State, s.Error)
	}
	eventually(t, "a failover is requested", func() bool { return f.state().Switch("orders-2") != nil })
	if s := f.ended("orders-2"); s.State != fsm.StateDone || s.Kind != fsm.KindFailover {
		t.Errorf("the failover ended as %s: %s", s.State, s.Error)
	}
}

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

// TestFailureBeforeCommit: whatever fails before the commit, everything is as
// it was before.
func TestFailureBeforeCommit(t *testing.T) {
	tests := []struct {
		name  string
		fail  func(f *fleet)
		state string // in which it fails
		code  api.Code
		says  string
	}{
		{name: "the candidate cannot be prepared", state: fsm.StateStopping, code: api.NotReplica, says: "prepare " + db1,
			fail: func(f *fleet) { f.agents[1].on(api.PrepareDatasource, refuses(api.NotReplica, "no source")) }},
		{name: "the candidate does not say that it is prepared", state: fsm.StateStopping, code: api.NotPrepared, says: "generation 1",
			fail: func(f *fleet) { f.agents[1].on(api.PrepareDatasource, says(api.AgentState{Incarnation: "x"})) }},
		{name: "the candidate does not say who was prepared", state: fsm.StateStopping, code: api.NotPrepared, says: "generation 1",
			fail: func(f *fleet) { f.agents[1].on(api.PrepareDatasource, says(api.AgentState{Prepared: 1})) }},
		{name: "a proxy does not drain", state: fsm.StateStopping, code: api.DrainTimeout, says: "proxy p1",
			fail: func(f *fleet) {
				f.proxies[0].on(api.StopWritingProxyDatasource, f.refusesLast(api.DrainTimeout, "2 in flight"))
			}},
		{name: "a proxy refuses to stop", state: fsm.StateStopping, code: api.ProxyNotStopped, says: "proxy p2",
			fail: func(f *fleet) {
				f.proxies[1].on(api.StopWritingProxyDatasource, f.refusesLast(api.IdentityMismatch, "another configuration"))
			}},
		{name: "a proxy does not answer", state: fsm.StateStopping, code: api.ProxyNotStopped, says: "proxy p2",
			fail: func(f *fleet) {
				f.proxies[1].on(api.StopWritingProxyDatasource, silent)
				f.t.Cleanup(f.proxies[1].keepBeating())
			}},
		{name: "the old primary cannot be fenced", state: fsm.StateFencing, code: api.FenceFailed, says: "fence " + db0,
			fail: func(f *fleet) { f.agents[0].on(api.FenceDatasource, refuses(api.FenceTimeout, "locked")) }},
		{name: "the old primary's agent does not answer", state: fsm.StateFencing, code: api.FenceFailed, says: "fence " + db0,
			fail: func(f *fleet) { f.agents[0].on(api.FenceDatasource, silent); f.t.Cleanup(f.agents[0].keepBeating()) }},
		{name: "the old primary stays writable", state: fsm.StateFencing, code: api.FenceFailed, says: "did not confirm",
			fail: func(f *fleet) {
				f.agents[0].on(api.FenceDatasource, says(api.AgentState{ReadOnly: false, Binlog: &api.Binlog{}}))
			}},
		{name: "the old primary's position is not known", state: fsm.StateFencing, code: api.FenceFailed, says: "did not confirm",
			fail: func(f *fleet) { f.agents[0].on(api.FenceDatasource, says(api.AgentState{ReadOnly: true})) }},
		{name: "the candidate does not catch up", state: fsm.StateCatchingUp, code: api.BinlogInconsistent, says: "did not reach 0-1-99",
			fail: func(f *fleet) { f.agents[1].on(api.WaitPosition, refuses(api.PositionTimeout, "behind")) }},
		{name: "the candidate's agent does not answer", state: fsm.StateCatchingUp, code: api.BinlogInconsistent, says: "did not reach 0-1-99",
			fail: func(f *fleet) { f.agents[1].on(api.WaitPosition, silent) }},
		{name: "the candidate forgot that it was prepared", state: fsm.StateCatchingUp, code: api.NotPrepared, says: "prepared for",
			fail: func(f *fleet) { f.agents[1].on(api.WaitPosition, refuses(api.NotPrepared, "prepared for 0")) }},
		{name: "the candidate's agent was restarted", state: fsm.StateCatchingUp, code: api.NotPrepared, says: "restarted",
			fail: func(f *fleet) { f.agents[1].on(api.WaitPosition, says(api.AgentState{Incarnation: "a1-2"})) }},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			f := world(t, 1, plainDocument, tuning{waits: brief})
			test.fail(f)
			err := f.ask(api.ClusterDatasourcesSwitch, api.ClusterDatasourcesSwitchRequest{HostGroup: "orders", ToIndex: 1, Reason: "r"}, nil)
			if wantCode(t, "the answer", err, test.code); err == nil || !strings.Contains(err.Error(), test.says) {
				t.Errorf("the answer says %v, want %q in it", err, test.says)
			}
			s := f.show("orders-1")
			wantStates(t, s, undoneFrom(test.state)...)
			if s.Code != test.code || !strings.Contains(s.Error, test.says) {
				t.Errorf("the record says %d %s", s.Code, s.Error)
			}
			wantUndone(t, f)
		})
	}
}

// refusesLast refuses an order when it has come in everywhere.
func (f *fleet) refusesLast(code api.Code, msg string) answer {
	return func(_ context.Context, g given) (any, error) {
		f.allGiven(g.name)
		return nil, api.Errorf(code, "%s", msg)
	}
}

// brief are waits for tests in which somebody does not answer.
func brief(w *waits) {
	const short = 500 * time.Millisecond
	*w = waits{grace: short, role: short, point: short, inform: short, restore: short, repoint: short, sweep: short}
}

// wantUndone holds what follows a failure: the old primary is writable, the
// proxies point at it and write, nothing moved; stamps 5 and then 6.
func wantUndone(t *testing.T, f *fleet) {
	t.Helper()
	eventually(t, "the proxies write again", func() bool { return len(f.tape.of(api.RecoverWritingProxyDatasource)) == 2 })
	orders := f.tape.of("")
	i := slices.IndexFunc(orders, func(g given) bool { return g.stamp.Step == api.StepRollingBack })
	var after []string
	for _, g := range orders[i:] {
		if after = append(after, g.to+" "+g.name); g.stamp.Step != stepOf[g.name] || g.stamp.Step < api.StepRollingBack || g.stamp.Generation != 1 {
			t.Errorf("after the failure: %s", g)
		}
		if g.name == api.RestoreDatasource {
			wantBody(t, g, api.RestoreDatasourceRequest{HostGroup: "orders", Primary: api.Datasource{Address: db0, ServerID: "server-0"}})
		}
		if g.name == api.RecoverWritingProxyDatasource {
			wantBody(t, g, api.RecoverWritingProxyDatasourceRequest{HostGroup: "orders", Index: 0, Primary: api.Datasource{Address: db0, ServerID: "server-0"}})
		}
	}
	back, rest := after[:3], after[3:]
	slices.Sort(back)
	slices.Sort(rest)
	if want := []string{"a0 RestoreDatasource", "p1 RollbackProxyDatasource", "p2 RollbackProxyDatasource"}; !slices.Equal(back, want) {
		t.Errorf("the undo began with %v, want %v", back, want)
	}
	if want := []string{"p1 RecoverWritingProxyDatasource", "p2 RecoverWritingProxyDatasource"}; !slices.Equal(rest, want) {
		t.Errorf("the undo ended with %v, want %v", rest, want)
	}
	if g := f.group(); g.Writable != 0 || g.Committed != 0 || g.OpenSwitch != "" || g.LastSwitch != "orders-1" || g.Stamp != (api.Stamp{Generation: 1, Step: api.StepIdle}) {
		t.Errorf("the group afterwards: %+v", g)
	}
	if grant := only(t, f.proxies[0].beat()); !grant.Open || grant.Primary.Address != db0 {
		t.Errorf("a proxy is granted %+v", grant)
	}
	if f.agents[0].isReadOnly() {
		t.Error("the old primary stayed read-only")
	}
}

// What waits, in this configuration and with these times, waits for longer than
// a test does.
var (
	slowDocument = strings.NewReplacer("drain_timeout: 1", "drain_timeout: 60", "fence_timeout: 1", "fence_timeout: 30", "binlog_wait_time: 1", "binlog_wait_time: 60").Replace(plainDocument)
	patient      = tuning{config: func(c *Config) { c.CallTimeout, c.VoteTimeout = time.Minute, time.Minute }}
)

// TestRefusalEndsTheDrain: when one proxy refuses to stop, the others are not
// held until they have drained.
func TestRefusalEndsTheDrain(t *testing.T) {
	f := world(t, 1, slowDocument, patient)
	f.proxies[1].on(api.StopWritingProxyDatasource, silent)
	f.proxies[0].on(api.StopWritingProxyDatasource, f.refusesLast(api.DrainTimeout, "2 in flight"))
	s := f.ended(f.startSwitch(1))
	wantStates(t, s, undoneFrom(fsm.StateStopping)...)
	if s.Code != api.DrainTimeout || !strings.Contains(s.Error, "proxy p1") || strings.Contains(s.Error, "p2") {
		t.Errorf("the record says %d %s", s.Code, s.Error)
	}
	wantUndone(t, f)
}

// TestAbort: an operator may undo a switch at any step before the commit, and
// the step does not go on: it would wait for longer than the test does.
func TestAbort(t *testing.T) {
	tests := []struct {
		state string
		order string
		actor func(f *fleet) *actor
	}{
		{fsm.StatePreflight, api.StateFetch, primary},
		{fsm.StateVoting, api.ProxyVoteFetch, first},
		{fsm.StateStopping, api.PrepareDatasource, candidate},
		{fsm.StateStopping, api.StopWritingProxyDatasource, first},
		{fsm.StateFencing, api.FenceDatasource, primary},
		{fsm.StateCatchingUp, api.WaitPosition, candidate},
	}
	for _, test := range tests {
		t.Run(test.state+" "+test.order, func(t *testing.T) {
			f := world(t, 1, slowDocument, patient)
			entered, release := test.actor(f).block(test.order)
			defer release()
			body := []byte(`{"hostGroup":"orders","fromIndex":0,"toIndex":1,"reason":"r","wait":false}`)
			if err := send(t, f.proxies[1].client, api.ClusterDatasourcesSwitch, nil, body, nil); err != nil {
				t.Fatal(err)
			}
			<-entered
			f.allGiven(test.order)
			wantCode(t, "an abort without a reason", f.ask(api.SwitchAbort, []byte(`{"id":"orders-1"}`), nil), api.BadRequest)
			f.must(api.SwitchAbort, api.SwitchRef{ID: "orders-1", Reason: "wrong group"}, nil)
			s := f.ended("orders-1") // though the order is not answered
			wantStates(t, s, undoneFrom(test.state)...)
			if s.Code != api.SwitchAborted || !strings.Contains(s.Error, "wrong group") {
				t.Errorf("the record says %d %s", s.Code, s.Error)
			}
			if undoneFrom(test.state)[len(undoneFrom(test.state))-2] == fsm.StateRollingBack {
				wantUndone(t, f)
			} else if got := f.tape.of(api.RecoverWritingProxyDatasource); len(got) != 0 {
				t.Errorf("nothing was stopped, and %v came", got)
			}
			wantCode(t, "an abort of what is over", f.ask(api.SwitchAbort, api.SwitchRef{ID: "orders-1", Reason: "r"}, nil), api.InvalidSwitch)
		})
	}
	t.Run("after the commit", func(t *testing.T) {
		f := world(t, 1, plainDocument, tuning{})
		entered, release := f.agents[1].block(api.PromoteDatasource)
		id := f.startSwitch(1)
		<-entered
		wantCode(t, "an abort", f.ask(api.SwitchAbort, api.SwitchRef{ID: id, Reason: "r"}, nil), api.InvalidSwitch)
		release()
		wantStates(t, f.ended(id), wayDone...)
	})
}

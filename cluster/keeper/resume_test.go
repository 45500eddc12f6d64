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

// TestResume stops the duties while an order of each step is on its way, and
// runs new ones: they go on from the record and end the switch.
func TestResume(t *testing.T) {
	tests := []struct {
		state string
		order string
		actor func(f *fleet) *actor
		fails map[string]func(f *fleet) *actor // orders that fail, and where: then it is rolled back
	}{
		{state: fsm.StatePreflight, order: api.StateFetch, actor: primary},
		{state: fsm.StatePreflight, order: api.PreflightDatasource, actor: candidate},
		{state: fsm.StateVoting, order: api.ProxyVoteFetch, actor: first},
		{state: fsm.StateStopping, order: api.PrepareDatasource, actor: candidate},
		{state: fsm.StateStopping, order: api.StopWritingProxyDatasource, actor: first},
		{state: fsm.StateFencing, order: api.FenceDatasource, actor: primary},
		{state: fsm.StateFencing, order: api.FenceDatasource, actor: primary, fails: map[string]func(f *fleet) *actor{api.WaitPosition: candidate}},
		{state: fsm.StateCatchingUp, order: api.WaitPosition, actor: candidate},
		{state: fsm.StatePromoting, order: api.PromoteDatasource, actor: candidate},
		{state: fsm.StateSwitching, order: api.SwitchProxyDatasource, actor: first},
		{state: fsm.StateRecovering, order: api.RecoverWritingProxyDatasource, actor: first},
		{state: fsm.StateRepointing, order: api.FollowDatasource, actor: primary},
		{state: fsm.StateRollingBack, order: api.RestoreDatasource, actor: primary, fails: map[string]func(f *fleet) *actor{api.WaitPosition: candidate}},
		{state: fsm.StateRollingBack, order: api.RollbackProxyDatasource, actor: first, fails: map[string]func(f *fleet) *actor{api.FenceDatasource: primary}},
	}
	for _, test := range tests {
		name := test.state + " " + test.order
		if len(test.fails) > 0 {
			name += " and back"
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := world(t, 1, plainDocument, tuning{})
			for order, at := range test.fails {
				if order != test.order {
					at(f).on(order, refuses(api.PositionTimeout, "no"))
				}
			}
			entered, release := test.actor(f).block(test.order)
			defer release()
			body := api.ClusterDatasourcesSwitchRequest{HostGroup: "orders", ToIndex: 1, Reason: "r", Wait: new(bool)}
			if err := send(t, f.proxies[0].client, api.ClusterDatasourcesSwitch, nil, body, nil); err != nil {
				t.Fatal(err)
			}
			<-entered
			f.allGiven(test.order)
			eventually(t, "the record is in "+test.state, func() bool { return f.state().Switch("orders-1").State == test.state })
			m := f.members[0]
			m.stop()
			if s := m.node.State().Switch("orders-1"); s.State != test.state {
				t.Errorf("after the duties ended the record is in %s", s.State)
			}
			m.replaceKeeper()
			wantEnded(t, f, f.ended("orders-1"))
		})
	}
}

// wantEnded holds a switch that was taken over to one way: all of the steps
// once each, and nothing of the other way.
func wantEnded(t *testing.T, f *fleet, s api.Switch) {
	t.Helper()
	g := f.group()
	switch s.State {
	case fsm.StateDone:
		wantStates(t, s, wayDone...)
		if g.Writable != 1 || len(f.tape.of(api.RestoreDatasource)) != 0 || len(f.tape.of(api.PromoteDatasource)) == 0 {
			t.Errorf("done, and the group is %+v", g)
		}
	case fsm.StateRolledBack:
		if got := states(s); !slices.Equal(got[len(got)-2:], wayBack) {
			t.Errorf("it went through %v", got)
		}
		if g.Writable != 0 || g.Committed != 0 || len(f.tape.of(api.PromoteDatasource)) != 0 || len(f.tape.of(api.SwitchProxyDatasource)) != 0 {
			t.Errorf("rolled back, and the group is %+v", g)
		}
	default:
		t.Errorf("it is in %s", s.State)
	}
	if g.OpenSwitch != "" || g.Stamp.Step != api.StepIdle {
		t.Errorf("the group is %+v", g)
	}
	last := map[string]api.Stamp{}
	for _, g := range f.tape.of("") {
		if g.stamped && g.stamp.Compare(last[g.to]) < 0 {
			t.Errorf("%s came after %s", g, last[g.to])
		}
		last[g.to] = g.stamp
	}
}

// TestLeaderMovesDuringSwitch moves the leadership of three keepers while an
// order is on its way: the next leader ends the switch.
func TestLeaderMovesDuringSwitch(t *testing.T) {
	f := world(t, 3, plainDocument, tuning{})
	ctx, cancel := context.WithCancel(t.Context())
	var beats sync.WaitGroup
	defer beats.Wait()
	defer cancel()
	for _, a := range slices.Concat(f.proxies, f.agents) {
		beats.Go(func() {
			for ctx.Err() == nil {
				_, _ = a.tryBeat() // while nobody leads it fails
				pause(ctx, 20*time.Millisecond)
			}
		})
	}
	for i, test := range []struct {
		order string
		from  int
		to    int
	}{{api.FenceDatasource, 0, 1}, {api.PromoteDatasource, 1, 0}} {
		f.tape.clear()
		f.cooldown()
		a := f.agents[0] // primary of the first, candidate of the second
		entered, release := a.block(test.order)
		old := f.leader()
		id := f.startSwitch(test.to)
		<-entered
		f.must(api.LeaderTransfer, api.LeaderTransferRequest{}, nil)
		eventually(t, "another keeper leads", func() bool { return f.leader() != old })
		s := f.ended(id)
		release()
		terms := map[uint64]bool{}
		for _, step := range s.Steps {
			terms[step.Term] = true
		}
		if len(terms) < 2 {
			t.Errorf("switch %d was driven in the terms %v, want two or more", i, terms)
		}
		if s.State != fsm.StateDone {
			t.Errorf("switch %d ended as %s: %s", i, s.State, s.Error)
		}
		if g := f.group(); g.Writable != test.to || g.OpenSwitch != "" {
			t.Errorf("after switch %d the group is %+v", i, g)
		}
	}
	if logs := f.logs.String(); strings.Contains(logs, "panic") {
		t.Error("something panicked")
	}
}

// TestGivenUpRequestIsDriven: a request whose outcome the requester never
// learned opens a switch all the same, and that must not stay open.
func TestGivenUpRequestIsDriven(t *testing.T) {
	f := world(t, 1, plainDocument, tuning{})
	m := f.members[0]
	// As after a time-out: the entry lands, and nobody starts its driver.
	result, err := refused(m.node.Propose(within(t), fsm.Header{}, &fsm.RequestSwitch{
		Group: "orders", From: 0, To: 1, Kind: fsm.KindPlanned, Reason: "r", RequestedBy: "operator dba", ByOperator: true,
	}))
	if err != nil {
		t.Fatal(err)
	}
	wantStates(t, f.ended(string(result.Data)), wayDone...)
}

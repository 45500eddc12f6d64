package keeper

import (
	"strings"
	"testing"

	"github.com/zerokeeper/zero/fsm"
	"github.com/zerokeeper/zero/transport/api"
)

// TestResumeFailover stops the duties while an order of each step is on its
// way: the next ones end the failover, either way.
func TestResumeFailover(t *testing.T) {
	tests := []struct {
		state string
		order string
		actor func(f *fleet) *actor
		fails bool // Drain fails: it is rolled back
	}{
		{fsm.StateVoting, api.ProxyVoteFetch, first, false},
		{fsm.StateStopping, api.PrepareDatasource, candidate, false},
		{fsm.StateStopping, api.StopWritingProxyDatasource, first, false},
		{fsm.StateFencing, api.FenceDatasource, primary, false},
		{fsm.StateCatchingUp, api.StopReceivingDatasource, candidate, false},
		{fsm.StateCatchingUp, api.DrainDatasource, candidate, false},
		{fsm.StatePromoting, api.PromoteDatasource, candidate, false},
		{fsm.StateSwitching, api.SwitchProxyDatasource, first, false},
		{fsm.StateRecovering, api.RecoverWritingProxyDatasource, first, false},
		{fsm.StateRepointing, api.FollowDatasource, func(f *fleet) *actor { return f.agents[2] }, false},
		{fsm.StateRollingBack, api.ResumeDatasource, candidate, true},
	}
	for _, test := range tests {
		t.Run(test.state+" "+test.order, func(t *testing.T) {
			t.Parallel()
			f := world(t, 1, autoDocument(""), short)
			f.beating()
			if test.fails {
				for _, a := range f.agents[1:] {
					a.on(api.DrainDatasource, refuses(api.NotDrained, "no"))
				}
			}
			entered, release := test.actor(f).block(test.order)
			defer release()
			f.kill()
			<-entered
			eventually(t, "the record is in "+test.state, func() bool { return f.state().Switch("orders-1").State == test.state })
			m := f.members[0]
			m.stop()
			m.replaceKeeper()
			s := f.ended("orders-1")
			g := f.group()
			if done := s.State == fsm.StateDone; done != !test.fails || (g.Writable != 0) != done || g.OpenSwitch != "" {
				t.Errorf("it ended as %s (%s), the group is %+v", s.State, s.Error, g)
			}
			wantStampsRise(t, f)
		})
	}
}

// R23: a new primary that dies before it was promoted is superseded, and the
// failover waits for its lease.
func TestStuckFailoverIsSuperseded(t *testing.T) {
	t.Parallel()
	f := world(t, 1, autoDocument("  prefer: "+db1+"\n"), short)
	silence := f.beating()
	f.agents[1].on(api.PromoteDatasource, refuses(api.MySQLUnreachable, "it died"))
	f.kill()
	eventually(t, "the promotion is stuck", func() bool { return len(f.tape.of(api.PromoteDatasource)) > 1 })
	silence(f.agents[1])
	f.agents[1].stop()
	f.agents[1].disconnected()
	id := f.failOver(2, api.PolicyAvailable)
	s := f.ended(id)
	wantStates(t, s, wayDone...)
	old := f.show("orders-1")
	if s.Supersedes != "orders-1" || s.From != db1 || old.State != fsm.StateSuperseded || old.Open || f.group().Writable != 2 {
		t.Errorf("superseded %+v by %+v", old, s)
	}
	wantWaited(t, f, s, agentHolder(db1))
}

// The detector does so by itself, as far as the policy lets it.
func TestDetectorSupersedes(t *testing.T) {
	t.Parallel()
	f := world(t, 1, autoDocument("  prefer: "+db1+"\n  policy: available\n"), short)
	silence := f.beating()
	f.agents[1].on(api.PromoteDatasource, refuses(api.MySQLUnreachable, "it died"))
	f.kill()
	eventually(t, "the promotion is stuck", func() bool { return len(f.tape.of(api.PromoteDatasource)) > 1 })
	silence(f.agents[1])
	f.agents[1].stop()
	f.agents[1].disconnected()
	eventually(t, "it is superseded", func() bool { return f.state().Switch("orders-2") != nil })
	s := f.ended("orders-2")
	wantStates(t, s, wayDone...)
	if s.To != db2 || s.RequestedBy != "detector" || !strings.Contains(s.VoteRule, "never opened") || f.show("orders-1").State != fsm.StateSuperseded {
		t.Errorf("superseded by %+v", s)
	}
	wantWaited(t, f, s, agentHolder(db1))
}

// TestLeaderMovesDuringFailover: the next of three keepers ends it, and waits
// for the leases that the one before may have granted.
func TestLeaderMovesDuringFailover(t *testing.T) {
	for _, order := range []string{api.FenceDatasource, api.DrainDatasource} {
		t.Run(order, func(t *testing.T) {
			f := world(t, 3, autoDocument(""), tuning{})
			f.beating()
			a := f.agents[0]
			if order == api.DrainDatasource {
				a = f.agents[1]
			}
			entered, release := a.block(order)
			defer release()
			old := f.leader()
			f.kill()
			<-entered
			f.must(api.LeaderTransfer, api.LeaderTransferRequest{}, nil)
			eventually(t, "another keeper leads", func() bool { return f.leader() != old })
			s := f.ended("orders-1")
			terms := map[uint64]bool{}
			for _, step := range s.Steps {
				terms[step.Term] = true
			}
			if g := f.group(); s.State != fsm.StateDone || g.Writable == 0 || len(terms) < 2 {
				t.Errorf("it ended as %s (%s) in the terms %v, the group is %+v", s.State, s.Error, terms, g)
			}
			wantStampsRise(t, f)
		})
	}
}

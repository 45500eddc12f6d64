package keeper

import (
	"context"
	"testing"

	"github.com/zerokeeper/zero/fsm"
	"github.com/zerokeeper/zero/transport/api"
)

// TestLostAnswers: an order whose outcome is not known is given again (R9), and
// the switch goes on.
func TestLostAnswers(t *testing.T) {
	dropFirst := func(a *actor) answer {
		return func(ctx context.Context, g given) (any, error) {
			data, err := a.usual(ctx, g) // it is done, and the answer is lost
			if g.nth == 1 {
				a.drop()
				<-ctx.Done()
			}
			return data, err
		}
	}
	tests := []struct {
		name  string
		order string
		actor func(f *fleet) *actor
		how   func(a *actor) answer // nil: the connection drops
	}{
		{name: "StopWriting, busy at first", order: api.StopWritingProxyDatasource, actor: first, how: func(a *actor) answer { return a.untilNth(2, api.Busy) }},
		{name: "StopWriting, the connection drops", order: api.StopWritingProxyDatasource, actor: first},
		{name: "Prepare, the connection drops", order: api.PrepareDatasource, actor: candidate},
		{name: "Fence, the connection drops", order: api.FenceDatasource, actor: primary},
		{name: "Fence, outcome unknown", order: api.FenceDatasource, actor: primary, how: func(a *actor) answer { return a.untilNth(2, api.OutcomeUnknown) }},
		{name: "WaitPosition, the connection drops", order: api.WaitPosition, actor: candidate},
		{name: "Promote, the connection drops", order: api.PromoteDatasource, actor: candidate},
		{name: "Switch, the connection drops", order: api.SwitchProxyDatasource, actor: first},
		{name: "Recover, the connection drops", order: api.RecoverWritingProxyDatasource, actor: first},
		{name: "Follow, the connection drops", order: api.FollowDatasource, actor: primary},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			f := world(t, 1, plainDocument, tuning{})
			a := test.actor(f)
			if test.how == nil {
				test.how = dropFirst
			}
			a.on(test.order, test.how(a))
			s := f.ended(f.startSwitch(1))
			wantStates(t, s, wayDone...)
			var mine []given
			for _, g := range f.tape.of(test.order) {
				if g.to == a.id {
					mine = append(mine, g)
				}
			}
			if test.order == api.WaitPosition && len(mine) == 2 { // it is asked ahead, in the step before
				mine[0].stamp = mine[1].stamp
			}
			if len(mine) != 2 || mine[0].stamp != mine[1].stamp || string(mine[0].body) != string(mine[1].body) {
				t.Errorf("the order was given as %v, want the same twice", mine)
			}
			wantStamps(t, f, 1)
		})
	}
}

func first(f *fleet) *actor     { return f.proxies[0] }
func primary(f *fleet) *actor   { return f.agents[0] }
func candidate(f *fleet) *actor { return f.agents[1] }

// TestLostRestore: the old primary is asked again until it is writable.
func TestLostRestore(t *testing.T) {
	f := world(t, 1, plainDocument, tuning{})
	a := f.agents[0]
	a.on(api.FenceDatasource, refuses(api.WaitingForAck, "a session waits"))
	a.on(api.RestoreDatasource, func(ctx context.Context, g given) (any, error) {
		switch g.nth {
		case 1:
			a.drop()
			<-ctx.Done()
		case 2:
			return nil, api.Errorf(api.MySQLUnreachable, "it starts")
		case 3:
			return api.AgentState{ReadOnly: true}, nil
		}
		return a.usual(ctx, g)
	})
	s := f.ended(f.startSwitch(1))
	wantStates(t, s, undoneFrom(fsm.StateFencing)...)
	if n := len(f.tape.of(api.RestoreDatasource)); n != 4 || a.isReadOnly() {
		t.Errorf("asked %d times, read-only %v", n, a.isReadOnly())
	}
}

// TestHeldUntilRestored: the proxies are not opened while the old primary may
// be read-only, unless it was never fenced.
func TestHeldUntilRestored(t *testing.T) {
	f := world(t, 1, plainDocument, tuning{})
	f.agents[1].on(api.WaitPosition, refuses(api.PositionTimeout, "behind"))
	entered, release := f.agents[0].block(api.RestoreDatasource)
	defer release()
	id := f.startSwitch(1)
	<-entered
	eventually(t, "the proxies are pointed back", func() bool { return len(f.tape.of(api.RollbackProxyDatasource)) == 2 })
	if grant := only(t, f.proxies[0].beat()); grant.Open || grant.Stamp.Step != api.StepRollingBack {
		t.Errorf("a proxy is granted %+v", grant)
	}
	if grant := only(t, f.agents[0].beat()); !grant.Open {
		t.Errorf("the old primary's agent is granted %+v", grant)
	}
	if len(f.tape.of(api.RecoverWritingProxyDatasource)) != 0 {
		t.Error("proxies were opened before the primary")
	}
	release()
	f.ended(id)
	eventually(t, "the proxies write again", func() bool { return len(f.tape.of(api.RecoverWritingProxyDatasource)) == 2 })
}

package keeper

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/zerokeeper/zero/fsm"
	"github.com/zerokeeper/zero/transport/api"
)

// noteAt is the note of a state of a switch.
func noteAt(s api.Switch, state string) string {
	for _, step := range s.Steps {
		if step.State == state {
			return step.Note
		}
	}
	return ""
}

// TestForwardAfterCommit: whatever fails after the commit, the switch goes on
// to its end, and the record says what is left to do.
func TestForwardAfterCommit(t *testing.T) {
	tests := []struct {
		name  string
		fail  func(f *fleet)
		waits func(w *waits)
		state string // whose note says it
		says  string
		more  func(t *testing.T, f *fleet)
	}{
		{name: "the new primary is not promoted for a while", state: fsm.StatePromoting, says: "is writable",
			fail: func(f *fleet) { f.agents[1].on(api.PromoteDatasource, f.agents[1].untilNth(4, api.MySQLUnreachable)) },
			more: func(t *testing.T, f *fleet) {
				if got := f.tape.of(api.PromoteDatasource); len(got) != 4 {
					t.Errorf("promoted by %d orders, want 4", len(got))
				}
			}},
		{name: "the new primary stays read-only for a while", state: fsm.StatePromoting, says: "is writable",
			fail: func(f *fleet) {
				a := f.agents[1]
				a.on(api.PromoteDatasource, func(ctx context.Context, g given) (any, error) {
					if g.nth < 3 {
						return api.AgentState{ReadOnly: true}, nil
					}
					return a.usual(ctx, g)
				})
			},
			more: func(t *testing.T, f *fleet) {
				if got := f.tape.of(api.PromoteDatasource); len(got) != 3 {
					t.Errorf("promoted by %d orders, want 3", len(got))
				}
			}},
		{name: "the new primary's agent comes back", state: fsm.StatePromoting, says: "is writable",
			fail: func(f *fleet) {
				a := f.agents[1]
				a.on(api.PromoteDatasource, func(ctx context.Context, g given) (any, error) {
					if g.nth == 1 {
						a.drop()
						return silent(ctx, g)
					}
					return a.usual(ctx, g)
				})
			}},
		{name: "a proxy does not answer SwitchProxyDatasource", state: fsm.StateSwitching, says: "1 proxies switched; not yet: proxy p1",
			waits: func(w *waits) { w.point = 100 * time.Millisecond },
			fail: func(f *fleet) {
				p := f.proxies[0]
				p.on(api.SwitchProxyDatasource, func(ctx context.Context, g given) (any, error) {
					if g.nth == 1 {
						return silent(ctx, g)
					}
					return p.usual(ctx, g)
				})
				p.on(api.RecoverWritingProxyDatasource, p.untilNth(2, api.IdentityMismatch))
			},
			more: func(t *testing.T, f *fleet) { // it is pointed when it is told to recover
				var got []string
				for _, g := range f.tape.of("") {
					if g.to == "p1" && g.stamp.Step == api.StepIdle {
						got = append(got, g.name)
					}
				}
				want := []string{api.RecoverWritingProxyDatasource, api.SwitchProxyDatasource, api.RecoverWritingProxyDatasource}
				if strings.Join(got, " ") != strings.Join(want, " ") {
					t.Errorf("the slow proxy got %v, want %v", got, want)
				}
				if note := noteAt(f.show("orders-1"), fsm.StateRecovering); note != "2 proxies write again" {
					t.Errorf("note of recovering: %s", note)
				}
			}},
		{name: "a proxy does not answer RecoverWritingProxyDatasource", state: fsm.StateRecovering, says: "1 proxies write again; not yet: proxy p2",
			waits: func(w *waits) { w.inform = 100 * time.Millisecond },
			fail:  func(f *fleet) { f.proxies[1].on(api.RecoverWritingProxyDatasource, silent) },
			more: func(t *testing.T, f *fleet) {
				if grant := only(t, f.proxies[1].beat()); !grant.Open || grant.Primary.Address != db1 {
					t.Errorf("its heartbeat says %+v", grant)
				}
			}},
		{name: "a proxy is away", state: fsm.StateSwitching, says: "1 proxies switched; not yet: proxy p2",
			waits: func(w *waits) { w.point, w.inform = 100*time.Millisecond, 100*time.Millisecond },
			fail: func(f *fleet) {
				a, p := f.agents[1], f.proxies[1]
				a.on(api.WaitPosition, func(ctx context.Context, g given) (any, error) {
					p.stop()
					p.disconnected()
					return a.usual(ctx, g)
				})
			}},
		{name: "a replica cannot follow", state: fsm.StateRepointing, says: "1 replicas follow " + db1 + "; not yet, their agents go on: " + db2,
			fail: func(f *fleet) { f.agents[2].on(api.FollowDatasource, refuses(api.BinlogInconsistent, "errant")) }},
		{name: "a replica's agent is away", state: fsm.StateRepointing, says: db2 + ": call FollowDatasource",
			waits: func(w *waits) { w.grace = 100 * time.Millisecond },
			fail:  func(f *fleet) { f.agents[2].stop(); f.agents[2].disconnected() }},
		{name: "a replica follows when it is asked once more", state: fsm.StateRepointing, says: "2 replicas follow",
			fail: func(f *fleet) { f.agents[2].on(api.FollowDatasource, f.agents[2].untilNth(2, api.MySQLUnreachable)) }},
		{name: "the old primary follows late", state: fsm.StateRepointing, says: "2 replicas follow",
			fail: func(f *fleet) { f.agents[0].on(api.FollowDatasource, f.agents[0].untilNth(3, api.NotReady)) }},
		{name: "the old primary does not answer", state: fsm.StateRepointing, says: db0,
			waits: func(w *waits) { w.role, w.repoint = 100*time.Millisecond, 100*time.Millisecond },
			fail:  func(f *fleet) { f.agents[0].on(api.FollowDatasource, silent) }},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			f := world(t, 1, plainDocument, tuning{waits: test.waits})
			test.fail(f)
			s := f.ended(f.startSwitch(1))
			wantStates(t, s, wayDone...)
			if s.Code != api.OK || s.Error != "" {
				t.Errorf("it ended with %d %s", s.Code, s.Error)
			}
			if note := noteAt(s, test.state); !strings.Contains(note, test.says) {
				t.Errorf("the note of %s is %q, want %q in it", test.state, note, test.says)
			}
			if got := f.tape.of(api.RestoreDatasource); len(got) != 0 {
				t.Errorf("after the commit the old primary was restored: %v", got)
			}
			if test.more != nil {
				test.more(t, f)
			}
		})
	}
}

// TestSlowProxyDoesNotHoldTheOthers: the others recover while one is not
// pointed yet.
func TestSlowProxyDoesNotHoldTheOthers(t *testing.T) {
	f := world(t, 1, plainDocument, tuning{waits: func(w *waits) { w.point = 50 * time.Millisecond }})
	f.proxies[0].on(api.SwitchProxyDatasource, silent)
	entered, release := f.proxies[0].block(api.RecoverWritingProxyDatasource)
	defer release()
	id := f.startSwitch(1)
	<-entered
	eventually(t, "the other one recovers", func() bool { return len(f.tape.of(api.RecoverWritingProxyDatasource)) == 2 })
	if s := f.state().Switch(id); s.State != fsm.StateRecovering {
		t.Errorf("the switch is in %s", s.State)
	}
	release()
	f.ended(id)
}

// TestProxyWithoutTheGroup: one that cannot write to the group counts as
// stopped.
func TestProxyWithoutTheGroup(t *testing.T) {
	f := world(t, 1, plainDocument, tuning{})
	for _, name := range []string{api.StopWritingProxyDatasource, api.SwitchProxyDatasource, api.RecoverWritingProxyDatasource} {
		f.proxies[1].on(name, refuses(api.NoSuchGroup, "no host group orders"))
	}
	s := f.ended(f.startSwitch(1))
	wantStates(t, s, wayDone...)
}

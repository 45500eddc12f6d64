package keeper

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/zerokeeper/zero/fsm"
	"github.com/zerokeeper/zero/transport/api"
)

func TestOfServer(t *testing.T) {
	for _, test := range []struct{ state, server, want string }{
		{"0-1-100,0-2-90,1-1-4", "1", "0-1-100,1-1-4"},
		{"0-1-100, 0-2-90", "2", "0-2-90"},
		{"0-11-100", "1", ""},
		{"", "1", ""},
		{"nonsense,1-1", "1", ""},
	} {
		if got := ofServer(test.state, test.server); got != test.want {
			t.Errorf("of %q server %s has %q, want %q", test.state, test.server, got, test.want)
		}
	}
}

func TestOutside(t *testing.T) {
	const from = "2"
	state := func(received, binlog, unfit string) api.AgentState {
		return api.AgentState{ServerID: "1", Received: received, Unfit: unfit, Binlog: &api.Binlog{GTIDBinlogState: binlog}}
	}
	for _, test := range []struct {
		name    string
		state   api.AgentState
		outside bool
		want    string
	}{
		{"a healthy replica", state("0-2-9", "0-2-9", ""), false, ""},
		{"an old primary that follows, nothing was written since", state("0-1-9", "0-1-9", ""), false, ""},
		{"errant, and follows nobody", state("0-1-9", "0-1-9,0-2-4", "errant"), true, "0-2-4"},
		{"errant, another domain came from the primary", state("0-1-9,1-2-7", "0-1-9", "errant"), true, "1-2-7"},
		{"unfit, but what it received is the primary's", state("0-2-9", "0-2-9", "too old"), false, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := isOutside(test.state); got != test.outside {
				t.Fatalf("outside: %v", got)
			}
			if !test.outside {
				return
			}
			if c := outside(contender{stopped: true}, &fsm.Switch{FromServer: from}, test.state); !c.stopped || c.received != test.want || c.excluded == "" {
				t.Errorf("%+v, want %q", c, test.want)
			}
			if c := outside(contender{stopped: true}, &fsm.Switch{}, test.state); c.stopped {
				t.Errorf("the old primary's server_id is not known, and it counts as reached: %+v", c)
			}
		})
	}
}

// TestErrantServerDoesNotKeepFailoversOut: a server that waits for a rebuild has
// nothing of what the lost primary acknowledged; a lossless failover goes on (R19).
func TestErrantServerDoesNotKeepFailoversOut(t *testing.T) {
	for _, test := range []struct {
		name   string
		binlog *api.Binlog
		want   string
		says   string // with the choice
	}{
		{"errant", &api.Binlog{GTIDBinlogState: "0-3-7"}, fsm.StateDone, ""},
		{"errant, and ahead", &api.Binlog{GTIDBinlogState: "0-3-700"}, fsm.StateDone, db2 + " has 0-3-700, which " + db1 + " lacks, and is ignored"},
		{"nobody knows what it has", nil, fsm.StateRolledBack, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			f := world(t, 1, autoDocument(""), short)
			f.agents[2].on(api.StopReceivingDatasource, func(_ context.Context, g given) (any, error) {
				return api.AgentState{Address: db2, ServerID: "3", Incarnation: "a2-1", Stamp: g.stamp, Outside: true, ReadOnly: true, Unfit: "it is errant", Binlog: test.binlog}, nil
			})
			f.beating()
			f.kill()
			s := f.opened()
			if s.State != test.want {
				t.Fatalf("%s: %s", s.State, s.Error)
			}
			for _, r := range s.Replicas {
				if r.Address == db2 && !strings.Contains(r.Note, "does not replicate: it is errant") {
					t.Errorf("the record does not say it: %+v", r)
				}
			}
			said := ""
			for _, c := range s.Checks {
				if c.Rule == ruleChoice {
					said = c.Detail
				}
			}
			if !strings.Contains(said, test.says) || strings.Contains(said, "is ignored") != (test.says != "") {
				t.Errorf("with the choice the record says %q, want %q", said, test.says)
			}
			if s.State == fsm.StateDone && s.To != db1 {
				t.Errorf("%s was promoted", s.To)
			}
		})
	}
}

// TestAbsentAgentDelaysNothing: nobody waits for the agent of a replica that is not
// there, or whose host went away without a word.
func TestAbsentAgentDelaysNothing(t *testing.T) {
	for _, test := range []struct {
		name  string
		leave func(f *fleet, silence func(*actor))
	}{
		{"gone", func(f *fleet, silence func(*actor)) { silence(f.agents[2]); f.agents[2].stop() }},
		{"silent, its connection stands", func(f *fleet, silence func(*actor)) {
			silence(f.agents[2])
			f.agents[2].on(api.FollowDatasource, func(ctx context.Context, _ given) (any, error) {
				<-ctx.Done()
				return nil, ctx.Err()
			})
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			f := world(t, 1, plainDocument, short)
			test.leave(f, f.beating())
			k := f.leader().keeper.Load()
			eventually(t, "its lease is over", func() bool {
				_, age, _ := k.presence.agent(db2)
				return age > k.times.Lease && k.presence.age() > k.times.Lease
			})
			s := f.ended(f.startSwitch(1))
			if s.State != fsm.StateDone {
				t.Fatalf("%s: %s", s.State, s.Error)
			}
			for _, step := range s.Steps {
				if step.State == fsm.StateRepointing && step.TookMS > float64(500*time.Millisecond/time.Millisecond) {
					t.Errorf("repointing took %.0f ms: %s", step.TookMS, s.Steps[len(s.Steps)-2].Note)
				}
			}
		})
	}
}

// TestPrimaryWithoutAnAgent: nothing can fence it. It is never failed over, and that
// is said, not tried again and again.
func TestPrimaryWithoutAnAgent(t *testing.T) {
	f := newFleet(t, 1, short)
	f.must(api.ConfigPush, api.ConfigPushRequest{Content: autoDocument("")}, nil)
	f.agents = append(f.agents, f.agent("a1", db1, "server-1"), f.agent("a2", db2, "server-2"))
	f.proxies = append(f.proxies, f.proxy("p1"))
	f.beating()
	f.problem("nothing can fence it")
	f.proxies[0].set(func(p *actor) { p.failing = true })
	for _, a := range f.agents {
		a.set(func(a *actor) { a.receiving = false })
	}
	k := f.leader().keeper.Load()
	eventually(t, "the evidence is complete", func() bool {
		gone, _ := k.evidenceOf(f.state(), f.state().Group("orders")).gone()
		return gone
	})
	asked := time.Now()
	eventually(t, "the detector has looked again", func() bool { return time.Since(asked) > 4*k.cfg.HeartbeatInterval })
	if list := f.state().Switches(); len(list) != 0 {
		t.Errorf("a switch was requested: %+v", list[0])
	}
	if alarm := f.group().Datasources[0].Alarm; !strings.Contains(alarm, "never failed over") {
		t.Errorf("group show says %q", alarm)
	}
}

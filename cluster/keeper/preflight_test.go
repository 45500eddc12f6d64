package keeper

import (
	"context"
	"strings"
	"testing"

	"github.com/zerokeeper/zero/fsm"
	"github.com/zerokeeper/zero/transport/api"
)

// finding answers a preflight with one rule that failed.
func finding(rule string) answer {
	return says(api.PreflightAnswer{State: api.AgentState{Binlog: &api.Binlog{}}, Checks: []api.Check{
		{Rule: "log_bin", OK: true, Input: "on"}, {Rule: rule, Input: "12 s", Detail: "wait"},
	}})
}

// at answers with a binlog position.
func at(file string, position uint64) answer {
	return says(api.Binlog{File: file, Position: position})
}

func TestPreflight(t *testing.T) {
	loads := document(db0+", "+db1+", "+db2, "", "  need_load_check: true\n  safe_load: 1.5")
	delays := document(db0+", "+db1+", "+db2, "", "  safe_binlog_delay: 100")
	tests := []struct {
		name    string
		content string // of the configuration; plain when empty
		before  func(f *fleet)
		code    api.Code // OK: it passes
		rule    string
	}{
		{name: "a proxy is not up", code: api.ClusterStatus, rule: "every proxy is up", before: func(f *fleet) {
			p := f.proxyOf("p3", "p3-1")
			if err := send(f.t, p.client, api.ProxyRegister, nil, api.ProxyRegisterRequest{}, nil); err != nil {
				f.t.Fatal(err)
			}
		}},
		{name: "a proxy is not connected", code: api.ClusterStatus, rule: "every proxy is up", before: func(f *fleet) {
			f.proxies[1].stop()
			f.proxies[1].disconnected()
		}},
		{name: "a proxy was unregistered", code: api.OK, before: func(f *fleet) {
			f.must(api.ProxyDrop, api.ProxyRef{ID: "p2", Reason: "repair"}, nil)
		}},
		{name: "no proxies", code: api.ClusterStatus, rule: "every proxy is up", before: func(f *fleet) {
			for _, p := range f.proxies {
				f.must(api.ProxyDrop, api.ProxyRef{ID: p.id, Reason: "repair", Force: true}, nil)
			}
		}},
		{name: "the candidate is not known by name", code: api.PreflightFailed, rule: "candidate identity", before: func(f *fleet) {
			f.must(api.ConfigPush, api.ConfigPushRequest{Content: document(db0+", 10.0.0.9:3306", "", "")}, nil)
			f.agent("a9", "10.0.0.9:3306", "")
		}},
		{name: "the candidate's agent is away", code: api.PreflightFailed, rule: "both agents answer", before: func(f *fleet) {
			f.agents[1].stop()
			f.agents[1].disconnected()
		}},
		{name: "the primary's agent is away", code: api.PreflightFailed, rule: "both agents answer", before: func(f *fleet) {
			f.agents[0].stop()
			f.agents[0].disconnected()
		}},
		{name: "a rule of the candidate", code: api.PreflightFailed, rule: "candidate lag", before: func(f *fleet) {
			f.agents[1].on(api.PreflightDatasource, finding("lag"))
		}},
		{name: "a rule of the primary", code: api.PreflightFailed, rule: "primary events", before: func(f *fleet) {
			f.agents[0].on(api.PreflightDatasource, finding("events"))
		}},
		{name: "load too high", content: loads, code: api.LoadHigh, rule: "candidate load", before: func(f *fleet) {
			f.agents[1].on(api.LoadFetch, says(api.Load{Load1: 1.51}))
		}},
		{name: "load just low enough", content: loads, code: api.OK, before: func(f *fleet) {
			f.agents[1].on(api.LoadFetch, says(api.Load{Load1: 1.5}))
		}},
		{name: "load not known", content: loads, code: api.LoadFetchFailed, rule: "candidate load is known", before: func(f *fleet) {
			f.agents[1].on(api.LoadFetch, refuses(api.Common, "no /proc"))
		}},
		{name: "another binlog file", code: api.BinlogInconsistent, rule: "candidate binlog delay", before: func(f *fleet) {
			f.agents[1].on(api.BinlogFetch, at("bin.000006", 4711))
		}},
		{name: "too far behind", content: delays, code: api.BinlogInconsistent, rule: "candidate binlog delay", before: func(f *fleet) {
			f.agents[1].on(api.BinlogFetch, at("bin.000007", 4610))
		}},
		{name: "behind by what is allowed", content: delays, code: api.OK, before: func(f *fleet) {
			f.agents[1].on(api.BinlogFetch, at("bin.000007", 4611))
		}},
		{name: "position not known", code: api.BinlogInconsistent, rule: "candidate binlog delay", before: func(f *fleet) {
			f.agents[0].on(api.BinlogFetch, refuses(api.MySQLUnreachable, "gone"))
		}},
		{name: "behind, and not looked at", content: document(db0+", "+db1, "", "  need_binlog_check: false"), code: api.OK, before: func(f *fleet) {
			f.agents[1].on(api.BinlogFetch, at("bin.000001", 4))
		}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			if test.content == "" {
				test.content = plainDocument
			}
			f := world(t, 1, test.content, tuning{waits: func(w *waits) { w.grace = 1e8 }})
			test.before(f)
			f.tape.clear()
			s := f.ended(f.startSwitch(1))
			if test.code == api.OK {
				wantStates(t, s, wayDone...)
				for _, g := range f.tape.of("") {
					if g.to == "p2" && f.status("p2") == api.StatusUnreg {
						t.Errorf("it is off the list, and %s came", g)
					}
				}
				return
			}
			wantStates(t, s, undoneFrom(fsm.StatePreflight)...)
			if s.Code != test.code || !strings.Contains(s.Error, `first "`+test.rule+`"`) {
				t.Errorf("refused with %d %s, want %d and the rule %q", s.Code, s.Error, test.code, test.rule)
			}
			named := false
			for _, c := range s.Checks {
				named = named || c.Rule == test.rule && !c.OK
			}
			if !named {
				t.Errorf("the rules are recorded as %+v", s.Checks)
			}
			for _, g := range f.tape.of("") {
				if g.stamp.Step > api.StepRequested {
					t.Errorf("nothing was to change, and %s came", g)
				}
			}
			if g := f.group(); g.Writable != 0 || g.OpenSwitch != "" || g.Stamp.Step != api.StepIdle {
				t.Errorf("the group afterwards: %+v", g)
			}
		})
	}
}

// What a candidate has is compared with what the primary has also when it is a clone, whose binary log is empty.
func TestPreflightOfAClone(t *testing.T) {
	t.Parallel()
	f := world(t, 1, plainDocument, tuning{})
	f.agents[1].on(api.PreflightDatasource, func(ctx context.Context, g given) (any, error) {
		a, err := f.agents[1].usual(ctx, g)
		answer := a.(api.PreflightAnswer)
		answer.State.Binlog = &api.Binlog{File: "bin.000001", Position: 4, GTIDSlavePos: "0-3-50"}
		return answer, err
	})
	asked := make(chan string, 1)
	f.agents[0].on(api.PreflightDatasource, func(ctx context.Context, g given) (any, error) {
		select {
		case asked <- bodyOf[api.PreflightDatasourceRequest](t, g).CandidateState:
		default:
		}
		return f.agents[0].usual(ctx, g)
	})
	f.ended(f.startSwitch(1))
	if got := <-asked; got != "0-3-50" {
		t.Errorf("the primary was asked about %q", got)
	}
}

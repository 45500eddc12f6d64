package keeper

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/zerokeeper/zero/transport/api"
	"github.com/zerokeeper/zero/transport/lease"
)

// stepOf is the step of the stamp that orders carry (R8).
var stepOf = map[string]uint8{
	api.PreflightDatasource: api.StepRequested, api.ProxyVoteFetch: api.StepRequested,
	api.PrepareDatasource: api.StepStopping, api.StopWritingProxyDatasource: api.StepStopping,
	api.FenceDatasource: api.StepFencing, api.WaitPosition: api.StepFencing,
	api.PromoteDatasource: api.StepPromoting, api.FollowDatasource: api.StepPromoting, api.SwitchProxyDatasource: api.StepPromoting,
	api.RestoreDatasource: api.StepRollingBack, api.RollbackProxyDatasource: api.StepRollingBack,
	api.RecoverWritingProxyDatasource: api.StepIdle,
}

// TestPlannedSwitch runs a switch from each of its doors to its end.
func TestPlannedSwitch(t *testing.T) {
	seed := api.ClusterDatasourcesSwitchRequest{HostGroup: "orders", FromIndex: 0, ToIndex: 1, Reason: "maintenance"}
	tests := []struct {
		name  string
		ask   func(*fleet) error
		votes bool
		by    string
	}{
		{name: "SwitchStart", by: "operator dba", ask: func(f *fleet) error {
			return f.ask(api.SwitchStart, api.SwitchStartRequest{HostGroup: "orders", ToIndex: 1, Reason: "maintenance"}, nil)
		}},
		{name: "ClusterDatasourcesSwitch of an operator", by: "operator dba", ask: func(f *fleet) error {
			return f.ask(api.ClusterDatasourcesSwitch, seed, nil)
		}},
		{name: "ClusterDatasourcesSwitch of a proxy", by: "proxy p1", votes: true, ask: func(f *fleet) error {
			return send(f.t, f.proxies[0].client, api.ClusterDatasourcesSwitch, nil, seed, nil)
		}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			f := world(t, 1, plainDocument, tuning{})
			if err := test.ask(f); err != nil {
				t.Fatal(err)
			}
			s := f.ended("orders-1")
			wantStates(t, s, wayDone...)
			wantOrders(t, f, test.votes)
			wantStamps(t, f, s.Generation)
			wantNames(t, f)
			wantRecord(t, s, test.by)
			if g := f.group(); g.Writable != 1 || g.Primary != db1 || g.OpenSwitch != "" || g.LastSwitch != s.ID || g.Committed != s.Generation || g.Stamp.Step != api.StepIdle {
				t.Errorf("the group afterwards: %+v", g)
			}
		})
	}
}

// wantOrders holds the orders of a switch to their order.
func wantOrders(t *testing.T, f *fleet, votes bool) {
	t.Helper()
	var phases, followers []string
	waited := false
	for _, g := range f.tape.of("") {
		switch g.name {
		case api.FollowDatasource:
			if followers = append(followers, g.to); !waited {
				t.Errorf("%s came before the commit", g)
			}
			continue
		case api.SwitchProxyDatasource:
			if !waited { // beside the promotion
				t.Errorf("%s came before the commit", g)
			}
			continue
		case api.WaitPosition:
			waited = true
		}
		if len(phases) == 0 || phases[len(phases)-1] != g.name {
			phases = append(phases, g.name)
		}
	}
	want := []string{api.StateFetch, api.PreflightDatasource, api.BinlogFetch}
	if votes {
		want = append(want, api.ProxyVoteFetch)
	}
	want = append(want, api.PrepareDatasource, api.StopWritingProxyDatasource, api.FenceDatasource, api.WaitPosition,
		api.PromoteDatasource, api.RecoverWritingProxyDatasource)
	if !slices.Equal(phases, want) {
		t.Errorf("orders came as\n%v, want\n%v", phases, want)
	}
	if slices.Sort(followers); !slices.Equal(followers, []string{"a0", "a2"}) {
		t.Errorf("FollowDatasource went to %v, want the two others once each", followers)
	}
	receivers := map[string]string{api.PrepareDatasource: "a1", api.FenceDatasource: "a0", api.WaitPosition: "a1", api.PromoteDatasource: "a1"}
	for name, to := range receivers {
		if got := f.tape.of(name); len(got) != 1 || got[0].to != to {
			t.Errorf("%s went to %v, want %s once", name, got, to)
		}
	}
	for _, name := range []string{api.StopWritingProxyDatasource, api.SwitchProxyDatasource, api.RecoverWritingProxyDatasource} {
		if got := f.tape.of(name); len(got) != 2 || got[0].to == got[1].to {
			t.Errorf("%s went to %v, want both proxies once", name, got)
		}
	}
}

// wantStamps holds every order to its stamp and switch id, and the stamps at
// each receiver to rise.
func wantStamps(t *testing.T, f *fleet, generation uint64) {
	t.Helper()
	last := map[string]api.Stamp{}
	for _, g := range f.tape.of("") {
		step, changes := stepOf[g.name]
		if !changes {
			if g.stamped {
				t.Errorf("%s is stamped and changes nothing", g)
			}
			continue
		}
		if g.name == api.WaitPosition && g.stamp.Step == api.StepCatchingUp {
			step = api.StepCatchingUp // asked ahead and lost, it is asked again in its own step
		}
		if g.name == api.FollowDatasource && g.to == "a0" {
			step = api.StepIdle // the old primary is told when clients write again
		}
		if want := (api.Stamp{Generation: generation, Step: step}); g.stamp != want || !g.stamped {
			t.Errorf("%s: want stamp %s", g, want)
		}
		if g.switchID != "orders-1" {
			t.Errorf("%s is of switch %q", g, g.switchID)
		}
		if g.stamp.Compare(last[g.to]) < 0 {
			t.Errorf("%s came after %s", g, last[g.to])
		}
		last[g.to] = g.stamp
	}
}

// wantNames holds the orders to naming servers, not positions alone (R24).
func wantNames(t *testing.T, f *fleet) {
	t.Helper()
	from := api.Datasource{Address: db0, ServerID: "server-0"}
	to := api.Datasource{Address: db1, ServerID: "server-1"}
	identities := map[string]string{db0: "server-0", db1: "server-1", db2: "server-2"}
	for _, g := range f.tape.of("") {
		var want any
		switch g.name {
		case api.PrepareDatasource:
			want = api.PrepareDatasourceRequest{HostGroup: "orders", Candidate: to, LeaseMS: lease.Default.Milliseconds()}
		case api.StopWritingProxyDatasource:
			want = api.StopWritingProxyDatasourceRequest{HostGroup: "orders", Index: 0, Primary: from}
		case api.FenceDatasource:
			want = api.FenceDatasourceRequest{HostGroup: "orders", Primary: from, BoundMS: 1000}
		case api.WaitPosition:
			want = api.WaitPositionRequest{HostGroup: "orders", Candidate: to, GTID: "0-1-99", State: "0-1-99", TimeoutMS: 1000}
		case api.PromoteDatasource:
			want = api.PromoteDatasourceRequest{HostGroup: "orders", Primary: to, ReplicaSet: []string{db2, db0}, ReplicaVersion: f.state().Group("orders").RecordVersion}
		case api.SwitchProxyDatasource:
			want = api.SwitchProxyDatasourceRequest{HostGroup: "orders", ToIndex: 1, Primary: to}
		case api.RecoverWritingProxyDatasource:
			want = api.RecoverWritingProxyDatasourceRequest{HostGroup: "orders", Index: 1, Primary: to}
		case api.FollowDatasource:
			replica := api.Datasource{Address: db0, ServerID: "server-0"}
			if g.to == "a2" {
				replica = api.Datasource{Address: db2, ServerID: "server-2"}
			}
			want = api.FollowDatasourceRequest{HostGroup: "orders", Replica: replica, Primary: to, Acknowledge: true}
		case api.PreflightDatasource:
			role, state := api.BinlogSlave, ""
			if g.to == "a0" {
				role, state = api.BinlogMaster, "0-1-99"
			}
			want = api.PreflightDatasourceRequest{HostGroup: "orders", Role: role, Primary: from, MaxLagMS: 1000, Peers: identities, PrimaryVersion: "10.11.6-MariaDB", CandidateState: state}
		default:
			continue
		}
		wantBody(t, g, want)
	}
}

func wantBody(t *testing.T, g given, want any) {
	t.Helper()
	body, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	if string(body) != string(g.body) {
		t.Errorf("%s to %s says\n%s, want\n%s", g.name, g.to, g.body, body)
	}
}

// wantRecord holds the record of a switch that went well to what people read.
func wantRecord(t *testing.T, s api.Switch, by string) {
	t.Helper()
	if s.HostGroup != "orders" || s.Cluster != "shop" || s.FromIndex != 0 || s.ToIndex != 1 || s.From != db0 || s.To != db1 || s.Reason != "maintenance" || s.RequestedBy != by || s.Open || s.Code != api.OK || s.Error != "" {
		t.Errorf("record %+v", s)
	}
	for i, step := range s.Steps {
		last := i == len(s.Steps)-1
		if !last && step.State != "requested" && step.Note == "" {
			t.Errorf("step %s has no note", step.State)
		}
		if step.Term == 0 || step.Time.IsZero() || (!last && step.TookMS < 0) {
			t.Errorf("step %+v", step)
		}
	}
	if s.BlackoutMS <= 0 || s.BlackoutMS > s.TotalMS {
		t.Errorf("blackout %v ms of %v ms in all", s.BlackoutMS, s.TotalMS)
	}
	if s.Position == nil || s.Position.GTIDBinlogPos != "0-1-99" || s.Position.File != "bin.000007" || s.Position.Position != 4711 {
		t.Errorf("position %+v", s.Position)
	}
	var rules []string
	for _, c := range s.Checks {
		if rules = append(rules, c.Rule); !c.OK || c.Input == "" {
			t.Errorf("check %+v", c)
		}
	}
	if got := strings.Join(rules, ", "); got != "every proxy is up, every datasource is a server of its own, primary identity, candidate identity, the candidate is a recorded replica, candidate log_bin, primary log_bin, candidate load, candidate binlog delay" {
		t.Errorf("rules %s", got)
	}
}

package keeper

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/zerokeeper/zero/fsm"
	"github.com/zerokeeper/zero/transport/api"
)

func (f *fleet) maintenance(on bool, length time.Duration) {
	f.t.Helper()
	f.must(api.GroupMaintenance, api.GroupMaintenanceRequest{HostGroup: "orders", On: on, Reason: "new disks", ForMS: length.Milliseconds()}, nil)
}

// proxyAsks asks for a switch as a proxy does.
func (f *fleet) proxyAsks(kind string, to int) error {
	f.t.Helper()
	from := f.state().Group("orders").Writable
	return send(f.t, f.proxies[0].client, api.ClusterDatasourcesSwitch, nil, api.ClusterDatasourcesSwitchRequest{HostGroup: "orders", FromIndex: from, ToIndex: to, Reason: "my probes fail", Kind: kind}, nil)
}

// Maintenance: the keepers leave a dead primary alone, and say why; an operator
// does not have to.
func TestMaintenanceHoldsTheDetector(t *testing.T) {
	t.Parallel()
	f := world(t, 1, autoDocument(""), short)
	f.beating()
	f.maintenance(true, time.Hour)
	f.kill()
	wantCode(t, "a proxy's request", f.proxyAsks(fsm.KindFailover, api.AnyIndex), api.Maintenance)
	k := f.leader().keeper.Load()
	eventually(t, "the detector was refused", func() bool {
		last := k.refusals.of("orders")
		return last != nil && last.By == "detector" && last.Code == api.Maintenance
	})
	g := f.group()
	if g.Maintenance == nil || g.Maintenance.By != "dba" || g.Maintenance.Until == nil || !strings.Contains(g.Detail.Refused.Error, "new disks") || g.OpenSwitch != "" || g.Stamp.Generation != 0 {
		t.Errorf("the group: %+v, refused %+v", g, g.Detail.Refused)
	}
	var view api.ClusterViewAnswer
	if f.must(api.ClusterView, struct{}{}, &view); !slices.ContainsFunc(view.Problems, func(p string) bool { return strings.Contains(p, "in maintenance, by dba") }) {
		t.Errorf("problems: %q", view.Problems)
	}
	s := f.ended(f.failOver(api.AnyIndex, ""))
	if s.State != fsm.StateDone || len(s.Warnings) != 1 || !strings.Contains(s.Warnings[0], "new disks") {
		t.Errorf("the operator's: %s, warnings %q", s.State, s.Warnings)
	}
	f.clock.advance(time.Hour)
	if g := f.group(); g.Maintenance != nil {
		t.Errorf("after its end: %+v", g.Maintenance)
	}
}

func TestBrakeHoldsEverything(t *testing.T) {
	t.Parallel()
	f := world(t, 1, autoDocument(""), short)
	f.beating()
	wantCode(t, "a brake without a reason", f.ask(api.BrakeSet, api.BrakeRequest{On: true}, nil), api.BadRequest)
	f.must(api.BrakeSet, api.BrakeRequest{On: true, Reason: "network works"}, nil)
	f.kill()
	wantCode(t, "a proxy's request", f.proxyAsks(fsm.KindFailover, api.AnyIndex), api.Braked)
	var view api.ClusterViewAnswer
	if f.must(api.ClusterView, struct{}{}, &view); view.Brake == nil || !strings.Contains(view.Problems[0], "THE BRAKE IS ON") {
		t.Errorf("brake %+v, problems %q", view.Brake, view.Problems)
	}
	f.must(api.BrakeSet, api.BrakeRequest{}, nil)
	if s := f.opened(); s.State != fsm.StateDone {
		t.Errorf("after it was taken off: %s: %s", s.State, s.Error)
	}
}

// After a failover by itself the next waits for a person, or for its time.
func TestAcknowledgement(t *testing.T) {
	t.Parallel()
	f := world(t, 1, autoDocument("  auto_ack_after: 2h\n"), short)
	f.beating()
	f.kill()
	s := f.opened()
	if s.State != fsm.StateDone || s.AckPending == nil || s.AckPending.Switch != "orders-1" || s.Ack != nil {
		t.Fatalf("%s: %+v", s.State, s.AckPending)
	}
	f.clock.advance(time.Minute) // the cooldown
	err := f.proxyAsks(fsm.KindFailover, 2)
	if wantCode(t, "the next one by itself", err, api.AckPending); !strings.Contains(err.Error(), "zeroctl switch ack orders-1") {
		t.Errorf("it says: %v", err)
	}
	f.must(api.SwitchAck, api.SwitchRef{ID: "orders-1", Reason: "power supply"}, nil)
	wantCode(t, "twice", f.ask(api.SwitchAck, api.SwitchRef{ID: "orders-1"}, nil), api.Conflict)
	if s = f.show("orders-1"); s.Ack == nil || s.Ack.By != "dba" || s.Ack.Reason != "power supply" || s.AckPending != nil {
		t.Errorf("acknowledged: %+v", s.Ack)
	}
	if g := f.group(); g.AckPending != nil {
		t.Errorf("still pending: %+v", g.AckPending)
	}
	wantCode(t, "now it is the evidence that counts", f.proxyAsks(fsm.KindFailover, 2), api.PrimaryAlive)
}

// dryRun asks for a dry run, and fails if it left anything behind.
func (f *fleet) dryRun(body api.SwitchStartRequest) api.SwitchDryRunAnswer {
	f.t.Helper()
	g, before := f.group(), len(f.state().Switches())
	var answer api.SwitchDryRunAnswer
	if body.Reason == "" {
		body.Reason = "what if"
	}
	body.HostGroup = "orders"
	if err := f.ask(api.SwitchDryRun, body, &answer); err != nil {
		f.t.Fatal(err)
	}
	if now := f.group(); now.Stamp != g.Stamp || now.CooldownLeftMS > g.CooldownLeftMS || now.OpenSwitch != "" || now.LastSwitch != g.LastSwitch || len(f.state().Switches()) != before {
		f.t.Errorf("something was left behind: %+v, then %+v", g, now)
	}
	for _, order := range f.tape.of("") {
		switch order.name {
		case api.StateFetch, api.PreflightDatasource, api.BinlogFetch, api.LoadFetch:
		default:
			f.t.Errorf("%s was sent", order)
		}
	}
	return answer
}

func TestDryRun(t *testing.T) {
	t.Parallel()
	f := world(t, 1, autoDocument(""), short)
	f.beating()
	answer := f.dryRun(api.SwitchStartRequest{ToIndex: 1})
	if !answer.Would || answer.To != db1 || len(answer.Checks) < 6 || answer.Code != 0 || !strings.Contains(answer.VoteAuto, "more than 50% of 2") || answer.VoteRule != "skipped: operator" {
		t.Errorf("%+v", answer)
	}
	f.agents[1].on(api.PreflightDatasource, refuses(api.MySQLUnreachable, "no server"))
	if answer = f.dryRun(api.SwitchStartRequest{ToIndex: 1}); answer.Would || answer.Code != api.PreflightFailed || !strings.Contains(answer.Error, "no server") {
		t.Errorf("a rule fails: %+v", answer)
	}
	f.agents[1].on(api.PreflightDatasource, nil)
	for _, test := range []struct {
		body api.SwitchStartRequest
		want api.Code
	}{
		{api.SwitchStartRequest{ToIndex: 0}, api.InvalidSwitch},
		{api.SwitchStartRequest{ToIndex: 9}, api.InvalidSwitch},
		{api.SwitchStartRequest{ToIndex: api.AnyIndex}, api.InvalidSwitch},
		{api.SwitchStartRequest{ToIndex: 1, Kind: fsm.KindFailover, Policy: "hope"}, api.InvalidSwitch},
	} {
		if answer = f.dryRun(test.body); answer.Would || answer.Code != test.want {
			t.Errorf("%+v: %d %s", test.body, answer.Code, answer.Error)
		}
	}
	wantCode(t, "another group", f.ask(api.SwitchDryRun, api.SwitchStartRequest{HostGroup: "x", Reason: "r"}, nil), api.KeyMissing)

	f.maintenance(true, 0)
	answer = f.dryRun(api.SwitchStartRequest{ToIndex: api.AnyIndex, Kind: fsm.KindFailover})
	if !answer.Would || answer.To != db1 || len(answer.Candidates) != 2 || !answer.Candidates[0].Chosen || !strings.Contains(answer.Automatic, "in maintenance") || len(answer.Warnings) != 1 {
		t.Errorf("a failover: %+v", answer)
	}
	f.agents[2].stop()
	f.agents[2].disconnected()
	if answer = f.dryRun(api.SwitchStartRequest{ToIndex: 1, Kind: fsm.KindFailover}); answer.Would || answer.Code != api.MayLoseWrites {
		t.Errorf("a replica is away: %+v", answer)
	}
	if answer = f.dryRun(api.SwitchStartRequest{ToIndex: 1, Kind: fsm.KindFailover, Policy: fsm.PolicyAvailable}); !answer.Would {
		t.Errorf("and available: %+v", answer)
	}

	id := f.startSwitch(1)
	if s := f.ended(id); s.State != fsm.StateDone {
		t.Fatalf("%s: %s", s.State, s.Error)
	}
	f.tape.clear()
	if answer = f.dryRun(api.SwitchStartRequest{ToIndex: 0}); answer.Would || answer.Code != api.TooFrequent {
		t.Errorf("in the cooldown: %+v", answer)
	}
}

// The zone of the old primary comes first, one that lags last; the record says so.
func TestRulesOfChoice(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name  string
		zones [3]string
		lag   [3]int64 // ms
		extra string
		want  string
		why   string
	}{
		{name: "zone", zones: [3]string{"z1", "z2", "z1"}, want: db2, why: "zone of the old primary"},
		{name: "lag before zone", zones: [3]string{"z1", "z2", "z1"}, lag: [3]int64{0, 0, 60_000}, want: db1, why: "passed over"},
		{name: "lag is not looked at", zones: [3]string{"z1", "z2", "z1"}, lag: [3]int64{0, 0, 60_000}, extra: "  safe_lag: 0\n", want: db2},
		{name: "prefer before zone", zones: [3]string{"z1", "z2", "z1"}, extra: "  prefer: " + db1 + "\n", want: db1, why: "preferred"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			f := world(t, 1, autoDocument(test.extra), short)
			for i, a := range f.agents {
				a.set(func(a *actor) { a.zone, a.lag = test.zones[i], test.lag[i] })
			}
			f.beating()
			for i, a := range f.agents {
				eventually(t, "the zones are known", func() bool { row := f.state().Agent(a.hello.Address); return row != nil && row.Zone == test.zones[i] })
			}
			s := f.ended(f.failOver(api.AnyIndex, ""))
			i := slices.IndexFunc(s.Checks, func(c api.Check) bool { return strings.HasPrefix(c.Rule, ruleChoice) })
			if s.State != fsm.StateDone || s.To != test.want || i < 0 || !strings.Contains(s.Checks[i].Detail, test.why) || !strings.Contains(s.Checks[i].Input, "zone z2") {
				t.Errorf("%s to %s: %s; checks %+v", s.State, s.To, s.Error, s.Checks)
			}
		})
	}
}

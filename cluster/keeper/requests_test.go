package keeper

import (
	"context"
	"encoding/json"
	"testing"
	"time"

	"github.com/zerokeeper/zero/transport/api"
)

func TestRefusedRequests(t *testing.T) {
	f := world(t, 1, plainDocument+"    enable_switch: false\n", tuning{})
	other := f.client(api.HelloRequest{Role: api.RoleProxy, ID: "px", Cluster: "other", Address: "px:1", Incarnation: "1"}, nil)
	type body = api.ClusterDatasourcesSwitchRequest
	tests := []struct {
		name string
		body body
		want api.Code
	}{
		{"from and to are one", body{HostGroup: "orders", ToIndex: 0, Reason: "r"}, api.InvalidSwitch},
		{"no such candidate", body{HostGroup: "orders", ToIndex: 3, Reason: "r"}, api.InvalidSwitch},
		{"a candidate below zero", body{HostGroup: "orders", ToIndex: -1, Reason: "r"}, api.InvalidSwitch},
		{"from is below zero", body{HostGroup: "orders", FromIndex: -1, ToIndex: 1, Reason: "r"}, api.InvalidSwitch},
		{"from is not the writable", body{HostGroup: "orders", FromIndex: 2, ToIndex: 1, Reason: "r"}, api.InvalidSwitch},
		{"no such group", body{HostGroup: "users", ToIndex: 1, Reason: "r"}, api.KeyMissing},
		{"no reason", body{HostGroup: "orders", ToIndex: 1}, api.BadRequest},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			wantCode(t, "ClusterDatasourcesSwitch", f.ask(api.ClusterDatasourcesSwitch, test.body, nil), test.want)
			from := test.body.FromIndex
			start := api.SwitchStartRequest{HostGroup: test.body.HostGroup, FromIndex: &from, ToIndex: test.body.ToIndex, Reason: test.body.Reason}
			wantCode(t, "SwitchStart", f.ask(api.SwitchStart, start, nil), test.want)
		})
	}
	good := body{HostGroup: "orders", ToIndex: 1, Reason: "r"}
	wantCode(t, "a proxy where enable_switch is false", send(t, f.proxies[0].client, api.ClusterDatasourcesSwitch, nil, good, nil), api.InvalidSwitch)
	wantCode(t, "a proxy of another cluster", send(t, other, api.ClusterDatasourcesSwitch, nil, good, nil), api.Forbidden)
	if g := f.group(); g.Stamp.Generation != 0 || len(f.tape.of("")) != 0 {
		t.Errorf("a refused request left something: %+v, %s", g, f.tape)
	}
	wantCode(t, "no such switch", f.ask(api.SwitchShow, api.SwitchRef{ID: "orders-9"}, nil), api.KeyMissing)
	wantCode(t, "abort of no such switch", f.ask(api.SwitchAbort, api.SwitchRef{ID: "orders-9", Reason: "r"}, nil), api.KeyMissing)
}

func TestOneSwitchAtATimeAndCooldown(t *testing.T) {
	f := world(t, 1, plainDocument, tuning{})
	entered, release := f.proxies[0].block(api.StopWritingProxyDatasource)
	resp, err := f.op.Call(within(t), api.ClusterDatasourcesSwitch, nil, []byte(`{"hostGroup":"orders","fromIndex":0,"toIndex":1,"reason":"r","wait":false}`))
	if err != nil || resp.Meta.Get(api.MetaSwitchID) != "orders-1" || len(resp.Data) != 0 {
		t.Fatalf("a request that does not wait: %+v, %v", resp, err)
	}
	<-entered
	start := api.SwitchStartRequest{HostGroup: "orders", ToIndex: 2, Reason: "r"}
	if f.leader().keeper.Load().startDriver("orders-1") {
		t.Error("a second driver was started")
	}
	wantCode(t, "a second switch", f.ask(api.SwitchStart, start, nil), api.SwitchInProgress)
	release()
	f.ended("orders-1")
	wantCode(t, "a switch in the cooldown", f.ask(api.SwitchStart, start, nil), api.TooFrequent)
	f.clock.advance(9 * time.Second) // of ten
	wantCode(t, "a switch late in the cooldown", f.ask(api.SwitchStart, start, nil), api.TooFrequent)
	f.clock.advance(time.Second)
	s := f.ended(f.startSwitch(2))
	if wantStates(t, s, wayDone...); s.From != db1 || s.To != db2 || s.Generation != 2 {
		t.Errorf("the second switch: %+v", s)
	}

	var list api.SwitchListAnswer
	f.must(api.SwitchList, api.SwitchListRequest{HostGroup: "orders", Page: api.Page{Limit: 1}}, &list)
	if len(list.Switches) != 1 || list.Switches[0].ID != "orders-2" || list.Next == "" {
		t.Fatalf("the newest switch first: %+v", list)
	}
	var rest api.SwitchListAnswer
	f.must(api.SwitchList, api.SwitchListRequest{Page: api.Page{Limit: 1, Cursor: list.Next}}, &rest)
	if len(rest.Switches) != 1 || rest.Switches[0].ID != "orders-1" || rest.Next != "" {
		t.Errorf("then the older: %+v", rest)
	}
}

// TestRequesterGoesAway: a switch that was accepted goes on without the one who
// asked for it, and its request is known again by session and sequence.
func TestRequesterGoesAway(t *testing.T) {
	f := world(t, 1, plainDocument, tuning{})
	entered, release := f.agents[0].block(api.FenceDatasource)
	body, err := json.Marshal(api.ClusterDatasourcesSwitchRequest{HostGroup: "orders", ToIndex: 1, Reason: "r"})
	if err != nil {
		t.Fatal(err)
	}
	write, err := f.op.NewSession().Write(api.ClusterDatasourcesSwitch, nil, body)
	if err != nil {
		t.Fatal(err)
	}
	defer write.End()
	ctx, cancel := context.WithCancel(within(t))
	gone := make(chan error, 1)
	go func() {
		_, err := write.Do(ctx)
		gone <- err
	}()
	<-entered
	cancel()
	wantCode(t, "a requester that does not wait", <-gone, api.OutcomeUnknown)
	release()
	if s := f.ended("orders-1"); s.State != "done" {
		t.Errorf("the switch ended as %s: %s", s.State, s.Error)
	}
	resp, err := write.Do(within(t)) // the same request once more
	if err != nil || resp.Meta.Get(api.MetaSwitchID) != "orders-1" {
		t.Errorf("the retry: %+v, %v", resp, err)
	}
}

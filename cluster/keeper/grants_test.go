package keeper

import (
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/zerokeeper/zero/transport/api"
)

// TestGrantsDuringSwitch looks, at each order, at what the heartbeats of the
// same moment say (R4).
func TestGrantsDuringSwitch(t *testing.T) {
	f := world(t, 1, plainDocument, tuning{waits: func(w *waits) { w.ahead = time.Minute }})
	type seen struct{ proxy, primary, candidate api.Grant }
	var mu sync.Mutex
	grants := map[string]seen{}
	look := func(name string, a *actor) {
		a.on(name, func(ctx context.Context, g given) (any, error) {
			now := seen{only(t, f.proxies[1].beat()), only(t, f.agents[0].beat()), only(t, f.agents[1].beat())}
			mu.Lock()
			grants[name] = now
			mu.Unlock()
			return a.usual(ctx, g)
		})
	}
	p1, a0, a1 := f.proxies[0], f.agents[0], f.agents[1]
	look(api.PreflightDatasource, a0)
	look(api.PrepareDatasource, a1)
	look(api.StopWritingProxyDatasource, p1)
	look(api.FenceDatasource, a0)
	look(api.WaitPosition, a1)
	look(api.PromoteDatasource, a1)
	look(api.SwitchProxyDatasource, p1)
	look(api.RecoverWritingProxyDatasource, p1)
	f.ended(f.startSwitch(1))
	look("afterwards", p1)
	if _, err := p1.answers["afterwards"](t.Context(), given{}); err != nil {
		t.Fatal(err)
	}

	old, new := api.Datasource{Address: db0, ServerID: "server-0"}, api.Datasource{Address: db1, ServerID: "server-1"}
	tests := []struct {
		at        string
		proxyOpen bool
		agentOpen bool
		step      uint8
		primary   api.Datasource
		committed uint64
	}{
		{api.PreflightDatasource, true, true, api.StepRequested, old, 0},
		{api.PrepareDatasource, false, true, api.StepStopping, old, 0},
		{api.StopWritingProxyDatasource, false, true, api.StepStopping, old, 0},
		{api.FenceDatasource, false, false, api.StepFencing, old, 0},
		{api.WaitPosition, false, false, api.StepFencing, old, 0},
		{api.PromoteDatasource, false, true, api.StepPromoting, new, 1},
		{api.SwitchProxyDatasource, false, true, api.StepPromoting, new, 1},
		{api.RecoverWritingProxyDatasource, true, true, api.StepIdle, new, 1},
		{"afterwards", true, true, api.StepIdle, new, 1},
	}
	for _, test := range tests {
		got := grants[test.at]
		want := api.Grant{
			HostGroup: "orders", Stamp: api.Stamp{Generation: 1, Step: test.step}, Committed: test.committed,
			Index: slices.Index([]string{db0, db1}, test.primary.Address), Primary: test.primary, Open: test.proxyOpen,
		}
		wantGrant(t, test.at+": proxy", got.proxy, want)
		want.Open, want.ReplicaSet = test.agentOpen, []string{db1, db2}
		if test.committed > 0 { // R17: the old primary was fenced alive, and is recorded
			want.ReplicaSet = []string{db2, db0}
		}
		wantGrant(t, test.at+": old primary's agent", got.primary, want)
		wantGrant(t, test.at+": candidate's agent", got.candidate, want)
	}
}

func wantGrant(t *testing.T, what string, got, want api.Grant) {
	t.Helper()
	sets := slices.Equal(slices.Sorted(slices.Values(got.ReplicaSet)), slices.Sorted(slices.Values(want.ReplicaSet)))
	got.ReplicaSet, want.ReplicaSet = nil, nil
	if !sets || got.HostGroup != want.HostGroup || got.Stamp != want.Stamp || got.Committed != want.Committed || got.Index != want.Index || got.Primary != want.Primary || got.Open != want.Open {
		t.Errorf("%s is granted %+v, want %+v", what, got, want)
	}
}

func only(t *testing.T, answer api.HeartbeatAnswer) api.Grant {
	t.Helper()
	if len(answer.Grants) != 1 {
		t.Errorf("%d grants, want one: %+v", len(answer.Grants), answer)
		return api.Grant{}
	}
	return answer.Grants[0]
}

// TestProxyOffTheListIsHeld: one that no switch would ask must not write.
func TestProxyOffTheListIsHeld(t *testing.T) {
	f := world(t, 1, plainDocument, tuning{})
	stranger := f.proxyOf("p3", "p3-1")
	stranger.set(func(p *actor) { p.status = api.StatusUp })
	stranger.on(api.ActivateProxy, refuses(api.Busy, "not now"))
	if got := only(t, stranger.beat()); got.Open {
		t.Errorf("a proxy that is not on the list is granted %+v", got)
	}
	f.must(api.ProxyDrop, api.ProxyRef{ID: "p2", Reason: "repair"}, nil)
	if got := only(t, f.proxies[1].beat()); got.Open {
		t.Errorf("a proxy that was unregistered is granted %+v", got)
	}
	f.proxies[0].stop()
	f.proxies[0].disconnected()
	again := f.proxyOf("p1", "p1-2") // another process, not registered yet
	again.set(func(p *actor) { p.status = api.StatusUp })
	again.on(api.ActivateProxy, refuses(api.Busy, "not now"))
	if got := only(t, again.beat()); got.Open {
		t.Errorf("a process that did not register is granted %+v", got)
	}
	again.up()
	if got := only(t, again.beat()); !got.Open {
		t.Errorf("a proxy that is up is granted %+v", got)
	}
}

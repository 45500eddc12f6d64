package keeper

import (
	"context"
	"strings"
	"sync"
	"testing"

	"github.com/zerokeeper/zero/transport/api"
)

func TestUnregister(t *testing.T) {
	f := world(t, 1, plainDocument, hasty)
	p1, p2 := f.proxies[0], f.proxies[1]
	defer p1.keepBeating()()
	defer p2.keepBeating()()
	f.must(api.ProxyDrop, api.ProxyRef{ID: "shop/p2", Reason: "repair"}, nil)
	if got := f.tape.of(api.UnregisterProxy); len(got) != 1 || got[0].to != "p2" || string(got[0].body) != `{"reason":"repair"}` {
		t.Errorf("it was told %v", got)
	}
	if f.status("p2") != api.StatusUnreg {
		t.Errorf("it is %q", f.status("p2"))
	}
	last := api.ProxyRef{ID: "p1", Reason: "repair"}
	wantCode(t, "the last one", f.ask(api.ProxyDrop, last, nil), api.LastProxy)
	wantCode(t, "the last one, by itself", send(t, p1.client, api.ProxyUnregister, nil, api.ProxyUnregisterRequest{Reason: "r"}, nil), api.LastProxy)
	if got := f.tape.of(api.UnregisterProxy); len(got) != 1 || f.status("p1") != api.StatusUp {
		t.Errorf("the last one was told %v and is %q", got, f.status("p1"))
	}
	// While it beats it stays on the list, to be activated.
	first := f.state().Proxy("shop", "p2").Since
	eventually(t, "the time for the removal of the silent is over", func() bool { return f.clock.now().UnixNano()-first > int64(700e6) })
	if f.status("p2") != api.StatusUnreg {
		t.Fatalf("it is %q", f.status("p2"))
	}
	f.must(api.ProxyActivate, api.ProxyRef{ID: "p2"}, nil)
	p2.up()
	f.must(api.ProxyDrop, api.ProxyRef{ID: "p1", Reason: "repair"}, nil)
	last.ID, last.Force = "p2", true
	f.must(api.ProxyDrop, last, nil)
	if f.status("p1") != api.StatusUnreg || f.status("p2") != api.StatusUnreg {
		t.Errorf("they are %q and %q", f.status("p1"), f.status("p2"))
	}
}

func TestProxyLeaves(t *testing.T) {
	f := world(t, 1, plainDocument, tuning{})
	p1, p2 := f.proxies[0], f.proxies[1]
	if err := send(t, p1.client, api.ProxyUnregister, nil, api.ProxyUnregisterRequest{Reason: "SIGTERM", Released: true}, nil); err != nil {
		t.Fatal(err)
	}
	if row := f.state().Proxy("shop", "p1"); row.Status != api.StatusUnreg || row.Reason != "SIGTERM" {
		t.Errorf("it is %+v", row)
	}
	p2.set(func(p *actor) { p.status = api.StatusUnreg }) // its beat says it, whatever the list says
	if p2.beat(); f.status("p2") != api.StatusUnreg {
		t.Errorf("it is %q", f.status("p2"))
	}
	wantCode(t, "an unknown one", f.ask(api.ProxyDrop, api.ProxyRef{ID: "p9"}, nil), api.KeyMissing)
	wantCode(t, "an unknown one", f.ask(api.ProxyActivate, api.ProxyRef{ID: "p9"}, nil), api.KeyMissing)
	if err := send(t, p1.client, api.ProxyUnregister, nil, api.ProxyUnregisterRequest{Reason: "again"}, nil); err != nil {
		t.Errorf("once more: %v", err)
	}
}

// TestUnregisterNeedsTheProxysWord: one that did not confirm may still write.
func TestUnregisterNeedsTheProxysWord(t *testing.T) {
	f := world(t, 1, plainDocument, tuning{})
	f.proxies[1].on(api.UnregisterProxy, refuses(api.Common, "disk"))
	err := f.ask(api.ProxyDrop, api.ProxyRef{ID: "p2", Reason: "r"}, nil)
	if wantCode(t, "the answer", err, api.Common); err == nil || !strings.Contains(err.Error(), "stays on the list") || f.status("p2") != api.StatusUp {
		t.Errorf("%v, and it is %q", err, f.status("p2"))
	}
	f.proxies[1].stop()
	f.proxies[1].disconnected()
	f.must(api.ProxyDrop, api.ProxyRef{ID: "p2", Reason: "gone"}, nil) // nobody to tell
	if f.status("p2") != api.StatusUnreg {
		t.Errorf("it is %q", f.status("p2"))
	}
}

// TestLastTwoLeaveAtOnce: one of them stays, and goes on.
func TestLastTwoLeaveAtOnce(t *testing.T) {
	f := world(t, 1, plainDocument, tuning{})
	var both, drops sync.WaitGroup
	both.Add(2)
	for _, p := range f.proxies {
		p.on(api.UnregisterProxy, func(ctx context.Context, g given) (any, error) {
			both.Done()
			both.Wait() // each was seen as not the last
			return p.usual(ctx, g)
		})
	}
	errs := make([]error, 2)
	for i, p := range f.proxies {
		drops.Go(func() { errs[i] = f.ask(api.ProxyDrop, api.ProxyRef{ID: p.id, Reason: "r"}, nil) })
	}
	drops.Wait()
	stays := 0
	if errs[0] == nil {
		stays = 1
	}
	wantCode(t, "the one that left", errs[1-stays], api.OK)
	wantCode(t, "the one that stays", errs[stays], api.LastProxy)
	eventually(t, "it is told to go on", func() bool {
		got := f.tape.of(api.ActivateProxy)
		return len(got) == 1 && got[0].to == f.proxies[stays].id
	})
	f.proxies[stays].up()
}

func TestProxyNames(t *testing.T) {
	f := world(t, 1, plainDocument, tuning{})
	twin := &actor{id: "p1", hello: api.HelloRequest{Role: api.RoleProxy, ID: "p1", Cluster: "other", Address: "x:1", Incarnation: "1"}, status: api.StatusReady}
	twin.usual = twin.obeyProxy
	f.start(twin).beat()
	wantCode(t, "two clusters have it", f.ask(api.ProxyActivate, api.ProxyRef{ID: "p1"}, nil), api.BadRequest)
	f.must(api.ProxyActivate, api.ProxyRef{ID: "shop/p1"}, nil)
}

func TestAgents(t *testing.T) {
	f := world(t, 1, plainDocument, tuning{})
	a := f.agents[1]
	wantCode(t, "a beat for another datasource", send(t, a.client, api.AgentHeartbeat, nil, api.AgentHeartbeatRequest{Address: db2}, nil), api.BadRequest)
	a.set(func(a *actor) { a.serverID = "" }) // its server is down
	if a.beat(); f.state().Agent(db1).ServerID != "server-1" {
		t.Errorf("the server's name was forgotten: %+v", f.state().Agent(db1))
	}
	a.set(func(a *actor) { a.serverID = "server-9" })
	if a.beat(); f.state().Agent(db1).ServerID != "server-9" || !strings.Contains(f.logs.String(), "another server answers") {
		t.Errorf("another server: %+v", f.state().Agent(db1))
	}
	var list api.AgentListAnswer
	f.must(api.AgentList, api.AgentListRequest{Page: api.Page{Limit: 2}}, &list)
	if len(list.Agents) != 2 || list.Next != db1 || list.Agents[0].Address != db0 || !list.Agents[0].Connected || list.Agents[0].Status != "up" {
		t.Errorf("agents %+v", list)
	}
	var load api.Load
	if f.must(api.AgentLoad, api.AgentRef{Address: db0}, &load); load.Load1 != 1 || load.Cores != 4 {
		t.Errorf("load %+v", load)
	}
	var binlog api.Binlog
	if f.must(api.AgentBinlog, api.AgentRef{Address: db0, Role: api.BinlogSlave}, &binlog); binlog.Position != 4711 {
		t.Errorf("binlog %+v", binlog)
	}
	var state api.AgentState
	if f.must(api.AgentStateFetch, api.AgentRef{Address: db0}, &state); state.ServerID != "server-0" {
		t.Errorf("state %+v", state)
	}
	wantCode(t, "an unknown agent", f.ask(api.AgentLoad, api.AgentRef{Address: "10.9.9.9:1"}, nil), api.KeyMissing)
	wantCode(t, "an unknown role", f.ask(api.AgentBinlog, api.AgentRef{Address: db0, Role: "lord"}, nil), api.BadRequest)
	a.stop()
	a.disconnected()
	wantCode(t, "an agent that is away", f.ask(api.AgentLoad, api.AgentRef{Address: db1}, nil), api.NetConnect)
}

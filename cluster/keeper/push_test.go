package keeper

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/zerokeeper/zero/transport/api"
	"github.com/zerokeeper/zero/transport/wire"
)

// refusesVersion refuses one version of the configuration and takes others.
func refusesVersion(a *actor, id string) answer {
	return func(ctx context.Context, g given) (any, error) {
		if bodyOf[api.PushConfigRequest](a.f.t, g).ConfigID == id {
			return nil, api.Errorf(api.ConfigCheck, "the secret is not here")
		}
		return a.usual(ctx, g)
	}
}

func TestOneProxyRefuses(t *testing.T) {
	tests := []struct {
		name         string
		pushWhenFail bool
		rolledBack   string
	}{{"rolled back", false, "3.0.0"}, {"goes on", true, ""}}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			f := world(t, 1, plainDocument, tuning{})
			f.proxies[1].on(api.PushConfig, refusesVersion(f.proxies[1], "2.0.0"))
			basic := ""
			if test.pushWhenFail {
				basic = "  push_when_fail: true"
			}
			answer := f.push(api.ConfigPushRequest{Content: document(db0+", "+db1+", "+db2, basic, "")})
			want := []api.ProxyAck{{ID: "p1", Applied: true}, {ID: "p2", Error: "the secret is not here (7)"}}
			if answer.ConfigID != "2.0.0" || answer.RolledBack != test.rolledBack || !slices.Equal(answer.Proxies, want) {
				t.Errorf("answered %+v", answer)
			}
			if test.rolledBack == "" {
				if f.live() != "2.0.0" || f.state().Proxy("shop", "p2").ConfError == "" {
					t.Errorf("live is %s, p2 is %+v", f.live(), f.state().Proxy("shop", "p2"))
				}
				return
			}
			var shown api.ConfigShowAnswer
			f.must(api.ConfigShow, api.ConfigShowRequest{}, &shown)
			if shown.ConfigID != "3.0.0" || shown.Of != "1.0.0" || shown.Content != plainDocument || shown.Comment != "a proxy refused 2.0.0" {
				t.Errorf("live is %+v", shown.ConfigInfo)
			}
			if want := []api.ProxyAck{{ID: "p1", Applied: true}, {ID: "p2", Applied: true}}; !slices.Equal(shown.Proxies, want) {
				t.Errorf("acknowledged by %+v", shown.Proxies)
			}
		})
	}
}

// TestOnlyARefusalRollsBack: one that is away, or slow, takes it later.
func TestOnlyARefusalRollsBack(t *testing.T) {
	f := world(t, 1, plainDocument, tuning{})
	f.proxies[0].on(api.PushConfig, silent)
	f.proxies[1].stop()
	f.proxies[1].disconnected()
	answer := f.push(api.ConfigPushRequest{Content: plainDocument, WaitMS: 50})
	if answer.RolledBack != "" || f.live() != "2.0.0" || answer.Proxies[0].Applied || !strings.HasPrefix(answer.Proxies[0].Error, "no answer yet") || !strings.HasPrefix(answer.Proxies[1].Error, "not connected") {
		t.Errorf("answered %+v, %s is live", answer, f.live())
	}
	// A refusal of an earlier version is none of a later one.
	f.proxies[0].on(api.PushConfig, refusesVersion(f.proxies[0], "3.0.0"))
	f.push(api.ConfigPushRequest{Content: strings.Replace(plainDocument, "basic:\n", "basic:\n  push_when_fail: true\n", 1)})
	f.proxies[0].stop()
	f.proxies[0].disconnected()
	if answer := f.push(api.ConfigPushRequest{Content: plainDocument}); answer.RolledBack != "" || f.live() != "4.0.0" {
		t.Errorf("answered %+v, %s is live", answer, f.live())
	}
}

// TestRefusalAfterAnotherPush: the rollback of a refused version does not undo
// what was published meanwhile.
func TestRefusalAfterAnotherPush(t *testing.T) {
	f := world(t, 1, plainDocument, tuning{})
	p := f.proxies[0]
	entered, proceed := make(chan struct{}), make(chan struct{})
	p.on(api.PushConfig, func(ctx context.Context, g given) (any, error) {
		if bodyOf[api.PushConfigRequest](t, g).ConfigID != "2.0.0" {
			return p.usual(ctx, g)
		}
		close(entered)
		<-proceed
		return nil, api.Errorf(api.ConfigCheck, "no")
	})
	first := make(chan api.ConfigPushAnswer, 1)
	go func() {
		var answer api.ConfigPushAnswer
		if err := f.ask(api.ConfigPush, api.ConfigPushRequest{Content: plainDocument}, &answer); err != nil {
			t.Error(err)
		}
		first <- answer
	}()
	<-entered
	second := make(chan api.ConfigPushAnswer, 1)
	content := document(db0+", "+db1+", "+db2, "  slow_log_time: 3", "")
	go func() {
		var answer api.ConfigPushAnswer
		if err := f.ask(api.ConfigPush, api.ConfigPushRequest{Content: content}, &answer); err != nil {
			t.Error(err)
		}
		second <- answer
	}()
	eventually(t, "the second version is live", func() bool { return f.live() == "3.0.0" })
	close(proceed)
	if answer := <-first; answer.ConfigID != "2.0.0" || answer.RolledBack != "" {
		t.Errorf("the first push: %+v", answer)
	}
	if answer := <-second; answer.ConfigID != "3.0.0" || !answer.Proxies[0].Applied || f.live() != "3.0.0" {
		t.Errorf("the second push: %+v, live %s", answer, f.live())
	}
}

// TestReplacedVersionIsNotGiven: a delivery whose turn comes late does not take
// a proxy back.
func TestReplacedVersionIsNotGiven(t *testing.T) {
	f := world(t, 1, plainDocument, tuning{})
	p := f.proxies[0]
	entered, release := p.block(api.PushConfig)
	var pushes sync.WaitGroup
	for i := range 3 {
		pushes.Go(func() {
			if err := f.ask(api.ConfigPush, api.ConfigPushRequest{Content: plainDocument}, nil); err != nil {
				t.Error(err)
			}
		})
		eventually(t, "the version is live", func() bool { return f.live() == fmt.Sprintf("%d.0.0", i+2) })
	}
	<-entered
	release()
	pushes.Wait()
	last := ""
	for _, g := range f.tape.of(api.PushConfig) {
		if id := bodyOf[api.PushConfigRequest](t, g).ConfigID; g.to == p.id && id < last {
			t.Errorf("it got %s after %s", id, last)
		} else if g.to == p.id {
			last = id
		}
	}
	if last != "4.0.0" || f.state().Proxy("shop", p.id).ConfVersion != "4.0.0" {
		t.Errorf("it got %s last", last)
	}
}

// TestPusherGoesAway: the rollback of a refused version does not depend on who
// asked for the push; a retry tells of it.
func TestPusherGoesAway(t *testing.T) {
	f := world(t, 1, plainDocument, tuning{})
	p := f.proxies[0]
	entered, proceed := make(chan struct{}), make(chan struct{})
	p.on(api.PushConfig, func(ctx context.Context, g given) (any, error) {
		if bodyOf[api.PushConfigRequest](t, g).ConfigID != "2.0.0" {
			return p.usual(ctx, g)
		}
		close(entered)
		select {
		case <-proceed:
			return nil, api.Errorf(api.ConfigCheck, "no")
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	})
	body, err := json.Marshal(api.ConfigPushRequest{Content: plainDocument})
	if err != nil {
		t.Fatal(err)
	}
	meta := wire.Meta{{Key: api.MetaSession, Value: "s"}, {Key: api.MetaSeq, Value: "1"}}
	ctx, cancel := context.WithCancel(within(t))
	gone := make(chan error, 1)
	go func() {
		_, err := f.op.Call(ctx, api.ConfigPush, meta, body)
		gone <- err
	}()
	<-entered
	cancel()
	wantCode(t, "the one who goes", <-gone, api.OutcomeUnknown)
	close(proceed)
	eventually(t, "it is rolled back", func() bool { return f.live() == "3.0.0" })
	var answer api.ConfigPushAnswer
	if err := send(t, f.op, api.ConfigPush, meta, body, &answer); err != nil || answer.ConfigID != "2.0.0" || answer.RolledBack != "3.0.0" || f.live() != "3.0.0" {
		t.Errorf("the retry: %+v, %v", answer, err)
	}
}

// TestBackgroundPush: a proxy whose heartbeat shows an old version is given the
// live one, and is not asked again and again for what it refused.
func TestBackgroundPush(t *testing.T) {
	f := world(t, 1, plainDocument, tuning{})
	p := f.proxies[1]
	p.stop()
	p.disconnected()
	f.push(api.ConfigPushRequest{Content: plainDocument})
	f.tape.clear()
	again := f.proxyOf("p2", "p2-1") // the same process, connected again
	again.set(func(a *actor) { a.status, a.confVersion = api.StatusUp, "1.0.0" })
	if answer := again.beat(); answer.ConfVersion != "2.0.0" || answer.Status != api.StatusUp {
		t.Errorf("answered %+v", answer)
	}
	eventually(t, "it has the live version", func() bool { return f.state().Proxy("shop", "p2").ConfVersion == "2.0.0" })
	if got := f.tape.of(""); len(got) != 1 || got[0].name != api.PushConfig || got[0].to != "p2" {
		t.Errorf("ordered %v", got)
	}

	// It refuses the next one, while its heartbeats go on.
	again.on(api.PushConfig, refuses(api.ConfigCheck, "no"))
	f.push(api.ConfigPushRequest{Content: strings.Replace(plainDocument, "basic:\n", "basic:\n  push_when_fail: true\n", 1)})
	again.set(func(a *actor) { a.confError = "no" })
	k := f.leader().keeper.Load()
	k.pushes.mu.Lock()
	failed := k.pushes.failed["shop/p2"]
	failed.at = failed.at.Add(-time.Minute) // the pause between tries is over
	k.pushes.failed["shop/p2"] = failed
	k.pushes.mu.Unlock()
	f.tape.clear()
	for range 3 {
		again.beat()
	}
	if row := f.state().Proxy("shop", "p2"); row.ConfVersion != "2.0.0" || row.ConfError != "no" {
		t.Errorf("it is listed as %+v", row)
	}
	if got := f.tape.of(api.PushConfig); len(got) != 0 {
		t.Errorf("asked again: %v", got)
	}
	var view api.ClusterViewAnswer
	if f.must(api.ClusterView, struct{}{}, &view); !slices.ContainsFunc(view.Problems, func(s string) bool { return strings.Contains(s, "proxy p2 refused a configuration") }) {
		t.Errorf("problems %q", view.Problems)
	}
}

// TestPushesOfOneProxyInTurn: what is old does not come after what is new.
func TestPushesOfOneProxyInTurn(t *testing.T) {
	p := newPushes()
	if !p.begin("a", false) || p.begin("a", false) || !p.begin("b", true) {
		t.Error("one at a time for each proxy")
	}
	p.end("a", "2.0.0", context.DeadlineExceeded)
	if p.begin("a", true) || !p.wasRefused("a", "2.0.0") || p.wasRefused("a", "3.0.0") {
		t.Error("after a failure the background waits")
	}
	if !p.begin("a", false) {
		t.Error("after a failure an operator does not wait")
	}
	if p.end("a", "", nil); !p.begin("a", true) || p.wasRefused("a", "2.0.0") {
		t.Error("after a success nothing waits")
	}
	p.failed["c"] = failedPush{at: time.Now().Add(-2 * refusalKept)}
	if p.forget(); len(p.failed) != 0 {
		t.Error("old failures are kept")
	}
}

// What an order of an older term brought is not recorded in this one: another
// leader may have given the proxy something else since.
func TestAnswerToAnOlderTerm(t *testing.T) {
	f := world(t, 1, plainDocument, tuning{})
	f.proxies[0].on(api.PushConfig, refusesVersion(f.proxies[0], "1.0.0"))
	k := f.leader().keeper.Load()
	for _, test := range []struct {
		name     string
		term     uint64
		recorded bool
	}{{"older", k.term.Load() - 1, false}, {"this", k.term.Load(), true}} {
		row := f.state().Proxy("shop", "p1")
		if refusal, err := k.pushTo(within(t), test.term, row, "1.0.0", ""); refusal != "1.0.0" || err == nil {
			t.Fatalf("%s term: pushed: %q, %v", test.name, refusal, err)
		}
		if got := f.state().Proxy("shop", "p1").ConfError != ""; got != test.recorded {
			t.Errorf("%s term: recorded is %v", test.name, got)
		}
	}
}

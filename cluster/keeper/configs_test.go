package keeper

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/zerokeeper/zero/transport/api"
	"github.com/zerokeeper/zero/transport/conf"
	"github.com/zerokeeper/zero/transport/wire"
)

// push pushes a configuration that must be accepted.
func (f *fleet) push(req api.ConfigPushRequest) api.ConfigPushAnswer {
	f.t.Helper()
	var answer api.ConfigPushAnswer
	f.must(api.ConfigPush, req, &answer)
	return answer
}

// live is the version that is live.
func (f *fleet) live() string {
	f.t.Helper()
	var answer api.ConfigShowAnswer
	f.must(api.ConfigShow, api.ConfigShowRequest{}, &answer)
	return answer.ConfigID
}

func TestPushRefused(t *testing.T) {
	f := world(t, 1, plainDocument, tuning{})
	tests := []struct {
		name    string
		content string
		says    []string
	}{
		{"not YAML", "basic: [", []string{"line 1"}},
		{"an unknown key", plainDocument + "colour: red\n", []string{"line 15", "colour"}},
		{"two mistakes", document(db0+", "+db0, "  slow_log_time: never", ""), []string{"line 5", "line 14"}},
		{"sharding", plainDocument + "schema_configs: []\n", []string{"schema_configs"}},
		{"the writable is removed", document(db1+", "+db2, "", ""), []string{"host group orders", db0}},
		{"the group is renamed", strings.Replace(plainDocument, "name: orders", "name: other", 1) + "  - name: third\n    write: " + db0 + "\n", []string{db0}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			err := f.ask(api.ConfigPush, api.ConfigPushRequest{Content: test.content}, nil)
			wantCode(t, "the answer", err, api.ConfigCheck)
			for _, text := range test.says {
				if err == nil || !strings.Contains(err.Error(), text) {
					t.Errorf("the answer says %v, want %q in it", err, text)
				}
			}
		})
	}
	wantCode(t, "another version is live", f.ask(api.ConfigPush, api.ConfigPushRequest{Content: plainDocument, Expect: "0.9.0"}, nil), api.StaleGeneration)
	if live := f.live(); live != "1.0.0" || len(f.tape.of("")) != 0 {
		t.Errorf("%s is live, and %v was ordered", live, f.tape.of(""))
	}
	if answer := f.push(api.ConfigPushRequest{Content: plainDocument, Expect: "1.0.0"}); answer.ConfigID != "2.0.0" {
		t.Errorf("pushed as %s", answer.ConfigID)
	}
}

func TestPushIsAcknowledged(t *testing.T) {
	f := world(t, 1, plainDocument, tuning{})
	away := f.proxy("p3")
	away.stop()
	away.disconnected()
	f.tape.clear()
	content := document(db0+", "+db1+", "+db2, "  slow_log_time: 2", "")
	answer := f.push(api.ConfigPushRequest{Content: content, Comment: "slower", Edit: true})
	want := []api.ProxyAck{{ID: "p1", Applied: true}, {ID: "p2", Applied: true}, {ID: "p3", Error: "not connected: it takes the configuration when it comes back"}}
	if answer.ConfigID != "1.0.1" || answer.Cluster != "shop" || answer.RolledBack != "" || !slices.Equal(answer.Proxies, want) {
		t.Errorf("answered %+v", answer)
	}
	for _, g := range f.tape.of(api.PushConfig) {
		wantBody(t, g, api.PushConfigRequest{ConfigID: "1.0.1", Content: content})
	}
	if n := len(f.tape.of("")); n != 2 {
		t.Errorf("%d orders, want a push for each that is there", n)
	}
	var shown api.ConfigShowAnswer
	f.must(api.ConfigShow, api.ConfigShowRequest{Cluster: "shop"}, &shown)
	if !shown.Live || shown.ConfigID != "1.0.1" || shown.Content != content || shown.Author != "dba" || shown.Comment != "slower" || shown.Digest != conf.Digest([]byte(content)) || shown.Size != len(content) {
		t.Errorf("shown as %+v", shown.ConfigInfo)
	}
	if want[2].Error = ""; !slices.Equal(shown.Proxies, want) {
		t.Errorf("acknowledged by %+v", shown.Proxies)
	}
	var list api.ConfigListAnswer
	f.must(api.ConfigList, api.ConfigListRequest{}, &list)
	if len(list.Configs) != 2 || list.Configs[0].ConfigID != "1.0.1" || list.Configs[1].ConfigID != "1.0.0" || list.Configs[1].Live {
		t.Errorf("listed as %+v", list.Configs)
	}
	// A proxy fetches what is live, with its version.
	resp, err := f.proxies[0].client.Call(within(t), api.ConfigFetch, nil, nil)
	if err != nil || string(resp.Data) != content || resp.Meta.Get(api.MetaConfigID) != "1.0.1" {
		t.Errorf("fetched %+v, %v", resp, err)
	}
	wantCode(t, "an unknown version", f.ask(api.ConfigShow, api.ConfigShowRequest{ConfigID: "9.9.9"}, nil), api.KeyMissing)
}

// TestWritableStaysTheServer: the configuration does not move it.
func TestWritableStaysTheServer(t *testing.T) {
	f := world(t, 1, plainDocument, tuning{})
	answer := f.push(api.ConfigPushRequest{Content: plainDocument + "    active_write: 1\n"})
	if len(answer.Warnings) != 2 || !strings.Contains(answer.Warnings[1], "active_write is 1, but the primary is "+db0) {
		t.Errorf("warnings %q", answer.Warnings)
	}
	if g := f.group(); g.Writable != 0 || g.Stamp.Generation != 0 {
		t.Errorf("the group is %+v", g)
	}
	f.push(api.ConfigPushRequest{Content: document(db2+", "+db1+", "+db0, "", "")})
	if g := f.group(); g.Writable != 2 || g.Primary != db0 || g.Stamp.Generation != 1 {
		t.Errorf("with another order the group is %+v", g)
	}
	if grant := only(t, f.proxies[0].beat()); grant.Index != 2 || grant.Primary.Address != db0 || !grant.Open {
		t.Errorf("granted %+v", grant)
	}
	// While a switch is open the list is frozen.
	entered, release := f.agents[0].block(api.FenceDatasource)
	id := f.startSwitch(1)
	<-entered
	wantCode(t, "another list", f.ask(api.ConfigPush, api.ConfigPushRequest{Content: plainDocument}, nil), api.SwitchInProgress)
	release()
	f.ended(id)
	// Nor does a rollback move it, or take it away.
	var back api.ConfigPushAnswer
	f.must(api.ConfigRollback, api.ConfigRollbackRequest{ConfigID: "1.0.0"}, &back)
	if g := f.group(); g.Writable != 1 || g.Primary != db1 {
		t.Errorf("after the rollback the group is %+v", g)
	}
}

func TestRollback(t *testing.T) {
	f := world(t, 1, plainDocument, tuning{})
	second := document(db0+", "+db1+", "+db2, "  slow_log_time: 2", "")
	f.push(api.ConfigPushRequest{Content: second})
	f.tape.clear()
	kept := f.proxies[0] // it kept the version before; the other one did not
	kept.on(api.RollbackConfig, says(nil))
	var answer api.ConfigPushAnswer
	f.must(api.ConfigRollback, api.ConfigRollbackRequest{Comment: "too slow"}, &answer)
	if answer.ConfigID != "3.0.0" || len(answer.Proxies) != 2 || !answer.Proxies[0].Applied || !answer.Proxies[1].Applied {
		t.Errorf("answered %+v", answer)
	}
	var got []string
	for _, g := range f.tape.of("") {
		got = append(got, g.to+" "+g.name)
		if g.name == api.RollbackConfig {
			wantBody(t, g, api.RollbackConfigRequest{ConfigID: "1.0.0", NewConfigID: "3.0.0"})
		} else {
			wantBody(t, g, api.PushConfigRequest{ConfigID: "3.0.0", Content: plainDocument})
		}
	}
	if slices.Sort(got); !slices.Equal(got, []string{"p1 RollbackConfig", "p2 PushConfig", "p2 RollbackConfig"}) {
		t.Errorf("ordered %v", got)
	}
	var shown api.ConfigShowAnswer
	f.must(api.ConfigShow, api.ConfigShowRequest{}, &shown)
	if shown.Of != "1.0.0" || shown.Content != plainDocument || shown.Comment != "too slow" {
		t.Errorf("shown as %+v", shown.ConfigInfo)
	}
	f.must(api.ConfigRollback, api.ConfigRollbackRequest{Cluster: "shop", ConfigID: "2.0.0"}, &answer)
	f.must(api.ConfigShow, api.ConfigShowRequest{}, &shown)
	if answer.ConfigID != "4.0.0" || shown.Content != second || shown.Of != "2.0.0" {
		t.Errorf("to a version by name: %+v, %+v", answer, shown.ConfigInfo)
	}
	wantCode(t, "an unknown version", f.ask(api.ConfigRollback, api.ConfigRollbackRequest{ConfigID: "8.0.0"}, nil), api.KeyMissing)
	wantCode(t, "an unknown cluster", f.ask(api.ConfigRollback, api.ConfigRollbackRequest{Cluster: "x"}, nil), api.KeyMissing)
}

func TestClusters(t *testing.T) {
	f := newFleet(t, 1, tuning{})
	wantCode(t, "nothing was published", f.ask(api.ConfigShow, api.ConfigShowRequest{}, nil), api.KeyMissing)
	_, err := f.op.Call(within(t), api.ConfigFetch, nil, []byte(`{"clusterName":"shop"}`))
	wantCode(t, "nothing to fetch", err, api.KeyMissing)
	f.push(api.ConfigPushRequest{Content: plainDocument})
	wantCode(t, "nothing to return to", f.ask(api.ConfigRollback, api.ConfigRollbackRequest{}, nil), api.KeyMissing)
	other := strings.NewReplacer("shop", "market", "orders", "carts").Replace(document("10.1.0.1:3306", "", ""))
	f.push(api.ConfigPushRequest{Content: other})
	wantCode(t, "which of two clusters", f.ask(api.ConfigShow, api.ConfigShowRequest{}, nil), api.BadRequest)
	wantCode(t, "a server of another cluster", f.ask(api.ConfigPush, api.ConfigPushRequest{Content: strings.Replace(other, "10.1.0.1:3306", "10.1.0.1:3306, "+db0, 1)}, nil), api.ConfigCheck)
}

// TestPushOnceForEachSequence: a retry gets the same answer.
func TestPushOnceForEachSequence(t *testing.T) {
	f := world(t, 1, plainDocument, tuning{})
	again := func(seq int, content string) (api.ConfigPushAnswer, error) {
		var answer api.ConfigPushAnswer
		meta := wire.Meta{{Key: api.MetaSession, Value: "s1"}, {Key: api.MetaSeq, Value: fmt.Sprint(seq)}}
		err := send(t, f.op, api.ConfigPush, meta, api.ConfigPushRequest{Content: content}, &answer)
		return answer, err
	}
	warns := plainDocument + "    active_write: 2\n"
	one, err := again(1, warns)
	if err != nil || one.ConfigID != "2.0.0" || len(one.Warnings) != 2 {
		t.Fatalf("%+v, %v", one, err)
	}
	two, err := again(1, warns)
	if err != nil || fmt.Sprint(two) != fmt.Sprint(one) || f.live() != "2.0.0" {
		t.Errorf("the retry: %+v, %v, live %s", two, err, f.live())
	}
	// A retry that comes late changes nothing.
	if three, err := again(2, plainDocument); err != nil || three.ConfigID != "3.0.0" {
		t.Fatalf("%+v, %v", three, err)
	}
	f.tape.clear()
	late, err := again(1, warns)
	if err != nil || late.ConfigID != "2.0.0" || f.live() != "3.0.0" || len(f.tape.of("")) != 0 {
		t.Errorf("the late retry: %+v, %v, live %s, ordered %v", late, err, f.live(), f.tape.of(""))
	}
	// So with a rollback.
	meta := wire.Meta{{Key: api.MetaSession, Value: "s1"}, {Key: api.MetaSeq, Value: "3"}}
	for range 2 {
		var answer api.ConfigPushAnswer
		if err := send(t, f.op, api.ConfigRollback, meta, api.ConfigRollbackRequest{}, &answer); err != nil || answer.ConfigID != "4.0.0" || f.live() != "4.0.0" {
			t.Errorf("the rollback: %+v, %v", answer, err)
		}
	}
}

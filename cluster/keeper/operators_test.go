package keeper

import (
	"bytes"
	"encoding/hex"
	"slices"
	"strings"
	"testing"

	"github.com/zerokeeper/zero/fsm"
	"github.com/zerokeeper/zero/transport/api"
	"github.com/zerokeeper/zero/transport/wire"
)

func TestClusterView(t *testing.T) {
	f := world(t, 1, plainDocument, tuning{waits: brief})
	f.settled()
	var view api.ClusterViewAnswer
	f.must(api.ClusterView, struct{}{}, &view)
	if view.ClusterID == "" || len(view.Members) != 1 || view.Leader.Name != "k1" || len(view.Proxies) != 2 || len(view.Agents) != 3 || len(view.Groups) != 1 || len(view.Problems) != 0 {
		t.Errorf("a healthy cluster: %+v", view)
	}
	f.agents[1].set(func(a *actor) { a.readOnly = false })
	f.agents[0].set(func(a *actor) { a.readOnly = true })
	f.agents[0].beat()
	f.agents[1].beat()
	f.must(api.ConfigPush, api.ConfigPushRequest{Content: document(db0+", "+db1+", 10.0.0.7:3306", "", "")}, nil)
	f.proxies[1].stop()
	f.proxies[1].disconnected()
	entered, release := f.agents[0].block(api.StateFetch)
	defer release()
	f.startSwitch(1)
	<-entered
	f.must(api.ClusterView, struct{}{}, &view)
	for _, want := range []string{"proxy p2 is not connected", "switch orders-2 of host group orders is open", "10.0.0.7:3306 of host group orders: agent none"} {
		if !slices.ContainsFunc(view.Problems, func(s string) bool { return strings.Contains(s, want) }) {
			t.Errorf("problems %q, want %q", view.Problems, want)
		}
	}
	f.must(api.SwitchAbort, api.SwitchRef{ID: "orders-2", Reason: "r"}, nil)
	f.ended("orders-2")
	f.must(api.ClusterView, struct{}{}, &view)
	for _, want := range []string{db0 + " is the writable one of host group orders, but read-only", db1 + " of host group orders is not the writable one"} {
		if !slices.ContainsFunc(view.Problems, func(s string) bool { return strings.Contains(s, want) }) {
			t.Errorf("problems %q, want %q", view.Problems, want)
		}
	}
	wantCode(t, "an unknown group", f.ask(api.GroupList, api.GroupListRequest{Name: "x"}, nil), api.KeyMissing)
}

func TestSnapshotAndStatus(t *testing.T) {
	f := world(t, 1, plainDocument, tuning{})
	var saved api.SnapshotSaveAnswer
	f.must(api.SnapshotSave, struct{}{}, &saved)
	restored := fsm.New()
	if err := restored.Restore(bytes.NewReader(saved.Snapshot)); err != nil {
		t.Fatal(err)
	}
	hash := restored.State().Hash()
	if saved.Hash != hex.EncodeToString(hash[:]) || saved.Index != restored.State().Index() || saved.Term != restored.State().Term() || restored.State().Group("orders") == nil {
		t.Errorf("saved index %d term %d hash %s", saved.Index, saved.Term, saved.Hash)
	}
	var status api.NodeStatusAnswer
	f.must(api.NodeStatus, struct{}{}, &status)
	if status.Name != "k1" || status.State != "leader" || status.Version != "test" || status.Hash == "" || !status.Ready {
		t.Errorf("status %+v", status)
	}
	var members api.MemberListAnswer
	f.must(api.MemberList, struct{}{}, &members)
	if len(members.Members) != 1 || !members.Members[0].Leader {
		t.Errorf("members %+v", members)
	}
	wantCode(t, "nobody else to lead", f.ask(api.LeaderTransfer, api.LeaderTransferRequest{}, nil), api.BadRequest)
}

// TestFollowers answer what they may, and name the leader for the rest.
func TestFollowers(t *testing.T) {
	f := world(t, 3, plainDocument, tuning{})
	leader := f.leader()
	var follower *member
	for _, m := range f.members {
		if m != leader {
			follower = m
		}
	}
	eventually(t, "the follower has applied everything", func() bool { return follower.node.State().Index() == leader.node.State().Index() })
	for name, d := range doors {
		if d.roles != nil && !slices.Contains(d.roles, api.RoleOperator) || name == api.NodeStatus || name == api.ConfigPush {
			continue
		}
		wantNotLeader(t, f, follower, name, d.body)
	}
	wantNotLeader(t, f, follower, api.ConfigPush, `{"content":""}`)
	for _, name := range []string{api.ClusterView, api.ProxyList, api.GroupList, api.SwitchList, api.ConfigList} {
		resp, err := f.op.CallAt(within(t), follower.address, name, wire.Meta{{Key: api.MetaConsistency, Value: "stale"}}, nil)
		if err != nil || resp.Meta.Get(api.MetaServedBy) != follower.name {
			t.Errorf("%s of a stale view: %+v, %v", name, resp, err)
		}
		if err == nil && strings.Contains(string(resp.Data), "is not connected to the leader") {
			t.Errorf("%s: a follower does not know who is connected: %s", name, resp.Data)
		}
	}
}

// wantNotLeader asks a follower, again while none leads.
func wantNotLeader(t *testing.T, f *fleet, follower *member, name, body string) {
	t.Helper()
	var code api.Code
	eventually(t, name+" is answered", func() bool {
		_, err := f.op.CallAt(within(t), follower.address, name, nil, []byte(body))
		code, _ = api.CodeOf(err)
		return code != api.NoLeader
	})
	if code != api.NotLeader {
		t.Errorf("%s at a follower: code %d", name, code)
	}
}

func TestConfigValidate(t *testing.T) {
	node := newFleet(t, 1, tuning{}).members[0]
	good := Config{Store: node.node, Group: node.node, Leadership: node.node, Peer: node.peers}
	tests := []struct {
		name   string
		change func(c *Config)
		ok     bool
	}{
		{"defaults", func(*Config) {}, true},
		{"no store", func(c *Config) { c.Store = nil }, false},
		{"no peer", func(c *Config) { c.Peer = nil }, false},
		{"a negative time", func(c *Config) { c.CallTimeout = -1 }, false},
		{"lost too soon", func(c *Config) { c.HeartbeatInterval, c.LostAfter = 2e9, 5e9 }, false},
		{"removed before lost", func(c *Config) { c.RemoveAfter = 14e9 }, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			c := good
			test.change(&c)
			if _, err := New(c); (err == nil) != test.ok {
				t.Errorf("New: %v", err)
			}
		})
	}
}

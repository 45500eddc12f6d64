package keeper

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/zerokeeper/zero/transport"
	"github.com/zerokeeper/zero/transport/api"
)

// door is who may send a request, and a body that is well formed; every member
// of it is needed, but for those in optional.
type door struct {
	roles    []string // nil: all
	body     string
	optional []string
}

var (
	operator = []string{api.RoleOperator}
	keepers  = []string{api.RoleKeeper}
	proxies  = []string{api.RoleProxy}
	storers  = []string{api.RoleOperator, api.RoleKeeper, api.RoleAgent, api.RoleClient}
)

// doors are all requests that keepers answer, but for SectionForward, whose
// body is op 0's.
var doors = map[string]door{
	api.ConfigFetch:              {roles: []string{api.RoleProxy, api.RoleOperator}, body: `{"clusterName":"x"}`, optional: []string{"clusterName"}},
	api.ProxyRegister:            {roles: proxies, body: `{"clusterName":"other","address":"a","version":"v"}`, optional: []string{"clusterName", "address", "version"}},
	api.ProxyUnregister:          {roles: proxies, body: `{"reason":"r","force":false}`, optional: []string{"force"}},
	api.ClusterDatasourcesSwitch: {roles: []string{api.RoleProxy, api.RoleOperator}, body: `{"hostGroup":"g","fromIndex":0,"toIndex":1,"reason":"r"}`},
	api.ProxyHeartbeat: {roles: proxies, body: `{"status":"lost","clusterName":"c","address":"a","systemInfo":{},"confVersion":"1.0.0","seq":1,"stamps":{}}`,
		optional: []string{"clusterName", "address", "systemInfo", "confVersion", "seq", "stamps"}},
	api.AgentHeartbeat: {roles: []string{api.RoleAgent}, body: `{"address":"elsewhere:1","mysql":{},"systemInfo":{},"seq":1,"readOnly":true}`,
		optional: []string{"mysql", "systemInfo", "seq", "readOnly"}},
	api.GroupThaw:        {roles: operator, body: `{"hostGroup":"g","primary":"a:1","reason":"r","apply":true}`, optional: []string{"reason", "apply"}},
	api.ClusterView:      {roles: operator, body: `{}`},
	api.MemberList:       {roles: operator, body: `{}`},
	api.MemberRemove:     {roles: operator, body: `{"member":"k9"}`},
	api.LeaderTransfer:   {roles: operator, body: `{"to":"k9"}`, optional: []string{"to"}},
	api.ConfigPush:       {roles: operator, body: `{"content":"x","comment":"c","edit":true,"expect":"e","waitMs":1}`, optional: []string{"comment", "edit", "expect", "waitMs"}},
	api.ConfigList:       {roles: operator, body: `{"cluster":"c","limit":1,"cursor":""}`, optional: []string{"cluster", "limit", "cursor"}},
	api.ConfigShow:       {roles: operator, body: `{"cluster":"c","configId":"1.0.0"}`, optional: []string{"cluster", "configId"}},
	api.ConfigRollback:   {roles: operator, body: `{"cluster":"c","configId":"1.0.0"}`, optional: []string{"cluster", "configId"}},
	api.GroupMaintenance: {roles: operator, body: `{"hostGroup":"g","on":true,"reason":"r","forMs":1}`, optional: []string{"reason", "forMs"}},
	api.BrakeSet:         {roles: operator, body: `{"on":false,"reason":"r"}`, optional: []string{"reason"}},
	api.SwitchAck:        {roles: operator, body: `{"id":"orders-99","reason":"r"}`, optional: []string{"reason"}},
	api.SwitchDryRun:     {roles: operator, body: `{"hostGroup":"g","toIndex":1,"reason":"r"}`},

	api.GroupList:       {roles: operator, body: `{"name":"g","limit":1}`, optional: []string{"name", "limit"}},
	api.ProxyList:       {roles: operator, body: `{"limit":1}`, optional: []string{"limit"}},
	api.ProxyActivate:   {roles: operator, body: `{"id":"p","reason":"r"}`, optional: []string{"reason"}},
	api.ProxyDrop:       {roles: operator, body: `{"id":"p","reason":"r","force":true}`, optional: []string{"reason", "force"}},
	api.AgentList:       {roles: operator, body: `{"limit":1}`, optional: []string{"limit"}},
	api.AgentLoad:       {roles: operator, body: `{"address":"a"}`},
	api.AgentBinlog:     {roles: operator, body: `{"address":"a","role":"master"}`, optional: []string{"role"}},
	api.AgentStateFetch: {roles: operator, body: `{"address":"a"}`},
	api.SectionGet:      {roles: storers, body: `{"id":"YQ==","section":"Yg=="}`},
	api.SectionPut:      {roles: storers, body: `{"id":"YQ==","section":"Yg==","data":"Yw==","version":0}`, optional: []string{"data", "version"}},
	api.SwitchStart:     {roles: operator, body: `{"hostGroup":"g","fromIndex":0,"toIndex":1,"reason":"r"}`, optional: []string{"fromIndex"}},
	api.SwitchList:      {roles: operator, body: `{"hostGroup":"g","limit":1}`, optional: []string{"hostGroup", "limit"}},
	api.SwitchShow:      {roles: operator, body: `{"id":"s"}`},
	api.SwitchAbort:     {roles: operator, body: `{"id":"s","reason":"r"}`},
	api.ReplicaDrop:     {roles: operator, body: `{"hostGroup":"g","address":"a:1","reason":"r"}`},
	api.SnapshotSave:    {roles: operator, body: `{}`},
	api.NodeStatus:      {body: `{}`},
	api.KeeperDiscover:  {roles: keepers, body: `{"memberId":"m","name":"n","expect":3}`, optional: []string{"name", "expect"}},
	api.KeeperJoin:      {roles: keepers, body: `{"memberId":"m","address":"a","name":"n"}`, optional: []string{"name"}},
}

// callers are a client of each role.
func callers(f *fleet) map[string]*transport.Client {
	clients := map[string]*transport.Client{}
	for role, hello := range map[string]api.HelloRequest{
		api.RoleKeeper: {}, api.RoleOperator: {}, api.RoleClient: {},
		api.RoleProxy: {Cluster: "shop", Address: "x:1", Incarnation: "i"}, api.RoleAgent: {Address: "x:1", Incarnation: "i"},
	} {
		hello.Role, hello.ID = role, "some "+role
		clients[role] = f.client(hello, nil)
	}
	return clients
}

func TestRoles(t *testing.T) {
	f := newFleet(t, 1, tuning{})
	f.settled()
	before := f.state().Index()
	for role, client := range callers(f) {
		for name, d := range doors {
			if d.roles == nil || slices.Contains(d.roles, role) {
				continue
			}
			_, err := client.Call(within(t), name, nil, []byte(d.body))
			wantCode(t, name+" of a "+role, err, api.Forbidden)
		}
	}
	if after := f.state().Index(); after != before {
		t.Errorf("something was written: index %d, then %d", before, after)
	}
}

func TestBadBodies(t *testing.T) {
	f := newFleet(t, 1, tuning{})
	clients := callers(f)
	f.settled()
	before := f.state().Index()
	for name, d := range doors {
		role := api.RoleClient
		if d.roles != nil {
			role = d.roles[0]
		}
		for _, body := range badBodies(t, d) {
			_, err := clients[role].Call(within(t), name, nil, []byte(body))
			wantCode(t, name+" with "+body, err, api.BadRequest)
		}
	}
	if after := f.state().Index(); after != before {
		t.Errorf("something was written: index %d, then %d", before, after)
	}
}

// badBodies are the ways to spoil a body: not JSON, not an object, each needed
// member left out or null, each member of a type that it never has.
func badBodies(t *testing.T, d door) []string {
	bad := []string{`{`, `[]`, `"text"`, `7`, "\x00", `{"a":1}}`}
	var members map[string]json.RawMessage
	if err := json.Unmarshal([]byte(d.body), &members); err != nil {
		t.Fatal(err)
	}
	spoil := func(member, value string) {
		spoiled := maps.Clone(members)
		if delete(spoiled, member); value != "" {
			spoiled[member] = json.RawMessage(value)
		}
		body, err := json.Marshal(spoiled)
		if err != nil {
			t.Fatal(err)
		}
		bad = append(bad, string(body))
	}
	for member := range members {
		if spoil(member, `[true]`); slices.Contains(d.optional, member) {
			continue
		}
		spoil(member, "")
		spoil(member, "null")
	}
	return bad
}

// TestEmptyBody: a request without needed members may come with no body.
func TestEmptyBody(t *testing.T) {
	f := newFleet(t, 1, tuning{})
	for _, name := range []string{api.ClusterView, api.MemberList, api.NodeStatus, api.ProxyList, api.ConfigList} {
		if _, err := f.op.Call(within(t), name, nil, nil); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	_, err := f.op.Call(within(t), "Restart", nil, nil)
	wantCode(t, "an unknown request", err, api.UnknownRequest)
	_, err = f.op.Call(within(t), api.ProxyList, nil, []byte(`{"limit":-1}`))
	wantCode(t, "a limit below zero", err, api.BadRequest)
	_, err = f.op.Call(within(t), api.ProxyList, nil, []byte(`{"cursor":"gone"}`))
	wantCode(t, "a cursor that is gone", err, api.KeyMissing)
}

func TestHello(t *testing.T) {
	f := newFleet(t, 1, tuning{})
	long := strings.Repeat("x", maxHello+1)
	for i, hello := range []api.HelloRequest{
		{}, {Role: "king", ID: "x"}, {Role: api.RoleOperator}, {Role: api.RoleClient, ID: long},
		{Role: api.RoleProxy, ID: "p", Address: "a", Incarnation: "i"}, {Role: api.RoleProxy, ID: "p", Cluster: "c", Incarnation: "i"},
		{Role: api.RoleProxy, ID: "p", Cluster: "c", Address: "a"}, {Role: api.RoleProxy, ID: "p", Cluster: "a/b", Address: "a", Incarnation: "i"}, {Role: api.RoleAgent, ID: "a", Address: "x:1"},
		{Role: api.RoleAgent, ID: "a", Incarnation: "i"}, {Role: api.RoleAgent, ID: "a", Incarnation: "i", Address: long},
	} {
		_, err := f.client(hello, nil).Call(within(t), api.NodeStatus, nil, nil)
		wantCode(t, fmt.Sprintf("hello %d", i), err, api.BadRequest)
	}
	f.must(api.NodeStatus, struct{}{}, nil)
	if leader := f.op.Leader(); leader.Address != f.members[0].address || leader.ID != f.members[0].node.ID() {
		t.Errorf("the answer to Hello names %+v", leader)
	}
}

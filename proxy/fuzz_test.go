package proxy

import (
	"encoding/json"
	"testing"

	"github.com/zerokeeper/zero/transport/api"
	"github.com/zerokeeper/zero/transport/wire"
)

// FuzzOrders gives a proxy whatever a keeper could send. It must not panic, must
// answer every refusal with a code that says something, and must still work
// afterwards.
func FuzzOrders(f *testing.F) {
	for _, seed := range []struct {
		name  string
		body  any
		stamp api.Stamp
	}{
		{api.PushConfig, api.PushConfigRequest{ConfigID: "2.0.0", Content: docAB}, api.Stamp{}},
		{api.RollbackConfig, api.RollbackConfigRequest{ConfigID: "1.0.0", NewConfigID: "3.0.0"}, api.Stamp{}},
		{api.UnregisterProxy, api.UnregisterProxyRequest{Reason: "r"}, api.Stamp{}},
		{api.ActivateProxy, api.ActivateProxyRequest{}, api.Stamp{}},
		{api.ProxyVoteFetch, api.ProxyVoteFetchRequest{HostGroup: "orders", ToIndex: 1}, api.Stamp{}},
		{api.StopWritingProxyDatasource, api.StopWritingProxyDatasourceRequest{HostGroup: "orders", Primary: api.Datasource{Address: addrA}}, stamp(2, api.StepStopping)},
		{api.SwitchProxyDatasource, api.SwitchProxyDatasourceRequest{HostGroup: "orders", ToIndex: 1, Primary: api.Datasource{Address: addrB}}, stamp(2, api.StepPromoting)},
		{api.RollbackProxyDatasource, api.RollbackProxyDatasourceRequest{HostGroup: "orders"}, stamp(2, api.StepRollingBack)},
		{api.RecoverWritingProxyDatasource, api.RecoverWritingProxyDatasourceRequest{HostGroup: "orders", Index: 1}, stamp(2, api.StepIdle)},
	} {
		body, err := json.Marshal(seed.body)
		ok(f, err)
		f.Add(seed.name, seed.stamp.String(), body)
	}
	f.Add(api.StopWritingProxyDatasource, "0.1.9", []byte(`{"hostGroup":"orders","index":-1,"primary":null}`))
	f.Add(api.SwitchProxyDatasource, "", []byte(`[]`))
	f.Add("Nope", "1.1.1", []byte(`null`))
	cfg := config(f.TempDir())
	p, err := Open(cfg)
	ok(f, err)
	f.Cleanup(func() { ok(f, p.Close()) })
	keeper := asRole(f, api.RoleKeeper)
	push, err := json.Marshal(api.PushConfigRequest{ConfigID: "1.0.0", Content: docAB})
	ok(f, err)
	f.Fuzz(func(t *testing.T, name, stamp string, body []byte) {
		_, err := p.Handler()(keeper, &wire.Request{Name: name, Meta: wire.Meta{{Key: api.MetaStamp, Value: stamp}}, Body: body})
		if code, msg := api.CodeOf(err); code == api.Common {
			t.Errorf("%s was refused without a code: %s", name, msg)
		}
		if _, err := p.Handler()(keeper, &wire.Request{Name: api.PushConfig, Body: push}); err != nil {
			t.Errorf("after it: %v", err)
		}
	})
}

package proxy

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/zerokeeper/zero/transport"
	"github.com/zerokeeper/zero/transport/api"
	"github.com/zerokeeper/zero/transport/lease"
	"github.com/zerokeeper/zero/transport/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// Addresses of datasources that nobody serves.
const (
	addrA = "127.0.0.1:1"
	addrB = "127.0.0.1:2"
	addrC = "127.0.0.1:3"
)

// document is a configuration of cluster shop: each group is "name address …".
func document(more string, groups ...string) string {
	var b strings.Builder
	b.WriteString("basic:\n  config_name: shop\n  user: probe\n  password: probe-password\nhost_groups:\n")
	for _, g := range groups {
		name, write, _ := strings.Cut(g, " ")
		fmt.Fprintf(&b, "  - name: %s\n    write: \"%s\"\n", name, strings.ReplaceAll(write, " ", ","))
	}
	b.WriteString("switch:\n  auto_failover: true\n  drain_timeout: 50ms\n  backend_ping_interval: 50ms\n  backend_ping_count: 2\n" + more)
	return b.String()
}

var docAB = document("", "orders "+addrA+" "+addrB)

// rig is a proxy whose keeper is the test.
type rig struct {
	*Proxy
	t    *testing.T
	dir  string
	call context.Context // of a keeper's connection
}

func config(dir string) Config {
	return Config{ID: "p1", Cluster: "shop", Address: "127.0.0.1:3306", DataDir: dir, Dev: true, Version: "test"}
}

func newRig(t *testing.T, change ...func(*Config)) *rig {
	t.Helper()
	return reopen(t, t.TempDir(), change...)
}

// reopen is a proxy on a directory that may have seen one before.
func reopen(t *testing.T, dir string, change ...func(*Config)) *rig {
	t.Helper()
	cfg := config(dir)
	for _, f := range change {
		f(&cfg)
	}
	p, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Close() }) // restart has closed it already
	return &rig{Proxy: p, t: t, dir: dir, call: asRole(t, api.RoleKeeper)}
}

// restart is the next process on the same directory.
func (r *rig) restart() *rig {
	r.t.Helper()
	if err := r.Close(); err != nil {
		r.t.Fatal(err)
	}
	return reopen(r.t, r.dir)
}

// asRole is the context of a request that came over a connection of that role.
func asRole(t testing.TB, role string) context.Context {
	t.Helper()
	got := make(chan context.Context, 1)
	a, b := net.Pipe()
	server, err := wire.NewInvoker(a, wire.Principal{Role: role}, wire.Config{Handler: func(ctx context.Context, _ *wire.Request) (*wire.Response, error) {
		got <- context.WithoutCancel(ctx)
		return nil, nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	client, err := wire.NewInvoker(b, wire.Principal{}, wire.Config{})
	if err != nil {
		t.Fatal(err)
	}
	var serving sync.WaitGroup
	serving.Go(func() { _ = server.Serve(context.Background()) }) // ends with the test
	serving.Go(func() { _ = client.Serve(context.Background()) })
	t.Cleanup(func() { server.Stop(nil); client.Stop(nil); serving.Wait() })
	if _, err := client.Call(t.Context(), "Hi", nil, nil); err != nil {
		t.Fatal(err)
	}
	return <-got
}

func stamp(generation uint64, step uint8) api.Stamp {
	return api.Stamp{Generation: generation, Step: step}
}

// give is one order, as a keeper gives it.
func (r *rig) give(s api.Stamp, name string, body any) error {
	r.t.Helper()
	return r.giveWithin(r.call, s, name, body)
}

func (r *rig) giveWithin(ctx context.Context, s api.Stamp, name string, body any) error {
	r.t.Helper()
	data, err := json.Marshal(body)
	if err != nil {
		r.t.Fatal(err)
	}
	meta := wire.Meta{{Key: api.MetaStamp, Value: s.String()}, {Key: api.MetaSwitchID, Value: "orders-1"}}
	_, err = r.Handler()(ctx, &wire.Request{Name: name, Meta: meta, Body: data})
	return err
}

func (r *rig) stopWriting(generation uint64, index int, address string) error {
	return r.give(stamp(generation, api.StepStopping), api.StopWritingProxyDatasource,
		api.StopWritingProxyDatasourceRequest{HostGroup: "orders", Index: index, Primary: api.Datasource{Address: address}})
}

func (r *rig) switchTo(generation uint64, index int, address string) error {
	return r.give(stamp(generation, api.StepPromoting), api.SwitchProxyDatasource,
		api.SwitchProxyDatasourceRequest{HostGroup: "orders", ToIndex: index, Primary: api.Datasource{Address: address}})
}

func (r *rig) recover(generation uint64, index int, address string) error {
	return r.give(stamp(generation, api.StepIdle), api.RecoverWritingProxyDatasource,
		api.RecoverWritingProxyDatasourceRequest{HostGroup: "orders", Index: index, Primary: api.Datasource{Address: address}})
}

func (r *rig) rollback(generation uint64) error {
	return r.give(stamp(generation, api.StepRollingBack), api.RollbackProxyDatasource, api.RollbackProxyDatasourceRequest{HostGroup: "orders"})
}

func (r *rig) push(id, content string) error {
	return r.give(api.Stamp{}, api.PushConfig, api.PushConfigRequest{ConfigID: id, Content: content})
}

// grant makes one.
func grant(s api.Stamp, committed uint64, index int, address string, open bool) api.Grant {
	return api.Grant{HostGroup: "orders", Stamp: s, Committed: committed, Index: index, Primary: api.Datasource{Address: address}, Open: open}
}

// hear is what happens when a heartbeat is answered: the proxy is on the list,
// and this holds.
func (r *rig) hear(grants ...api.Grant) error {
	r.t.Helper()
	return r.obey(r.t.Context(), nil, r.stand().life, lease.Now(), api.HeartbeatAnswer{Status: api.StatusUp, Grants: grants, LeaseMS: 30_000})
}

// up is a proxy with a configuration that writes to datasource A.
func up(t *testing.T) *rig {
	t.Helper()
	r := newRig(t)
	ok(t, r.push("1.0.0", docAB))
	ok(t, r.hear(grant(stamp(1, api.StepIdle), 0, 0, addrA, true)))
	r.is(addrA, true)
	return r
}

// is checks what the group points at and whether it is open.
func (r *rig) is(address string, open bool) {
	r.t.Helper()
	g, found := r.LookupGroup("orders")
	if !found {
		r.t.Fatal("no host group")
	}
	p, isOpen, known := g.Gate.Current()
	if p.Address != address || isOpen != open || !known {
		r.t.Errorf("the group points at %q, open %v, known %v; want %q, open %v", p.Address, isOpen, known, address, open)
	}
}

func (r *rig) state() groupState {
	r.t.Helper()
	g, err := r.group("orders")
	if err != nil {
		r.t.Fatal(err)
	}
	return g.snapshot()
}

// broken makes the files of host groups impossible to write, until mended.
func (r *rig) broken() (mend func()) {
	r.t.Helper()
	groups := filepath.Join(r.dir, "groups")
	for _, err := range []error{os.Rename(groups, groups+".away"), os.WriteFile(groups, nil, 0o600)} {
		if err != nil {
			r.t.Fatal(err)
		}
	}
	return func() {
		for _, err := range []error{os.Remove(groups), os.Rename(groups+".away", groups)} {
			if err != nil {
				r.t.Fatal(err)
			}
		}
	}
}

func ok(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// refused checks the code of a refusal.
func refused(t testing.TB, err error, code api.Code) {
	t.Helper()
	if got, msg := api.CodeOf(err); got != code {
		t.Errorf("code %d (%s), want %d (%s)", got, msg, code, code)
	}
}

// eventually waits for a condition, at most some seconds.
func eventually(t testing.TB, what string, done func() bool) {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for pause := time.Millisecond; !done(); pause = min(2*pause, 20*time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not in time: %s", what)
		}
		<-time.After(pause)
	}
}

var _ Link = (*transport.Client)(nil)

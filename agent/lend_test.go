package agent

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/zerokeeper/zero/agent/mysql"
	"github.com/zerokeeper/zero/transport/api"
	"github.com/zerokeeper/zero/transport/lease"
	"github.com/zerokeeper/zero/transport/wire"
)

// TestLends (R18e).
func TestLends(t *testing.T) {
	now := stamp(1, api.StepIdle)
	for _, test := range []struct {
		name   string
		before func(t *testing.T, r *rig)
		stamp  api.Stamp
		group  string
		code   api.Code
	}{
		{"from a failsafe lease", nil, now, "orders", api.OK},
		{"to one that saw less", nil, stamp(0, api.StepIdle), "orders", api.OK},
		{"to one that saw more", nil, stamp(2, api.StepRequested), "orders", api.StaleGeneration},
		{"another group", nil, now, "others", api.NoSuchGroup},
		{"from a keeper's lease", func(_ *testing.T, r *rig) { r.failsafe.until = 0 }, now, "orders", api.NoFailsafe},
		{"nothing but what the fence needs is left", func(_ *testing.T, r *rig) { r.failsafe.until = lease.Now().Add(lease.For(lease.Longest).Fence) }, now, "orders", api.NoFailsafe},
		{"a keeper has answered", func(_ *testing.T, r *rig) { r.failsafe.answered(lease.Now(), api.HeartbeatAnswer{}) }, now, "orders", api.NoFailsafe},
		{"a switch was heard of", func(_ *testing.T, r *rig) { r.failsafe.learn("orders", stamp(2, api.StepStopping)) }, now, "orders", api.NoFailsafe},
		{"fenced", func(t *testing.T, r *rig) { _, err := r.fence(2); ok(t, err) }, now, "orders", api.NoFailsafe},
		{"read-only", func(_ *testing.T, r *rig) { r.acted(func(s *mysql.State) { s.ReadOnly = true }) }, now, "orders", api.NoFailsafe},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := newLeased(t, writable())
			r.Reach(view{})
			ok(t, r.hear(groupGrant(now, own, true, members...)))
			m := r.remembered()
			m.LeaseMS = lease.Longest.Milliseconds()
			ok(t, r.remember(m))
			r.failsafe.heard, r.failsafe.until = 1, lease.Now().Add(lease.Longest/2)
			if test.before != nil {
				test.before(t, r)
			}
			body, err := json.Marshal(api.BorrowLeaseRequest{HostGroup: test.group, Stamp: test.stamp})
			ok(t, err)
			resp, err := r.PeerHandler()(asPeer(t, api.RoleProxy, ""), &wire.Request{Name: api.BorrowLease, Body: body})
			refused(t, err, test.code)
			if err != nil {
				return
			}
			var answer api.BorrowLeaseAnswer
			ok(t, json.Unmarshal(resp.Data, &answer))
			most := lease.For(lease.Longest).Lent(lease.Longest / 2).Milliseconds()
			if answer.LeaseMS <= 0 || answer.LeaseMS > most || answer.Grant.Stamp != now || !answer.Grant.Open || answer.Grant.Primary.Address != own {
				t.Errorf("%+v, at most %d ms", answer, most)
			}
			if r.failsafe.quiet() == 0 {
				t.Error("what was lent is forgotten")
			}
		})
	}
	r := newLeased(t, writable())
	for name, from := range map[string]context.Context{"an agent": asPeer(t, api.RoleAgent, primary), "a proxy, not proven": asRole(t, api.RoleProxy)} {
		if _, err := r.PeerHandler()(from, &wire.Request{Name: api.BorrowLease, Body: []byte(`{"hostGroup":"orders","stamp":{}}`)}); !errors.Is(err, api.ErrForbidden) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestPeerHello: each role proves itself by its own token.
func TestPeerHello(t *testing.T) {
	r := newRig(t, writable())
	secret := func(s string, err error) func() (string, error) { return func() (string, error) { return s, err } }
	hello := r.PeerHello(secret("agents", nil), secret("proxies", nil))
	for _, test := range []struct {
		name, role, token, address string
		code                       api.Code
	}{
		{"an agent", api.RoleAgent, "agents", other, api.OK},
		{"a proxy", api.RoleProxy, "proxies", "", api.OK},
		{"a proxy with the agents' token", api.RoleProxy, "agents", "", api.Unauthenticated},
		{"an agent with the proxies' token", api.RoleAgent, "proxies", other, api.Unauthenticated},
		{"no token", api.RoleAgent, "", other, api.Unauthenticated},
		{"a beginning", api.RoleAgent, "agent", other, api.Unauthenticated},
		{"an endless one", api.RoleAgent, strings.Repeat("x", maxToken+1), other, api.Unauthenticated},
		{"a keeper", api.RoleKeeper, "agents", "", api.Forbidden},
		{"an operator", api.RoleOperator, "agents", "", api.Forbidden},
		{"an agent of no server", api.RoleAgent, "agents", "", api.BadRequest},
	} {
		p, _, err := hello(t.Context(), wire.Principal{Role: test.role, Hello: api.HelloRequest{ID: "x", Address: test.address}}, &wire.Request{Meta: wire.Meta{{Key: api.MetaToken, Value: test.token}}})
		if refused(t, err, test.code); (p.Auth == "token") != (test.code == api.OK) {
			t.Errorf("%s: proven by %q", test.name, p.Auth)
		}
	}
	for name, want := range map[string]func() (string, error){"empty": secret("", nil), "unreadable": secret("", errors.New("gone"))} {
		if _, _, err := r.PeerHello(want, want)(t.Context(), wire.Principal{Role: api.RoleProxy, Hello: api.HelloRequest{ID: "x"}}, &wire.Request{}); err == nil {
			t.Errorf("a token that is %s lets everybody in", name)
		}
	}
}

// TestFrozenLender (R18e, time 3): whatever a lender that stands still has lent is over
// before the promises behind it are.
func TestFrozenLender(t *testing.T) {
	times := lease.For(brief)
	f := newFailsafe(memory{})
	sent := lease.Now()
	f.heard, f.until = 1, sent.Add(times.Failsafe)
	lent, err := f.lend("", api.Stamp{}, times)
	ok(t, err)
	asked := lease.Now() // the proxy's request was sent before
	if end := asked.Add(lent); end > f.until.Add(-times.Fence) || f.until >= sent.Add(times.Promise) {
		t.Errorf("lent until %v, the failsafe lease ends at %v, the promises at %v at the earliest", end, f.until, sent.Add(times.Promise))
	}
}

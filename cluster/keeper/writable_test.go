package keeper

import (
	"context"
	"testing"
	"time"

	"github.com/zerokeeper/zero/transport/api"
)

// TestProxyAwaitsWritable: a proxy without a lease is given one when the primary is
// writable, or nobody can say.
func TestProxyAwaitsWritable(t *testing.T) {
	t.Parallel()
	f := world(t, 1, plainDocument, tuning{})
	p1, p2, primary := f.proxies[0], f.proxies[1], f.agents[0]
	k := f.leader().keeper.Load()
	p1.set(func(a *actor) { a.leaseless = []string{"orders"} })
	says := func(readOnly bool) {
		primary.set(func(a *actor) { a.readOnly = readOnly })
		primary.beat()
	}
	opens := func(what string, a *actor, want bool) {
		t.Helper()
		answer := a.beat()
		if got := only(t, answer).Open; got != want {
			t.Errorf("%s: %s is open: %v, want %v", what, a.id, got, want)
		}
		if soon := answer.IntervalMS <= k.cfg.HeartbeatInterval.Milliseconds()/8; soon == want {
			t.Errorf("%s: %s asks again after %d ms", what, a.id, answer.IntervalMS)
		}
	}
	says(true)
	before := k.leases.last[granted{proxyHolder("shop", p1.hello.ID), "orders"}]
	opens("read-only", p1, false)
	if k.leases.last[granted{proxyHolder("shop", p1.hello.ID), "orders"}] != before {
		t.Error("what it was not given counts as a lease")
	}
	opens("read-only, and it has a lease", p2, true)
	says(false)
	opens("writable", p1, true)

	says(true)
	primary.set(func(a *actor) { a.says = func(b *api.AgentHeartbeatRequest) { b.MySQL.Status = 0 } })
	primary.beat()
	opens("its agent cannot ask it", p1, true)
	primary.set(func(a *actor) { a.says = nil })

	k.presence.reset() // a new term
	opens("not heard in this term", p1, false)
	opens("not heard in this term, and it has a lease", p2, true)
	k.presence.mu.Lock()
	k.presence.since = time.Now().Add(-2 * k.times.Lease)
	k.presence.mu.Unlock()
	opens("silent for long", p1, true)
	says(true)
	opens("heard again", p1, false)
}

// TestStaleHeartbeatHoldsNobody: what the new primary's agent said while it was being promoted
// keeps no proxy out that lost its lease in the switch.
func TestStaleHeartbeatHoldsNobody(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name string
		to   int    // the primary afterwards
		at   string // the order under which its agent beats
		step uint8
	}{
		{"promoted", 1, api.PromoteDatasource, api.StepPromoting},
		{"restored", 0, api.RestoreDatasource, api.StepRollingBack},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			f := world(t, 1, plainDocument, tuning{})
			for _, p := range f.proxies {
				p.set(func(a *actor) { a.leaseless = []string{"orders"} })
			}
			f.agents[0].beat()
			if test.to == 0 {
				f.agents[1].on(api.WaitPosition, refuses(api.BinlogInconsistent, "no"))
			}
			a := f.agents[test.to]
			stale := func(b *api.AgentHeartbeatRequest) {
				b.ReadOnly, b.Stamp = true, api.Stamp{Generation: 1, Step: test.step}
			}
			a.on(test.at, func(ctx context.Context, g given) (any, error) {
				a.set(func(a *actor) { a.says = stale })
				a.beat()
				return a.usual(ctx, g)
			})
			f.ended(f.startSwitch(1))
			a.beat() // one more that was under way
			for _, p := range f.proxies {
				if !only(t, p.beat()).Open {
					t.Errorf("%s is held by what was said before", p.id)
				}
			}
			a.set(func(a *actor) {
				a.says = func(b *api.AgentHeartbeatRequest) {
					b.ReadOnly, b.Stamp = true, api.Stamp{Generation: 1, Step: api.StepIdle}
				}
			})
			a.beat()
			if only(t, f.proxies[0].beat()).Open {
				t.Error("a server that somebody made read-only since is taken for writable")
			}
		})
	}
}

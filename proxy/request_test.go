package proxy

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/zerokeeper/zero/proxy/gate"
	"github.com/zerokeeper/zero/proxy/mysql"
	"github.com/zerokeeper/zero/transport/api"
	"github.com/zerokeeper/zero/transport/lease"
)

// TestFailoverIsRequested when the writable datasource has failed its probes: by
// this proxy itself, not before, and not by each probe. The heartbeats tell.
func TestFailoverIsRequested(t *testing.T) {
	k := newKeepers(t, 1)
	a, stop := datasource(t)
	k.confID, k.content = "1.0.0", document("", "orders "+a+" "+addrB)
	k.grants = []api.Grant{grant(stamp(1, api.StepIdle), 0, 0, a, true)}
	r := newRig(t)
	k.linked(r)
	probe := func() api.Probe { return k.last().Probes["orders"] }
	eventually(t, "a probe succeeded", func() bool { p := probe(); return p.Address == a && p.LastSuccessMS >= 0 })
	if n := k.count(api.ClusterDatasourcesSwitch); n != 0 || probe().Failures != 0 {
		t.Errorf("%d requests, %+v, with the writable alive", n, probe())
	}
	stop()
	eventually(t, "it asks", func() bool { return k.count(api.ClusterDatasourcesSwitch) == 1 })
	k.set(func() {
		want := api.ClusterDatasourcesSwitchRequest{HostGroup: "orders", FromIndex: 0, ToIndex: api.AnyIndex, Kind: api.KindFailover}
		got := k.switches[0]
		if got.Wait == nil || *got.Wait || got.Reason == "" {
			t.Errorf("asked %+v", got)
		}
		got.Wait, got.Reason = nil, ""
		if got != want {
			t.Errorf("asked %+v, want %+v", got, want)
		}
	})
	eventually(t, "the heartbeat tells", func() bool { p := probe(); return p.Failures > 5 && p.Error != "" })
	if n := k.count(api.ClusterDatasourcesSwitch); n > 1+probe().Failures/5 {
		t.Errorf("%d requests after %d failures", n, probe().Failures)
	}
	eventually(t, "it asks again", func() bool { return k.count(api.ClusterDatasourcesSwitch) == 2 })
}

// TestNoRequest where none may be made.
func TestNoRequest(t *testing.T) {
	for _, test := range []struct {
		name string
		doc  string
		g    api.Grant
		want int
	}{
		{"open", docAB, grant(stamp(1, api.StepIdle), 0, 1, addrB, true), 1},
		{"a switch is requested", docAB, grant(stamp(2, api.StepRequested), 0, 0, addrA, true), 0},
		{"a switch is under way", docAB, grant(stamp(2, api.StepStopping), 0, 0, addrA, false), -1},
		{"not allowed", strings.Replace(docAB, "auto_failover: true", "auto_failover: false", 1), grant(stamp(1, api.StepIdle), 0, 0, addrA, true), -1},
		{"nothing to switch to", document("", "orders "+addrA), grant(stamp(1, api.StepIdle), 0, 0, addrA, true), -1},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := newRig(t)
			ok(t, r.push("1.0.0", test.doc))
			ok(t, r.hear(test.g))
			g, err := r.group("orders")
			ok(t, err)
			if got := g.requestable(test.g.Primary.Address); got != test.want {
				t.Errorf("%d, want %d", got, test.want)
			}
			if got := g.requestable(addrC); got != -1 {
				t.Errorf("away from another server: %d", got)
			}
		})
	}
}

func TestRequestsAreLimited(t *testing.T) {
	var r requests
	now, n := lease.Instant(time.Hour), 0
	for range 60 * 20 {
		if r.due(now) {
			n++
		}
		now = now.Add(50 * time.Millisecond)
	}
	if n < 8 || n > 12 {
		t.Errorf("%d requests in a minute", n)
	}
}

// TestErrorsOfALivingServer are no failures, but that of its shutdown.
func TestErrorsOfALivingServer(t *testing.T) {
	pr := &prober{needed: 1}
	for _, test := range []struct {
		err      error
		failures int
	}{
		{&mysql.MySQLError{Code: 1040, Message: "Too many connections"}, 0},
		{&mysql.MySQLError{Code: 1045, Message: "Access denied"}, 0},
		{&mysql.MySQLError{Code: 1053, Message: "Server shutdown in progress"}, 1},
		{errors.New("connection refused"), 2},
		{nil, 0},
	} {
		pr.record(addrA, time.Now(), test.err)
		if got := pr.last(); got.Failures != test.failures || (got.Error == "") != (test.err == nil) {
			t.Errorf("%v: %+v", test.err, got)
		}
	}
}

// TestSilentServerIsSoonFound, in fake time: a probe that waits in vain makes the
// next ones wait less.
func TestSilentServerIsSoonFound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRigBare(t)
		g, err := r.group("orders")
		ok(t, err)
		ctx, cancel := context.WithCancel(t.Context())
		began := time.Now()
		var asked time.Duration
		var once sync.Once
		pr := &prober{group: g, done: make(chan struct{}), interval: 250 * time.Millisecond, needed: 3,
			probe: func(ctx context.Context, _ string) error { <-ctx.Done(); return ctx.Err() }}
		pr.request = func(context.Context, probeResult) { once.Do(func() { asked = time.Since(began); cancel() }) }
		pr.run(ctx)
		if asked != 2*time.Second {
			t.Errorf("asked after %v", asked)
		}
	})
}

// TestKeepersAreToldOfAFailureAtOnce, in fake time: with the heartbeat that the last
// failure which is needed makes due, and with no more than that one.
func TestKeepersAreToldOfAFailureAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRigBare(t)
		g, err := r.group("orders")
		ok(t, err)
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		failed := 0
		pr := &prober{group: g, done: make(chan struct{}), interval: 250 * time.Millisecond, needed: 3, request: func(context.Context, probeResult) {}}
		var told []int
		pr.probe = func(context.Context, string) error {
			select {
			case <-r.wake:
				told = append(told, failed)
			default:
			}
			failed++
			return errors.New("connection refused")
		}
		select { // of the configuration
		case <-r.wake:
		default:
		}
		pr.run(ctx)
		if failed < 10 || !slices.Equal(told, []int{3}) {
			t.Errorf("%d failures, a heartbeat was due after %v of them", failed, told)
		}
	})
}

// newRigBare is a proxy with a configuration and nothing that runs.
func newRigBare(t *testing.T) *Proxy {
	t.Helper()
	p, err := Open(config(t.TempDir()))
	ok(t, err)
	t.Cleanup(func() { _ = p.Close() })
	p.applying.Lock()
	defer p.applying.Unlock()
	ok(t, p.apply(version{"1.0.0", docAB}))
	return p
}

// TestFailedPrimaryIsNotDrained (R12a): what is in flight to it is severed.
func TestFailedPrimaryIsNotDrained(t *testing.T) {
	r := newRig(t)
	r.probing()
	ok(t, r.push("1.0.0", strings.Replace(docAB, "drain_timeout: 50ms", "drain_timeout: 30s", 1)))
	ok(t, r.hear(grant(stamp(1, api.StepIdle), 0, 0, addrA, true)))
	g, err := r.group("orders")
	ok(t, err)
	eventually(t, "it fails its probes", func() bool { return r.failing(g) })
	ticket, found := g.gate.TryAcquire()
	if !found {
		t.Fatal("not open")
	}
	ticket.Tell(releaser{})
	began := time.Now()
	ok(t, r.stopWriting(2, 0, addrA))
	if d := time.Since(began); d > 5*time.Second {
		t.Errorf("stopped after %v", d)
	}
}

// releaser gives its ticket up when it is told to.
type releaser struct{}

func (releaser) TicketEnded(t *gate.Ticket, _ error) { t.Release() }

// TestFailoverSevers what is in flight, whatever this proxy's probes say (R12a).
func TestFailoverSevers(t *testing.T) {
	r := newRig(t)
	ok(t, r.push("1.0.0", strings.Replace(docAB, "drain_timeout: 50ms", "drain_timeout: 30s", 1)))
	ok(t, r.hear(grant(stamp(1, api.StepIdle), 0, 0, addrA, true)))
	g, _ := r.LookupGroup("orders")
	ticket, _ := g.Gate.TryAcquire()
	ticket.Tell(releaser{})
	ok(t, r.give(stamp(2, api.StepStopping), api.StopWritingProxyDatasource,
		api.StopWritingProxyDatasourceRequest{HostGroup: "orders", Index: 0, Primary: api.Datasource{Address: addrA}, Sever: true}))
}

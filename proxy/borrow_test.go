package proxy

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/zerokeeper/zero/transport/api"
	"github.com/zerokeeper/zero/transport/lease"
	"github.com/zerokeeper/zero/transport/wire"
)

// lenders are scripted agents.
type lenders struct {
	mu    sync.Mutex
	asked []string // endpoints
	lend  func(endpoint string, body api.BorrowLeaseRequest) (api.BorrowLeaseAnswer, error)
}

func (l *lenders) CallAt(_ context.Context, endpoint, name string, _ wire.Meta, body []byte) (*wire.Response, error) {
	var asked api.BorrowLeaseRequest
	if err := errors.Join(json.Unmarshal(body, &asked)); err != nil || name != api.BorrowLease {
		return nil, api.ErrUnknownRequest
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.asked = append(l.asked, endpoint)
	answer, err := l.lend(endpoint, asked)
	if err != nil {
		return nil, err
	}
	data, err := json.Marshal(answer)
	return &wire.Response{Data: data}, err
}

func (l *lenders) were(endpoint string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Contains(l.asked, endpoint)
}

// withFailsafe is a grant of a group that uses it.
func withFailsafe(g api.Grant) api.Grant {
	g.Failsafe = true
	g.Peers = []api.Peer{{Address: addrA, Listen: "agent-a:1"}, {Address: addrB, Listen: "agent-b:1"}}
	return g
}

// lends lends leases of that length for the datasource whose agent is asked.
func lends(ms int64, s api.Stamp, committed uint64) func(string, api.BorrowLeaseRequest) (api.BorrowLeaseAnswer, error) {
	return func(endpoint string, _ api.BorrowLeaseRequest) (api.BorrowLeaseAnswer, error) {
		address := addrA
		if endpoint == "agent-b:1" {
			address = addrB
		}
		return api.BorrowLeaseAnswer{LeaseMS: ms, Grant: withFailsafe(grant(s, committed, 0, address, true))}, nil
	}
}

var errNothing = api.Errorf(api.NoFailsafe, "nothing is lent")

// noKeeper is a link that nobody answers.
var noKeeper = script(func(string, []byte) (*wire.Response, error) { return nil, api.ErrNoLeader })

// alone runs the proxy with no keeper, until the test ends.
func (r *rig) alone(l *lenders) {
	r.t.Helper()
	r.Reach(l)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); r.Run(ctx, noKeeper) }()
	r.t.Cleanup(func() { cancel(); <-done })
}

func (r *rig) open() bool {
	g, found := r.LookupGroup("orders")
	if !found {
		return false
	}
	_, open, _ := g.Gate.Current()
	return open
}

// TestBorrows: a proxy that hears no keeper lives by what the primary's agent
// lends, also after a start; and holds when nobody lends.
func TestBorrows(t *testing.T) {
	l := &lenders{lend: lends(1200, stamp(1, api.StepIdle), 0)}
	r := newRig(t)
	ok(t, r.push("1.0.0", docAB))
	r.hearAt(lease.Now(), 1500, withFailsafe(grant(stamp(1, api.StepIdle), 0, 0, addrA, true)))
	r = r.restart() // R11: it starts with nothing but the names of those who lend
	r.is(addrA, false)
	r.alone(l)
	eventually(t, "it writes", r.open)
	if l.were("agent-b:1") {
		t.Error("another than the primary's agent was asked first")
	}
	if v := r.Groups()[0]; !v.Lent || v.LentSince.IsZero() {
		t.Errorf("%+v", v)
	}
	for end := lease.Now().Add(3 * time.Second); lease.Until(end) > 0; <-time.After(10 * time.Millisecond) {
		if !r.open() {
			t.Fatal("it is held although leases are lent")
		}
	}
	l.mu.Lock()
	l.lend = func(string, api.BorrowLeaseRequest) (api.BorrowLeaseAnswer, error) {
		return api.BorrowLeaseAnswer{}, errNothing
	}
	l.mu.Unlock()
	eventually(t, "it holds", func() bool { return !r.open() && !r.Groups()[0].Lent })
	eventually(t, "the others are asked too", func() bool { return l.were("agent-b:1") })
}

// TestKeeperIsBack: what a keeper says counts again at once.
func TestKeeperIsBack(t *testing.T) {
	r := newRig(t)
	ok(t, r.push("1.0.0", docAB))
	open := withFailsafe(grant(stamp(1, api.StepIdle), 0, 0, addrA, true))
	r.hearAt(lease.Now(), 1500, open)
	g, err := r.group("orders")
	ok(t, err)
	ok(t, g.lent(open, lease.Now().Add(time.Minute), func() bool { return true }))
	if g.lentSince().IsZero() {
		t.Error("it does not show")
	}
	r.hearAt(lease.Now(), 1500, open)
	if !g.lentSince().IsZero() {
		t.Error("lent, says a proxy that a keeper answers")
	}
	if _, due := g.borrows(r.times(), 0, lease.Now()); due {
		t.Error("it borrows while a keeper answers")
	}
	r.hearAt(lease.Now(), 1500, grant(stamp(1, api.StepIdle), 0, 0, addrA, true)) // failsafe was turned off
	if g.snapshot().Peers != "" {
		t.Error("it remembers who lends in a group that does not use it")
	}
}

// TestTakesALentLease (R18e): with no higher stamp, for a server that it knows, while
// it is in service.
func TestTakesALentLease(t *testing.T) {
	later := lease.Now().Add(time.Minute)
	in := func() bool { return true }
	for _, test := range []struct {
		name   string
		before func(t *testing.T, r *rig)
		grant  api.Grant
		until  lease.Instant
		in     func() bool
		want   api.Code
		of     string
	}{
		{"same stamp", nil, grant(stamp(1, api.StepIdle), 0, 0, addrA, true), later, in, api.OK, addrA},
		{"higher stamp, another primary", nil, grant(stamp(2, api.StepIdle), 2, 1, addrB, true), later, in, api.OK, addrB},
		{"lower stamp", nil, grant(stamp(0, api.StepIdle), 0, 0, addrA, true), later, in, api.StaleGeneration, addrA},
		{"stopped by a switch", func(t *testing.T, r *rig) { ok(t, r.stopWriting(2, 0, addrA)) }, grant(stamp(1, api.StepIdle), 0, 0, addrA, true), later, in, api.StaleGeneration, addrA},
		{"a server that is not known", nil, grant(stamp(2, api.StepIdle), 0, 0, addrC, true), later, in, api.IdentityMismatch, addrA},
		{"over", nil, grant(stamp(1, api.StepIdle), 0, 0, addrA, true), 1, in, api.NoFailsafe, addrA},
		{"out of service", nil, grant(stamp(1, api.StepIdle), 0, 0, addrA, true), later, func() bool { return false }, api.NotReady, addrA},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := newRig(t)
			ok(t, r.push("1.0.0", docAB))
			ok(t, r.hear(grant(stamp(1, api.StepIdle), 0, 0, addrA, true)))
			if test.before != nil {
				test.before(t, r)
			}
			g, err := r.group("orders")
			ok(t, err)
			g.stop("the test")
			refused(t, g.lent(test.grant, test.until, test.in), test.want)
			r.is(test.of, test.want == api.OK)
		})
	}
}

// TestLentLeaseRunsFromTheRequest, and only what the asked agent says of itself is
// taken.
func TestLentLeaseRunsFromTheRequest(t *testing.T) {
	r := newRig(t)
	ok(t, r.push("1.0.0", docAB))
	g, err := r.group("orders")
	ok(t, err)
	peer := api.Peer{Address: addrA, Listen: "agent-a:1"}
	l := &lenders{lend: lends(20_000, stamp(1, api.StepIdle), 0)}
	r.Reach(l)
	sent := lease.Now().Add(-time.Second)
	ok(t, r.askLender(t.Context(), g, peer, r.stand().life, sent, lease.For(lease.Default)))
	if r.until() != sent.Add(20*time.Second) {
		t.Errorf("it ends %v after the request", r.until().Sub(sent))
	}
	before := r.until()
	for name, change := range map[string]func(*api.BorrowLeaseAnswer){
		"another group":   func(a *api.BorrowLeaseAnswer) { a.Grant.HostGroup = "others" },
		"another primary": func(a *api.BorrowLeaseAnswer) { a.Grant.Primary.Address = addrB },
		"held":            func(a *api.BorrowLeaseAnswer) { a.Grant.Open = false },
		"no length":       func(a *api.BorrowLeaseAnswer) { a.LeaseMS = 0 },
	} {
		l.lend = func(e string, b api.BorrowLeaseRequest) (api.BorrowLeaseAnswer, error) {
			answer, err := lends(25_000, stamp(1, api.StepIdle), 0)(e, b)
			change(&answer)
			return answer, err
		}
		if err := r.askLender(t.Context(), g, peer, r.stand().life, lease.Now(), lease.For(lease.Default)); err == nil || r.until() != before {
			t.Errorf("%s: taken", name)
		}
	}
	// Unregistered while the request was under way.
	l.lend = func(e string, b api.BorrowLeaseRequest) (api.BorrowLeaseAnswer, error) {
		return lends(25_000, stamp(1, api.StepIdle), 0)(e, b)
	}
	life := r.stand().life
	ok(t, r.give(api.Stamp{}, api.UnregisterProxy, api.UnregisterProxyRequest{Reason: "test"}))
	refused(t, r.askLender(t.Context(), g, peer, life, lease.Now(), lease.For(lease.Default)), api.NotReady)
	refused(t, r.askLender(t.Context(), g, peer, r.stand().life, lease.Now(), lease.For(lease.Default)), api.NotReady)
	r.is(addrA, false)
}

package transport

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/zerokeeper/zero/transport/api"
	"github.com/zerokeeper/zero/transport/wire"
)

func TestClientFindsTheLeader(t *testing.T) {
	g := newGroup(t, 3)
	c := testClient(t, quick(g.endpoints()))
	for _, leader := range []int{0, 2, 1, 0} {
		g.elect(leader)
		for range 3 {
			if _, err := c.Call(within(t, 10*time.Second), "Read", nil, nil); err != nil {
				t.Fatal(err)
			}
		}
		if hint := c.Leader(); hint.Address != g.members[leader].address || hint.Term != g.term {
			t.Errorf("the leader is %+v, want member %d", hint, leader)
		}
	}
}

func TestClientWaitsForALeader(t *testing.T) {
	g := newGroup(t, 3)
	c := testClient(t, quick(g.endpoints()))
	_, err := c.Query(within(t, 100*time.Millisecond), "Read", nil, nil)
	if !errors.Is(err, api.ErrNoLeader) || !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, api.ErrOutcomeUnknown) || errors.Is(err, ErrNoKeeper) {
		t.Errorf("without a leader: %v", err)
	}
	if code, _ := api.CodeOf(err); code != api.NoLeader {
		t.Errorf("its code is %d", code)
	}
	for i, m := range g.members {
		if m.asked == 0 {
			t.Errorf("member %d was never asked", i)
		}
	}
	done := make(chan error, 1)
	go func() {
		_, err := c.Call(within(t, 10*time.Second), "Write", nil, nil)
		done <- err
	}()
	g.elect(1)
	if err := <-done; err != nil {
		t.Errorf("a leader came: %v", err)
	}
}

func TestClientWithoutKeepers(t *testing.T) {
	l := listen(t)
	address := l.Addr().String()
	l.Close()
	c := testClient(t, quick([]string{address}))
	_, err := c.Query(within(t, 50*time.Millisecond), "Read", nil, nil)
	if !errors.Is(err, ErrNoKeeper) || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v", err)
	}
	if _, err := c.CallAt(within(t, 10*time.Second), address, "Read", nil, nil); !errors.Is(err, wire.ErrNotSent) {
		t.Errorf("CallAt: %v", err)
	}
}

// TestHopLoopsAreBounded has two keepers that name each other.
func TestHopLoopsAreBounded(t *testing.T) {
	g := newGroup(t, 2)
	g.elect(0)
	g.set(func() {
		g.helloSilent = true
		for i, m := range g.members {
			other := g.members[1-i]
			m.hint = &api.LeaderHint{ID: other.id(), Address: other.address, Term: 1}
		}
	})
	cfg := quick(g.endpoints())
	cfg.BackoffMin, cfg.BackoffMax = time.Hour, time.Hour // one attempt
	c := testClient(t, cfg)
	if _, err := c.Call(within(t, 300*time.Millisecond), "Write", nil, nil); !errors.Is(err, api.ErrNotLeader) {
		t.Errorf("%v", err)
	}
	g.set(func() {
		if asked := g.members[0].asked + g.members[1].asked; asked != maxHops+1 {
			t.Errorf("%d were asked in one attempt, want %d", asked, maxHops+1)
		}
	})
}

// TestOlderTermIsNotFollowed has a keeper that is stuck in the past.
func TestOlderTermIsNotFollowed(t *testing.T) {
	g := newGroup(t, 3)
	for range 5 {
		g.elect(1)
	}
	c := testClient(t, quick(g.endpoints()))
	if _, err := c.Call(within(t, 10*time.Second), "Write", nil, nil); err != nil {
		t.Fatal(err)
	}
	// Members 0 and 1 now name member 2, of an older term; who asks member 2 is
	// told of the same.
	g.set(func() {
		g.leader = 2
		for _, m := range g.members[:2] {
			m.hint = &api.LeaderHint{ID: "k2", Address: g.members[2].address, Term: g.term - 1}
		}
		g.members[2].hint = &api.LeaderHint{ID: "k2", Address: g.members[2].address, Term: g.term - 1}
		for _, m := range g.members {
			m.asked = 0
		}
	})
	if _, err := c.Query(within(t, 200*time.Millisecond), "Read", nil, nil); !errors.Is(err, api.ErrNotLeader) {
		t.Errorf("%v", err)
	}
	if hint := c.Leader(); hint.Term != g.term || hint.Address != "" {
		t.Errorf("the leader is %+v", hint)
	}
	g.elect(0)
	g.set(func() {
		for _, m := range g.members {
			m.hint = nil
		}
	})
	if _, err := c.Call(within(t, 10*time.Second), "Write", nil, nil); err != nil {
		t.Errorf("a newer leader: %v", err)
	}
}

// TestLostAnswerOfACall is not repeated, and said to be unknown.
func TestLostAnswerOfACall(t *testing.T) {
	g := newGroup(t, 3)
	g.elect(0)
	g.set(func() { g.loseAnswers = 1 })
	c := testClient(t, quick(g.endpoints()))
	if _, err := c.Call(within(t, 10*time.Second), "Write", nil, []byte("w")); !errors.Is(err, api.ErrOutcomeUnknown) {
		t.Errorf("%v", err)
	}
	g.set(func() {
		if !slices.Equal(g.order, []string{"w"}) {
			t.Errorf("writes %v", g.order)
		}
	})
	for _, code := range []api.Code{api.OutcomeUnknown, api.Deadline, api.Cancelled} {
		g.set(func() { g.loseAnswers, g.code = 0, code })
		if _, err := c.Call(within(t, 10*time.Second), "Write", nil, nil); !errors.Is(err, api.ErrOutcomeUnknown) {
			t.Errorf("answered %d: %v", code, err)
		}
	}
	// A query does not mind.
	g.set(func() { g.loseAnswers, g.code = 0.7, api.OK })
	for range 20 {
		if _, err := c.Query(within(t, 10*time.Second), "Read", nil, nil); err != nil {
			t.Errorf("query: %v", err)
		}
	}
	g.set(func() { g.loseAnswers = 1 })
	if _, err := c.Query(within(t, 50*time.Millisecond), "Read", nil, nil); !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, api.ErrOutcomeUnknown) {
		t.Errorf("query without an end: %v", err)
	}
	c = testClient(t, quick(g.endpoints()))
	if _, err := c.Call(within(t, 50*time.Millisecond), "Block", nil, nil); !errors.Is(err, api.ErrOutcomeUnknown) {
		t.Errorf("a call that took too long: %v", err)
	}
}

func TestDefinitiveAnswersComeBack(t *testing.T) {
	g := newGroup(t, 3)
	g.elect(0)
	c := testClient(t, quick(g.endpoints()))
	for _, code := range []api.Code{api.BadRequest, api.Forbidden, api.StaleGeneration, api.RateLimited, api.Common} {
		g.set(func() { g.code = code })
		_, err := c.Call(within(t, 10*time.Second), "Write", nil, nil)
		if got, _ := api.CodeOf(err); got != code || errors.Is(err, api.ErrOutcomeUnknown) {
			t.Errorf("%d came back as %v", code, err)
		}
	}
	if _, err := c.Call(within(t, 10*time.Second), "Write", nil, make([]byte, wire.MaxPayload)); !errors.Is(err, wire.ErrTooLarge) {
		t.Errorf("too large a body: %v", err)
	}
	for _, code := range []api.Code{api.NotReady, api.Busy} {
		g.set(func() { g.code = code })
		done := make(chan error, 1)
		go func() {
			_, err := c.Call(within(t, 10*time.Second), "Write", nil, nil)
			done <- err
		}()
		asked := func() (n int) {
			g.set(func() { n = g.members[0].asked + g.members[1].asked + g.members[2].asked })
			return n
		}
		before := asked()
		eventually(t, "it was tried three times", func() bool { return asked() > before+3 })
		g.set(func() { g.code = api.OK })
		if err := <-done; err != nil {
			t.Errorf("%d passed: %v", code, err)
		}
	}
}

// TestRefusedHello is final: no other keeper would say otherwise.
func TestRefusedHello(t *testing.T) {
	_, address := startServer(t, ServerConfig{Hello: welcome})
	c := testClient(t, ClientConfig{Endpoints: []string{address}, Token: func() (string, error) { return "wrong", nil }})
	begin := time.Now()
	_, err := c.Call(within(t, 10*time.Second), "Write", nil, nil)
	if code, _ := api.CodeOf(err); code != api.Unauthenticated || time.Since(begin) > 5*time.Second {
		t.Errorf("after %v: %v", time.Since(begin), err)
	}
	if strings.Contains(err.Error(), "wrong") {
		t.Errorf("the token is in the error: %v", err)
	}
}

func TestCallAt(t *testing.T) {
	g := newGroup(t, 3)
	g.elect(0)
	c := testClient(t, quick(g.endpoints()))
	for i, m := range g.members {
		if resp, err := c.CallAt(within(t, 10*time.Second), m.address, "Local", nil, nil); err != nil || string(resp.Data) != m.id() {
			t.Errorf("member %d: %+v, %v", i, resp, err)
		}
	}
	if _, err := c.CallAt(within(t, 10*time.Second), g.members[1].address, "Read", nil, nil); !errors.Is(err, api.ErrNotLeader) {
		t.Errorf("a follower's answer was followed: %v", err)
	}
	// The keeper restarts: the old connection's end is not the caller's business.
	m := g.members[2]
	c.pool.mu.Lock()
	old := c.pool.entries[m.address].inv
	c.pool.mu.Unlock()
	m.stop()
	<-old.Done()
	m.start(m.address)
	if _, err := c.CallAt(within(t, 10*time.Second), m.address, "Local", nil, nil); err != nil {
		t.Errorf("after a restart: %v", err)
	}
}

// TestBlackHole has an endpoint that accepts and says nothing.
func TestBlackHole(t *testing.T) {
	hole := listen(t)
	g := newGroup(t, 1)
	g.elect(0)
	cfg := quick([]string{hole.Addr().String(), g.members[0].address})
	cfg.DialTimeout = 50 * time.Millisecond
	for range 4 { // from either endpoint first
		c := testClient(t, cfg)
		begin := time.Now()
		if _, err := c.Call(within(t, 10*time.Second), "Read", nil, nil); err != nil || time.Since(begin) > 5*time.Second {
			t.Errorf("after %v: %v", time.Since(begin), err)
		}
	}
}

func TestConnectionsAreBounded(t *testing.T) {
	g := newGroup(t, 4)
	cfg := quick(g.endpoints())
	cfg.MaxConns = 2
	c := testClient(t, cfg)
	for range 3 {
		for _, m := range g.members {
			if _, err := c.CallAt(within(t, 10*time.Second), m.address, "Local", nil, nil); err != nil {
				t.Fatal(err)
			}
		}
	}
	var wg sync.WaitGroup
	ctx, cancel := context.WithCancel(t.Context())
	for _, m := range g.members[:2] {
		wg.Go(func() {
			_, err := c.CallAt(ctx, m.address, "Block", nil, nil)
			if !errors.Is(err, context.Canceled) {
				t.Error(err)
			}
		})
	}
	inUse := func() (n int) {
		c.pool.mu.Lock()
		defer c.pool.mu.Unlock()
		for _, m := range g.members[:2] {
			if e := c.pool.entries[m.address]; e != nil && e.users > 0 {
				select {
				case <-e.ready:
					n++
				default:
				}
			}
		}
		return n
	}
	eventually(t, "both are in use", func() bool { return inUse() == 2 })
	if _, err := c.CallAt(within(t, 10*time.Second), g.members[3].address, "Local", nil, nil); !errors.Is(err, api.ErrBusy) {
		t.Errorf("a third connection: %v", err)
	}
	cancel()
	wg.Wait()
	if _, err := c.CallAt(within(t, 10*time.Second), g.members[3].address, "Local", nil, nil); err != nil {
		t.Errorf("later: %v", err)
	}
}

func TestClosedClient(t *testing.T) {
	g := newGroup(t, 1)
	g.elect(0)
	c := testClient(t, quick(g.endpoints()))
	blocked := make(chan error, 1)
	go func() {
		_, err := c.Call(context.Background(), "Block", nil, nil)
		blocked <- err
	}()
	eventually(t, "it is connected", func() bool { return c.Leader().Address != "" })
	c.Close()
	if err := <-blocked; err == nil {
		t.Error("the call in flight succeeded")
	}
	if _, err := c.Call(t.Context(), "Read", nil, nil); !errors.Is(err, ErrClientClosed) {
		t.Errorf("%v", err)
	}
	if err := c.Run(t.Context()); !errors.Is(err, ErrClientClosed) {
		t.Errorf("Run: %v", err)
	}
}

func TestClientConfig(t *testing.T) {
	for _, cfg := range []ClientConfig{
		{}, {Endpoints: []string{"no-port"}}, {Endpoints: []string{"host:"}}, {Endpoints: []string{"h:1"}, DialTimeout: -1},
		{Endpoints: []string{"h:1"}, MaxConns: -1}, {Endpoints: []string{"h:1"}, Invoker: wire.Config{MaxPending: -1}},
	} {
		if _, err := NewClient(cfg); err == nil {
			t.Errorf("%+v was taken", cfg)
		}
	}
	var once sync.Once
	c := testClient(t, ClientConfig{Endpoints: []string{"keeper.invalid:1"}, Dial: func(_ context.Context, network, address string) (net.Conn, error) {
		once.Do(func() {
			if network != "tcp" || address != "keeper.invalid:1" {
				t.Errorf("dialled %s %s", network, address)
			}
		})
		return nil, fmt.Errorf("no network")
	}})
	if _, err := c.Call(within(t, 50*time.Millisecond), "Read", nil, nil); !errors.Is(err, ErrNoKeeper) {
		t.Errorf("%v", err)
	}
}

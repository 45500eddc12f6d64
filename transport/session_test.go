package transport

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/zerokeeper/zero/transport/api"
	"github.com/zerokeeper/zero/transport/wire"
)

// TestExactlyOnce loses answers and writes and moves the leader about, while several
// writers of one session write. Every write must happen once, and every answer must
// be the one of its write.
func TestExactlyOnce(t *testing.T) {
	g := newGroup(t, 3)
	g.elect(0)
	g.set(func() { g.loseAnswers, g.loseWrites = 0.3, 0.2 })
	c := testClient(t, quick(g.endpoints()))
	s := c.NewSession()
	stop := make(chan struct{})
	var mover sync.WaitGroup
	mover.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			case <-time.After(3 * time.Millisecond):
				g.elect(i%4 - 1) // now and then none
			}
		}
	})
	const writers, each = 4, 25
	var wg sync.WaitGroup
	var mu sync.Mutex
	answers := make(map[string]string)
	for w := range writers {
		wg.Go(func() {
			for n := range each {
				body := fmt.Sprintf("%d/%d", w, n)
				resp, err := s.Do(within(t, 30*time.Second), "Write", nil, []byte(body))
				if err != nil {
					t.Errorf("%s: %v", body, err)
					return
				}
				mu.Lock()
				answers[body] = string(resp.Data)
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	close(stop)
	mover.Wait()

	// The low-water mark moves: the keepers need not remember it all.
	g.elect(0)
	g.set(func() { g.loseAnswers, g.loseWrites = 0, 0 })
	if _, err := s.Do(within(t, 10*time.Second), "Write", nil, []byte("last")); err != nil {
		t.Fatal(err)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, state := range g.state {
		if len(state.answers) != 1 {
			t.Errorf("%d answers are remembered", len(state.answers))
		}
	}
	if n := len(g.order) - 1; n != writers*each || g.order[n] != "last" {
		t.Fatalf("%d writes happened, want %d", n, writers*each)
	}
	for i, body := range g.order[:writers*each] {
		if answers[body] != fmt.Sprint(i+1) {
			t.Errorf("write %s was number %d and was answered %s", body, i+1, answers[body])
		}
	}
	for w := range writers { // each writer's own order holds
		last := -1
		for n := range each {
			at := slices.Index(g.order, fmt.Sprintf("%d/%d", w, n))
			if at <= last {
				t.Errorf("writer %d: write %d is at %d, after %d", w, n, at, last)
			}
			last = at
		}
	}
	if len(s.over) != 0 || s.acked != writers*each+1 {
		t.Errorf("acked %d, %d above it", s.acked, len(s.over))
	}
}

func TestUnknownStaysUnknown(t *testing.T) {
	g := newGroup(t, 3)
	g.elect(0)
	g.set(func() { g.loseAnswers = 1 })
	c := testClient(t, quick(g.endpoints()))
	s := c.NewSession()
	w, err := s.Write("Write", nil, []byte("w"))
	if err != nil {
		t.Fatal(err)
	}
	defer w.End()
	if _, err := w.Do(within(t, 100*time.Millisecond)); !errors.Is(err, api.ErrOutcomeUnknown) {
		t.Errorf("while answers are lost: %v", err)
	}
	// Nobody leads now, and later it is refused at the door: still unknown.
	g.elect(-1)
	if _, err := w.Do(within(t, 50*time.Millisecond)); !errors.Is(err, api.ErrOutcomeUnknown) {
		t.Errorf("without a leader: %v", err)
	}
	g.elect(1)
	for _, code := range []api.Code{api.Unauthenticated, api.RateLimited, api.SessionGone} {
		g.set(func() { g.code = code })
		if _, err := w.Do(within(t, 10*time.Second)); !errors.Is(err, api.ErrOutcomeUnknown) {
			t.Errorf("answered %d: %v", code, err)
		}
	}
	g.set(func() { g.code, g.loseAnswers = api.OK, 0 })
	if resp, err := w.Do(within(t, 10*time.Second)); err != nil || string(resp.Data) != "1" {
		t.Errorf("in the end: %+v, %v", resp, err)
	}
	if len(g.order) != 1 {
		t.Errorf("it happened %d times", len(g.order))
	}
}

func TestForgottenSessionIsRenewed(t *testing.T) {
	g := newGroup(t, 1)
	g.elect(0)
	c := testClient(t, quick(g.endpoints()))
	s := c.NewSession()
	for i := range 3 {
		if _, err := s.Do(within(t, 10*time.Second), "Write", nil, fmt.Append(nil, i)); err != nil {
			t.Fatal(err)
		}
	}
	old := s.id
	g.set(func() { clear(g.state) })
	if _, err := s.Do(within(t, 10*time.Second), "Write", nil, []byte("3")); err != nil {
		t.Errorf("after the keepers forgot: %v", err)
	}
	if s.id == old || s.acked != 1 {
		t.Errorf("session %s, acked %d", s.id, s.acked)
	}
	if !slices.Equal(g.order, []string{"0", "1", "2", "3"}) {
		t.Errorf("writes %v", g.order)
	}
	// Keepers that never take a session do not keep a client for ever.
	g.set(func() { g.code = api.SessionGone })
	_, err := s.Do(within(t, 10*time.Second), "Write", nil, nil)
	if code, _ := api.CodeOf(err); code != api.SessionGone {
		t.Errorf("%v", err)
	}
}

func TestSessionMarks(t *testing.T) {
	s := testClient(t, quick([]string{"h:1"})).NewSession()
	if len(s.id) != 32 {
		t.Errorf("id %q", s.id)
	}
	var writes []*Write
	for range maxOpen {
		w, err := s.Write("Write", wire.Meta{{Key: "x", Value: "y"}}, nil)
		if err != nil {
			t.Fatal(err)
		}
		writes = append(writes, w)
	}
	if _, err := s.Write("Write", nil, nil); !errors.Is(err, api.ErrBusy) {
		t.Errorf("one more than can be open: %v", err)
	}
	for _, i := range []int{1, 2, 1, 4} {
		writes[i].End()
	}
	if s.acked != 0 {
		t.Errorf("acked %d with the first open", s.acked)
	}
	writes[0].End()
	if s.acked != 3 || len(s.over) != 1 {
		t.Errorf("acked %d, %d above it; want 3, 1", s.acked, len(s.over))
	}
	if _, err := s.Write("Write", nil, nil); err != nil {
		t.Errorf("after some ended: %v", err)
	}
	if got, want := writes[5].stamped().String(), "x=y session="+s.id+" seq=6 acked=3"; got != want {
		t.Errorf("stamped %s, want %s", got, want)
	}
	writes[3].End()
	if s.acked != 5 {
		t.Errorf("acked %d", s.acked)
	}
}

package transport

import (
	"errors"
	"testing"
	"time"

	"github.com/zerokeeper/zero/transport/api"
)

func TestGuideFollowsHints(t *testing.T) {
	now := time.Now()
	hint := func(address string, term uint64) api.LeaderHint {
		return api.LeaderHint{ID: "k", Address: address, Term: term}
	}
	g := newGuide([]string{"a:1", "b:1", "c:1"}, time.Second)
	for _, step := range []struct {
		name   string
		from   string
		hint   api.LeaderHint
		next   string // empty: not followed
		leader string // known after it
	}{
		{"the first hint", "a:1", hint("b:1", 5), "b:1", "b:1"},
		{"an older term", "c:1", hint("a:1", 4), "", "b:1"},
		{"no address", "c:1", hint("", 9), "", "b:1"},
		{"the leader denies with nothing better", "b:1", hint("", 5), "", ""},
		{"the old leader after that", "c:1", hint("a:1", 4), "", ""},
		{"the same term", "c:1", hint("b:1", 5), "b:1", "b:1"},
		{"itself", "b:1", hint("b:1", 6), "", ""},
		{"a newer term, not among the endpoints", "a:1", hint("d:1", 7), "d:1", "d:1"},
	} {
		next, ok := g.follow(step.from, step.hint, now)
		if next != step.next && ok || ok != (step.next != "") || g.known().Address != step.leader {
			t.Errorf("%s: to %q, %v, leader %q", step.name, next, ok, g.known().Address)
		}
	}
	if got := g.pick(now); got != "d:1" {
		t.Errorf("picked %s, the leader is d:1", got)
	}
	g.unreachable("d:1", now)
	if _, ok := g.follow("a:1", hint("d:1", 7), now); ok {
		t.Error("followed to an address that was unreachable a moment ago")
	}
	if _, ok := g.follow("a:1", hint("d:1", 7), now.Add(2*time.Second)); !ok {
		t.Error("not followed to it later")
	}
}

func TestGuidePicks(t *testing.T) {
	now := time.Now()
	g := newGuide([]string{"a:1", "b:1", "c:1"}, time.Second)
	seen := make(map[string]int)
	for range 6 {
		seen[g.pick(now)]++
	}
	if seen["a:1"] != 2 || seen["b:1"] != 2 || seen["c:1"] != 2 {
		t.Errorf("not in turn: %v", seen)
	}
	g.unreachable("a:1", now)
	g.unreachable("b:1", now.Add(time.Millisecond))
	for range 3 {
		if got := g.pick(now); got != "c:1" {
			t.Errorf("picked %s, which is grey", got)
		}
	}
	g.unreachable("c:1", now.Add(2*time.Millisecond))
	if got := g.pick(now.Add(3 * time.Millisecond)); got != "a:1" {
		t.Errorf("all are grey: picked %s, a:1 is the first to be white again", got)
	}
	if got := g.pick(now.Add(2 * time.Second)); got == "" {
		t.Error("nothing to pick")
	}
	// One that answers becomes the leader to try, one that leads takes over.
	g.answered("b:1")
	if got := g.pick(now); got != "b:1" {
		t.Errorf("picked %s", got)
	}
	g.leads("c:1", api.LeaderHint{ID: "k3", Term: 4})
	if got := g.known(); got.Address != "c:1" || got.ID != "k3" || got.Term != 4 {
		t.Errorf("leader %+v", got)
	}
	g.leads("a:1", api.LeaderHint{ID: "k1", Term: 2}) // of a restored group, or deposed
	if got := g.known(); got.Address != "c:1" || got.Term != 4 {
		t.Errorf("an older leader took over: %+v", got)
	}
	g.denied("c:1")
	g.leads("a:1", api.LeaderHint{ID: "k1", Term: 2})
	if got := g.known(); got.Address != "a:1" || got.Term != 4 {
		t.Errorf("with none known: %+v", got)
	}
}

func TestBackoff(t *testing.T) {
	b := backoff{min: 20 * time.Millisecond, max: 500 * time.Millisecond}
	limit := b.min
	for range 10 {
		if d := b.wait(); d < limit/2 || d > limit {
			t.Errorf("wait %v, want %v to %v", d, limit/2, limit)
		}
		limit = min(2*limit, b.max)
	}
	b.reset()
	if d := b.wait(); d > b.min {
		t.Errorf("after reset: %v", d)
	}
}

func TestHintOf(t *testing.T) {
	hint := hintOf(&api.Error{Code: api.NotLeader, Data: `{"id":"k2","address":"h:1","term":3}`})
	if hint != (api.LeaderHint{ID: "k2", Address: "h:1", Term: 3}) {
		t.Errorf("%+v", hint)
	}
	for _, err := range []error{
		nil, errors.New("x"), &api.Error{Code: api.NotLeader, Data: "{"}, &api.Error{Code: api.NotLeader},
		&api.Error{Code: api.NoLeader, Data: `{"address":"h:1"}`},
	} {
		if hint := hintOf(err); hint != (api.LeaderHint{}) {
			t.Errorf("%v: %+v", err, hint)
		}
	}
}

package model

import (
	"context"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

func scopeNamed(t *testing.T, name string) Scope {
	t.Helper()
	sc, ok := ScopeNamed(name)
	if !ok {
		t.Fatalf("no scope %q", name)
	}
	return sc
}

func TestWorkersAgree(t *testing.T) {
	sc := scopeNamed(t, "agents")
	for _, workers := range []int{1, 2, 7} {
		l := testLimits()
		l.Workers = workers
		if res := mustSearch(t, &Model{Scope: sc, Guards: AllGuards}, l); res.States != sc.States || res.Depth != sc.Depth || !res.Complete {
			t.Errorf("%d workers: %d states, depth %d, complete %v; want %d and %d", workers, res.States, res.Depth, res.Complete, sc.States, sc.Depth)
		}
	}
}

func TestSearchEnds(t *testing.T) {
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	tests := []struct {
		name string
		ctx  context.Context
		max  int
	}{
		{name: "by the context", ctx: ended, max: 1 << 30},
		{name: "by the number of states", ctx: t.Context(), max: 10},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			l := testLimits()
			l.MaxStates = tt.max
			m := &Model{Scope: scopeNamed(t, "timing"), Guards: AllGuards}
			res, err := m.Search(tt.ctx, l)
			if err != nil {
				t.Fatal(err)
			}
			if res.Complete || res.Holds() || res.Broken != "" || res.States > 100_000 {
				t.Errorf("complete %v, holds %v, broken %q, %d states: want a search that was cut short", res.Complete, res.Holds(), res.Broken, res.States)
			}
		})
	}
}

func TestLimitsValidate(t *testing.T) {
	if err := DefaultLimits().Validate(); err != nil {
		t.Errorf("default limits: %v", err)
	}
	_, err := (&Model{Scope: scopeNamed(t, "plain")}).Search(t.Context(), Limits{Settle: -1})
	if err == nil {
		t.Fatal("the zero limits are accepted")
	}
	for _, want := range []string{"search plain", "budget", "max states", "workers", "settle"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q does not name %s", err, want)
		}
	}
}

func TestVisited(t *testing.T) {
	v := newVisited()
	rng := rand.New(rand.NewPCG(1, 2))
	var chain []fingerprint
	parent := fingerprint(0)
	for range 50_000 { // far above minSlots in each shard
		f := fingerprint(rng.Uint64() | 1)
		s := &v.shards[shardOf(f)]
		if !s.add(f, parent) {
			t.Fatalf("%x is not new", f)
		}
		if s.add(f, f) {
			t.Fatalf("%x is new twice", f)
		}
		chain = append(chain, f)
		parent = f
	}
	if v.states() != len(chain) {
		t.Errorf("%d states, want %d", v.states(), len(chain))
	}
	if got := v.path(parent); !slices.Equal(got, chain[1:]) {
		t.Errorf("a path of %d, want the %d after the first", len(got), len(chain)-1)
	}
}

// TestTransitions: what the search relies on. A transition that did not happen has changed nothing, no successor equals
// its state, and each can be told.
func TestTransitions(t *testing.T) {
	for _, sc := range Scopes() {
		t.Run(sc.Name, func(t *testing.T) {
			m := &Model{Scope: sc, Guards: AllGuards}
			rng := rand.New(rand.NewPCG(3, 4))
			at := sc.initial()
			m.normalize(&at)
			for range 300 { // a random walk
				var next []State
				x := &expansion{m: m, emit: func(e event, s *State) {
					if *s == at {
						t.Fatalf("%v leads nowhere", e)
					}
					if said := e.String(); said == "" || strings.ContainsAny(said, "{}") {
						t.Fatalf("event %+v is told as %q", e, said)
					}
					next = append(next, *s)
				}}
				x.of(&at)
				if x.next != at {
					t.Fatal("a transition that did not happen has changed the state")
				}
				if len(next) == 0 {
					break
				}
				at = next[rng.IntN(len(next))]
			}
		})
	}
}

func TestTrace(t *testing.T) {
	m := &Model{Scope: scopeNamed(t, "agents"), Guards: AllGuards.Without(OwnWait)}
	res := mustSearch(t, m, testLimits())
	if res.Broken != WritableElsewhere || len(res.Trace) == 0 {
		t.Fatalf("broken %q, %d steps", res.Broken, len(res.Trace))
	}
	now := 0
	for _, s := range res.Trace {
		if s.Event == "time passes" {
			now++
		}
		if s.Time != now {
			t.Errorf("at %d, want %d: %v", s.Time, now, s)
		}
	}
	if first := res.Trace[0].String(); !strings.HasPrefix(first, "t=") || strings.Contains(first, "\n") {
		t.Errorf("first step: %q", first)
	}
	if last := res.Trace[len(res.Trace)-1].State; strings.Count(last, " RW ") == 0 {
		t.Errorf("the last state shows no writable server: %s", last)
	}
}

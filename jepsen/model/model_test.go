package model

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"
)

const (
	smallScope  = 110_000   // states: searched by every run
	mediumScope = 2_200_000 // states: one of them is drawn
	drawnCost   = 4_000_000 // states: what the drawn mutants may cost together
)

// seed draws what this run searches beside what every run does. ZERO_MODEL_SEED repeats a run.
func seed(t *testing.T) *rand.Rand {
	t.Helper()
	n := rand.Uint64N(1 << 32)
	if s := os.Getenv("ZERO_MODEL_SEED"); s != "" {
		var err error
		if n, err = strconv.ParseUint(s, 10, 64); err != nil {
			t.Fatalf("ZERO_MODEL_SEED: %v", err)
		}
	}
	fmt.Printf("%s: ZERO_MODEL_SEED=%d\n", t.Name(), n)
	return rand.New(rand.NewPCG(n, 0))
}

func testLimits() Limits {
	l := DefaultLimits()
	l.Budget = 2 * time.Minute // the machine may be busy
	return l
}

func mustSearch(t *testing.T, m *Model, l Limits) Result {
	t.Helper()
	res, err := m.Search(t.Context(), l)
	if err != nil {
		t.Fatal(err)
	}
	return res
}

func TestScopesHold(t *testing.T) {
	var picked, medium []Scope
	for _, sc := range Scopes() {
		switch {
		case sc.States <= smallScope:
			picked = append(picked, sc)
		case sc.States <= mediumScope:
			medium = append(medium, sc)
		}
	}
	draw := seed(t)
	if !raceEnabled {
		picked = append(picked, medium[draw.IntN(len(medium))])
	}
	for _, sc := range picked {
		t.Run(sc.Name, func(t *testing.T) {
			l := testLimits()
			l.Settle = 4
			if raceEnabled {
				l.Settle = 64
			}
			res := mustSearch(t, &Model{Scope: sc, Guards: AllGuards}, l)
			if !res.Holds() {
				t.Fatalf("complete %v, broken %q:\n%v", res.Complete, res.Broken, res.Trace)
			}
			if res.States != sc.States || res.Depth != sc.Depth {
				t.Errorf("%d states, depth %d; on record are %d and %d: the protocol has changed", res.States, res.Depth, sc.States, sc.Depth)
			}
			if res.Settled == 0 {
				t.Error("S4 was checked from no state")
			}
		})
	}
}

func TestMutantsAreCaught(t *testing.T) {
	mutants := Mutants()
	draw := seed(t)
	draw.Shuffle(len(mutants), func(i, j int) { mutants[i], mutants[j] = mutants[j], mutants[i] })
	left := drawnCost
	if raceEnabled {
		left = 0
	}
	for _, mutant := range mutants {
		if !mutant.Quick() {
			if mutant.Cost > left {
				continue
			}
			left -= mutant.Cost
		}
		t.Run(mutant.Name, func(t *testing.T) {
			sc, ok := ScopeNamed(mutant.Scope)
			if !ok {
				t.Fatalf("no scope %q", mutant.Scope)
			}
			res := mustSearch(t, &Model{Scope: sc, Guards: mutant.Guards()}, testLimits())
			if res.Broken == "" {
				t.Fatalf("not caught in %d states, complete %v", res.States, res.Complete)
			}
			if len(res.Trace) != mutant.Steps {
				t.Errorf("caught in %d steps, on record are %d:\n%v", len(res.Trace), mutant.Steps, res.Trace)
			}
		})
	}
}

// TestLockKeptIsCovered: a prepared agent refuses a promise by its stamp as well, so LockKept is a mutant only together
// with Durable.
func TestLockKeptIsCovered(t *testing.T) {
	if raceEnabled {
		t.Skip("a whole scope: too slow with the race detector")
	}
	res := mustSearch(t, &Model{Scope: scopeNamed(t, "failsafe-agents"), Guards: AllGuards.Without(LockKept)}, testLimits())
	if !res.Holds() {
		t.Errorf("complete %v, broken %q: it has become a mutant of its own", res.Complete, res.Broken)
	}
}

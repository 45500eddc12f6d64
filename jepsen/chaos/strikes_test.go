package chaos

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/zerokeeper/zero/fsm"
)

// TestEveryStateIsStruck: the smoke run kills the leader before and after every
// state that a planned switch can be in, and the matrix does it to everybody.
func TestEveryStateIsStruck(t *testing.T) {
	states := slices.DeleteFunc(fsm.States(), func(s string) bool { return s == fsm.StateSuperseded }) // no driver is in it
	if len(states) < 13 {
		t.Fatalf("only %d states: %v", len(states), states)
	}
	struck := func(list []strike, v whom, a act, point string) bool {
		return slices.ContainsFunc(list, func(s strike) bool { return s.victim == v && s.act == a && s.point == point })
	}
	small, all := smoke(rand.New(rand.NewPCG(7, 7))), matrix()
	for _, state := range states {
		for _, point := range moments([]string{state}) {
			if !struck(small, hitLeader, actKill, point) {
				t.Errorf("the smoke run does not kill the leader at %s", point)
			}
			for _, v := range victims5 {
				for _, a := range []act{actKill, actStop} {
					if !struck(all, v, a, point) {
						t.Errorf("the matrix has no %s %s at %s", v, past(a), point)
					}
				}
			}
		}
	}
	if n := len(small) - 2*len(states); n != others {
		t.Errorf("the smoke run has %d other cases, want %d", n, others)
	}
}

// TestSmokeIsDrawnFromTheSeed: the same seed is the same run, another another.
func TestSmokeIsDrawnFromTheSeed(t *testing.T) {
	draw := func(seed uint64) []strike { return smoke(rand.New(rand.NewPCG(seed, 1))) }
	if !slices.Equal(draw(1), draw(1)) || slices.Equal(draw(1), draw(2)) {
		t.Error("the cases do not follow from the seed")
	}
}

// TestStrikesAreAimed: a victim that has no points of its own is hit at the
// leader's.
func TestStrikesAreAimed(t *testing.T) {
	for _, s := range matrix() {
		if own := s.victim == hitLeader || !strings.HasPrefix(s.point, "keeper/"); own != s.own() {
			t.Errorf("%s: own %v", s, s.own())
		}
		if s.own() && s.victim != hitLeader && !strings.HasPrefix(s.point, string(s.victim)+"/") {
			t.Errorf("%s: it never comes there", s)
		}
	}
}

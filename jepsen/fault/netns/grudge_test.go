package netns

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/zerokeeper/zero/jepsen/fault"
)

// hears are the places, itself too, that a place hears under some cuts.
func hears(g map[fault.Pair]fault.Rule, place int, all []int) []int {
	var heard []int
	for _, from := range all {
		if !g[fault.Pair{From: from, To: place}].Cut {
			heard = append(heard, from)
		}
	}
	return heard
}

// sides are the sets of places that hear exactly each other.
func sides(t *testing.T, g map[fault.Pair]fault.Rule, all []int) [][]int {
	t.Helper()
	var found [][]int
	for _, p := range all {
		side := hears(g, p, all)
		for _, other := range side {
			if !slices.Equal(hears(g, other, all), side) {
				t.Errorf("%d hears %v, %d hears %v", p, side, other, hears(g, other, all))
			}
		}
		if !slices.ContainsFunc(found, func(s []int) bool { return slices.Equal(s, side) }) {
			found = append(found, side)
		}
	}
	return found
}

func nodesOf(places []int) int {
	if slices.Contains(places, fault.Driver) {
		return len(places) - 1
	}
	return len(places)
}

// everyDraw tests a grudge with networks of all sizes, both reaches, and some draws.
func everyDraw(t *testing.T, from int, f func(t *testing.T, rng *rand.Rand, n int, reach Reach)) {
	t.Helper()
	for n := from; n <= 9; n++ {
		for reach, name := range map[Reach]string{NodesOnly: "nodes", WithDriver: "driver"} {
			t.Run(fmt.Sprint(n, " ", name), func(t *testing.T) {
				for seed := range uint64(30) {
					f(t, rand.New(rand.NewPCG(seed, 0)), n, reach)
				}
			})
		}
	}
}

func wellFormed(t *testing.T, g map[fault.Pair]fault.Rule, n int, reach Reach) {
	t.Helper()
	if err := (Config{Nodes: n}).validate(g); err != nil {
		t.Error(err)
	}
	for p, r := range g {
		if r != (fault.Rule{Cut: true}) {
			t.Errorf("%v is %+v, want a cut", p, r)
		}
		if reach == NodesOnly && (p.From == fault.Driver || p.To == fault.Driver) {
			t.Errorf("%v is cut, and the driver should not be", p)
		}
	}
}

func TestHalves(t *testing.T) {
	everyDraw(t, 2, func(t *testing.T, rng *rand.Rand, n int, reach Reach) {
		g := Halves(rng, n, reach)
		wellFormed(t, g, n, reach)
		var sizes []int
		for _, side := range sides(t, g, reach.places(n)) {
			sizes = append(sizes, nodesOf(side))
		}
		slices.Sort(sizes)
		want := []int{(n - 1) / 2, n - (n-1)/2}
		if n == 2 && len(sizes) == 1 { // nobody stands alone against two, but perhaps the driver does
			want = want[1:]
		}
		if !slices.Equal(sizes, want) {
			t.Errorf("sides of %v nodes, want %v", sizes, want)
		}
	})
}

func TestIsolate(t *testing.T) {
	everyDraw(t, 2, func(t *testing.T, rng *rand.Rand, n int, reach Reach) {
		node := rng.IntN(n)
		g := Isolate(n, node, reach)
		wellFormed(t, g, n, reach)
		all := reach.places(n)
		got := sides(t, g, all)
		if len(got) != 2 || !slices.ContainsFunc(got, func(s []int) bool { return slices.Equal(s, []int{node}) }) {
			t.Errorf("sides %v, want %d alone", got, node)
		}
	})
}

func TestMajoritiesRing(t *testing.T) {
	everyDraw(t, 3, func(t *testing.T, rng *rand.Rand, n int, reach Reach) {
		g := MajoritiesRing(rng, n, reach)
		wellFormed(t, g, n, reach)
		seen := make(map[string]bool)
		for node := range n {
			heard := hears(g, node, NodesOnly.places(n))
			if len(heard) != n/2+1 || !slices.Contains(heard, node) {
				t.Errorf("node %d of %d hears %v, want a majority with itself", node, n, heard)
			}
			seen[fmt.Sprint(heard)] = true
		}
		if len(seen) != n {
			t.Errorf("%d nodes hear %d different majorities", n, len(seen))
		}
		if heard := hears(g, fault.Driver, NodesOnly.places(n)); reach == WithDriver && len(heard) != n/2+1 || reach == NodesOnly && len(heard) != n {
			t.Errorf("the driver hears %v", heard)
		}
	})
	t.Run("five hear both ways", func(t *testing.T) {
		g := MajoritiesRing(rand.New(rand.NewPCG(1, 1)), 5, NodesOnly)
		for p := range g {
			if _, ok := g[fault.Pair{From: p.To, To: p.From}]; !ok {
				t.Errorf("only one way is cut: %v", p)
			}
		}
	})
}

func TestBridgeSplit(t *testing.T) {
	everyDraw(t, 3, func(t *testing.T, rng *rand.Rand, n int, reach Reach) {
		g := BridgeSplit(rng, n, reach)
		wellFormed(t, g, n, reach)
		all := reach.places(n)
		bridge := -2
		for node := range n {
			if len(hears(g, node, all)) == len(all) {
				if bridge >= 0 {
					t.Fatalf("both %d and %d hear all", bridge, node)
				}
				bridge = node
			}
		}
		if bridge < 0 {
			t.Fatal("nobody is the bridge")
		}
		without := slices.DeleteFunc(slices.Clone(all), func(p int) bool { return p == bridge })
		var sizes []int
		for _, side := range sides(t, g, without) {
			sizes = append(sizes, nodesOf(side))
		}
		slices.Sort(sizes)
		if want := []int{(n - 1) / 2, n / 2}; !slices.Equal(sizes, want) {
			t.Errorf("sides of %v nodes, want %v", sizes, want)
		}
	})
}

func TestOneWay(t *testing.T) {
	everyDraw(t, 2, func(t *testing.T, rng *rand.Rand, n int, reach Reach) {
		node := rng.IntN(n)
		all := reach.places(n)
		deaf, mute := OneWayDeaf(n, node, reach), OneWayMute(n, node, reach)
		wellFormed(t, deaf, n, reach)
		wellFormed(t, mute, n, reach)
		if heard := hears(deaf, node, all); !slices.Equal(heard, []int{node}) {
			t.Errorf("the deaf node hears %v", heard)
		}
		if heard := hears(mute, node, all); len(heard) != len(all) {
			t.Errorf("the mute node hears only %v", heard)
		}
		for _, other := range all {
			if other == node {
				continue
			}
			if heard := hears(deaf, other, all); len(heard) != len(all) {
				t.Errorf("%d hears only %v, and only %d is deaf", other, heard, node)
			}
			if heard := hears(mute, other, all); slices.Contains(heard, node) || len(heard) != len(all)-1 {
				t.Errorf("%d hears %v, and only %d is mute", other, heard, node)
			}
		}
	})
}

// The same seed is the same partition, and other seeds are others.
func TestGrudgesAreDrawn(t *testing.T) {
	for name, f := range map[string]func(*rand.Rand, int, Reach) map[fault.Pair]fault.Rule{
		"halves": Halves, "majorities ring": MajoritiesRing, "bridge": BridgeSplit,
	} {
		t.Run(name, func(t *testing.T) {
			seen := make(map[string]bool)
			for seed := range uint64(50) {
				one := f(rand.New(rand.NewPCG(seed, 7)), 5, WithDriver)
				if two := f(rand.New(rand.NewPCG(seed, 7)), 5, WithDriver); !maps.Equal(one, two) {
					t.Errorf("seed %d gives %v and %v", seed, one, two)
				}
				seen[fmt.Sprint(sortedPairs(one))] = true
			}
			if len(seen) < 10 {
				t.Errorf("50 seeds gave %d partitions", len(seen))
			}
		})
	}
}

package netns

import (
	"math/rand/v2"

	"github.com/zerokeeper/zero/jepsen/fault"
)

// Reach tells whether a partition goes between nodes only, or the driver is on one of its sides too.
type Reach int

const (
	// NodesOnly leaves the driver's connections to all nodes whole.
	NodesOnly Reach = iota
	// WithDriver treats the driver as the grudge says.
	WithDriver
)

// grudge collects which directions are cut.
type grudge map[fault.Pair]fault.Rule

// deafen lets to hear nothing of from.
func (g grudge) deafen(to, from int) {
	if to != from {
		g[fault.Pair{From: from, To: to}] = fault.Rule{Cut: true}
	}
}

// part cuts both directions.
func (g grudge) part(a, b int) {
	g.deafen(a, b)
	g.deafen(b, a)
}

// partAll parts everybody of one side from everybody of the other.
func (g grudge) partAll(as, bs []int) {
	for _, a := range as {
		for _, b := range bs {
			g.part(a, b)
		}
	}
}

func (r Reach) places(n int) []int {
	all := make([]int, 0, n+1)
	for i := range n {
		all = append(all, i)
	}
	if r == WithDriver {
		all = append(all, fault.Driver)
	}
	return all
}

// join puts the driver on one of two sides, which is drawn.
func (r Reach) join(rng *rand.Rand, a, b []int) ([]int, []int) {
	switch {
	case r != WithDriver:
	case rng.IntN(2) == 0:
		a = append(a, fault.Driver)
	default:
		b = append(b, fault.Driver)
	}
	return a, b
}

// Halves parts n nodes into a majority and the rest; who is where is drawn. With the driver: it is on one of the sides, which
// is drawn too.
func Halves(rng *rand.Rand, n int, reach Reach) map[fault.Pair]fault.Rule {
	order := rng.Perm(n)
	minority, majority := reach.join(rng, order[:(n-1)/2:(n-1)/2], order[(n-1)/2:])
	g := make(grudge)
	g.partAll(minority, majority)
	return g
}

// Isolate parts one of n nodes from all others, and from the driver if that is wanted.
func Isolate(n, node int, reach Reach) map[fault.Pair]fault.Rule {
	g := make(grudge)
	for _, other := range reach.places(n) {
		g.part(node, other)
	}
	return g
}

// MajoritiesRing lets each of n nodes hear a majority (with itself), and no two the same one: the nodes stand in a circle, in an
// order that is drawn, and hear their nearest neighbours. Where a majority is an even number some directions are cut one way
// only. With the driver: it is parted from all but a majority of neighbours.
func MajoritiesRing(rng *rand.Rand, n int, reach Reach) map[fault.Pair]fault.Rule {
	order := rng.Perm(n)
	majority := n/2 + 1
	g := make(grudge)
	for i, node := range order {
		first := i - majority/2 // of those that the node hears
		for k := majority; k < n; k++ {
			g.deafen(node, order[((first+k)%n+n)%n])
		}
	}
	if reach == WithDriver {
		start := rng.IntN(n)
		for k := majority; k < n; k++ {
			g.part(fault.Driver, order[(start+k)%n])
		}
	}
	return g
}

// BridgeSplit parts n nodes into two halves that only one node, the bridge, can reach both of; who is where is drawn. With
// the driver: it is on one of the sides, which is drawn too, and reaches the bridge.
func BridgeSplit(rng *rand.Rand, n int, reach Reach) map[fault.Pair]fault.Rule {
	order := rng.Perm(n)
	g := make(grudge)
	if n > 0 {
		rest := order[1:]
		half := len(rest) / 2
		g.partAll(reach.join(rng, rest[:half:half], rest[half:]))
	}
	return g
}

// OneWayDeaf lets a node hear none of the n nodes, nor the driver if that is wanted; they hear it.
func OneWayDeaf(n, node int, reach Reach) map[fault.Pair]fault.Rule {
	g := make(grudge)
	for _, other := range reach.places(n) {
		g.deafen(node, other)
	}
	return g
}

// OneWayMute lets none of the n nodes hear a node, nor the driver if that is wanted; it hears them.
func OneWayMute(n, node int, reach Reach) map[fault.Pair]fault.Rule {
	g := make(grudge)
	for _, other := range reach.places(n) {
		g.deafen(other, node)
	}
	return g
}

package sim

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"time"
)

// faultKind names what the nemesis does.
type faultKind string

const (
	isolate   faultKind = "isolate"   // one node from all others
	halves    faultKind = "halves"    // a random split
	ring      faultKind = "ring"      // each node hears its neighbours only
	bridge    faultKind = "bridge"    // two halves that share one node
	deaf      faultKind = "deaf"      // one node hears nobody
	mute      faultKind = "mute"      // nobody hears one node
	oneLink   faultKind = "one-link"  // one direction of one pair
	lag       faultKind = "lag"       // every link is slow
	flaky     faultKind = "flaky"     // connections break at random
	crash     faultKind = "crash"     // power off, on again later
	crashAll  faultKind = "crash-all" // all at once
	shutdown  faultKind = "shutdown"  // a planned stop
	slowDisk  faultKind = "slow-disk"
	hungDisk  faultKind = "hung-disk"
	diskError faultKind = "disk-error"
	freeze    faultKind = "freeze"   // no network and no disk, then all at once: the nearest to a pause
	transfer  faultKind = "transfer" // of leadership
	replace   faultKind = "replace"  // remove a member, wipe it, let it join again
)

// weights is how often each kind is drawn.
var weights = []struct {
	kind   faultKind
	weight int
}{
	{isolate, 8}, {halves, 5}, {ring, 2}, {bridge, 3}, {deaf, 4}, {mute, 4}, {oneLink, 4}, {lag, 3}, {flaky, 3},
	{crash, 10}, {crashAll, 2}, {shutdown, 3}, {slowDisk, 3}, {hungDisk, 3}, {diskError, 3}, {freeze, 6}, {transfer, 5}, {replace, 2},
}

// theLeader is the target that is looked up when the fault begins.
const theLeader = -1

// fault is one thing that the nemesis does.
type fault struct {
	at     time.Duration // from the start of the chaos
	kind   faultKind
	target int // a node or theLeader
	other  int // a second node, or a seed for the shape of a split
	reset  bool
	length time.Duration
}

func (f fault) String() string {
	target := fmt.Sprint("node ", f.target)
	if f.target == theLeader {
		target = "the leader"
	}
	how := "stall"
	if f.reset {
		how = "reset"
	}
	return fmt.Sprintf("%8v %-10s %s (%d, %s) for %v", f.at.Round(time.Millisecond), f.kind, target, f.other, how, f.length.Round(time.Millisecond))
}

// plan draws the faults of a run. It depends on its arguments alone.
func plan(rng *rand.Rand, nodes int, length time.Duration) []fault {
	var faults []fault
	for at := between(rng, 50, 500); at < length; at += between(rng, 150, 1300) {
		f := fault{at: at, kind: draw(rng), target: rng.IntN(nodes), other: rng.IntN(1 << 10), reset: rng.IntN(2) == 0}
		if rng.IntN(2) == 0 {
			f.target = theLeader
		}
		f.length = between(rng, 100, 2500)
		switch f.kind {
		case hungDisk:
			f.length = between(rng, 100, 4500) // past the watchdog, at times
		case crash, crashAll, shutdown, replace, diskError:
			f.length = between(rng, 20, 1200)
		}
		faults = append(faults, f)
	}
	return faults
}

func draw(rng *rand.Rand) faultKind {
	total := 0
	for _, w := range weights {
		total += w.weight
	}
	n := rng.IntN(total)
	i := slices.IndexFunc(weights, func(w struct {
		kind   faultKind
		weight int
	}) bool {
		n -= w.weight
		return n < 0
	})
	return weights[i].kind
}

// between draws a duration of low to high milliseconds.
func between(rng *rand.Rand, low, high int) time.Duration {
	return time.Duration(low)*time.Millisecond + time.Duration(rng.Int64N(int64(high-low)*int64(time.Millisecond)))
}

// shape is the links that a network fault kills among nodes.
func (f fault) shape(target, nodes int) func(from, to int) bool {
	other := f.other % nodes
	if other == target {
		other = (other + 1) % nodes
	}
	switch f.kind {
	case isolate, freeze:
		return func(from, to int) bool { return (from == target) != (to == target) }
	case deaf:
		return func(from, to int) bool { return to == target && from != target }
	case mute:
		return func(from, to int) bool { return from == target && to != target }
	case oneLink:
		return func(from, to int) bool { return from == target && to == other }
	case ring:
		return func(from, to int) bool {
			d := (from - to + nodes) % nodes
			return d != 0 && d != 1 && d != nodes-1
		}
	case bridge: // the target hears both sides
		return func(from, to int) bool {
			return from != target && to != target && f.side(from, nodes) != f.side(to, nodes)
		}
	}
	return func(from, to int) bool { return f.side(from, nodes) != f.side(to, nodes) }
}

// side is the part of a split that a node is in; neither part is empty.
func (f fault) side(node, nodes int) bool {
	split := 1 + f.other%(1<<nodes-2)
	return split>>node&1 == 1
}

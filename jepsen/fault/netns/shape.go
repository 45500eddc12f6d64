package netns

import (
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/zerokeeper/zero/jepsen/fault"
)

// Counts are the packets of a Switch, each of those that a rule touched once or more.
type Counts struct {
	Packets    uint64 // that were sent to a place of the network
	Cut        uint64
	Lost       uint64
	Delayed    uint64
	Duplicated uint64
	Corrupted  uint64
	Reordered  uint64 // sent ahead of the delayed ones
	Overflowed uint64 // dropped because too many of their direction were held back
	Strange    uint64 // sent to no place of the network, or not IPv4; dropped
	Refused    uint64 // by the receiving interface, when it was down or full
}

// counters are Counts while they are counted, and how many packets a rule did anything to.
type counters struct {
	packets, cut, lost, delayed, duplicated, corrupted, reordered, overflowed, strange, refused, affected atomic.Uint64
}

func (c *counters) counts() Counts {
	return Counts{Packets: c.packets.Load(), Cut: c.cut.Load(), Lost: c.lost.Load(), Delayed: c.delayed.Load(), Duplicated: c.duplicated.Load(),
		Corrupted: c.corrupted.Load(), Reordered: c.reordered.Load(), Overflowed: c.overflowed.Load(), Strange: c.strange.Load(), Refused: c.refused.Load()}
}

// direction is from one place to another. Only the goroutine that reads what the first sends uses it, but for waiting.
type direction struct {
	rng     *rand.Rand
	waiting atomic.Int64 // packets held back
	last    time.Time    // when the last of them is due
	age     uint64       // of the rules that last belongs to
}

func newDirection(seed uint64, p fault.Pair) *direction {
	// Places are small numbers, the driver's negative: each direction has its own stream.
	return &direction{rng: rand.New(rand.NewPCG(seed, uint64(uint32(p.From))<<32|uint64(uint32(p.To))))}
}

func (d *direction) hits(share float64) bool { return share > 0 && d.rng.Float64() < share }

// fate is what becomes of one packet.
type fate struct {
	drop    bool
	copies  int
	delayed bool
	due     time.Time // if delayed
}

// decide draws what becomes of a packet under a rule, changes the packet where it is to be corrupted, and counts. age
// numbers the rules that r is of.
func (d *direction) decide(r fault.Rule, age uint64, p packet, now time.Time, corruptAbove bool, c *counters) fate {
	f := fate{copies: 1}
	if r == (fault.Rule{}) {
		return f
	}
	switch {
	case r.Cut:
		c.cut.Add(1)
		f.drop = true
	case d.hits(r.Loss):
		c.lost.Add(1)
		f.drop = true
	}
	if f.drop {
		c.affected.Add(1)
		return f
	}
	touched := false
	if d.hits(r.Corrupt) {
		repair := corruptAbove && d.rng.IntN(2) == 0
		if p.corrupt(d.rng.IntN, repair) {
			c.corrupted.Add(1)
			touched = true
		}
	}
	if d.hits(r.Duplicate) {
		c.duplicated.Add(1)
		touched = true
		f.copies = 2
	}
	if r.Delay > 0 || r.Jitter > 0 {
		touched = true
		if d.hits(r.Reorder) {
			c.reordered.Add(1)
		} else {
			c.delayed.Add(1)
			f.delayed, f.due = true, d.due(r, age, now)
		}
	}
	if touched {
		c.affected.Add(1)
	}
	return f
}

// due draws when a delayed packet arrives: never before one that was sent earlier under the same rules, as only Reorder
// changes the order.
func (d *direction) due(r fault.Rule, age uint64, now time.Time) time.Time {
	late := r.Delay
	if r.Jitter > 0 {
		late += time.Duration(d.rng.Int64N(2*int64(r.Jitter)+1)) - r.Jitter
	}
	due := now.Add(max(late, 0))
	if d.age == age && due.Before(d.last) {
		due = d.last
	}
	d.age, d.last = age, due
	return due
}

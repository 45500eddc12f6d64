package transport

import (
	"testing"
	"time"
)

// TestPace: whoever lost its leader asks often while the next one is elected, and less and less after that; whoever never
// had one is in no such hurry.
func TestPace(t *testing.T) {
	const longest = 500 * time.Millisecond
	start := time.Now()
	p := pace{backoff: backoff{min: 20 * time.Millisecond, max: longest}}
	first := time.Duration(0)
	for range 20 {
		first = p.pause(start)
	}
	if first < longest/2 {
		t.Errorf("%v between two tries of one that was never connected", first)
	}
	p.lost(start)
	tries, now := 0, start
	for now.Sub(start) <= elections {
		d := p.pause(now)
		if d > electing || d <= 0 {
			t.Fatalf("%v is waited %v after the loss", d, now.Sub(start))
		}
		now, tries = now.Add(d), tries+1
	}
	if tries > 120 {
		t.Errorf("%d tries during an election", tries)
	}
	for range 20 {
		first = p.pause(now)
	}
	if first < longest/2 || first > longest {
		t.Errorf("%v between two tries long after the loss", first)
	}
}

// TestLinkHurriesDuringAnElection: it is back with the new leader however long it pauses at other times.
func TestLinkHurriesDuringAnElection(t *testing.T) {
	g := newGroup(t, 3)
	g.elect(0)
	c := linked(t, g, func(cfg *ClientConfig) { cfg.BackoffMin, cfg.BackoffMax = time.Minute, time.Minute })
	g.at(0, c)
	time.Sleep(steady + 50*time.Millisecond) // the thing it depends on: the connection was in order
	asked := func() (n int) {
		g.set(func() { n = g.members[1].greeted + g.members[2].greeted })
		return n
	}
	before := asked()
	g.elect(-1)
	g.members[0].stop()
	eventually(t, "the others are asked in vain", func() bool { return asked() > before+2 })
	g.elect(2)
	g.at(2, c)
}

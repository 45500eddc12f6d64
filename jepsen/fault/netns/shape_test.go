package netns

import (
	"slices"
	"testing"
	"time"

	"github.com/zerokeeper/zero/jepsen/fault"
)

// fates draws what becomes of count packets, one each millisecond, in one direction.
func fates(d *direction, r fault.Rule, count int) []fate {
	var c counters
	start := time.Unix(0, 0)
	all := make([]fate, 0, count)
	for i := range count {
		p, _ := parsePacket(ipv4(17, 0, 0, []byte("12345678")))
		all = append(all, d.decide(r, 1, p, start.Add(time.Duration(i)*time.Millisecond), false, &c))
	}
	return all
}

// What is drawn depends on the seed and the direction, not on what other directions draw.
func TestDrawsBelongToADirection(t *testing.T) {
	rule := fault.Rule{Loss: 0.2, Corrupt: 0.2, Duplicate: 0.2, Delay: 10 * time.Millisecond, Jitter: 5 * time.Millisecond, Reorder: 0.2}
	draw := func(seed uint64, from, to int) []fate {
		return fates(newDirection(seed, fault.Pair{From: from, To: to}), rule, 100)
	}
	want := draw(1, 0, 1)
	other := newDirection(1, fault.Pair{From: 1, To: 0})
	fates(other, rule, 1000)
	if got := draw(1, 0, 1); !slices.Equal(got, want) {
		t.Error("the same seed and direction draw differently")
	}
	for name, got := range map[string][]fate{
		"another seed": draw(2, 0, 1), "the way back": draw(1, 1, 0), "from the driver": draw(1, fault.Driver, 1), "to the driver": draw(1, 0, fault.Driver),
	} {
		if slices.Equal(got, want) {
			t.Errorf("%s draws the same", name)
		}
	}
}

func TestDecide(t *testing.T) {
	const ms = time.Millisecond
	for _, tt := range []struct {
		name string
		rule fault.Rule
		want Counts
		hit  uint64
	}{
		{"whole", fault.Rule{}, Counts{}, 0},
		{"cut", fault.Rule{Cut: true, Delay: ms, Loss: 1, Duplicate: 1}, Counts{Cut: 100}, 100},
		{"all lost", fault.Rule{Loss: 1, Delay: ms, Duplicate: 1}, Counts{Lost: 100}, 100},
		{"all of everything else", fault.Rule{Corrupt: 1, Duplicate: 1, Delay: ms}, Counts{Corrupted: 100, Duplicated: 100, Delayed: 100}, 100},
		{"all reordered", fault.Rule{Delay: ms, Reorder: 1}, Counts{Reordered: 100}, 100},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := newDirection(1, fault.Pair{From: 0, To: 1})
			var c counters
			for range 100 {
				p, _ := parsePacket(ipv4(17, 0, 0, []byte("12345678")))
				d.decide(tt.rule, 1, p, time.Now(), false, &c)
			}
			if got := c.counts(); got != tt.want || c.affected.Load() != tt.hit {
				t.Errorf("got %+v, %d affected\nwant %+v, %d", got, c.affected.Load(), tt.want, tt.hit)
			}
		})
	}
}

func TestDue(t *testing.T) {
	const ms = time.Millisecond
	start := time.Unix(0, 0)
	d := newDirection(1, fault.Pair{From: 0, To: 1})
	rule := fault.Rule{Delay: 20 * ms, Jitter: 50 * ms}
	last, distinct := start, 0
	for i := range 200 {
		now := start.Add(time.Duration(i) * ms)
		due := d.due(rule, 1, now)
		if due.Before(last) || due.Before(now) || due.After(now.Add(70*ms)) {
			t.Fatalf("packet %d, sent at %s, is due at %s, the one before at %s", i, now.Sub(start), due.Sub(start), last.Sub(start))
		}
		if due.After(last) {
			distinct++
		}
		last = due
	}
	if distinct < 10 {
		t.Errorf("of 200 times %d differ", distinct)
	}
	// New rules do not wait for what the old ones delayed.
	d.due(fault.Rule{Delay: time.Minute}, 2, start)
	if due := d.due(fault.Rule{Delay: ms}, 3, start); due != start.Add(ms) {
		t.Errorf("due at %s, want 1ms", due.Sub(start))
	}
}

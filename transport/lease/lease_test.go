package lease

import (
	"testing"
	"time"
)

func TestTimes(t *testing.T) {
	for _, length := range []time.Duration{Shortest, 1500 * time.Millisecond, Default, 4 * time.Second, Longest} {
		if err := For(length).Validate(); err != nil {
			t.Errorf("%v: %v", length, err)
		}
	}
	d := For(Default)
	if d.Fence != 700*time.Millisecond || d.Kill != 250*time.Millisecond || d.Beat != 400*time.Millisecond || d.Wait < 2070*time.Millisecond || d.Wait > 2100*time.Millisecond {
		t.Errorf("the default's times are %+v", d)
	}
	for _, test := range []struct {
		name   string
		change func(*Times)
	}{
		{"too short", func(t *Times) { t.Lease = Shortest / 2 }},
		{"too long", func(t *Times) { t.Lease = Longest + 1 }},
		{"few heartbeats", func(t *Times) { t.Beat = t.Lease / 4 }},
		{"no heartbeat", func(t *Times) { t.Beat = 0 }},
		{"killed too late", func(t *Times) { t.Kill = killMargin - 1 }},
		{"killed before it is fenced", func(t *Times) { t.Fence = t.Kill }},
		{"fenced before two heartbeats can be lost", func(t *Times) { t.Fence = t.Lease - 3*t.Beat }},
		{"a wait that a slow holder outlives", func(t *Times) { t.Wait = t.Lease }},
	} {
		bad := For(Default)
		test.change(&bad)
		if bad.Validate() == nil {
			t.Errorf("%s: %+v is accepted", test.name, bad)
		}
	}
}

func TestClock(t *testing.T) {
	before := Now()
	time.Sleep(time.Millisecond) // the thing measured
	if d := Since(before); d < time.Millisecond || d > time.Minute {
		t.Errorf("a millisecond took %v", d)
	}
	end := Now().Add(time.Hour)
	if left := Until(end); left > time.Hour || left < 59*time.Minute {
		t.Errorf("%v left of an hour", left)
	}
	if before <= 0 || end.Sub(before) < time.Hour {
		t.Errorf("%d, %d", before, end)
	}
}

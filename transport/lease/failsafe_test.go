package lease

import (
	"testing"
	"time"
)

func TestFailsafeTimes(t *testing.T) {
	for _, test := range []struct {
		name   string
		change func(*Times)
	}{
		{"no failsafe lease", func(t *Times) { t.Failsafe = 0 }},
		{"longer than the lease", func(t *Times) { t.Failsafe = t.Lease + 1; t.Promise = 2 * t.Lease }},
		{"a promise that a slow asker outlives", func(t *Times) { t.Promise = t.Failsafe }},
		{"rounds before a heartbeat is late", func(t *Times) { t.Round = t.Lease / 3 }},
		{"no time for a round", func(t *Times) { t.Round = 0 }},
		{"few rounds", func(t *Times) { t.Again = t.Failsafe/4 + 1 }},
	} {
		bad := For(Default)
		test.change(&bad)
		if bad.Validate() == nil {
			t.Errorf("%s: %+v is accepted", test.name, bad)
		}
	}
	d := For(Default)
	if d.Promise < 2070*time.Millisecond || d.Silence() != 700*time.Millisecond {
		t.Errorf("%+v, silence %v", d, d.Silence())
	}
}

// TestLent: on the slowest borrower's clock what is lent is over before the
// lender's server begins to be read-only on the fastest lender's.
func TestLent(t *testing.T) {
	for _, length := range []time.Duration{Shortest, Default, Longest} {
		d := For(length)
		for left := time.Duration(0); left <= 2*length; left += length / 7 {
			lent := d.Lent(left)
			if real := float64(lent) * (1 + clockError); real > float64(max(0, min(left, length)-d.Fence))*(1-clockError)*(1+1e-9) {
				t.Errorf("%v left of %v: %v are lent", left, length, lent)
			}
		}
		if d.Lent(d.Fence) != 0 || d.Lent(-1) != 0 || d.Lent(length) < length/2 {
			t.Errorf("%v: %v, %v", length, d.Lent(d.Fence), d.Lent(length))
		}
	}
}

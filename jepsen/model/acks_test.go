package model

import (
	"strings"
	"testing"
)

// TestAcks (R20): what is so was recorded before, and is recorded until after; without any of the guards that is wrong.
func TestAcks(t *testing.T) {
	search := func(off func(AcksGuard) bool) (states int, wrong string) {
		for _, agent := range []int{ofReplica, ofPrimary} {
			n, found := (&acksModel{agent: agent, off: off, changes: 6}).search()
			if states += n; found != "" {
				return states, found
			}
		}
		return states, ""
	}
	states, wrong := search(func(AcksGuard) bool { return false })
	if wrong != "" || states < 1000 {
		t.Errorf("with all guards: %d states, %q", states, wrong)
	}
	t.Logf("%d states", states)
	for g := range numAcksGuards {
		if without, wrong := search(func(o AcksGuard) bool { return o == g }); !strings.HasPrefix(wrong, "R20") {
			t.Errorf("without guard %d: %d states, and nothing is wrong", g, without)
		}
	}
}

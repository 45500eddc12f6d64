//go:build control

package keeper

import "time"

var wallClock, unprovenGrants, noWaits bool

// Break measures times to live on the wall clock, grants leases without proof of
// leadership (R1), or waits for nobody's lease (R2). It exists only in builds with
// the tag "control", to show that the tests which should notice do, and is
// called before New.
func Break(wall, grants, waits bool) { wallClock, unprovenGrants, noWaits = wall, grants, waits }

// now is the time that times to live are measured with.
func now() time.Time {
	if wallClock {
		return time.Now().Round(0) // without its monotonic reading
	}
	return time.Now()
}

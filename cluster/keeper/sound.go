//go:build !control

package keeper

import "time"

// What a build with the tag "control" can switch off, to show that the tests
// which should notice do.
const (
	unprovenGrants = false // leases are granted without proof of leadership (R1)
	noWaits        = false // nobody's lease is waited for (R2)
)

// now is the time that times to live are measured with: monotonic.
func now() time.Time { return time.Now() }

//go:build !control

package keeper

import "time"

// now is the time that times to live are measured with: monotonic.
func now() time.Time { return time.Now() }

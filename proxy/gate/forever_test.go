package gate

import (
	"math"

	"github.com/zerokeeper/zero/transport/lease"
)

// forever is the end of a lease that no test sees.
const forever = lease.Instant(math.MaxInt64)

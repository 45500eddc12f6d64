package lease

import (
	"fmt"
	"syscall"
	"time"
	"unsafe"
)

// Instant is a moment on the clock of leases, in nanoseconds since the machine
// was started. Zero is before all leases.
type Instant int64

// clockBoottime is CLOCK_BOOTTIME: monotonic, and it counts suspend, which Go's
// monotonic clock does not.
const clockBoottime = 7

// Now is this moment.
func Now() Instant {
	var ts syscall.Timespec
	if _, _, errno := syscall.RawSyscall(syscall.SYS_CLOCK_GETTIME, clockBoottime, uintptr(unsafe.Pointer(&ts)), 0); errno != 0 {
		panic(fmt.Sprintf("lease: clock_gettime(CLOCK_BOOTTIME): %v", errno)) // every Linux since 2.6.39 has it
	}
	return Instant(ts.Nano())
}

// Add is the instant d later.
func (i Instant) Add(d time.Duration) Instant { return i + Instant(d) }

// Sub is the time from j to i.
func (i Instant) Sub(j Instant) time.Duration { return time.Duration(i - j) }

// Until is the time from now to i, negative when it is over.
func Until(i Instant) time.Duration { return i.Sub(Now()) }

// Since is the time from i to now.
func Since(i Instant) time.Duration { return Now().Sub(i) }

//go:build !control

package fsm

// What a build with the tag "control" can switch off, to show that the tests
// which should notice do.
const (
	ignoreSums     = false // checksums of log entries
	ignoreSessions = false // retries happen again
)

//go:build control

package fsm

var ignoreSums, ignoreSessions bool

// Break switches off checksums of log entries, or the memory of sessions. It
// exists only in builds with the tag "control" and is called before the first
// command.
func Break(sums, sessions bool) { ignoreSums, ignoreSessions = sums, sessions }

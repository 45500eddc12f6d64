//go:build control

package mysql

var leases = true

// Break relays an OK whatever has become of the lease and the primary (R12c), as a
// build with the tag "nolease" does. It exists only in builds with the tag
// "control", and is called before the proxy serves.
func Break(checks bool) { leases = !checks }

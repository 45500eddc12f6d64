//go:build nolease && !control

package mysql

// leases: the negative control. An OK is relayed whatever has become of the lease and the primary, and what is in
// flight goes on.
const leases = false

//go:build !nolease && !control

package mysql

// leases: an OK is relayed only while the lease lives and the primary is the one that it came from (R12c), and the end
// of a lease ends what is in flight (R12d).
const leases = true

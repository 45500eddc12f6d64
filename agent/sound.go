//go:build !control

package agent

// What a build with the tag "control" can switch off, to show that the tests
// which should notice do.
const (
	ignoreStamps = false // orders and grants of any stamp are obeyed (R8)
	forgetful    = false // nothing is on the disk before an answer (R16)
)

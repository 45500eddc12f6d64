//go:build control

package agent

var ignoreStamps, forgetful bool

// Break obeys orders and grants of any stamp (R8), or writes down nothing (R16).
// It exists only in builds with the tag "control", to show that the tests which
// should notice do, and is called before Open.
func Break(stamps, memory bool) { ignoreStamps, forgetful = stamps, memory }

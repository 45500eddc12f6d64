//go:build control

package proxy

var ignoreStamps bool

// Break obeys orders and grants of any stamp (R8). It exists only in builds with
// the tag "control", to show that the tests which should notice do, and is
// called before New.
func Break(stamps bool) { ignoreStamps = stamps }

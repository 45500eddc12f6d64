//go:build !control

package proxy

// ignoreStamps is what a build with the tag "control" can do, to show that the
// tests which should notice do: obey orders and grants of any stamp (R8).
const ignoreStamps = false

//go:build !faultpoint

package faultpoint

// Reach does nothing in this build.
func Reach(string) {}

// Armed is false in this build.
func Armed(...string) bool { return false }

//go:build !faultpoint

package faultpoint

import (
	"os"
	"testing"
)

// TestOff: the programs that people run have no points.
func TestOff(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("ZERO_FAULTPOINT_DIR", dir)
	Reach("a/b/c")
	if Armed("a/b/c") {
		t.Error("a point is armed")
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("something was written: %v, %v", left, err)
	}
}

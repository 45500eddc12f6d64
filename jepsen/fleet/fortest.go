package fleet

import (
	"os"
	"strconv"
)

// TB is what ForTest needs of a *testing.T or *testing.B.
type TB interface {
	Helper()
	Cleanup(func())
	Failed() bool
	Logf(format string, args ...any)
	Errorf(format string, args ...any)
	Fatalf(format string, args ...any)
	Skipf(format string, args ...any)
}

// ForTest makes a fleet that is closed at the end of the test. A process that ended by itself, or had to be killed, fails
// the test; the directory of a failed test is kept when ZERO_KEEP_FAILED is true.
func ForTest(t TB, opts Options) *Fleet {
	t.Helper()
	if keep, err := strconv.ParseBool(os.Getenv("ZERO_KEEP_FAILED")); err == nil && keep {
		opts.KeepOnFailure = true
	}
	f, err := New(opts)
	if err != nil {
		t.Fatalf("new fleet: %v", err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			f.Fail()
		}
		if err := f.Close(); err != nil {
			t.Errorf("close the fleet: %v", err)
		}
	})
	return f
}

// NeedMaria skips the test, and says so, where MariaDB is not installed; with CI=true it fails it.
func NeedMaria(t TB) {
	t.Helper()
	for _, name := range []string{"mariadbd", "mariadb-install-db"} {
		if _, err := lookProgram(name); err != nil {
			needed(t, name, err)
		}
	}
}

func needed(t TB, what string, err error) {
	t.Helper()
	if ci, perr := strconv.ParseBool(os.Getenv("CI")); perr == nil && ci {
		t.Fatalf("%s is missing, and in CI nothing is skipped: %v", what, err)
	}
	t.Skipf("NOT TESTED: %s is missing: %v", what, err)
}

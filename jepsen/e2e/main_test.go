package e2e

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"
	"github.com/hashicorp/go-hclog"
	"go.uber.org/goleak"

	"github.com/zerokeeper/zero/jepsen/fleet"
)

// tailLines is how much of each log a failed test shows; of a database's less.
const (
	tailLines      = 20
	mariaTailLines = 5
)

// TestMain builds the programs, once for all tests, unless ZERO_BIN says where
// they are.
func TestMain(m *testing.M) {
	// The driver complains of connections that were lost; here that is on purpose.
	if err := mysql.SetLogger(hclog.NewNullLogger().StandardLogger(nil)); err != nil {
		fmt.Fprintln(os.Stderr, "e2e:", err)
		os.Exit(1)
	}
	if os.Getenv("ZERO_BIN") != "" {
		goleak.VerifyTestMain(m)
		return
	}
	dir, err := buildPrograms()
	if err != nil {
		fmt.Fprintln(os.Stderr, "e2e:", err)
		os.Exit(1)
	}
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		if err := os.RemoveAll(dir); err != nil {
			fmt.Fprintln(os.Stderr, "e2e:", err)
			code = max(code, 1)
		}
		os.Exit(code)
	}))
}

// buildPrograms builds into a new directory and names it in ZERO_BIN.
func buildPrograms() (dir string, err error) {
	if dir, err = os.MkdirTemp("", "zero-bin-"); err != nil {
		return "", err
	}
	f, err := fleet.New(fleet.Options{})
	if err != nil {
		return dir, err
	}
	defer f.Close() // it has no process: nothing can be wrong
	if err := f.Build(context.Background(), dir); err != nil {
		return dir, err
	}
	return dir, os.Setenv("ZERO_BIN", dir)
}

// limit is a context for a whole test.
func limit(t *testing.T, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

// newFleet makes a fleet. At the test's end its logs are searched for crashes;
// those of a failed test are shown, and its directory is kept.
func newFleet(t *testing.T) *fleet.Fleet {
	t.Helper()
	f := fleet.ForTest(t, fleet.Options{KeepOnFailure: true})
	t.Cleanup(func() { // runs before the fleet is closed
		for _, line := range grep(t, f, crash) {
			t.Errorf("a process crashed: %s", line)
		}
		if t.Failed() {
			showLogs(t, f)
		}
	})
	return f
}

// crash is what a Go program writes when it dies, or when two goroutines race.
var crash = regexp.MustCompile(`^(panic:|fatal error:|WARNING: DATA RACE|goroutine \d+ \[)`)

// logs are the log files of a fleet's processes, by name.
func logs(t *testing.T, f *fleet.Fleet) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(f.Dir(), "*.log"))
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(files)
	return files
}

// grep is every line of a fleet's logs that matches, with the log's name.
func grep(t *testing.T, f *fleet.Fleet, pattern *regexp.Regexp) []string {
	t.Helper()
	var found []string
	for _, file := range logs(t, f) {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(data)) {
			if line = strings.TrimRight(line, "\n"); pattern.MatchString(line) {
				found = append(found, filepath.Base(file)+": "+line)
			}
		}
	}
	return found
}

// showLogs prints the end of every log.
func showLogs(t *testing.T, f *fleet.Fleet) {
	t.Helper()
	for _, file := range logs(t, f) {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Log(err)
			continue
		}
		lines, show := strings.Split(strings.TrimRight(string(data), "\n"), "\n"), tailLines
		if strings.HasPrefix(filepath.Base(file), "db") {
			show = mariaTailLines
		}
		t.Logf("the end of %s:\n%s", filepath.Base(file), strings.Join(lines[max(len(lines)-show, 0):], "\n"))
	}
}

// eventually fails the test unless fn succeeds within d.
func eventually(t *testing.T, ctx context.Context, d time.Duration, what string, fn func(ctx context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	if err := fleet.Eventually(ctx, 20*time.Millisecond, fn); err != nil {
		t.Fatalf("%s: %v", what, err)
	}
}

package e2e

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/zerokeeper/zero/jepsen/fleet"
)

// Exit codes of zeroctl, as "zeroctl help exit-codes" documents them.
const (
	exitOK          = 0
	exitFailed      = 1
	exitUnreachable = 2
	exitBadInput    = 3
	exitRefused     = 4
	exitUnhealthy   = 5
)

// zeroctl runs zeroctl against the fleet's keepers, and fails the test unless it
// ends with that code.
func zeroctl(t *testing.T, ctx context.Context, f *fleet.Fleet, want int, args ...string) fleet.Result {
	t.Helper()
	return program(t, ctx, f, want, "zeroctl", append([]string{"--keepers", f.KeeperAddrs()}, args...)...)
}

// program runs one of zero's programs, and fails the test unless it ends with
// that code.
func program(t *testing.T, ctx context.Context, f *fleet.Fleet, want int, name string, args ...string) fleet.Result {
	t.Helper()
	result := run(t, ctx, f, name, args...)
	if result.Code != want {
		t.Fatalf("%s %s: exit %d, want %d\n%s%s", name, strings.Join(args, " "), result.Code, want, result.Stdout, result.Stderr)
	}
	return result
}

// run runs one of zero's programs to its end.
func run(t *testing.T, ctx context.Context, f *fleet.Fleet, name string, args ...string) fleet.Result {
	t.Helper()
	bin, err := f.BinDir(ctx)
	if err != nil {
		t.Fatal(err)
	}
	result, err := f.Run(ctx, filepath.Join(bin, name), args...)
	if err != nil {
		t.Fatal(err)
	}
	return result
}

// zeroctlJSON is zeroctl with -o json, whose answer it decodes.
func zeroctlJSON(t *testing.T, ctx context.Context, f *fleet.Fleet, want int, into any, args ...string) {
	t.Helper()
	result := zeroctl(t, ctx, f, want, append([]string{"-o", "json"}, args...)...)
	if err := json.Unmarshal([]byte(result.Stdout), into); err != nil {
		t.Fatalf("zeroctl -o json %s: %v in %q", strings.Join(args, " "), err, result.Stdout)
	}
}

// ask is zeroctlJSON for where it is tried again: an answer other than that with
// exit code 0 is an error.
func ask(ctx context.Context, f *fleet.Fleet, into any, args ...string) error {
	result, err := f.Zeroctl(ctx, append([]string{"-o", "json"}, args...)...)
	if err != nil {
		return err
	}
	if result.Code != exitOK {
		return fmt.Errorf("zeroctl %s: exit %d: %s%s", strings.Join(args, " "), result.Code, result.Stdout, result.Stderr)
	}
	return json.Unmarshal([]byte(result.Stdout), into)
}

// failure is the error of an answer in JSON.
type failure struct {
	Error struct {
		Code    int    `json:"code"`
		Message string `json:"message"`
		Exit    int    `json:"exit"`
	} `json:"error"`
}

// refusal runs zeroctl -o json and fails the test unless it ends with that exit
// code, and with that code in the answer's error.
func refusal(t *testing.T, ctx context.Context, f *fleet.Fleet, exit, code int, args ...string) string {
	t.Helper()
	var answer failure
	zeroctlJSON(t, ctx, f, exit, &answer, args...)
	if answer.Error.Code != code || answer.Error.Exit != exit || answer.Error.Message == "" {
		t.Fatalf("zeroctl %s: the answer's error is %+v, want code %d and a message", strings.Join(args, " "), answer.Error, code)
	}
	return answer.Error.Message
}

// has fails the test unless the text contains each part.
func has(t *testing.T, what, text string, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if !strings.Contains(text, part) {
			t.Fatalf("%s: no %q in:\n%s", what, part, cmp.Or(text, "(nothing)"))
		}
	}
}

// write makes a file in the fleet's directory.
func write(t *testing.T, f *fleet.Fleet, name, content string) (path string) {
	t.Helper()
	path = filepath.Join(f.Dir(), name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

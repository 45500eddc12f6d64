package fleet

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"testing"
	"time"
)

func TestRun(t *testing.T) {
	f := newTestFleet(t)
	res, err := f.RunInput(limited(t), "hello\n", "sh", "-c", "cat; echo oops >&2; exit 4")
	if err != nil {
		t.Fatal(err)
	}
	if res.Stdout != "hello\n" || res.Stderr != "oops\n" || res.Code != 4 {
		t.Errorf("got %+v", res)
	}
	if _, err := f.Run(limited(t), "no-such-program"); err == nil {
		t.Error("a program that is not there was run")
	}
	if err := f.Close(); err != nil {
		t.Errorf("a command's end counts as a process that ended by itself: %v", err)
	}
}

func TestRunIsKilledWithItsGroup(t *testing.T) {
	f := newTestFleet(t)
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	res, err := f.Run(ctx, "sh", "-c", "sleep 1000 & echo $!; wait")
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v, want the deadline", err)
	}
	child, err := strconv.Atoi(strings.TrimSpace(res.Stdout))
	if err != nil {
		t.Fatal(err)
	}
	gone(t, child)
}

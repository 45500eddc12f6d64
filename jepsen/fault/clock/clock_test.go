package clock

import (
	"context"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

func newClock(t *testing.T) *Clock {
	t.Helper()
	c, err := New(filepath.Join(t.TempDir(), "clock"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return c
}

// offset is what a process reads.
func offset(t *testing.T, c *Clock) time.Duration {
	t.Helper()
	path, ok := strings.CutPrefix(c.Env()[0], "ZERO_CLOCK=")
	if !ok || len(c.Env()) != 1 {
		t.Fatalf("the environment is %q", c.Env())
	}
	text, err := os.ReadFile(path)
	if err != nil || len(text) != fileSize {
		t.Fatalf("the file has %d bytes, %v", len(text), err)
	}
	return time.Duration(binary.NativeEndian.Uint64(text))
}

func TestSet(t *testing.T) {
	c := newClock(t)
	tests := []struct {
		name  string
		to    time.Duration
		bad   bool
		jumps uint64
	}{
		{name: "nothing", to: 0, jumps: 0},
		{name: "forward", to: 24 * time.Hour, jumps: 1},
		{name: "again", to: 24 * time.Hour, jumps: 1},
		{name: "back", to: -time.Nanosecond, jumps: 2},
		{name: "too far", to: maxOffset + 1, bad: true, jumps: 2},
		{name: "too far back", to: -maxOffset - 1, bad: true, jumps: 2},
	}
	var last time.Duration
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if err := c.Set(tt.to); (err != nil) != tt.bad {
				t.Errorf("got %v", err)
			}
			if !tt.bad {
				last = tt.to
			}
			if got := offset(t, c); got != last || c.Jumps() != tt.jumps {
				t.Errorf("the offset is %v after %d jumps, want %v after %d", got, c.Jumps(), last, tt.jumps)
			}
		})
	}
}

func TestClose(t *testing.T) {
	c := newClock(t)
	if _, err := New(c.path); !errors.Is(err, os.ErrExist) {
		t.Errorf("a second clock on the same file: %v", err)
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(c.path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the file is left behind: %v", err)
	}
	if err := c.Set(0); !errors.Is(err, os.ErrClosed) {
		t.Errorf("Set after Close: %v", err)
	}
	if _, err := New(filepath.Join(t.TempDir(), "none", "clock")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("in a directory that is not there: %v", err)
	}
}

func TestStrobe(t *testing.T) {
	c := newClock(t)
	strobe := func(seed uint64) []time.Duration {
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- c.Strobe(ctx, rand.New(rand.NewPCG(seed, 0)), time.Hour, 5*time.Millisecond) }()
		var seen []time.Duration
		for len(seen) < 3 {
			if o := offset(t, c); o != 0 && !slices.Contains(seen, o) {
				seen = append(seen, o)
			}
		}
		cancel()
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		if o := offset(t, c); o != 0 {
			t.Errorf("after Strobe the offset is %v", o)
		}
		return seen
	}
	first := strobe(1)
	for _, o := range first {
		if o.Abs() > time.Hour {
			t.Errorf("an offset of %v", o)
		}
	}
	if other := strobe(2); slices.Equal(first, other) {
		t.Error("the seed does not matter")
	}
	for _, bad := range [][2]time.Duration{{0, 1}, {1, 0}, {maxOffset + 1, 1}} {
		if err := c.Strobe(t.Context(), rand.New(rand.NewPCG(1, 0)), bad[0], bad[1]); err == nil {
			t.Errorf("a strobe of %v was taken", bad)
		}
	}
}

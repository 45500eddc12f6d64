package ctl

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/zerokeeper/zero/transport/api"
)

// TestProgress: what takes long says so on a terminal, and leaves nothing of it.
func TestProgress(t *testing.T) {
	slow := func(d time.Duration) *fake {
		f := healthy()
		f.handlers[api.ProxyActivate] = func([]byte) (any, error) { time.Sleep(d); return struct{}{}, nil }
		return f
	}
	for _, test := range []struct {
		name string
		tty  bool
		took time.Duration
		want bool
	}{
		{"long", true, 3 * time.Second, true},
		{"short", true, 100 * time.Millisecond, false},
		{"no terminal", false, 3 * time.Second, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				got := run{fake: slow(test.took), tty: test.tty}.do("proxy", "activate", "p1")
				if got.code != 0 || strings.Contains(got.err, "activating proxy p1 … 2 s") != test.want {
					t.Errorf("exit %d, progress: %q", got.code, got.err)
				}
				if test.want && !strings.HasSuffix(got.err, "\r\x1b[K") {
					t.Errorf("the line is left: %q", got.err)
				}
				if strings.Contains(got.err, "waiting for the keepers") {
					t.Errorf("two lines at a time: %q", got.err)
				}
				if !test.want && got.err != "" {
					t.Errorf("progress without need: %q", got.err)
				}
			})
		})
	}
}

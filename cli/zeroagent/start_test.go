package main

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// TestAwaitStart: it waits for as long as the agent says no, and gives up with the reason.
func TestAwaitStart(t *testing.T) {
	var asked atomic.Int32
	agent := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != startPath {
			t.Errorf("asked %s", r.URL.Path)
		}
		if asked.Add(1) < 3 {
			http.Error(w, "a switch is open", http.StatusServiceUnavailable)
		}
	}))
	defer agent.Close()
	if err := awaitStart(t.Context(), agent.URL+startPath); err != nil || asked.Load() != 3 {
		t.Errorf("asked %d times: %v", asked.Load(), err)
	}
	asked.Store(-1 << 20)
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if err := awaitStart(ctx, agent.URL+startPath); err == nil || !strings.Contains(err.Error(), "a switch is open") {
		t.Errorf("without a yes: %v", err)
	}
}

// TestAwaitStartCommand: without an agent the server is started all the same, and it is said.
func TestAwaitStartCommand(t *testing.T) {
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	for _, test := range []struct {
		name, wait string
		fails      bool
		says       string
	}{
		{"no agent", "50ms", false, "not waiting longer than 50ms"},
		{"no wait", "0s", true, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			cmd := new(options).awaitStartCommand()
			var out strings.Builder
			cmd.SetErr(&out)
			cmd.SetOut(&out)
			cmd.SetArgs([]string{"--agent", strings.TrimPrefix(gone.URL, "http://"), "--wait", test.wait})
			err := cmd.ExecuteContext(t.Context())
			if (err != nil) != test.fails || !strings.Contains(out.String(), test.says) {
				t.Errorf("error %v, said %q", err, out.String())
			}
		})
	}
}

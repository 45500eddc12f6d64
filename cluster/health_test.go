package cluster

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/zerokeeper/zero/transport/api"
)

func ask(h http.Handler, path string) (int, string) {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
	return w.Code, w.Body.String()
}

func TestHealthPaths(t *testing.T) {
	h := NewHealth(prometheus.NewRegistry())
	var sick atomic.Bool
	h.AddLive("alive", func(context.Context) error { return nil })
	h.AddReady("fed", func(context.Context) error {
		if sick.Load() {
			return errors.New("hungry")
		}
		return nil
	})
	handler := h.Handler()
	check := func(path string, code int, want ...string) {
		t.Helper()
		got, body := ask(handler, path)
		if got != code {
			t.Errorf("%s: %d, want %d: %s", path, got, code, body)
		}
		for _, w := range want {
			if !strings.Contains(body, w) {
				t.Errorf("%s: %q lacks %q", path, body, w)
			}
		}
	}
	check("/livez", 200, "ok")
	check("/readyz", 200, "ok")
	check("/readyz?verbose", 200, "[+]alive ok", "[+]fed ok", "readyz check passed")
	check("/leaderz", 503)
	check("/nowhere", 404)
	check("/metrics", 200)
	sick.Store(true)
	check("/livez", 200)
	check("/readyz", 503, "[-]fed failed: hungry", "readyz check failed")
	check("/readyz?exclude=fed", 200, "ok")
	check("/readyz?verbose&exclude=fed&exclude=thirst", 200, "[+]fed excluded", `no check is named "thirst"`)
	w := httptest.NewRecorder()
	handler.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/readyz", nil))
	if w.Code != http.StatusMethodNotAllowed {
		t.Errorf("POST: %d", w.Code)
	}
}

// Requests that come at once share one run, and a check that hangs is one
// goroutine.
func TestHealthChecksAreShared(t *testing.T) {
	h := NewHealth(prometheus.NewRegistry())
	var runs atomic.Int32
	release := make(chan struct{})
	h.AddLive("slow", func(context.Context) error {
		runs.Add(1)
		<-release
		return nil
	})
	var wg sync.WaitGroup
	first := h.live[0].start()
	for range 10 {
		wg.Go(func() {
			if code, body := ask(h.Handler(), "/livez"); code != 200 {
				t.Errorf("%d: %s", code, body)
			}
		})
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := h.live[0].run(ctx); err == nil {
		t.Error("a check that hangs passed")
	}
	close(release)
	<-first.done
	wg.Wait()
	if n := runs.Load(); n > 11 {
		t.Errorf("%d runs", n)
	}
}

func TestHealthOfANode(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	lonely := f.mustOpen(f.config("k1", 3, f.reserve("k2", "k3")...))
	h := NewHealth(lonely.cfg.Registry)
	lonely.AddHealth(h)
	if code, body := ask(h.Handler(), "/livez"); code != 200 {
		t.Errorf("a keeper that waits for others is not live: %s", body)
	}
	f.eventually("it says what it waits for", func() bool {
		code, body := ask(h.Handler(), "/readyz")
		return code == 503 && strings.Contains(body, "1 of 3")
	})

	nodes := newFleet(t).group(3)
	leaders := 0
	for _, n := range nodes {
		h := NewHealth(n.cfg.Registry)
		n.AddHealth(h)
		f.eventually("ready", func() bool { code, _ := ask(h.Handler(), "/readyz?verbose"); return code == 200 })
		code, body := ask(h.Handler(), "/leaderz")
		switch {
		case code == 200:
			leaders++
		case !strings.Contains(body, "ask 127.0.0.1:") && !strings.Contains(body, "leader"):
			t.Errorf("a follower's /leaderz: %s", body)
		}
		_, metrics := ask(h.Handler(), "/metrics")
		for _, name := range []string{
			"term", "applied_index", "commit_index", "is_leader", "peers", "voters", "ready", "raft_db_bytes", "leader_contact_seconds",
			"store_write_seconds_count", "snapshot_bytes", "proofs_total", "leader_changes_total",
		} {
			if !strings.Contains(metrics, "\nzero_cluster_"+name+" ") {
				t.Errorf("no metric zero_cluster_%s", name)
			}
		}
	}
	if leaders > 1 {
		t.Errorf("%d leaders", leaders)
	}

	lonely.fail(api.ErrNotReady)
	if code, _ := ask(h.Handler(), "/livez"); code != 503 {
		t.Errorf("a keeper that ended is live")
	}
}

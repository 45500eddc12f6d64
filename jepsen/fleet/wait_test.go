package fleet

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

func TestEventually(t *testing.T) {
	calls := 0
	if err := Eventually(limited(t), time.Microsecond, func(ctx context.Context) error {
		if _, has := ctx.Deadline(); !has {
			t.Error("an attempt without a deadline")
		}
		if calls++; calls < 3 {
			return errors.New("not yet")
		}
		return nil
	}); err != nil || calls != 3 {
		t.Errorf("%d calls, %v", calls, err)
	}

	notYet, cause := errors.New("not yet"), errors.New("the operator gave up")
	ctx, cancel := context.WithCancelCause(t.Context())
	err := Eventually(ctx, time.Hour, func(context.Context) error {
		cancel(cause)
		return notYet
	})
	if !errors.Is(err, notYet) || !errors.Is(err, cause) {
		t.Errorf("got %v, want the cause and the last error", err)
	}
	if err := Eventually(context.Background(), time.Millisecond, func(context.Context) error { return nil }); err == nil {
		t.Error("a wait without a bound was accepted")
	}
}

func TestWaitHTTP(t *testing.T) {
	var asked atomic.Int32
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if asked.Add(1) < 3 {
			http.Error(w, "no leader", http.StatusServiceUnavailable)
		}
	}))
	defer srv.Close()
	if err := WaitHTTP(limited(t), srv.URL, StatusOK); err != nil {
		t.Fatal(err)
	}
	if n := asked.Load(); n != 3 {
		t.Errorf("asked %d times, want 3", n)
	}
	asked.Store(-1 << 30)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := WaitHTTP(ctx, srv.URL, StatusOK); err == nil || !strings.Contains(err.Error(), "no leader") {
		t.Errorf("got %v, want the server's last answer in it", err)
	}
}

func TestProcWaitHTTPSeesTheEnd(t *testing.T) {
	f := newTestFleet(t)
	ports, err := f.FreePorts(1)
	if err != nil {
		t.Fatal(err)
	}
	p := shell(t, f, "p", "sleep 0.05; echo the disk is full; exit 1")
	p.ExpectEnd()
	err = p.WaitHTTP(limited(t), "http://"+loopback(ports[0])+"/readyz", StatusOK)
	if err == nil || !strings.Contains(err.Error(), "exit 1") || !strings.Contains(err.Error(), "the disk is full") {
		t.Errorf("got %v, want the end of the process and its log", err)
	}
	if !strings.Contains(p.LogTail(1), "the disk is full") || strings.Contains(p.LogTail(1), "---") {
		t.Errorf("the last line of the log: %q", p.LogTail(1))
	}
}

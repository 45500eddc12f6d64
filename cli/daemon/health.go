package daemon

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// checkTimeout bounds one health check.
const checkTimeout = 2 * time.Second

// Check is a named reason to be unhealthy.
type Check struct {
	Name string // lower case, words joined by "-"
	// Live makes it a check of /livez too: its failure means that only a
	// restart helps. Every check is one of /readyz.
	Live bool
	// Run is nil when all is well. It may be called from several goroutines
	// and must obey its context, which ends after two seconds.
	Run func(ctx context.Context) error
}

// errNotReady is why a daemon that has not called Ready(true) is not ready.
var errNotReady = errors.New("starting")

// health holds a daemon's checks and its readiness.
type health struct {
	mu     sync.RWMutex
	checks []Check
	state  error // nil when ready
	gauge  *prometheus.GaugeVec
}

func newHealth(registry *prometheus.Registry) *health {
	h := &health{state: errNotReady, gauge: prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "zero_daemon_check_ok", Help: "1 when the health check passed the last time it was asked for, by name.",
	}, []string{"check"})}
	registry.MustRegister(h.gauge)
	return h
}

// add appends a check. A name that is there is replaced.
func (h *health) add(c Check) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.checks = slices.DeleteFunc(h.checks, func(o Check) bool { return o.Name == c.Name })
	h.checks = append(h.checks, c)
}

// setState makes the daemon ready (nil) or says why it is not.
func (h *health) setState(err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.state = err
}

// list is what /livez or /readyz asks.
func (h *health) list(live bool) []Check {
	h.mu.RLock()
	defer h.mu.RUnlock()
	if live {
		return slices.DeleteFunc(slices.Clone(h.checks), func(c Check) bool { return !c.Live })
	}
	state := h.state
	started := Check{Name: "started", Run: func(context.Context) error { return state }}
	return append([]Check{started}, h.checks...)
}

// handler answers 200 when every check passes and 503 else. It lists the checks
// when one failed or when ?verbose asks for it; ?exclude=NAME, which may be
// repeated, leaves a check out.
func (h *health) handler(live bool) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		query := r.URL.Query()
		var report strings.Builder
		healthy := true
		for _, c := range h.list(live) {
			if slices.Contains(query["exclude"], c.Name) {
				fmt.Fprintf(&report, "[-] %s excluded\n", c.Name)
				continue
			}
			err := run(r.Context(), c)
			value := 1.0
			if err != nil {
				healthy, value = false, 0
				fmt.Fprintf(&report, "[!] %s: %s\n", c.Name, strings.ReplaceAll(err.Error(), "\n", "; "))
			} else {
				fmt.Fprintf(&report, "[+] %s ok\n", c.Name)
			}
			h.gauge.WithLabelValues(c.Name).Set(value)
		}
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.Header().Set("Cache-Control", "no-store")
		if !healthy {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
		if _, verbose := query["verbose"]; verbose || !healthy {
			fmt.Fprint(w, report.String())
		}
		if healthy {
			fmt.Fprintln(w, "ok")
		}
	})
}

// run runs a check with its bound.
func run(ctx context.Context, c Check) error {
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	return c.Run(ctx)
}

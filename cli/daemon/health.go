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
	checks []*probe
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
	h.checks = slices.DeleteFunc(h.checks, func(p *probe) bool { return p.Name == c.Name })
	h.checks = append(h.checks, &probe{Check: c})
}

// setState makes the daemon ready (nil) or says why it is not.
func (h *health) setState(err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.state = err
}

// list is what /livez or /readyz asks.
func (h *health) list(live bool) []*probe {
	h.mu.RLock()
	defer h.mu.RUnlock()
	if live {
		return slices.DeleteFunc(slices.Clone(h.checks), func(p *probe) bool { return !p.Live })
	}
	state := h.state
	started := &probe{Check: Check{Name: "started", Run: func(context.Context) error { return state }}}
	return append([]*probe{started}, h.checks...)
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
			err := c.run(r.Context())
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

// probe is a check whose runs are shared: requests that come while it runs wait
// for the same answer, so that a check that hangs is one goroutine however often
// it is asked for.
type probe struct {
	Check
	mu      sync.Mutex
	current *probing // nil while the check does not run
}

type probing struct {
	done chan struct{}
	err  error
}

// run is the check's answer, within checkTimeout.
func (p *probe) run(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	now := p.start()
	select {
	case <-now.done:
		return now.err
	case <-ctx.Done():
		return fmt.Errorf("the check did not answer within %v", checkTimeout)
	}
}

// start runs the check, unless it runs already. Its time does not end with the
// request that started it: others may wait too.
func (p *probe) start() *probing {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.current != nil {
		return p.current
	}
	now := &probing{done: make(chan struct{})}
	p.current = now
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), checkTimeout)
		defer cancel()
		now.err = p.Run(ctx)
		p.mu.Lock()
		p.current = nil
		p.mu.Unlock()
		close(now.done)
	}()
	return now
}

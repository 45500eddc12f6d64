package cluster

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
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/zerokeeper/zero/transport/api"
)

const (
	checkTimeout   = 2 * time.Second // for one check
	metricsTimeout = 10 * time.Second
	maxScrapes     = 4 // at once
)

// Check is nil when all is well; else its error says what is not. It should
// return soon after ctx ends.
type Check func(ctx context.Context) error

// Health answers /livez, /readyz, /leaderz and /metrics.
//
// /livez fails when the process should be restarted, /readyz when it should get
// no requests now. Both name the checks that failed; ?verbose lists all, and
// ?exclude=NAME, repeatable, leaves one out. /leaderz is 200 on the leader only.
type Health struct {
	gatherer prometheus.Gatherer

	mu     sync.Mutex
	live   []*probe
	ready  []*probe
	leader Check
}

// probe is one check. Requests that come while it runs share its answer, so a
// check that hangs is one goroutine however often it is asked for.
type probe struct {
	name string
	do   Check

	mu      sync.Mutex
	current *probing // nil while the check does not run
}

type probing struct {
	done chan struct{}
	err  error
}

// NewHealth serves the metrics of g. Without a check that was added it is live
// and ready, and not the leader.
func NewHealth(g prometheus.Gatherer) *Health { return &Health{gatherer: g} }

// AddLive adds a check to /livez and /readyz.
func (h *Health) AddLive(name string, c Check) {
	h.mu.Lock()
	defer h.mu.Unlock()
	p := &probe{name: name, do: c}
	h.live = append(h.live, p)
	h.ready = append(h.ready, p)
}

// AddReady adds a check to /readyz.
func (h *Health) AddReady(name string, c Check) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ready = append(h.ready, &probe{name: name, do: c})
}

// SetLeader sets what /leaderz asks.
func (h *Health) SetLeader(c Check) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.leader = c
}

// AddHealth adds the node's checks: running, member, leader and caught-up.
func (n *Node) AddHealth(h *Health) {
	h.AddLive("running", func(context.Context) error { return n.usable() })
	h.AddReady("member", func(context.Context) error { return n.joined() })
	h.AddReady("leader", func(context.Context) error { return n.contact() })
	h.AddReady("caught-up", func(context.Context) error { return n.caughtUp() })
	h.SetLeader(func(context.Context) error {
		if err := n.usable(); err != nil {
			return err
		}
		term, leading := n.leads()
		if !leading {
			return n.notLeader()
		}
		if !n.tenures.barrierDone(term) {
			return api.Errorf(api.NotReady, "elected in term %d, not complete yet", term)
		}
		return nil
	})
}

// Handler serves the four paths; others are 404.
func (h *Health) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, r *http.Request) { h.serve(w, r, "livez", h.probes(false)) })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) { h.serve(w, r, "readyz", h.probes(true)) })
	mux.HandleFunc("GET /leaderz", h.serveLeader)
	mux.Handle("GET /metrics", promhttp.HandlerFor(h.gatherer, promhttp.HandlerOpts{MaxRequestsInFlight: maxScrapes, Timeout: metricsTimeout}))
	return mux
}

func (h *Health) probes(ready bool) []*probe {
	h.mu.Lock()
	defer h.mu.Unlock()
	if ready {
		return slices.Clone(h.ready)
	}
	return slices.Clone(h.live)
}

func (h *Health) serve(w http.ResponseWriter, r *http.Request, what string, probes []*probe) {
	query := r.URL.Query()
	_, verbose := query["verbose"]
	excluded := make(map[string]bool)
	for _, name := range query["exclude"] {
		excluded[name] = true
	}
	var lines strings.Builder
	healthy := true
	for _, p := range probes {
		if excluded[p.name] {
			delete(excluded, p.name)
			fmt.Fprintf(&lines, "[+]%s excluded: ok\n", p.name)
			continue
		}
		if err := p.run(r.Context()); err != nil {
			healthy = false
			fmt.Fprintf(&lines, "[-]%s failed: %v\n", p.name, err)
			continue
		}
		fmt.Fprintf(&lines, "[+]%s ok\n", p.name)
	}
	for name := range excluded {
		fmt.Fprintf(&lines, "warn: no check is named %q\n", name)
	}
	switch {
	case !healthy:
		answer(w, http.StatusServiceUnavailable, lines.String()+what+" check failed\n")
	case verbose:
		answer(w, http.StatusOK, lines.String()+what+" check passed\n")
	default:
		answer(w, http.StatusOK, "ok\n")
	}
}

func (h *Health) serveLeader(w http.ResponseWriter, r *http.Request) {
	h.mu.Lock()
	leader := h.leader
	h.mu.Unlock()
	err := errors.New("not a keeper of a group")
	if leader != nil {
		err = leader(r.Context())
	}
	if err != nil {
		answer(w, http.StatusServiceUnavailable, err.Error()+"\n")
		return
	}
	answer(w, http.StatusOK, "ok\n")
}

func answer(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_, _ = w.Write([]byte(text)) // the client went away: nobody is left to tell
}

// run waits for the check, within checkTimeout.
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
		now.err = p.do(ctx)
		p.mu.Lock()
		p.current = nil
		p.mu.Unlock()
		close(now.done)
	}()
	return now
}

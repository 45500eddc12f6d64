package cluster

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

const (
	watchLooks     = 20 // looks at the running calls within DiskTimeout
	snapshotFactor = 10 // times DiskTimeout for one call of the snapshot store: it syncs a whole file
)

// ErrDiskHung is what [Node.Fatal] reports when a call of the store does not
// come back. The node must not be closed then, which would wait for that call:
// the process has to shut its connections down and exit.
var ErrDiskHung = fmt.Errorf("%w: the disk hangs", ErrStore)

// watchdog measures the calls of the store while they run.
//
// A call that hangs blocks raft's main loop, but not the goroutines that send
// heartbeats: a leader on a hung disk would keep the others from electing
// another for as long as it hangs (hashicorp/raft #503). The watchdog ends the
// node, and with it every Raft connection.
//
// A call ages only while the watchdog runs: a process that was stopped (SIGSTOP,
// a suspended machine) in the middle of a call has no hung disk when it goes on.
type watchdog struct {
	limit  time.Duration
	report func(error)

	mu    sync.Mutex
	next  uint64
	calls map[uint64]*storeCall
	last  map[string]time.Duration // of each operation, when it last came back
}

// storeCall is a call that has not come back.
type storeCall struct {
	op    string
	limit time.Duration
	start time.Time
	age   time.Duration // as far as the watchdog saw it
}

func newWatchdog(limit time.Duration, report func(error)) *watchdog {
	return &watchdog{limit: limit, report: report, calls: make(map[uint64]*storeCall), last: make(map[string]time.Duration)}
}

// begin notes a call that may take limit; 0 is DiskTimeout. end takes what it
// returns. A nil watchdog watches nothing.
func (w *watchdog) begin(op string, limit time.Duration) uint64 {
	if w == nil {
		return 0
	}
	if limit == 0 {
		limit = w.limit
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.next++
	w.calls[w.next] = &storeCall{op: op, limit: limit, start: time.Now()}
	return w.next
}

// end notes that a call came back.
func (w *watchdog) end(id uint64) {
	if w == nil {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if c := w.calls[id]; c != nil {
		w.last[c.op] = time.Since(c.start)
		delete(w.calls, id)
	}
}

// run looks at the calls until ctx ends or one hangs, which it reports.
func (w *watchdog) run(ctx context.Context) {
	step := w.limit / watchLooks
	ticker := time.NewTicker(step)
	defer ticker.Stop()
	before := time.Now()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		now := time.Now()
		if err := w.look(now, min(now.Sub(before), 2*step)); err != nil {
			w.report(err)
			return
		}
		before = now
	}
}

// look lets every call age by passed, but by no more than it has run, and
// returns the error of one that is over its limit.
func (w *watchdog) look(now time.Time, passed time.Duration) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, c := range w.calls {
		c.age = min(c.age+passed, now.Sub(c.start))
		if c.age >= c.limit {
			return fmt.Errorf("%w: %q has run for %v (at most %v is allowed). Look at the disk: the kernel's log, its fill, its latency", ErrDiskHung, c.op, now.Sub(c.start).Round(time.Millisecond), c.limit)
		}
	}
	return nil
}

// longest is how long the oldest running call has run.
func (w *watchdog) longest() time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	var most time.Duration
	for _, c := range w.calls {
		most = max(most, time.Since(c.start))
	}
	return most
}

// Describe and Collect make the watchdog a prometheus.Collector.
func (w *watchdog) Describe(out chan<- *prometheus.Desc) {
	out <- runningDesc
	out <- lastDesc
}

var (
	runningDesc = prometheus.NewDesc("zero_cluster_store_running_seconds", "How long the oldest call of the store that has not come back has run; 0 when none runs.", nil, nil)
	lastDesc    = prometheus.NewDesc("zero_cluster_store_last_seconds", "How long the last call of each operation of the store took.", []string{"operation"}, nil)
)

// Collect implements prometheus.Collector.
func (w *watchdog) Collect(out chan<- prometheus.Metric) {
	out <- prometheus.MustNewConstMetric(runningDesc, prometheus.GaugeValue, w.longest().Seconds())
	w.mu.Lock()
	defer w.mu.Unlock()
	for op, took := range w.last {
		out <- prometheus.MustNewConstMetric(lastDesc, prometheus.GaugeValue, took.Seconds(), op)
	}
}

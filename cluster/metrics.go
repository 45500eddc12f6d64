package cluster

import (
	"os"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/zerokeeper/zero/transport/api"
)

// metrics are the node's numbers, named zero_cluster_*. The registry is the
// node's own: they are registered once.
type metrics struct {
	writes        prometheus.Histogram
	proposals     *prometheus.HistogramVec
	proofs        prometheus.Counter
	reads         prometheus.Counter
	snapshotBytes prometheus.Gauge
	leaderChanges prometheus.Counter
	compared      *prometheus.CounterVec
}

func newMetrics() *metrics {
	latency := []float64{.0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5}
	return &metrics{
		writes: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "zero_cluster_store_write_seconds", Help: "Durable writes of log, term and vote, fsync included.", Buckets: latency,
		}),
		proposals: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "zero_cluster_propose_seconds", Help: "Proposals from arrival to outcome: ok, refused, not_done or unknown.", Buckets: latency,
		}, []string{"outcome"}),
		proofs: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "zero_cluster_proofs_total", Help: "Entries committed to prove leadership, each for all readers that waited.",
		}),
		reads: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "zero_cluster_linearizable_reads_total", Help: "Reads that asked for a proof of leadership.",
		}),
		snapshotBytes: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "zero_cluster_snapshot_bytes", Help: "Size of the last snapshot written.",
		}),
		leaderChanges: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "zero_cluster_leader_changes_total", Help: "Changes of the leader seen by this keeper.",
		}),
		compared: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "zero_cluster_state_comparisons_total", Help: "Comparisons of the keepers' states by this leader: agreed (a majority has the same) or undecided.",
		}, []string{"outcome"}),
	}
}

// register adds the histograms and counters, and gauges that look at the node
// when they are scraped.
func (m *metrics) register(reg *prometheus.Registry, n *Node) error {
	gauge := func(name, help string, value func() float64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, value)
	}
	collectors := []prometheus.Collector{
		m.writes, m.proposals, m.proofs, m.reads, m.snapshotBytes, m.leaderChanges, n.watch, m.compared,
		gauge("zero_cluster_disk_free_bytes", "Bytes that are free on the volume of the data directory; 0 in memory.", func() float64 { return float64(n.stores.space.free()) }),
		gauge("zero_cluster_disk_low", "1 while clients' writes are refused because the volume is nearly full.", func() float64 { return boolFloat(n.stores.space.isLow()) }),
		gauge("zero_cluster_term", "Raft term.", func() float64 { return float64(n.raft.CurrentTerm()) }),
		gauge("zero_cluster_applied_index", "Log index of the last command applied.", func() float64 { return float64(n.applier.index.Load()) }),
		gauge("zero_cluster_commit_index", "Log index up to which the log is known to be committed.", func() float64 { return float64(n.raft.CommitIndex()) }),
		gauge("zero_cluster_last_index", "Last index of the own log.", func() float64 { return float64(n.raft.LastIndex()) }),
		gauge("zero_cluster_is_leader", "1 on the leader.", func() float64 { return boolFloat(n.IsLeader()) }),
		gauge("zero_cluster_ready", "1 when /readyz would answer 200 for the cluster's own checks.", func() float64 { return boolFloat(n.Ready() == nil) }),
		gauge("zero_cluster_peers", "Keepers in the Raft configuration.", func() float64 { return float64(len(n.configuration().Servers)) }),
		gauge("zero_cluster_voters", "Voters in the Raft configuration.", func() float64 { return float64(voters(n.configuration())) }),
		gauge("zero_cluster_leader_contact_seconds", "Since this keeper last heard the leader; 0 on the leader, -1 when never.", n.contactSeconds),
		gauge("zero_cluster_raft_db_bytes", "Size of raft.db; 0 in memory.", func() float64 { return fileSize(n.stores.path) }),
	}
	for _, c := range collectors {
		if err := reg.Register(c); err != nil {
			return err
		}
	}
	return nil
}

// proposed counts a proposal by what its sender was told.
func (m *metrics) proposed(start time.Time, refused bool, err error) {
	outcome := "ok"
	switch code, _ := api.CodeOf(err); {
	case code == api.OutcomeUnknown:
		outcome = "unknown"
	case err != nil:
		outcome = "not_done"
	case refused:
		outcome = "refused"
	}
	m.proposals.WithLabelValues(outcome).Observe(time.Since(start).Seconds())
}

func boolFloat(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

func fileSize(path string) float64 {
	info, err := os.Stat(path)
	if err != nil {
		return 0
	}
	return float64(info.Size())
}

package main

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/zerokeeper/zero/agent"
)

// collector exports what the agent knows of its server.
type collector struct {
	agent *agent.Agent

	up, readOnly, role, alarm, silence *prometheus.Desc

	failsafe, failsafeSince, failsafeLeft, failsafePromise, failsafeCounts, failsafeEnded *prometheus.Desc
}

func registerMetrics(registry *prometheus.Registry, a *agent.Agent) {
	registry.MustRegister(&collector{
		agent:    a,
		up:       prometheus.NewDesc("zero_agent_database_up", "1 when the database server answers its agent.", nil, nil),
		readOnly: prometheus.NewDesc("zero_agent_database_read_only", "1 when the database server is read-only; 0 also when it does not answer.", nil, nil),
		role:     prometheus.NewDesc("zero_agent_database_role", "Always 1; the label says what the server is: primary, replica, none, or unknown.", []string{"role"}, nil),
		alarm:    prometheus.NewDesc("zero_agent_alarm", "1 when the server needs a person.", nil, nil),
		silence:  prometheus.NewDesc("zero_agent_keeper_silence_seconds", "Time since a keeper answered a heartbeat of this agent.", nil, nil),

		failsafe:        prometheus.NewDesc("zero_agent_failsafe", "1 while no keeper answers and the server is writable by the promises of its replicas' agents.", nil, nil),
		failsafeSince:   prometheus.NewDesc("zero_agent_failsafe_since_seconds", "Since when that is so, in unix time; 0: it is not.", nil, nil),
		failsafeLeft:    prometheus.NewDesc("zero_agent_failsafe_lease_seconds", "What is left of the failsafe lease.", nil, nil),
		failsafePromise: prometheus.NewDesc("zero_agent_failsafe_promise_seconds", "What is left of this agent's promise to accept no promotion.", nil, nil),
		failsafeCounts:  prometheus.NewDesc("zero_agent_failsafe_events_total", "Of failsafe since the start: rounds, rounds that failed, leases that were lent, promises that were given, and how often it began to hold.", []string{"event"}, nil),
		failsafeEnded:   prometheus.NewDesc("zero_agent_failsafe_ended_seconds", "When failsafe ceased to hold, in unix time; the label says why. Absent when it never did.", []string{"reason"}, nil),
	})
}

// Describe names the metrics.
func (c *collector) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{c.up, c.readOnly, c.role, c.alarm, c.silence, c.failsafe, c.failsafeSince, c.failsafeLeft, c.failsafePromise, c.failsafeCounts, c.failsafeEnded} {
		out <- d
	}
}

// Collect reads them.
func (c *collector) Collect(out chan<- prometheus.Metric) {
	v := c.agent.View()
	gauge := func(d *prometheus.Desc, value float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, labels...)
	}
	gauge(c.up, number(v.Reachable))
	gauge(c.readOnly, number(v.ReadOnly))
	role := v.Role
	if role == "" {
		role = "unknown"
	}
	gauge(c.role, 1, role)
	gauge(c.alarm, number(v.Alarm != ""))
	gauge(c.silence, v.Silence.Seconds())
	f := v.Failsafe
	gauge(c.failsafe, number(f.Holds))
	since := 0.0
	if f.Holds {
		since = float64(f.Since.Unix())
	}
	gauge(c.failsafeSince, since)
	gauge(c.failsafeLeft, f.Left.Seconds())
	gauge(c.failsafePromise, f.Promise.Seconds())
	for _, e := range []struct {
		name string
		n    uint64
	}{{"round", f.Rounds}, {"failed round", f.Failed}, {"lent", f.Lent}, {"promised", f.Promised}, {"began", f.Begun}} {
		out <- prometheus.MustNewConstMetric(c.failsafeCounts, prometheus.CounterValue, float64(e.n), e.name)
	}
	if f.Ended != "" {
		gauge(c.failsafeEnded, float64(f.EndedAt.Unix()), f.Ended)
	}
}

func number(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

package main

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/zerokeeper/zero/agent"
)

// collector exports what the agent knows of its server.
type collector struct {
	agent *agent.Agent

	up, readOnly, role, alarm, silence *prometheus.Desc
}

func registerMetrics(registry *prometheus.Registry, a *agent.Agent) {
	registry.MustRegister(&collector{
		agent:    a,
		up:       prometheus.NewDesc("zero_agent_database_up", "1 when the database server answers its agent.", nil, nil),
		readOnly: prometheus.NewDesc("zero_agent_database_read_only", "1 when the database server is read-only; 0 also when it does not answer.", nil, nil),
		role:     prometheus.NewDesc("zero_agent_database_role", "Always 1; the label says what the server is: primary, replica, none, or unknown.", []string{"role"}, nil),
		alarm:    prometheus.NewDesc("zero_agent_alarm", "1 when the server needs a person.", nil, nil),
		silence:  prometheus.NewDesc("zero_agent_keeper_silence_seconds", "Time since a keeper answered a heartbeat of this agent.", nil, nil),
	})
}

// Describe names the metrics.
func (c *collector) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{c.up, c.readOnly, c.role, c.alarm, c.silence} {
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
}

func number(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

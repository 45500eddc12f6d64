package main

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/zerokeeper/zero/proxy"
	"github.com/zerokeeper/zero/proxy/mysql"
)

// collector exports what the proxy counts, by host group.
type collector struct {
	proxy  *proxy.Proxy
	server *mysql.Server

	open, inFlight, held *prometheus.Desc
	lease                *prometheus.Desc
	lent, lentSince      *prometheus.Desc
	connections, silence *prometheus.Desc
}

func registerMetrics(registry *prometheus.Registry, p *proxy.Proxy, s *mysql.Server) {
	group := []string{"host_group"}
	registry.MustRegister(&collector{
		proxy: p, server: s,
		open:        prometheus.NewDesc("zero_proxy_group_open", "1 when writes of the host group are admitted.", []string{"host_group", "primary"}, nil),
		inFlight:    prometheus.NewDesc("zero_proxy_group_in_flight", "Writes and transactions of the host group under way.", group, nil),
		held:        prometheus.NewDesc("zero_proxy_group_held", "Writes and transactions of the host group that wait.", group, nil),
		lease:       prometheus.NewDesc("zero_proxy_group_lease_seconds", "What is left of the lease of the host group; 0: none, writes wait.", group, nil),
		lent:        prometheus.NewDesc("zero_proxy_group_lease_lent", "1 while the host group is written to with leases that the primary's agent lends: no keeper answers (failsafe).", group, nil),
		lentSince:   prometheus.NewDesc("zero_proxy_group_lease_lent_since_seconds", "Since when that is so, in unix time; 0: it is not.", group, nil),
		connections: prometheus.NewDesc("zero_proxy_client_connections", "Clients that are connected.", nil, nil),
		silence:     prometheus.NewDesc("zero_proxy_keeper_silence_seconds", "Time since a keeper answered a heartbeat of this proxy.", nil, nil),
	})
}

// Describe names the metrics.
func (c *collector) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{c.open, c.inFlight, c.held, c.lease, c.lent, c.lentSince, c.connections, c.silence} {
		out <- d
	}
}

// Collect reads them.
func (c *collector) Collect(out chan<- prometheus.Metric) {
	for _, g := range c.proxy.Groups() {
		open := 0.0
		if g.Open {
			open = 1
		}
		out <- prometheus.MustNewConstMetric(c.open, prometheus.GaugeValue, open, g.Name, g.Primary)
		out <- prometheus.MustNewConstMetric(c.inFlight, prometheus.GaugeValue, float64(g.InFlight), g.Name)
		out <- prometheus.MustNewConstMetric(c.held, prometheus.GaugeValue, float64(g.Held), g.Name)
		out <- prometheus.MustNewConstMetric(c.lease, prometheus.GaugeValue, g.Lease.Seconds(), g.Name)
		lent, since := 0.0, 0.0
		if g.Lent {
			lent, since = 1, float64(g.LentSince.Unix())
		}
		out <- prometheus.MustNewConstMetric(c.lent, prometheus.GaugeValue, lent, g.Name)
		out <- prometheus.MustNewConstMetric(c.lentSince, prometheus.GaugeValue, since, g.Name)
	}
	out <- prometheus.MustNewConstMetric(c.connections, prometheus.GaugeValue, float64(c.server.Stats().Connections))
	out <- prometheus.MustNewConstMetric(c.silence, prometheus.GaugeValue, c.proxy.Silence().Seconds())
}

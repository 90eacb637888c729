package notify

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/shardscaler/shardscaler/internal/meter"
)

type metrics struct {
	messages, failures *prometheus.CounterVec
	commits            *prometheus.HistogramVec
	waiting            *prometheus.GaugeVec
	connected          prometheus.Gauge
	sessions, panics   prometheus.Counter
}

func newMetrics(reg prometheus.Registerer) *metrics {
	m := meter.In(reg)
	return &metrics{
		messages: m.Counters("shardscaler_notify_messages_total",
			"Notifications received, by what they are: create, delete, update, reconcile (cannot be read exactly), foreign (not our kind), malformed, oversized, deferred (no room; the broker sends them again).", "result"),
		commits: m.Histograms("shardscaler_notify_commit_duration_seconds",
			"Time to commit one batch of notifications, failed attempts included.",
			prometheus.ExponentialBuckets(0.001, 2, 15), "kind"),
		failures: m.Counters("shardscaler_notify_commit_failures_total",
			"Attempts to commit a batch of notifications that failed; each is made again.", "kind"),
		waiting: m.Gauges("shardscaler_notify_waiting_messages", "Notifications received and not yet acknowledged.", "kind"),
		connected: m.Gauge("shardscaler_notify_connected",
			"1 while subscribed to the notifications. Only the leader subscribes."),
		sessions: m.Counter("shardscaler_notify_connections_total", "Connections to the broker that were established."),
		panics:   m.Counter("shardscaler_notify_panics_total", "Panics at a notification, which then counts as malformed."),
	}
}

package notify

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

type metrics struct {
	messages  *prometheus.CounterVec
	commits   *prometheus.HistogramVec
	failures  *prometheus.CounterVec
	waiting   *prometheus.GaugeVec
	connected prometheus.Gauge
	sessions  prometheus.Counter
	panics    prometheus.Counter
}

func newMetrics(reg prometheus.Registerer) *metrics {
	f := promauto.With(reg)
	return &metrics{
		messages: f.NewCounterVec(prometheus.CounterOpts{
			Name: "shardscaler_notify_messages_total",
			Help: "Notifications received, by what they are: create, delete, update, reconcile (cannot be read exactly), foreign (not our kind), malformed, oversized, deferred (no room; the broker sends them again).",
		}, []string{"result"}),
		commits: f.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "shardscaler_notify_commit_duration_seconds",
			Help:    "Time to commit one batch of notifications, failed attempts included.",
			Buckets: prometheus.ExponentialBuckets(0.001, 2, 15),
		}, []string{"kind"}),
		failures: f.NewCounterVec(prometheus.CounterOpts{
			Name: "shardscaler_notify_commit_failures_total",
			Help: "Attempts to commit a batch of notifications that failed; each is made again.",
		}, []string{"kind"}),
		waiting: f.NewGaugeVec(prometheus.GaugeOpts{
			Name: "shardscaler_notify_waiting_messages",
			Help: "Notifications received and not yet acknowledged.",
		}, []string{"kind"}),
		connected: f.NewGauge(prometheus.GaugeOpts{
			Name: "shardscaler_notify_connected",
			Help: "1 while subscribed to the notifications. Only the leader subscribes.",
		}),
		sessions: f.NewCounter(prometheus.CounterOpts{
			Name: "shardscaler_notify_connections_total",
			Help: "Connections to the broker that were established.",
		}),
		panics: f.NewCounter(prometheus.CounterOpts{
			Name: "shardscaler_notify_panics_total",
			Help: "Panics at a notification, which then counts as malformed.",
		}),
	}
}

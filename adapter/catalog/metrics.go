package catalog

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

type metrics struct {
	duration *prometheus.HistogramVec
}

func newMetrics(reg prometheus.Registerer) *metrics {
	return &metrics{
		duration: promauto.With(reg).NewHistogramVec(prometheus.HistogramOpts{
			Name:    "shardscaler_catalogue_read_duration_seconds",
			Help:    "Time to read a kind's catalogue, by outcome: complete or failed.",
			Buckets: prometheus.ExponentialBuckets(0.01, 2, 14),
		}, []string{"kind", "outcome"}),
	}
}

func (m *metrics) read(kind, outcome string, d time.Duration) {
	m.duration.WithLabelValues(kind, outcome).Observe(d.Seconds())
}

func (m *metrics) forget(kind string) {
	m.duration.DeletePartialMatch(prometheus.Labels{"kind": kind})
}

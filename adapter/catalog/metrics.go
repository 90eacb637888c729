package catalog

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

type metrics struct {
	duration *prometheus.HistogramVec
	unread   *prometheus.GaugeVec
	panics   *prometheus.CounterVec
}

func newMetrics(reg prometheus.Registerer) *metrics {
	f := promauto.With(reg)
	return &metrics{
		unread: f.NewGaugeVec(prometheus.GaugeOpts{
			Name: "shardscaler_catalogue_unread_rows",
			Help: "Rows of a kind's last complete read whose weight or labels cannot be read.",
		}, []string{"kind"}),
		duration: f.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "shardscaler_catalogue_read_duration_seconds",
			Help:    "Time to read a kind's catalogue, by outcome: complete or failed.",
			Buckets: prometheus.ExponentialBuckets(0.01, 2, 14),
		}, []string{"kind", "outcome"}),
		panics: f.NewCounterVec(prometheus.CounterOpts{
			Name: "shardscaler_catalogue_panics_total",
			Help: "Reads of a kind's catalogue at which the database's driver panicked; each failed.",
		}, []string{"kind"}),
	}
}

func (m *metrics) forget(kind string) {
	m.duration.DeletePartialMatch(prometheus.Labels{"kind": kind})
	m.unread.DeleteLabelValues(kind)
	m.panics.DeleteLabelValues(kind)
}

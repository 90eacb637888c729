package catalog

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/shardscaler/shardscaler/internal/meter"
)

type metrics struct {
	duration *prometheus.HistogramVec
	unread   *prometheus.GaugeVec
	panics   *prometheus.CounterVec
}

func newMetrics(reg prometheus.Registerer) *metrics {
	m := meter.In(reg)
	return &metrics{
		unread: m.Gauges("shardscaler_catalogue_unread_rows",
			"Rows of a kind's last complete read whose weight or labels cannot be read.", "kind"),
		duration: m.Histograms("shardscaler_catalogue_read_duration_seconds",
			"Time to read a kind's catalogue, by outcome: complete or failed.",
			prometheus.ExponentialBuckets(0.01, 2, 14), "kind", "outcome"),
		panics: m.Counters("shardscaler_catalogue_panics_total",
			"Reads of a kind's catalogue at which the database's driver panicked; each failed.", "kind"),
	}
}

func (m *metrics) forget(kind string) {
	m.duration.DeletePartialMatch(prometheus.Labels{"kind": kind})
	m.unread.DeleteLabelValues(kind)
	m.panics.DeleteLabelValues(kind)
}

package metricsapi

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// What label values of metrics say.
const (
	apiCustom   = "custom"
	apiExternal = "external"

	resultServed   = "served"
	resultUnknown  = "unknown"
	resultStale    = "stale"
	resultNoMetric = "no_such_metric"
)

type metrics struct {
	// reads have metric "" for a name that is not in the table: made-up names are no label values.
	reads  *prometheus.CounterVec
	panics prometheus.Counter
}

func newMetrics(reg prometheus.Registerer) *metrics {
	return &metrics{
		reads: promauto.With(reg).NewCounterVec(prometheus.CounterOpts{
			Name: "shardscaler_metricsapi_reads_total",
			Help: "Reads of the custom and external metrics APIs by metric and result; only result served carried a value.",
		}, []string{"api", "metric", "result"}),
		panics: promauto.With(reg).NewCounter(prometheus.CounterOpts{
			Name: "shardscaler_metricsapi_panics_total",
			Help: "Requests to the metrics APIs that panicked and were answered 500.",
		}),
	}
}

package metricsapi

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/shardscaler/shardscaler/internal/meter"
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
	in := meter.In(reg)
	return &metrics{
		reads: in.Counters("shardscaler_metricsapi_reads_total",
			"Reads of the custom and external metrics APIs by metric and result; only result served carried a value.", "api", "metric", "result"),
		panics: in.Counter("shardscaler_metricsapi_panics_total", "Requests to the metrics APIs that panicked and were answered 500."),
	}
}

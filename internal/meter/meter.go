// Package meter makes metrics from a name, a help and the names of labels.
//
// In: a registry. Out: metrics that are in it. A name that is there already is a panic.
package meter

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// Maker makes metrics that are in one registry.
type Maker struct{ in promauto.Factory }

// In returns a Maker for a registry.
func In(reg prometheus.Registerer) Maker { return Maker{promauto.With(reg)} }

// Counter makes a counter without labels.
func (m Maker) Counter(name, help string) prometheus.Counter {
	return m.in.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
}

// Counters makes counters by labels.
func (m Maker) Counters(name, help string, labels ...string) *prometheus.CounterVec {
	return m.in.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
}

// Gauge makes a gauge without labels.
func (m Maker) Gauge(name, help string) prometheus.Gauge {
	return m.in.NewGauge(prometheus.GaugeOpts{Name: name, Help: help})
}

// Gauges makes gauges by labels.
func (m Maker) Gauges(name, help string, labels ...string) *prometheus.GaugeVec {
	return m.in.NewGaugeVec(prometheus.GaugeOpts{Name: name, Help: help}, labels)
}

// Histograms makes histograms by labels.
func (m Maker) Histograms(name, help string, buckets []float64, labels ...string) *prometheus.HistogramVec {
	return m.in.NewHistogramVec(prometheus.HistogramOpts{Name: name, Help: help, Buckets: buckets}, labels)
}

// GaugeFunc makes a gauge without labels, whose value is asked for at each scrape.
func (m Maker) GaugeFunc(name, help string, value func() float64) {
	m.in.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, value)
}

// Histogram makes a histogram without labels.
func (m Maker) Histogram(name, help string, buckets ...float64) prometheus.Histogram {
	return m.in.NewHistogram(prometheus.HistogramOpts{Name: name, Help: help, Buckets: buckets})
}

// Number is the value of a gauge that says whether something is so: 1 or 0.
func Number(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

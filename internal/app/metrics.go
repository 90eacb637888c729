package app

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
	"github.com/shardscaler/shardscaler/internal/telemetry"
)

type metrics struct {
	configOK   prometheus.Gauge
	configTime prometheus.Gauge
	refusals   prometheus.Counter
	restarts   *prometheus.CounterVec
}

func newMetrics(reg prometheus.Registerer, leads func() bool) *metrics {
	f := promauto.With(reg)
	f.NewGaugeFunc(prometheus.GaugeOpts{Name: "shardscaler_leading", Help: "1 while this replica leads."}, func() float64 {
		return telemetry.Number(leads())
	})
	return &metrics{
		configOK: f.NewGauge(prometheus.GaugeOpts{
			Name: "shardscaler_config_last_reload_successful",
			Help: "1 if the newest configuration is in force, 0 if it was refused and the last good one stays.",
		}),
		configTime: f.NewGauge(prometheus.GaugeOpts{
			Name: "shardscaler_config_last_reload_success_timestamp_seconds",
			Help: "When a configuration was last accepted, in Unix seconds.",
		}),
		refusals: f.NewCounter(prometheus.CounterOpts{
			Name: "shardscaler_config_refused_total",
			Help: "Configurations that were refused.",
		}),
		restarts: f.NewCounterVec(prometheus.CounterOpts{
			Name: "shardscaler_kind_restarts_total",
			Help: "How often a kind ended by a panic and was begun again; the log has the stack.",
		}, []string{"kind"}),
	}
}

func (m *metrics) configLoaded(ok bool) {
	if !ok {
		m.configOK.Set(0)
		m.refusals.Inc()
		return
	}
	m.configOK.Set(1)
	m.configTime.SetToCurrentTime()
}

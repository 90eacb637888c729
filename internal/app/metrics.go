package app

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/shardscaler/shardscaler/internal/meter"
)

type metrics struct {
	configOK   prometheus.Gauge
	configTime prometheus.Gauge
	refusals   prometheus.Counter
	restarts   *prometheus.CounterVec
}

func newMetrics(reg prometheus.Registerer, leads func() bool) *metrics {
	m := meter.In(reg)
	m.GaugeFunc("shardscaler_leading", "1 while this replica leads, and ZooKeeper acknowledges that.", func() float64 {
		return meter.Number(leads())
	})
	return &metrics{
		configOK: m.Gauge("shardscaler_config_last_reload_successful",
			"1 if the newest configuration is in force, 0 if it was refused and the last good one stays."),
		configTime: m.Gauge("shardscaler_config_last_reload_success_timestamp_seconds",
			"When a configuration was last accepted, in Unix seconds."),
		refusals: m.Counter("shardscaler_config_refused_total",
			"Configurations that were refused."),
		restarts: m.Counters("shardscaler_kind_restarts_total",
			"How often a kind ended by a panic and was begun again; the log has the stack.", "kind"),
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

package heartbeat

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/shardscaler/shardscaler/internal/meter"
)

type metrics struct {
	messages   *prometheus.CounterVec
	reconnects *prometheus.CounterVec
	partitions *prometheus.GaugeVec
	panics     *prometheus.CounterVec
}

func newMetrics(reg prometheus.Registerer) *metrics {
	m := meter.In(reg)
	return &metrics{
		messages: m.Counters("shardscaler_heartbeat_messages_total",
			"Messages read from a heartbeat topic: beat, foreign (a kind that does not beat there), malformed, oversized, aborted (a beat of a transaction that was), undecided (a beat given up since its transaction did not end), unreadable (a whole batch each).",
			"topic", "result"),
		reconnects: m.Counters("shardscaler_heartbeat_reconnects_total",
			"Connections to a partition's leader that were given up because of an error or of silence.", "topic"),
		partitions: m.Gauges("shardscaler_heartbeat_partitions", "Partitions of a heartbeat topic that are read.", "topic"),
		panics: m.Counters("shardscaler_heartbeat_panics_total",
			"Panics of the libraries that read a heartbeat topic; what they were given was passed over.", "topic"),
	}
}

// forget drops the series of a topic that is read no more.
func (m *metrics) forget(topic string) {
	m.messages.DeletePartialMatch(prometheus.Labels{"topic": topic})
	m.reconnects.DeleteLabelValues(topic)
	m.partitions.DeleteLabelValues(topic)
	m.panics.DeleteLabelValues(topic)
}

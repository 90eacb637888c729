package heartbeat

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

type metrics struct {
	messages   *prometheus.CounterVec
	reconnects *prometheus.CounterVec
	partitions *prometheus.GaugeVec
	panics     *prometheus.CounterVec
}

func newMetrics(reg prometheus.Registerer) *metrics {
	f := promauto.With(reg)
	return &metrics{
		messages: f.NewCounterVec(prometheus.CounterOpts{
			Name: "shardscaler_heartbeat_messages_total",
			Help: "Messages read from a heartbeat topic: beat, foreign (a kind that does not beat there), malformed, oversized, aborted (a beat of a transaction that was), undecided (a beat given up since its transaction did not end), unreadable (a whole batch each).",
		}, []string{"topic", "result"}),
		reconnects: f.NewCounterVec(prometheus.CounterOpts{
			Name: "shardscaler_heartbeat_reconnects_total",
			Help: "Connections to a partition's leader that were given up because of an error or of silence.",
		}, []string{"topic"}),
		partitions: f.NewGaugeVec(prometheus.GaugeOpts{
			Name: "shardscaler_heartbeat_partitions",
			Help: "Partitions of a heartbeat topic that are read.",
		}, []string{"topic"}),
		panics: f.NewCounterVec(prometheus.CounterOpts{
			Name: "shardscaler_heartbeat_panics_total",
			Help: "Panics of the libraries that read a heartbeat topic; what they were given was passed over.",
		}, []string{"topic"}),
	}
}

// forget drops the series of a topic that is read no more.
func (m *metrics) forget(topic string) {
	m.messages.DeletePartialMatch(prometheus.Labels{"topic": topic})
	m.reconnects.DeleteLabelValues(topic)
	m.partitions.DeleteLabelValues(topic)
	m.panics.DeleteLabelValues(topic)
}

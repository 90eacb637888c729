package workload

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

type metrics struct {
	failures *prometheus.CounterVec
}

func newMetrics(reg prometheus.Registerer) *metrics {
	return &metrics{
		failures: promauto.With(reg).NewCounterVec(prometheus.CounterOpts{
			Name: "shardscaler_cluster_failures_total",
			Help: "Tries to hear the Kubernetes API that failed: watch (StatefulSets and pods) or metrics (metrics.k8s.io).",
		}, []string{"api"}),
	}
}

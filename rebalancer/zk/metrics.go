package zk

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
	"github.com/shardscaler/shardscaler/rebalancer/protocol"
)

type metrics struct {
	commits        *prometheus.CounterVec
	commitSeconds  *prometheus.HistogramVec
	commitBytes    prometheus.Counter
	refreshSeconds prometheus.Histogram
	sessions       prometheus.Counter
	connected      prometheus.Gauge
	sessionTimeout prometheus.Gauge
}

func newMetrics(reg prometheus.Registerer) *metrics {
	f := promauto.With(reg)
	return &metrics{
		commits: f.NewCounterVec(prometheus.CounterOpts{
			Name: "shardscaler_store_commits_total",
			Help: "ZooKeeper transactions by step of the protocol and outcome (done, settled, fenced, conflict, unavailable, refused).",
		}, []string{"step", "outcome"}),
		commitSeconds: f.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "shardscaler_store_commit_seconds",
			Help:    "Time from sending a ZooKeeper transaction to knowing its outcome, by step of the protocol.",
			Buckets: []float64{.0005, .001, .002, .004, .008, .016, .032, .064, .128, .256, .512, 1, 2, 4, 8, 16, 32},
		}, []string{"step"}),
		commitBytes: f.NewCounter(prometheus.CounterOpts{
			Name: "shardscaler_store_commit_bytes_total",
			Help: "Bytes of ZooKeeper transactions sent.",
		}),
		refreshSeconds: f.NewHistogram(prometheus.HistogramOpts{
			Name:    "shardscaler_store_refresh_seconds",
			Help:    "Time to compare a kind with ZooKeeper and to read what changed.",
			Buckets: []float64{.001, .004, .016, .064, .256, 1, 4, 16},
		}),
		sessions: f.NewCounter(prometheus.CounterOpts{
			Name: "shardscaler_store_sessions_total",
			Help: "ZooKeeper sessions opened since the start; all but the first replaced a lost one.",
		}),
		connected: f.NewGauge(prometheus.GaugeOpts{
			Name: "shardscaler_store_connected",
			Help: "Whether there is a ZooKeeper session now (1) or not (0).",
		}),
		sessionTimeout: f.NewGauge(prometheus.GaugeOpts{
			Name: "shardscaler_store_session_timeout_seconds",
			Help: "Session timeout that the ZooKeeper server granted.",
		}),
	}
}

func (m *metrics) observe(multi protocol.Multi, a *attempt) {
	if multi.Empty() {
		return
	}
	m.commits.WithLabelValues(multi.Step, a.outcome()).Inc()
	m.commitSeconds.WithLabelValues(multi.Step).Observe(a.took.Seconds())
	m.commitBytes.Add(float64(multi.Bytes()))
}

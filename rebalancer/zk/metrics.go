package zk

import (
	"cmp"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/shardscaler/shardscaler/internal/meter"
	"github.com/shardscaler/shardscaler/rebalancer/protocol"
)

type metrics struct {
	commits        *prometheus.CounterVec
	commitSeconds  *prometheus.HistogramVec
	commitBytes    prometheus.Counter
	readSeconds    prometheus.Histogram
	requests       *prometheus.CounterVec
	missed         prometheus.Counter
	sessions       prometheus.Counter
	connected      prometheus.Gauge
	sessionTimeout prometheus.Gauge
}

func newMetrics(reg prometheus.Registerer) *metrics {
	m := meter.In(reg)
	return &metrics{
		commits: m.Counters("shardscaler_store_commits_total",
			"ZooKeeper transactions by step of the protocol and outcome (done, settled, fenced, conflict, unavailable, refused).", "step", "outcome"),
		commitSeconds: m.Histograms("shardscaler_store_commit_seconds",
			"Time from sending a ZooKeeper transaction to knowing its outcome, by step of the protocol.",
			[]float64{.0005, .001, .002, .004, .008, .016, .032, .064, .128, .256, .512, 1, 2, 4, 8, 16, 32}, "step"),
		commitBytes: m.Counter("shardscaler_store_commit_bytes_total",
			"Bytes of ZooKeeper transactions sent."),
		readSeconds: m.Histogram("shardscaler_store_refresh_seconds",
			"Time to compare a kind with ZooKeeper and to read what changed.",
			.001, .004, .016, .064, .256, 1, 4, 16),
		requests: m.Counters("shardscaler_store_requests_total",
			"Requests sent to ZooKeeper by verb (exists, get, children, sync: reads; multi: writes; other), without pings.", "verb"),
		missed: m.Counter("shardscaler_store_missed_events_total",
			"Znodes that had changed without an event, found when everything was compared: an access list was changed, or server or client have lost a watch."),
		sessions: m.Counter("shardscaler_store_sessions_total",
			"ZooKeeper sessions opened since the start; all but the first replaced a lost one."),
		connected: m.Gauge("shardscaler_store_connected",
			"Whether there is a ZooKeeper session now (1) or not (0)."),
		sessionTimeout: m.Gauge("shardscaler_store_session_timeout_seconds",
			"Session timeout that the ZooKeeper server granted."),
	}
}

// verbs are the requests that reading and writing consist of, by the protocol's numbers.
var verbs = map[int32]string{
	askedExists: "exists", askedData: "get", askedSync: "sync", askedChildrenAndStat: "children", askedMulti: "multi",
}

func (m *metrics) sent(operation int32) {
	m.requests.WithLabelValues(cmp.Or(verbs[operation], "other")).Inc()
}

func (m *metrics) observe(multi protocol.Multi, a *attempt) {
	if multi.Empty() {
		return
	}
	m.commits.WithLabelValues(multi.Step, a.outcome()).Inc()
	m.commitSeconds.WithLabelValues(multi.Step).Observe(a.took.Seconds())
	m.commitBytes.Add(float64(multi.Bytes()))
}

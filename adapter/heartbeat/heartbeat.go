// Package heartbeat reads the instances' heartbeats from Kafka.
//
// In: the messages of the topics that the configured kinds beat on, from every partition, without a
// consumer group: every replica sees every beat. Out: one observed.Beat a message, one
// observed.Read a kind about every second while each partition's leader answers and all it had was
// read, and observed.Failed when not. Invariant: silence of the broker is never reported as silence
// of an instance.
//
// heartbeat.go keeps the topics, topic.go one's partitions, partition.go reads; decode.go is pure.
package heartbeat

import (
	"context"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/time/rate"

	"github.com/shardscaler/shardscaler/adapter/observed"
	"github.com/shardscaler/shardscaler/internal/clienttls"
	"github.com/shardscaler/shardscaler/internal/config"
	"github.com/shardscaler/shardscaler/internal/meter"
	"github.com/shardscaler/shardscaler/internal/wake"
)

// Config is where the brokers are and how they are read.
type Config struct {
	// Brokers are host:port pairs; one that answers is enough.
	Brokers []string
	// TLS says how connections are encrypted; nil: they are not.
	TLS *clienttls.Files
	// SASL says who we are; nil: no broker asks, or our certificate says it.
	SASL *SASL
}

// SASL are credentials.
type SASL struct {
	// Mechanism is one of Mechanisms.
	Mechanism, Username string
	// PasswordFile is read for each connection.
	PasswordFile string
}

// lookBack is how far before the start beats are read, for a restart.
const lookBack = 5 * time.Minute

// Source reads all topics of all configured kinds.
type Source struct {
	cfg     Config
	log     *slog.Logger
	metrics *metrics
	// sampled limits what one bad producer can write into our log.
	sampled *rate.Sometimes
	// refresh is the time between two listings of a topic's partitions, poll how long a broker
	// holds an answer when there is no message, and so how often its silence is noticed, patience
	// how long past that it may take before its connection ends.
	refresh, poll, patience time.Duration

	mu      sync.Mutex
	topics  map[string][]string // kinds by topic, sorted
	changed wake.Signal         // after Configure
}

// patience is how long a broker may take to answer.
const patience = 5 * time.Second

// New returns a Source without kinds, which does not connect.
func New(cfg Config, log *slog.Logger, reg prometheus.Registerer) *Source {
	return &Source{
		cfg: cfg, log: log, metrics: newMetrics(reg),
		sampled: &rate.Sometimes{First: 5, Interval: 10 * time.Second},
		refresh: 30 * time.Second, poll: time.Second, patience: patience,
		changed: wake.New(),
	}
}

// Configure sets the kinds, at any time. A topic whose kinds change is read again with
// look-back: a kind that is new to it must not look as if it had never beaten.
func (s *Source) Configure(kinds []config.Kind) {
	topics := map[string][]string{}
	for _, k := range kinds {
		if k.Heartbeat != nil {
			topics[k.Heartbeat.Topic] = append(topics[k.Heartbeat.Topic], k.Name)
		}
	}
	for _, names := range topics {
		slices.Sort(names)
	}
	s.mu.Lock()
	s.topics = topics
	s.mu.Unlock()
	s.changed.Wake()
}

// Run reads until ctx ends, whatever the brokers do. sink must be safe for concurrent use.
func (s *Source) Run(ctx context.Context, sink func(observed.Signal)) error {
	type running struct {
		kinds []string
		stop  func()
	}
	readers := map[string]running{}
	defer func() {
		for _, r := range readers {
			r.stop()
		}
	}()
	for {
		s.mu.Lock()
		wanted := maps.Clone(s.topics)
		s.mu.Unlock()
		for topic, r := range readers {
			if !slices.Equal(r.kinds, wanted[topic]) {
				r.stop()
				s.metrics.forget(topic)
				delete(readers, topic)
			}
		}
		for topic, kinds := range wanted {
			if _, ok := readers[topic]; !ok {
				readers[topic] = running{kinds, start(ctx, func(ctx context.Context) { s.newTopic(topic, kinds, sink).run(ctx) })}
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-s.changed:
		}
	}
}

// start runs f and returns what stops it and waits for its end.
func start(ctx context.Context, f func(context.Context)) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	var running sync.WaitGroup
	running.Go(func() { f(ctx) })
	return func() {
		cancel()
		running.Wait()
	}
}

type metrics struct {
	messages, reconnects, panics *prometheus.CounterVec
	partitions                   *prometheus.GaugeVec
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

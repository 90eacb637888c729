package app

import (
	"fmt"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	dto "github.com/prometheus/client_model/go"

	"github.com/shardscaler/shardscaler/internal/limits"
)

const (
	// maxScrapes is how many scrapes of /metrics are answered at once, half of them for one
	// address: each gathers what the whole process knows.
	maxScrapes = 8
	// scrapeTimeout bounds the time of an answer. Prometheus gives up after as much by default.
	scrapeTimeout = 10 * time.Second
)

// serveMetrics answers scrapes. Readers that take their answer slowly shut out no others.
func serveMetrics(from prometheus.Gatherer, timeout time.Duration) http.Handler {
	share, answer := limits.NewShare(maxScrapes), promhttp.HandlerFor(from, promhttp.HandlerOpts{})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		source := limits.Source(r.RemoteAddr)
		if !share.Enter(source) {
			w.Header().Set("Retry-After", "1")
			http.Error(w, fmt.Sprintf("too many concurrent scrapes, limit %d for one address", share.Each()), http.StatusTooManyRequests)
			return
		}
		defer share.Leave(source)
		if err := http.NewResponseController(w).SetWriteDeadline(time.Now().Add(timeout)); err != nil {
			http.Error(w, fmt.Sprintf("bound the time of an answer: %v", err), http.StatusInternalServerError)
			return
		}
		answer.ServeHTTP(w, r)
	})
}

// gatherers is a set of registries that changes while it is scraped: kinds come and go with theirs.
type gatherers struct {
	mu  sync.Mutex
	all prometheus.Gatherers
}

func (g *gatherers) add(reg *prometheus.Registry) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.all = append(slices.Clone(g.all), reg)
}

func (g *gatherers) remove(reg *prometheus.Registry) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.all = slices.DeleteFunc(slices.Clone(g.all), func(have prometheus.Gatherer) bool { return have == reg })
}

// Gather implements prometheus.Gatherer.
func (g *gatherers) Gather() ([]*dto.MetricFamily, error) { return g.present().Gather() }

func (g *gatherers) present() prometheus.Gatherers {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.all
}

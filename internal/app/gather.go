package app

import (
	"slices"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
)

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

package metricsapi

import (
	"context"
	"net/http"
	"sync"

	"k8s.io/metrics/pkg/apis/custom_metrics"
)

// page is the memory of one answer, lent to a request until that is written: to make it anew would
// be most of what an answer costs. The values of a thousand pods are 250 kB.
type page struct{ items []custom_metrics.MetricValue }

var pages = sync.Pool{New: func() any { return &page{} }}

// maxKept bounds the values that a page keeps room for: a huge answer must not hold it for ever.
const maxKept = 20_000

type pageKey struct{}

// withPage lends the request a page. The library's handler returns only when the answer is written.
func withPage(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p := pages.Get().(*page)
		defer func() {
			clear(p.items) // else it would keep former snapshots alive
			if cap(p.items) <= maxKept {
				p.items = p.items[:0]
				pages.Put(p)
			}
		}()
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), pageKey{}, p)))
	})
}

// room returns the page's memory to fill, or new memory where there is none.
func room(ctx context.Context) []custom_metrics.MetricValue {
	if p, ok := ctx.Value(pageKey{}).(*page); ok {
		return p.items[:0]
	}
	return nil
}

// keep tells the page what has become of its memory.
func keep(ctx context.Context, items []custom_metrics.MetricValue) {
	if p, ok := ctx.Value(pageKey{}).(*page); ok {
		p.items = items
	}
}

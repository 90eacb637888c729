package metricsapi

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/labels"
	genericapiserver "k8s.io/apiserver/pkg/server"
	"k8s.io/apiserver/pkg/server/options"
	"k8s.io/client-go/rest"
	"k8s.io/metrics/pkg/apis/custom_metrics"
	"sigs.k8s.io/custom-metrics-apiserver/pkg/apiserver"
	metricsprovider "sigs.k8s.io/custom-metrics-apiserver/pkg/provider"

	"github.com/shardscaler/shardscaler/adapter/observed"
)

// crowd is a world with that many Things, of which every other pod has half=a.
func crowd(b *testing.B, pods int) *world {
	w := newWorld(b)
	thing := w.kind("Thing")
	thing.Instances = nil
	for n := range pods {
		pod := testPod("iota-dac", 0)
		pod.Name = fmt.Sprintf("iota-dac-%d", n)
		pod.UID = fmt.Sprintf("00000000-0000-4000-8000-%012d", n)
		pod.Labels["half"] = []string{"a", "b"}[n%2]
		thing.Instances = append(thing.Instances, observed.Instance{Ordinal: n, Pod: pod, List: &observed.List{Count: n * 37 % 4501}})
	}
	return w
}

// floor answers every selector with the same list.
type floor struct {
	metricsprovider.CustomMetricsProvider
	list *custom_metrics.MetricValueList
}

func (f floor) GetMetricBySelector(context.Context, string, labels.Selector, metricsprovider.CustomMetricInfo, labels.Selector) (*custom_metrics.MetricValueList, error) {
	return f.list, nil
}

// nowhere takes an answer and forgets it.
type nowhere struct{ header http.Header }

func (n nowhere) Header() http.Header         { return n.header }
func (n nowhere) Write(p []byte) (int, error) { return io.Discard.Write(p) }
func (n nowhere) WriteHeader(int)             {}

// BenchmarkAnswer is what an answer costs, ours beside a provider that has nothing to do, both in
// our server.
func BenchmarkAnswer(b *testing.B) {
	for _, n := range []int{1_000, 10_000} {
		w := crowd(b, n)
		p := newProvider(w)
		selector := mustSelector(b, "half=a")
		info := metricsprovider.CustomMetricInfo{GroupResource: pods, Namespaced: true, Metric: "resources_per_instance"}
		ctx := context.WithValue(b.Context(), pageKey{}, &page{})
		b.Run(fmt.Sprintf("provider/%d", n), func(b *testing.B) {
			b.ReportAllocs()
			defer reportCPU(b)()
			for b.Loop() {
				_, err := p.GetMetricBySelector(ctx, "iota", selector, info, labels.Everything())
				require.NoError(b, err)
			}
		})
		list, err := p.GetMetricBySelector(b.Context(), "iota", selector, info, labels.Everything())
		require.NoError(b, err)
		for name, with := range map[string]metricsprovider.CustomMetricsProvider{"ours": p, "floor": floor{p, list}} {
			handler := chain(b, w, with)
			b.Run(fmt.Sprintf("%s/%d", name, n), func(b *testing.B) {
				b.ReportAllocs()
				defer reportCPU(b)()
				for b.Loop() {
					request := httptest.NewRequest(http.MethodGet, v1beta2Path+"/namespaces/iota/pods/*/resources_per_instance?labelSelector=half%3Da", nil)
					handler.ServeHTTP(nowhere{http.Header{}}, request)
				}
			})
		}
	}
}

// reportCPU reports the processor time of all threads, the collector's included: on a machine that
// is busy elsewhere time tells little.
func reportCPU(b *testing.B) (stop func()) {
	used := func() time.Duration {
		var u syscall.Rusage
		require.NoError(b, syscall.Getrusage(syscall.RUSAGE_SELF, &u))
		return time.Duration(u.Utime.Nano() + u.Stime.Nano())
	}
	before := used()
	return func() { b.ReportMetric(float64(used()-before)/float64(b.N), "cpu-ns/op") }
}

func chain(b *testing.B, w *world, with metricsprovider.CustomMetricsProvider) http.Handler {
	s, err := New(Config{Address: "127.0.0.1:0", CertFile: "none"}, func() View { return w.View }, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	require.NoError(b, err)
	b.Cleanup(func() { s.listener.Close() })
	generic := genericapiserver.NewRecommendedConfig(apiserver.Codecs)
	generic.ClientConfig = &rest.Config{} // used for nothing
	o := s.options()
	o.SecureServing.ServerCert.CertKey = options.CertKey{}
	o.Authentication, o.Authorization = nil, nil
	require.NoError(b, o.ApplyTo(generic))
	config := &apiserver.Config{GenericConfig: &generic.Config}
	server, err := config.Complete(nil).New("bench", with, s.provider)
	require.NoError(b, err)
	return withPage(server.GenericAPIServer.Handler.FullHandlerChain)
}

package app

import (
	"bytes"
	"context"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"
	apiregistrationv1 "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"
	aggregatorfake "k8s.io/kube-aggregator/pkg/client/clientset_generated/clientset/fake"

	"github.com/shardscaler/shardscaler/adapter/metricsapi/registration"
	"github.com/shardscaler/shardscaler/internal/config"
)

// A caBundle that is overwritten, and a Secret that is deleted, are noticed by their watches: far
// sooner than the next look is due.
func TestTheRegistrarLooksWhenSomethingChanges(t *testing.T) {
	client, aggregator := fake.NewClientset(), aggregatorfake.NewClientset()
	services := aggregator.ApiregistrationV1().APIServices()
	for _, name := range registration.Names {
		_, err := services.Create(t.Context(), &apiregistrationv1.APIService{
			ObjectMeta: metav1.ObjectMeta{Name: name},
			Spec:       apiregistrationv1.APIServiceSpec{Service: &apiregistrationv1.ServiceReference{Namespace: "iota", Name: "metrics"}},
		}, metav1.CreateOptions{})
		require.NoError(t, err)
	}
	r := newRegistrar(Options{Mode: config.ModeAct, Namespace: "iota", MetricsService: "metrics", TLSSelfManaged: true, TLSSecret: "cert"},
		&kube{client: client, apiServices: aggregator.ApiregistrationV1()}, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { require.NoError(t, r.run(ctx)) })
	t.Cleanup(func() { cancel(); running.Wait() })
	trusted := func() bool {
		for _, name := range registration.Names {
			o, err := services.Get(t.Context(), name, metav1.GetOptions{})
			if err != nil || len(o.Spec.CABundle) == 0 || !bytes.Equal(o.Spec.CABundle, r.keeper.Bundle()) {
				return false
			}
		}
		return true
	}
	const patience = 2 * time.Minute // less than registrarPeriod
	require.Eventually(t, trusted, patience, 10*time.Millisecond)
	time.Sleep(registrarUnwatched + time.Second) // what the beginning called for is over

	o, err := services.Get(t.Context(), registration.Names[0], metav1.GetOptions{})
	require.NoError(t, err)
	o.Spec.CABundle = []byte("another")
	_, err = services.Update(t.Context(), o, metav1.UpdateOptions{})
	require.NoError(t, err)
	require.Eventually(t, trusted, patience, 10*time.Millisecond)

	before := r.keeper.Bundle()
	require.NoError(t, client.CoreV1().Secrets("iota").Delete(t.Context(), "cert", metav1.DeleteOptions{}))
	require.Eventually(t, func() bool { return !bytes.Equal(before, r.keeper.Bundle()) && trusted() }, patience, 10*time.Millisecond)
}

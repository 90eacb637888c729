package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	apiregistration "k8s.io/kube-aggregator/pkg/client/clientset_generated/clientset/typed/apiregistration/v1"
	customv1beta2 "k8s.io/metrics/pkg/apis/custom_metrics/v1beta2"

	"github.com/shardscaler/shardscaler/adapter/metricsapi/registration"
	"github.com/shardscaler/shardscaler/internal/testbed/product"
	"github.com/shardscaler/shardscaler/internal/testbed/servers"
)

// TestTwoReplicasServe: both replicas answer, with the same values, under a certificate that they
// made and that the API server trusts; a leader that freezes is left out, and neither metrics nor
// the deletion of a namespace wait for it; what comes meanwhile is in the answers of the new
// leader, and of the former one when it is back; another provider is reported.
func TestTwoReplicasServe(t *testing.T) {
	w := start(t, func(_ *servers.Env, o *product.Options) { o.Replicas, o.SelfManagedCert = 2, true })
	things, more := product.IDs(1_500, 1), product.IDs(1_000, 2)
	require.NoError(t, w.Platform.Import(t.Context(), thing, things, 1))
	w.settled(thing, thingSet, 2, len(things))

	t.Run("the same of both", func(t *testing.T) {
		w.t = t
		w.bothSay(len(things), 2)
	})

	t.Run("the same documents of both", func(t *testing.T) {
		w.t = t
		w.bothShow(len(things))
	})

	t.Run("certificate", func(t *testing.T) {
		w.t = t
		secrets := w.Kube.CoreV1().Secrets(w.Namespace)
		old, err := w.CABundle(t.Context())
		require.NoError(t, err)
		require.NoError(t, secrets.Delete(t.Context(), "shardscaler-self-managed-cert", metav1.DeleteOptions{}))
		w.until("a new certificate is made, and the API server trusts it", func(ctx context.Context) error {
			bundle, err := w.CABundle(ctx)
			if err != nil {
				return err
			}
			if string(bundle) == string(old) {
				return errors.New("the Secret has the old one")
			}
			for _, name := range registration.Names {
				object, err := w.apiServices().Get(ctx, name, metav1.GetOptions{})
				if err != nil {
					return err
				}
				if string(object.Spec.CABundle) != string(bundle) {
					return fmt.Errorf("%s has another caBundle", name)
				}
			}
			for _, v := range w.Servers { // checks the certificate against the new bundle
				if _, err := w.valuesOf(ctx, v, "statefulsets.apps/iota-dac/resources"); err != nil {
					return err
				}
			}
			return w.answersInARow(ctx, len(things))
		})
	})
	if t.Failed() {
		return
	}

	t.Run("one is frozen", func(t *testing.T) {
		w.t = t
		frozen := w.leader()
		require.NoError(t, frozen.Freeze())
		w.until("its probe takes it out", func(context.Context) error {
			if led := w.LedTo(); len(led) != 1 || led[0] == frozen {
				return fmt.Errorf("the Service leads to %d replicas", len(led))
			}
			return nil
		})
		w.until("the other one answers alone", func(ctx context.Context) error { return w.answersInARow(ctx, len(things)) })
		w.namespaceGoes()
		w.until("the other one leads", func(ctx context.Context) error {
			leader, err := w.Leader(ctx)
			if err == nil && leader == frozen {
				err = errors.New("it still leads")
			}
			return err
		})
		// What comes now the former leader did not see.
		require.NoError(t, w.Platform.Import(t.Context(), thing, more, 2))
		w.settled(thing, thingSet, 3, len(things)+len(more))
		w.until("the new leader's answers are right", func(ctx context.Context) error { return w.answersInARow(ctx, len(things)+len(more)) })
		require.NoError(t, frozen.Continue())
		require.NoError(t, w.AwaitReady(t.Context(), frozen))
		w.bothSay(len(things)+len(more), 3)
	})
	if t.Failed() {
		return
	}

	t.Run("another provider", func(t *testing.T) {
		w.t = t
		const name = "v1beta1.external.metrics.k8s.io"
		ours, err := w.apiServices().Get(t.Context(), name, metav1.GetOptions{})
		require.NoError(t, err)
		w.lead(name, "default", "another")
		w.until("it is reported", func(ctx context.Context) error {
			for _, v := range w.Servers {
				text, err := v.Text(ctx, "/readyz")
				if err != nil {
					return err
				}
				if !strings.Contains(text, "[!]apiservices degraded: "+name+": it leads to another provider: Service default/another") {
					return fmt.Errorf("%s says %s", v.Name, text)
				}
			}
			series, err := w.Servers[0].Text(ctx, "/metrics")
			if err == nil && !strings.Contains(series, `shardscaler_apiservice_ours{apiservice="`+name+`"} 0`) {
				err = errors.New("no metric says it")
			}
			if err != nil {
				return err
			}
			events, err := w.Events(ctx)
			if err != nil {
				return err
			}
			for _, e := range events {
				if e.Reason == "NotRegistered" && strings.Contains(e.Message, "default/another") {
					return nil
				}
			}
			return errors.New("no event says it")
		})
		now, err := w.apiServices().Get(t.Context(), name, metav1.GetOptions{})
		require.NoError(t, err)
		require.Equal(t, "another", now.Spec.Service.Name, "it is left alone")
		w.lead(name, ours.Spec.Service.Namespace, ours.Spec.Service.Name)
		w.until("it is ours again", func(ctx context.Context) error {
			text, err := w.Servers[0].Text(ctx, "/readyz")
			if err == nil && !strings.Contains(text, "[+]apiservices ok") {
				err = errors.New(text)
			}
			return err
		})
	})
}

// bothSay waits until each replica, asked on its own port, has the right values.
func (w *world) bothSay(resources, size int) {
	w.t.Helper()
	for metric, want := range map[string]string{
		"statefulsets.apps/iota-dac/resources":                 fmt.Sprintf("iota-dac=%d ", resources),
		"statefulsets.apps/iota-dac/unassigned_resources":      "iota-dac=0 ",
		"statefulsets.apps/iota-dac/recommended_replicas":      fmt.Sprintf("iota-dac=%d ", size),
		"pods/*/" + podsOf("resources_per_instance", thingSet): w.listed(),
	} {
		w.until("both replicas say "+want+"to "+metric, func(ctx context.Context) error {
			for _, v := range w.Servers {
				got, err := w.valuesOf(ctx, v, metric)
				if err == nil && got != want {
					err = fmt.Errorf("%s says %s", v.Name, got)
				}
				if err != nil {
					return err
				}
			}
			return nil
		})
	}
}

// listed is what ZooKeeper says of each instance's list, as valuesOf writes it.
func (w *world) listed() string {
	a, text := w.assignment(thing), ""
	for _, n := range a.Ordinals() {
		text += fmt.Sprintf("%s=%d ", podName(thingSet, n), len(a.Instances[n].IDs))
	}
	return text
}

func (w *world) apiServices() apiregistration.APIServiceInterface {
	w.t.Helper()
	cfg, err := w.Env.Kubernetes.Config()
	require.NoError(w.t, err)
	client, err := apiregistration.NewForConfig(cfg)
	require.NoError(w.t, err)
	return client.APIServices()
}

// lead lets an APIService lead to a Service.
func (w *world) lead(name, namespace, service string) {
	w.t.Helper()
	patch := fmt.Appendf(nil, `{"spec":{"service":{"namespace":%q,"name":%q}}}`, namespace, service)
	_, err := w.apiServices().Patch(w.t.Context(), name, types.MergePatchType, patch, metav1.PatchOptions{})
	require.NoError(w.t, err)
}

// valuesOf is what one replica says, past the API server, as text.
func (w *world) valuesOf(ctx context.Context, v *product.Server, metric string) (string, error) {
	cfg, err := w.DirectConfig(ctx, v)
	if err != nil {
		return "", err
	}
	client, err := kubernetes.NewForConfig(cfg)
	if err != nil {
		return "", err
	}
	path := "/apis/custom.metrics.k8s.io/v1beta2/namespaces/" + w.Namespace + "/" + metric
	raw, err := client.RESTClient().Get().RequestURI(path).DoRaw(ctx)
	if err != nil {
		return "", err
	}
	var list customv1beta2.MetricValueList
	if err := json.Unmarshal(raw, &list); err != nil {
		return "", err
	}
	text := ""
	for _, item := range list.Items {
		text += item.DescribedObject.Name + "=" + item.Value.String() + " "
	}
	return text, nil
}

// answersInARow requires several right answers through the API server, each over whatever replica.
func (w *world) answersInARow(ctx context.Context, resources int) error {
	for range 10 {
		n, err := w.MetricOf(ctx, "statefulsets.apps/"+thingSet, "resources")
		if err != nil {
			return err
		}
		if int(n) != resources {
			return fmt.Errorf("%v resources, want %d", n, resources)
		}
	}
	return nil
}

// namespaceGoes deletes a namespace, for which the API server must reach every API group.
func (w *world) namespaceGoes() {
	w.t.Helper()
	namespaces, name := w.Kube.CoreV1().Namespaces(), w.Namespace+"-goes"
	_, err := namespaces.Create(w.t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}, metav1.CreateOptions{})
	require.NoError(w.t, err)
	require.NoError(w.t, namespaces.Delete(w.t.Context(), name, metav1.DeleteOptions{}))
	w.until("a namespace goes", func(ctx context.Context) error {
		_, err := namespaces.Get(ctx, name, metav1.GetOptions{})
		if err == nil {
			return errors.New("it is still there")
		}
		if !apierrors.IsNotFound(err) {
			return err
		}
		return nil
	})
}

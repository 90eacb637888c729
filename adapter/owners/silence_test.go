package owners

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"

	"github.com/shardscaler/shardscaler/adapter/observed"
	"github.com/shardscaler/shardscaler/internal/testbed/apiwire"
	"github.com/shardscaler/shardscaler/internal/testbed/observedtest"
	"github.com/shardscaler/shardscaler/internal/testbed/servers"
)

// The watch of the InstanceGroups, or of the HPAs, is cut without a word. What the fold is given
// grows older from then on, until the watch has been opened anew; and is called unknown if it cannot
// be.
func TestAWatchThatIsCutSilentlyGrowsOldAndHeals(t *testing.T) {
	k := servers.Require(t, servers.PartKubernetes).Kubernetes
	k.InstallDefinitions(t)
	for resource, source := range map[string]observed.SourceName{
		"instancegroups.shardscaler.io":        observed.SourceGroups,
		"horizontalpodautoscalers.autoscaling": observed.SourceHPAs,
	} {
		t.Run(resource, func(t *testing.T) {
			ns, kube := k.Namespace(t), k.Client(t)
			cfg, err := k.Config()
			require.NoError(t, err)
			wire := &apiwire.Wire{}
			cfg.Wrap(func(next http.RoundTripper) http.RoundTripper { wire.Next = next; return wire })
			rec := follow(t, Config{Namespace: ns, Renew: time.Second}, kubernetes.NewForConfigOrDie(cfg), dynamic.NewForConfigOrDie(cfg))
			more := func(name string) {
				t.Helper()
				if source == observed.SourceGroups {
					k.Apply(t, ns, strings.ReplaceAll(group, "NAME", name))
					return
				}
				_, err := kube.AutoscalingV2().HorizontalPodAutoscalers(ns).Create(t.Context(), &autoscalingv2.HorizontalPodAutoscaler{
					ObjectMeta: metav1.ObjectMeta{Name: name},
					Spec: autoscalingv2.HorizontalPodAutoscalerSpec{
						ScaleTargetRef: autoscalingv2.CrossVersionObjectReference{APIVersion: "apps/v1", Kind: "StatefulSet", Name: "work"}, MaxReplicas: 3,
					},
				}, metav1.CreateOptions{})
				require.NoError(t, err)
			}
			has := func(n int) func(observed.Signal) bool {
				return func(s observed.Signal) bool {
					switch v := s.(type) {
					case observed.Groups:
						return source == observed.SourceGroups && v.Kind == "Thing" && len(v.Groups) == n
					case observed.HPAs:
						return source == observed.SourceHPAs && v.Kind == "Thing" && len(v.HPAs) == n
					}
					return false
				}
			}
			_, mark := observedtest.Await(t, rec, 0, "nothing", has(0))

			require.Positive(t, wire.Cut(resource))
			more("one")
			_, mark = observedtest.Await(t, rec, mark, "what happened after the cut", has(1))
			read := func(after time.Time) func(observed.Read) bool {
				return func(r observed.Read) bool { return r.Source == source && r.At.After(after) }
			}
			_, mark = observedtest.Await(t, rec, mark, "that it is still so", read(time.Now()))

			require.Positive(t, wire.Hold(resource))
			cut := time.Now()
			more("two")
			failed, _ := observedtest.Await(t, rec, mark, "failure", func(f observed.Failed) bool { return f.Source == source })
			require.ErrorContains(t, failed.Err, "silent")
			for _, s := range rec.All()[mark:] {
				require.False(t, has(2)(s))
				if r, ok := s.(observed.Read); ok {
					require.False(t, read(cut)(r), "%s later than the cut", r.At.Sub(cut))
				}
			}
			wire.Release(resource)
			_, mark = observedtest.Await(t, rec, mark, "what happened meanwhile", has(2))
			observedtest.Await(t, rec, mark, "that it is so", read(failed.At))
		})
	}
}

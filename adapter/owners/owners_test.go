package owners

import (
	"context"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	fakedynamic "k8s.io/client-go/dynamic/fake"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/fake"
	ktesting "k8s.io/client-go/testing"

	"github.com/shardscaler/shardscaler/adapter/observed"
	"github.com/shardscaler/shardscaler/adapter/v1alpha1"
	"github.com/shardscaler/shardscaler/internal/config"
	"github.com/shardscaler/shardscaler/internal/testbed/observedtest"
	"github.com/shardscaler/shardscaler/internal/testbed/servers"
	"github.com/shardscaler/shardscaler/scaler/actuate"
)

// follow starts a Source for kinds Thing and Rule until the test ends.
func follow(t *testing.T, cfg Config, kube kubernetes.Interface, dyn dynamic.Interface) *observedtest.Recorder {
	s := New(cfg, kube, dyn, slog.New(slog.DiscardHandler))
	s.Configure([]config.Kind{{Name: "Thing", StatefulSet: "work"}, {Name: "Rule", StatefulSet: "rules"}})
	rec := &observedtest.Recorder{}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- s.Run(ctx, rec.Sink) }()
	t.Cleanup(func() {
		cancel()
		require.NoError(t, <-done)
	})
	return rec
}

func fakeDynamic() *fakedynamic.FakeDynamicClient {
	return fakedynamic.NewSimpleDynamicClientWithCustomListKinds(runtime.NewScheme(),
		map[schema.GroupVersionResource]string{v1alpha1.GroupVersion.WithResource(v1alpha1.Resource): "InstanceGroupList"})
}

func TestHPAsAreFollowedWithoutTheDefinitionOfInstanceGroups(t *testing.T) {
	dyn := fakeDynamic()
	var installed atomic.Bool
	dyn.PrependReactor("list", "*", func(ktesting.Action) (bool, runtime.Object, error) {
		if installed.Load() {
			return false, nil, nil
		}
		return true, nil, apierrors.NewNotFound(schema.GroupResource{Group: "shardscaler.io", Resource: "instancegroups"}, "")
	})
	rec := follow(t, Config{Namespace: "iota", Renew: 200 * time.Millisecond}, fake.NewClientset(), dyn)
	failed, _ := observedtest.Await(t, rec, 0, "failure", func(f observed.Failed) bool { return f.Source == observed.SourceGroups })
	require.ErrorContains(t, failed.Err, "CustomResourceDefinition")
	_, mark := observedtest.Await(t, rec, 0, "picture of the HPAs", func(h observed.HPAs) bool { return h.Kind == "Rule" })
	installed.Store(true)
	observedtest.Await(t, rec, mark, "picture of the InstanceGroups", func(g observed.Groups) bool { return g.Kind == "Thing" && g.At.After(failed.At) })
}

const group = `
apiVersion: shardscaler.io/v1alpha1
kind: InstanceGroup
metadata: {name: NAME}
spec: {kind: Thing, statefulSetName: work}
`

func TestInstanceGroupsAndHPAsAreFollowed(t *testing.T) {
	k := servers.Require(t, servers.PartKubernetes).Kubernetes
	k.InstallDefinitions(t)
	ns, kube := k.Namespace(t), k.Client(t)
	cfg, err := k.Config()
	require.NoError(t, err)
	dyn, err := dynamic.NewForConfig(cfg)
	require.NoError(t, err)
	rec := follow(t, Config{Namespace: ns, Renew: time.Second}, kube, dyn)
	groups := func(from, n int, what string, ok func(observed.Groups) bool) (observed.Groups, int) {
		return observedtest.Await(t, rec, from, what, func(g observed.Groups) bool { return g.Kind == "Thing" && len(g.Groups) == n && ok(g) })
	}
	any := func(observed.Groups) bool { return true }

	_, mark := groups(0, 0, "none", any)
	k.Apply(t, ns, strings.ReplaceAll(group, "NAME", "things"))
	one, mark := groups(mark, 1, "one", any)
	require.Equal(t, 1, one.Groups[0].Requested, "the API's default")
	require.False(t, one.Groups[0].Seeded)
	require.Equal(t, "work", one.Groups[0].StatefulSet)
	k.Apply(t, ns, strings.ReplaceAll(strings.ReplaceAll(group, "NAME", "cameras"), "Thing", "Camera"))
	_, mark = groups(mark, 1, "one of no kind that is configured", func(g observed.Groups) bool {
		return len(g.Strangers) == 1 && g.Strangers[0].Kind == "Camera"
	})
	_, err = k.Run(t.Context(), "-n", ns, "scale", "ig", "things", "--replicas=4")
	require.NoError(t, err)
	_, err = k.Run(t.Context(), "-n", ns, "annotate", "ig", "things", v1alpha1.SeededAnnotation+"=3", "other=x")
	require.NoError(t, err)
	wished, mark := groups(mark, 1, "a wish", func(g observed.Groups) bool { return g.Groups[0].Requested == 4 && g.Groups[0].Seeded })
	require.Greater(t, wished.Groups[0].Generation, one.Groups[0].Generation)
	for _, n := range []string{"0", "4"} { // an HPA with minReplicas 0 writes 0
		_, err = k.Run(t.Context(), "-n", ns, "scale", "ig", "things", "--replicas="+n)
		require.NoError(t, err)
		_, mark = groups(mark, 1, "a wish of "+n, func(g observed.Groups) bool { return strconv.Itoa(g.Groups[0].Requested) == n && g.Groups[0].Seeded })
	}
	k.Apply(t, ns, strings.ReplaceAll(group, "NAME", "a-younger-one"))
	two, mark := groups(mark, 2, "two, oldest first or by name", any)
	if two.Groups[0].Created.Equal(two.Groups[1].Created) {
		require.Equal(t, "a-younger-one", two.Groups[0].Name)
	} else {
		require.Equal(t, "things", two.Groups[0].Name)
	}
	observedtest.Await(t, rec, 0, "none of another kind", func(g observed.Groups) bool { return g.Kind == "Rule" && len(g.Groups)+len(g.Strangers) == 0 })

	for _, ref := range []autoscalingv2.CrossVersionObjectReference{
		{APIVersion: "apps/v1", Kind: "StatefulSet", Name: "work"},
		{APIVersion: "shardscaler.io/v1alpha1", Kind: "InstanceGroup", Name: "things"},
		{APIVersion: "apps/v1", Kind: "Deployment", Name: "work"},
		{APIVersion: "apps/v1", Kind: "StatefulSet", Name: "somebody-elses"},
	} {
		_, err := kube.AutoscalingV2().HorizontalPodAutoscalers(ns).Create(t.Context(), &autoscalingv2.HorizontalPodAutoscaler{
			ObjectMeta: metav1.ObjectMeta{Name: strings.ToLower(ref.Kind) + "-" + ref.Name},
			Spec:       autoscalingv2.HorizontalPodAutoscalerSpec{ScaleTargetRef: ref, MaxReplicas: 3},
		}, metav1.CreateOptions{})
		require.NoError(t, err)
	}
	// The last HPA scales neither: a picture of the two that are may come before it.
	both := []observed.HPA{{Name: "instancegroup-things", OnGroup: true, Target: "things"}, {Name: "statefulset-work", Target: "work"}}
	observedtest.Await(t, rec, 0, "the HPAs that scale it", func(h observed.HPAs) bool {
		return h.Kind == "Thing" && len(h.HPAs) == 2 && h.HPAs[0] == both[0] && h.HPAs[1] == both[1]
	})

	_, err = k.Run(t.Context(), "-n", ns, "delete", "ig", "--all")
	require.NoError(t, err)
	gone, mark := groups(mark, 0, "none again", any)
	observedtest.Await(t, rec, mark, "proof that it is so later, though nothing happens", func(r observed.Read) bool {
		return r.Kind == "Thing" && r.Source == observed.SourceGroups && r.At.After(gone.At)
	})
}

// kubectl replace removes the annotation and sets spec.replicas to the API's default. The status
// stays, so that its condition Seeded proves nothing.
func TestAnInstanceGroupThatWasReplacedIsNotSeeded(t *testing.T) {
	k := servers.Require(t, servers.PartKubernetes).Kubernetes
	k.InstallDefinitions(t)
	ns := k.Namespace(t)
	cfg, err := k.Config()
	require.NoError(t, err)
	dyn, err := dynamic.NewForConfig(cfg)
	require.NoError(t, err)
	rec := follow(t, Config{Namespace: ns, Renew: time.Second}, k.Client(t), dyn)
	things := strings.ReplaceAll(group, "NAME", "things")
	k.Apply(t, ns, things)
	seeded := func(from, wish int, yes bool) (observed.Group, int) {
		got, mark := observedtest.Await(t, rec, from, fmt.Sprintf("wish %d, seeded %t", wish, yes), func(g observed.Groups) bool {
			return g.Kind == "Thing" && len(g.Groups) == 1 && g.Groups[0].Requested == wish && g.Groups[0].Seeded == yes
		})
		return got.Groups[0], mark
	}
	fresh, mark := seeded(0, 1, false)
	writer, w := actuate.NewGroups(dyn), actuate.Workload{Namespace: ns, Name: "things", UID: fresh.UID, Group: true}
	require.NoError(t, writer.SeedGroup(t.Context(), w, fresh.Generation, 7))
	_, err = writer.UpdateGroupStatus(t.Context(), w, func(st *v1alpha1.InstanceGroupStatus) {
		meta.SetStatusCondition(&st.Conditions, metav1.Condition{Type: v1alpha1.ConditionSeeded, Status: metav1.ConditionTrue, Reason: v1alpha1.ReasonSeeded})
	})
	require.NoError(t, err)
	_, mark = seeded(mark, 7, true)

	cmd := k.Command(t.Context(), "replace", "-n", ns, "-f", "-")
	cmd.Stdin = strings.NewReader(things)
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, string(out))
	replaced, mark := seeded(mark, 1, false)
	require.Equal(t, fresh.UID, replaced.UID, "the same object")
	require.NoError(t, writer.SeedGroup(t.Context(), w, replaced.Generation, 6))
	seeded(mark, 6, true)
}

func TestADefinitionThatIsGoneIsNamed(t *testing.T) {
	// Alone, because the definition takes the InstanceGroups of all namespaces with it.
	k := servers.RequireAlone(t, servers.PartKubernetes).Kubernetes
	k.InstallDefinitions(t)
	ns := k.Namespace(t)
	cfg, err := k.Config()
	require.NoError(t, err)
	dyn, err := dynamic.NewForConfig(cfg)
	require.NoError(t, err)
	rec := follow(t, Config{Namespace: ns, Renew: time.Second}, k.Client(t), dyn)
	k.Apply(t, ns, strings.ReplaceAll(group, "NAME", "things"))
	has := func(n int) func(observed.Groups) bool {
		return func(g observed.Groups) bool { return g.Kind == "Thing" && len(g.Groups) == n }
	}
	_, mark := observedtest.Await(t, rec, 0, "the InstanceGroup", has(1))

	_, err = k.Run(t.Context(), "delete", "crd", v1alpha1.Resource+"."+v1alpha1.GroupVersion.Group)
	require.NoError(t, err)
	_, mark = observedtest.Await(t, rec, mark, "a failure that names the definition", func(f observed.Failed) bool {
		return f.Source == observed.SourceGroups && strings.Contains(f.Err.Error(), "is the CustomResourceDefinition installed?")
	})
	k.InstallDefinitions(t)
	k.Apply(t, ns, strings.ReplaceAll(group, "NAME", "things"))
	observedtest.Await(t, rec, mark, "the InstanceGroup again", has(1))
}

package servers

import (
	"context"
	"fmt"
	"math"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	auditv1 "k8s.io/apiserver/pkg/apis/audit/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
	nodeutil "k8s.io/component-helpers/node/util"
	"k8s.io/utils/ptr"
)

const workload = `
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: work}
spec:
  replicas: 1
  serviceName: work
  podManagementPolicy: Parallel
  selector: {matchLabels: {app: work}}
  template:
    metadata:
      labels: {app: work}
      annotations: {kwok.x-k8s.io/usage-cpu: 250m, kwok.x-k8s.io/usage-memory: 200Mi}
    spec:
      containers:
      - {name: work, image: work, resources: {requests: {cpu: 500m, memory: 512Mi}}}
`

func TestKubernetes(t *testing.T) {
	t.Parallel()
	env := start(t, Options{Only: []Part{PartKubernetes, PartZooKeeper}, Nodes: 2})
	k := env.Kubernetes
	namespace := k.Namespace(t)
	apply := k.Command(t.Context(), "apply", "-n", namespace, "-f", "-")
	apply.Stdin = strings.NewReader(workload)
	out, err := apply.CombinedOutput()
	require.NoError(t, err, string(out))

	t.Run("another sandbox beside it", func(t *testing.T) { testSecondSandbox(t, env) })
	t.Run("a service account has no more rights than it is given", func(t *testing.T) { testServiceAccount(t, k, namespace) })
	t.Run("the audit log says who resized what and when", func(t *testing.T) { testAudit(t, k, namespace) })
	t.Run("usage comes from the pods' annotations", func(t *testing.T) { testUsage(t, k, namespace) })
	t.Run("a frozen kwok loses its nodes", func(t *testing.T) { testFrozenKwok(t, k) })
	t.Run("each component can be killed and started again", func(t *testing.T) { testRestarts(t, k, namespace) })
}

func testSecondSandbox(t *testing.T, first *Env) {
	second := start(t, Options{Only: []Part{PartKubernetes, PartZooKeeper}})
	for i, server := range second.Servers() {
		require.NotEqual(t, first.Servers()[i].Addr, server.Addr)
	}
	name := second.Kubernetes.Namespace(t)
	_, err := first.Kubernetes.Client(t).CoreV1().Namespaces().Get(t.Context(), name, metav1.GetOptions{})
	require.ErrorContains(t, err, "not found")
	require.NoError(t, second.Kubernetes.Client(t).CoreV1().Namespaces().Delete(t.Context(), name, metav1.DeleteOptions{}))
}

func testServiceAccount(t *testing.T, k *Kubernetes, namespace string) {
	file := filepath.Join(t.TempDir(), "kubeconfig")
	require.NoError(t, k.ServiceAccountKubeconfig(t.Context(), namespace, "someone", file))
	config, err := clientcmd.BuildConfigFromFlags("", file)
	require.NoError(t, err)
	client, err := kubernetes.NewForConfig(config)
	require.NoError(t, err)
	_, err = client.CoreV1().Pods(namespace).List(t.Context(), metav1.ListOptions{})
	require.ErrorContains(t, err, "system:serviceaccount:"+namespace+":someone")
	_, err = k.Run(t.Context(), "create", "rolebinding", "reads", "-n", namespace, "--clusterrole=view", "--serviceaccount="+namespace+":someone")
	require.NoError(t, err)
	may := func(verb string) bool {
		review := &authorizationv1.SelfSubjectAccessReview{Spec: authorizationv1.SelfSubjectAccessReviewSpec{
			ResourceAttributes: &authorizationv1.ResourceAttributes{Namespace: namespace, Verb: verb, Resource: "pods"},
		}}
		review, err := client.AuthorizationV1().SelfSubjectAccessReviews().Create(t.Context(), review, metav1.CreateOptions{})
		require.NoError(t, err)
		return review.Status.Allowed
	}
	require.Eventually(t, func() bool { return may("list") }, time.Minute, 100*time.Millisecond)
	require.False(t, may("delete"))
}

func testAudit(t *testing.T, k *Kubernetes, namespace string) {
	before := time.Now()
	_, err := k.Run(t.Context(), "scale", "-n", namespace, "statefulset/work", "--replicas=3")
	require.NoError(t, err)
	after := time.Now()
	var scales []auditv1.Event
	require.Eventually(t, func() bool {
		events, err := k.Audit(namespace)
		require.NoError(t, err)
		scales = scales[:0]
		for _, event := range events {
			if event.ObjectRef.Resource == "statefulsets" && event.ObjectRef.Subresource == "scale" {
				scales = append(scales, event)
			}
		}
		return len(scales) > 0
	}, time.Minute, 50*time.Millisecond)
	require.Len(t, scales, 1)
	require.Equal(t, "work", scales[0].ObjectRef.Name)
	require.Equal(t, "kwok-admin", scales[0].User.Username)
	require.EqualValues(t, 200, scales[0].ResponseStatus.Code)
	require.Contains(t, string(scales[0].RequestObject.Raw), `"replicas":3`)
	require.WithinRange(t, scales[0].StageTimestamp.Time, before, after)
}

// testUsage allows 5 % of difference: metrics-server divides what kwok has counted by the time
// between two of its reads, and kwok counts a little earlier or later than that where the machine
// is busy.
func testUsage(t *testing.T, k *Kubernetes, namespace string) {
	near := func(text, want string) bool {
		got, err := resource.ParseQuantity(text)
		wanted := ptr.To(resource.MustParse(want)).AsApproximateFloat64()
		return err == nil && math.Abs(got.AsApproximateFloat64()-wanted) <= wanted/20
	}
	used := func(cpu, memory string) func() bool {
		return func() bool {
			out, err := k.Run(t.Context(), "top", "pod", "-n", namespace, "--no-headers")
			pods := 0
			for line := range strings.Lines(out) {
				if f := strings.Fields(line); len(f) == 3 && near(f[1], cpu) && near(f[2], memory) {
					pods++
				}
			}
			return err == nil && pods == 3
		}
	}
	require.Eventually(t, used("250m", "200Mi"), 2*time.Minute, time.Second)
	_, err := k.Run(t.Context(), "annotate", "pod", "-n", namespace, "--all", "--overwrite",
		"kwok.x-k8s.io/usage-cpu=400m", "kwok.x-k8s.io/usage-memory=300Mi")
	require.NoError(t, err)
	require.Eventually(t, used("400m", "300Mi"), 2*time.Minute, time.Second)
}

func testFrozenKwok(t *testing.T, k *Kubernetes) {
	require.NoError(t, k.Kwok.Freeze())
	require.Eventually(t, func() bool { return nodesReady(t.Context(), k.Client(t)) != nil }, 2*time.Minute, 200*time.Millisecond)
	require.NoError(t, k.Kwok.Continue())
	require.Eventually(t, func() bool { return nodesReady(t.Context(), k.Client(t)) == nil }, 2*time.Minute, 200*time.Millisecond)
}

func nodesReady(ctx context.Context, client kubernetes.Interface) error {
	nodes, err := client.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
	if err != nil {
		return err
	}
	for _, node := range nodes.Items {
		if _, ready := nodeutil.GetNodeCondition(&node.Status, corev1.NodeReady); ready == nil || ready.Status != corev1.ConditionTrue {
			return fmt.Errorf("%s is not Ready", node.Name)
		}
	}
	return nil
}

func testRestarts(t *testing.T, k *Kubernetes, namespace string) {
	for _, server := range k.Servers() {
		require.NoError(t, server.Kill(), server.Name)
		require.Error(t, server.answers(t.Context()), server.Name)
		ctx, cancel := context.WithTimeout(t.Context(), startTimeout)
		require.NoError(t, server.Start(ctx), server.Name)
		cancel()
	}
	// All of them work together again: a new pod comes to run.
	require.Eventually(t, func() bool {
		_, err := k.Run(t.Context(), "scale", "-n", namespace, "statefulset/work", "--replicas=4")
		return err == nil
	}, time.Minute, 200*time.Millisecond)
	require.Eventually(t, func() bool {
		pod, err := k.Client(t).CoreV1().Pods(namespace).Get(t.Context(), "work-3", metav1.GetOptions{})
		return err == nil && pod.Status.Phase == corev1.PodRunning
	}, 2*time.Minute, 200*time.Millisecond)
}

package e2e

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/shardscaler/shardscaler/internal/config"
	"github.com/shardscaler/shardscaler/internal/testbed/product"
	"github.com/shardscaler/shardscaler/internal/testbed/servers"
)

// startOnNodes starts the product with so many Rules on instances, each on a node of this test's own,
// which acknowledge what is revoked.
func startOnNodes(t *testing.T, size, rules int, adapt func(*servers.Env, *product.Options, *config.Kind)) (w *world, ids []string) {
	var nodes []string
	w = startBeside(t, func(env *servers.Env, o *product.Options) {
		o.Sizes = map[string]int{thingSet: thingInit, ruleSet: size}
		o.Before = func(ctx context.Context, s *product.Stack) error {
			for i := range size {
				nodes = append(nodes, fmt.Sprintf("%s-%d", o.Namespace, i))
			}
			return onePodANode(ctx, s, ruleSet, nodes)
		}
		k := &o.Config.Kinds[1]
		k.Init = size // else it is lowered while nothing has been imported
		k.TargetPerInstance, k.HandOff = rules/size, config.HandOffAcknowledged
		adapt(env, o, k)
	})
	t.Cleanup(func() {
		for _, name := range nodes {
			if err := w.Kube.CoreV1().Nodes().Delete(context.Background(), name, metav1.DeleteOptions{}); err != nil && !apierrors.IsNotFound(err) {
				t.Error(err)
			}
		}
	})
	ids = product.IDs(rules, 1)
	require.NoError(t, w.Platform.Import(t.Context(), rule, ids, 1))
	w.settled(rule, ruleSet, size, rules)
	return w, ids
}

// TestNodeLost loses the node of an instance that still answers ZooKeeper, which is reassigned, and
// that of one that does not, which keeps what it has until a person declares it dead. The nodes are
// this test's own: one instance of the Rules on each.
func TestNodeLost(t *testing.T) {
	const size, rules = 4, 240
	w, ids := startOnNodes(t, size, rules, func(_ *servers.Env, _ *product.Options, k *config.Kind) {
		k.LostNodeGrace = config.Duration(2 * time.Second)
	})
	w.runsWhatIsAssigned(rule)

	t.Run("of an instance that answers", func(t *testing.T) {
		w.t = t
		node := w.loseNode(podName(ruleSet, 2))
		w.until("it is emptied", func(ctx context.Context) error { return w.emptied(ctx, 2, rules) })
		w.holds(w.assignment(rule), ids)
		w.runsWhatIsAssigned(rule)
		runs, err := w.Runs()
		require.NoError(t, err)
		require.Empty(t, runs.Overlaps)
		w.until("an event says so", func(ctx context.Context) error { return w.event(ctx, "InstanceLost", "is on node "+node) })

		w.findNode(node)
		w.readies(podName(ruleSet, 2))
		w.settled(rule, ruleSet, size, rules)
	})
	if t.Failed() {
		return
	}

	t.Run("of an instance that does not", func(t *testing.T) {
		w.t = t
		require.NoError(t, w.Control.Fault(t.Context(), rule, 1, "hang", 0))
		w.loseNode(podName(ruleSet, 1))
		const command = "shardscaler reassign Rule 1 --assume-dead --server URL"
		w.until("it is reported, with the command that forces it", func(ctx context.Context) error {
			d, err := w.decision(rule)
			if err != nil || len(d.Lost) != 1 || d.Lost[0].Unproven == "" || !strings.Contains(d.Lost[0].Text, command) {
				return fmt.Errorf("lost %+v: %w", d.Lost, err)
			}
			return w.event(ctx, "InstanceLost", command)
		})
		a := w.assignment(rule)
		require.Positive(t, owned(a, 1))
		require.Contains(t, a.Open, 1)

		out, err := w.reassign(0)
		require.ErrorContains(t, err, "exit status")
		require.Contains(t, out, "instance 0 is not dead: its pod is Ready")
		out, err = w.reassign(1)
		require.NoError(t, err, out)
		require.Contains(t, out, "is assumed dead, as system:serviceaccount:"+w.Namespace+":operator")
		w.until("it is emptied", func(ctx context.Context) error { return w.emptied(ctx, 1, rules) })
		w.holds(w.assignment(rule), ids)
		w.until("an event names who said it", func(ctx context.Context) error {
			return w.event(ctx, "AssumedDead", "system:serviceaccount:"+w.Namespace+":operator said that pod "+podName(ruleSet, 1))
		})
	})
	w.t = t
	w.lostNothing(rule, nil)
	writes, err := w.ScaleWrites()
	require.NoError(t, err)
	require.Empty(t, writes, "no size was written for a node")
}

// emptied is an error unless an ordinal of the Rules is closed and owns nothing, and the others
// own all.
func (w *world) emptied(ctx context.Context, ordinal, ids int) error {
	a, err := w.Assignment(ctx, rule)
	if err != nil {
		return err
	}
	if owned(a, ordinal) > 0 || a.Assigned() != ids || len(a.Open) != 3 {
		return fmt.Errorf("it owns %d, %d of %d are assigned, open are %v", owned(a, ordinal), a.Assigned(), ids, a.Open)
	}
	return nil
}

// reassign runs the command as an operator would.
func (w *world) reassign(ordinal int) (string, error) {
	w.t.Helper()
	token, err := w.OperatorToken(w.t.Context())
	require.NoError(w.t, err)
	ca := filepath.Join(w.Dir, "ca.crt")
	require.NoError(w.t, os.WriteFile(ca, w.Certs.CA, 0o600))
	cmd := exec.CommandContext(w.t.Context(), programs.Shardscaler, "reassign", rule, fmt.Sprint(ordinal), "--assume-dead",
		"--server", "https://"+w.Servers[0].Secure, "--ca-file", ca, "--tls-server-name", "shardscaler-metrics."+w.Namespace+".svc")
	cmd.Env = []string{"SHARDSCALER_TOKEN=" + token, "HOME=" + filepath.Dir(programs.Shardscaler)}
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// nodeLabel is on the nodes of one test, and on the pods that may run there.
const nodeLabel = "shardscaler.io/test-node"

// makeNode makes a node that kwok plays.
func makeNode(ctx context.Context, s *product.Stack, name string) error {
	much := corev1.ResourceList{"cpu": resource.MustParse("64"), "memory": resource.MustParse("256Gi"), "pods": resource.MustParse("100")}
	_, err := s.Kube.CoreV1().Nodes().Create(ctx, &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{nodeLabel: s.Namespace, corev1.LabelHostname: name}, Annotations: map[string]string{
			"kwok.x-k8s.io/node": "fake", "metrics.k8s.io/resource-metrics-path": "/metrics/nodes/" + name + "/metrics/resource",
		}},
		Spec:   corev1.NodeSpec{Taints: []corev1.Taint{{Key: nodeLabel, Value: s.Namespace, Effect: corev1.TaintEffectNoSchedule}}},
		Status: corev1.NodeStatus{Capacity: much, Allocatable: much},
	}, metav1.CreateOptions{})
	return err
}

// onePodANode makes the nodes and has each pod of the StatefulSet run on one of its own.
func onePodANode(ctx context.Context, s *product.Stack, set string, names []string) error {
	for _, name := range names {
		if err := makeNode(ctx, s, name); err != nil {
			return err
		}
	}
	patch := fmt.Sprintf(`{"spec":{"template":{"spec":{"nodeSelector":{%q:%q},"tolerations":[{"key":%[1]q,"operator":"Exists","effect":"NoSchedule"}],
		"affinity":{"podAntiAffinity":{"requiredDuringSchedulingIgnoredDuringExecution":[
			{"topologyKey":"kubernetes.io/hostname","labelSelector":{"matchLabels":{"app":%[3]q}}}]}}}}}}`, nodeLabel, s.Namespace, set)
	_, err := s.Kube.AppsV1().StatefulSets(s.Namespace).Patch(ctx, set, types.StrategicMergePatchType, []byte(patch), metav1.PatchOptions{})
	if err != nil {
		return err
	}
	return product.Until(ctx, product.Patience, func(ctx context.Context) error {
		pods, err := s.Pods(ctx, set)
		if err != nil {
			return err
		}
		on := map[string]bool{}
		for _, p := range pods {
			if p.Status.Phase == corev1.PodRunning && p.DeletionTimestamp == nil && strings.HasPrefix(p.Spec.NodeName, s.Namespace) {
				on[p.Spec.NodeName] = true
			}
		}
		if len(on) != len(names) {
			return fmt.Errorf("pods run on %d of %d nodes", len(on), len(names))
		}
		return nil
	})
}

// loseNode loses the node of a pod. It returns when Kubernetes knows.
func (w *world) loseNode(pod string) (name string) {
	w.t.Helper()
	name = w.silenceNode(pod)
	w.until("Kubernetes has lost node "+name, func(ctx context.Context) error {
		node, err := w.Kube.CoreV1().Nodes().Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		for _, c := range node.Status.Conditions {
			if c.Type == corev1.NodeReady && c.Status == corev1.ConditionUnknown {
				return nil
			}
		}
		return errors.New("it is not")
	})
	return name
}

// silenceNode takes the Lease of a pod's node from kwok and never renews it, so that kwok reports for
// the node no more: Kubernetes loses it after a grace.
func (w *world) silenceNode(pod string) (name string) {
	w.t.Helper()
	p, err := w.Kube.CoreV1().Pods(w.Namespace).Get(w.t.Context(), pod, metav1.GetOptions{})
	require.NoError(w.t, err)
	name = p.Spec.NodeName
	patch := fmt.Sprintf(`{"spec":{"holderIdentity":"nobody","leaseDurationSeconds":3600,"renewTime":%q}}`, time.Now().UTC().Format(metav1.RFC3339Micro))
	_, err = w.Kube.CoordinationV1().Leases(corev1.NamespaceNodeLease).Patch(w.t.Context(), name, types.MergePatchType, []byte(patch), metav1.PatchOptions{})
	require.NoError(w.t, err)
	return name
}

// findNode brings a lost node back: kwok takes the Lease again.
func (w *world) findNode(name string) {
	w.t.Helper()
	require.NoError(w.t, w.Kube.CoordinationV1().Leases(corev1.NamespaceNodeLease).Delete(w.t.Context(), name, metav1.DeleteOptions{}))
}

// readies makes a pod Ready again, as the kubelet of a node that is back does; kwok does so only
// for pods that start.
func (w *world) readies(pod string) {
	w.t.Helper()
	pods := w.Kube.CoreV1().Pods(w.Namespace)
	w.until(pod+" is Ready again", func(ctx context.Context) error {
		p, err := pods.Get(ctx, pod, metav1.GetOptions{})
		if err != nil {
			return err
		}
		for i := range p.Status.Conditions {
			if c := &p.Status.Conditions[i]; c.Type == corev1.PodReady || c.Type == corev1.ContainersReady {
				c.Status = corev1.ConditionTrue
			}
		}
		_, err = pods.UpdateStatus(ctx, p, metav1.UpdateOptions{})
		return err
	})
}

package manifests

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/yaml"

	"github.com/shardscaler/shardscaler/adapter/metricsapi/registration"
	"github.com/shardscaler/shardscaler/adapter/v1alpha1"
	"github.com/shardscaler/shardscaler/internal/config"
	"github.com/shardscaler/shardscaler/internal/testbed/servers"
	"github.com/shardscaler/shardscaler/scaler/actuate"
)

// The configurations that are shipped are valid, and say who owns the size as their comments
// promise.
func TestConfigurations(t *testing.T) {
	for file, owner := range map[string]config.Owner{
		"tuning/default/config.yaml":       config.OwnerShardscaler,
		"tuning/example-hpa/config.yaml":   config.OwnerHPA,
		"tuning/example-group/config.yaml": config.OwnerGroup,
	} {
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		cfg, err := config.Parse(text)
		require.NoError(t, err, file)
		thing, ok := cfg.Kind("Thing")
		require.True(t, ok)
		require.Equal(t, owner, thing.Replicas.Owner, file)
		require.NotNil(t, thing.Heartbeat)
		rule, ok := cfg.Kind("Rule")
		require.True(t, ok)
		require.Nil(t, rule.Heartbeat)
	}
}

// tree is a copy of this folder, in which a test may write, with the certificates that the overlays
// expect.
type tree struct {
	dir     string
	cluster *servers.Kubernetes
}

func newTree(t *testing.T, namespace string) *tree {
	t.Helper()
	env := servers.Require(t, servers.PartKubernetes)
	dir := filepath.Join(t.TempDir(), "manifests")
	require.NoError(t, os.CopyFS(dir, os.DirFS(".")))
	generate := filepath.Join(dir, "components/serving-cert/generate.sh")
	require.NoError(t, os.Chmod(generate, 0o755))
	out, err := exec.CommandContext(t.Context(), generate, namespace).CombinedOutput()
	require.NoError(t, err, string(out))
	return &tree{dir: dir, cluster: env.Kubernetes}
}

// overlay writes a kustomization and returns its folder.
func (tr *tree) overlay(t *testing.T, text string) string {
	t.Helper()
	dir, err := os.MkdirTemp(filepath.Join(tr.dir, "overlays"), "test-")
	require.NoError(t, err)
	text = "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\n" + text
	require.NoError(t, os.WriteFile(filepath.Join(dir, "kustomization.yaml"), []byte(text), 0o600))
	return filepath.Join("overlays", filepath.Base(dir))
}

// build returns the objects of a kustomization.
func (tr *tree) build(t *testing.T, folder string) []unstructured.Unstructured {
	t.Helper()
	text, err := tr.cluster.Run(t.Context(), "kustomize", filepath.Join(tr.dir, folder))
	require.NoError(t, err, folder)
	return objectsOf(t, text)
}

// apply sends objects to the API server and returns what it says.
func (tr *tree) apply(ctx context.Context, objects []unstructured.Unstructured, flags ...string) (string, error) {
	var text bytes.Buffer
	for i := range objects {
		document, err := yaml.Marshal(objects[i].Object)
		if err != nil {
			return "", err
		}
		fmt.Fprintf(&text, "---\n%s", document)
	}
	cmd := tr.cluster.Command(ctx, append([]string{"apply", "--server-side", "--force-conflicts", "-f", "-"}, flags...)...)
	cmd.Stdin = &text
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func find[T any](t *testing.T, objects []unstructured.Unstructured, kind, name string) *T {
	t.Helper()
	for _, object := range objects {
		if object.GetKind() == kind && object.GetName() == name {
			var typed T
			require.NoError(t, runtime.DefaultUnstructuredConverter.FromUnstructuredWithValidation(object.Object, &typed, true))
			return &typed
		}
	}
	require.Failf(t, "no such object", "%s %s", kind, name)
	return nil
}

// The real API server takes every object of the base and of the examples, in another namespace than
// their own.
func TestServerTakesThem(t *testing.T) {
	env := servers.Require(t, servers.PartKubernetes)
	namespace := env.Kubernetes.Namespace(t)
	tr := newTree(t, namespace)
	tr.definitions(t)
	for _, example := range []string{"example-hpa", "example-group"} {
		overlay := tr.overlay(t, "namespace: "+namespace+`
resources: [../../cluster/base, ../../base, ../../tuning/`+example+`]
components: [../../components/example-workload, ../../components/`+example+`, ../../components/serving-cert]
`)
		tr.requireTaken(t, namespace, tr.build(t, overlay))
	}
}

// definitions installs the CustomResourceDefinition, without which an API server cannot even be
// asked about its objects. It stays: other tests use it.
func (tr *tree) definitions(t *testing.T) {
	t.Helper()
	var objects []unstructured.Unstructured
	for _, object := range tr.build(t, "cluster/base") {
		if object.GetKind() == "CustomResourceDefinition" {
			objects = append(objects, object)
		}
	}
	require.Len(t, objects, 1)
	out, err := tr.apply(t.Context(), objects)
	require.NoError(t, err, out)
	_, err = tr.cluster.Run(t.Context(), "wait", "--for=condition=Established", "--timeout=60s", "crd/"+objects[0].GetName())
	require.NoError(t, err)
}

func (tr *tree) requireTaken(t *testing.T, namespace string, objects []unstructured.Unstructured) {
	t.Helper()
	require.Greater(t, len(objects), 20)
	out, err := tr.apply(t.Context(), objects, "--dry-run=server", "--validate=strict")
	require.NoError(t, err, out)
	require.Equal(t, len(objects), strings.Count(out, "(server dry run)"), out)
	require.NotContains(t, out, "Warning", "such as a violation of the restricted pod security standard")

	services := 0
	for _, object := range objects {
		if object.GetNamespace() != "" {
			require.Equal(t, namespace, object.GetNamespace(), object.GetName())
		}
		if object.GetKind() != "APIService" {
			continue
		}
		services++
		bundle, _, err := unstructured.NestedString(object.Object, "spec", "caBundle")
		require.NoError(t, err)
		require.NotEmpty(t, bundle)
		to, _, err := unstructured.NestedString(object.Object, "spec", "service", "namespace")
		require.NoError(t, err)
		require.Equal(t, namespace, to)
		_, insecure, _ := unstructured.NestedBool(object.Object, "spec", "insecureSkipTLSVerify")
		require.False(t, insecure)
	}
	require.Len(t, registration.Names, services)
}

func TestOverlaysBuild(t *testing.T) {
	tr := newTree(t, "shardscaler")
	for _, folder := range tr.overlays(t) {
		namespace := ""
		for _, object := range tr.build(t, folder) {
			kind := object.GetKind()
			require.NotContains(t, []string{"CustomResourceDefinition", "APIService", "ClusterRole"}, kind,
				"%s must not take along what exists once a cluster when it is deleted", folder)
			require.NotContains(t, []string{"Namespace"}, kind, "%s must not take all else along", folder)
			if kind == "ConfigMap" {
				require.NotEqual(t, "shardscaler", object.GetName(), "%s must not undo what operators have tuned", folder)
			}
			if kind == "ServiceAccount" {
				namespace = object.GetNamespace()
			}
		}
		for _, object := range tr.build(t, folder) {
			if object.GetKind() == "ClusterRoleBinding" {
				require.True(t, strings.HasSuffix(object.GetName(), ":"+namespace), "%s of %s", object.GetName(), folder)
			}
		}
	}
	for _, object := range tr.build(t, "base") {
		require.NotEqual(t, "StatefulSet", object.GetKind(), "base must leave what exists alone")
	}
	for _, folder := range []string{"cluster/base", "cluster/serving-cert", "cluster/cert-manager"} {
		for _, object := range tr.build(t, folder) {
			require.Empty(t, object.GetNamespace(), "%s has an object of one installation: %s", folder, object.GetName())
		}
	}
	for _, object := range tr.build(t, "cluster/cert-manager") {
		if object.GetKind() == "APIService" {
			require.Equal(t, "iota/shardscaler-serving-cert", object.GetAnnotations()["cert-manager.io/inject-ca-from"])
		}
	}
	for _, object := range tr.build(t, "cluster/serving-cert") {
		if object.GetKind() == "APIService" {
			bundle, _, err := unstructured.NestedString(object.Object, "spec", "caBundle")
			require.NoError(t, err)
			require.NotEmpty(t, bundle)
		}
	}
	for _, object := range tr.build(t, "overlays/cert-manager") {
		if object.GetKind() == "Certificate" && object.GetName() == "shardscaler-serving-cert" {
			names, _, err := unstructured.NestedStringSlice(object.Object, "spec", "dnsNames")
			require.NoError(t, err)
			require.Equal(t, "shardscaler-metrics.iota.svc", names[0])
		}
	}
}

// overlays are the folders that install the product, base among them.
func (tr *tree) overlays(t *testing.T) []string {
	t.Helper()
	entries, err := os.ReadDir(filepath.Join(tr.dir, "overlays"))
	require.NoError(t, err)
	folders := []string{"base"}
	for _, entry := range entries {
		folders = append(folders, path.Join("overlays", entry.Name()))
	}
	require.Greater(t, len(folders), 6)
	return folders
}

// What operators tune is created once, and neither a second creation nor another apply of the
// overlay changes it.
func TestAnApplyKeepsWhatOperatorsTuned(t *testing.T) {
	env := servers.Require(t, servers.PartKubernetes)
	namespace := env.Kubernetes.Namespace(t)
	tr := newTree(t, namespace)
	tuning := filepath.Join(tr.dir, tr.overlay(t, "namespace: "+namespace+"\nresources: [../../tuning/default]\n"))
	_, err := env.Kubernetes.Run(t.Context(), "create", "-k", tuning)
	require.NoError(t, err)
	maps := env.Kubernetes.Client(t).CoreV1().ConfigMaps(namespace)
	tuned, err := maps.Get(t.Context(), "shardscaler", metav1.GetOptions{})
	require.NoError(t, err)
	tuned.Data["config.yaml"] = strings.Replace(tuned.Data["config.yaml"], "init: 10", "init: 7", 1)
	tuned, err = maps.Update(t.Context(), tuned, metav1.UpdateOptions{})
	require.NoError(t, err)

	overlay := tr.overlay(t, "namespace: "+namespace+"\nresources: [../../base]\ncomponents: [../../components/example-workload]\n")
	var objects []unstructured.Unstructured
	for _, object := range tr.build(t, overlay) {
		if object.GetKind() != "ClusterRoleBinding" {
			objects = append(objects, object)
		}
	}
	for range 2 {
		out, err := tr.apply(t.Context(), objects)
		require.NoError(t, err, out)
	}
	_, err = env.Kubernetes.Run(t.Context(), "create", "-k", tuning)
	require.ErrorContains(t, err, "already exists")
	now, err := maps.Get(t.Context(), "shardscaler", metav1.GetOptions{})
	require.NoError(t, err)
	require.Equal(t, tuned.Data, now.Data)
}

// The pods that the Services and the budget select are those of the Deployment, and the workload
// has the requests that sizing needs.
func TestPiecesFit(t *testing.T) {
	tr := newTree(t, "shardscaler")
	objects := slices.Concat(tr.build(t, "overlays/example-hpa"), tr.build(t, "tuning/example-hpa"))
	deployment := find[appsv1.Deployment](t, objects, "Deployment", "shardscaler")
	require.EqualValues(t, 2, *deployment.Spec.Replicas)
	pod := deployment.Spec.Template
	heapStaysBelowTheLimit(t, &pod.Spec.Containers[0])
	for _, name := range []string{"shardscaler", "shardscaler-metrics"} {
		service := find[corev1.Service](t, objects, "Service", name)
		require.Subset(t, pod.Labels, service.Spec.Selector, name)
		require.Contains(t, service.Spec.Selector, "app.kubernetes.io/name")
		ports := map[string]bool{}
		for _, port := range pod.Spec.Containers[0].Ports {
			ports[port.Name] = true
		}
		require.True(t, ports[service.Spec.Ports[0].TargetPort.String()], name)
	}
	cfg := find[corev1.ConfigMap](t, objects, "ConfigMap", "shardscaler")
	parsed, err := config.Parse([]byte(cfg.Data["config.yaml"]))
	require.NoError(t, err)
	for _, kind := range parsed.Kinds {
		set := find[appsv1.StatefulSet](t, objects, "StatefulSet", kind.StatefulSet)
		require.Nil(t, set.Spec.Replicas, "an apply would set the size back")
		for _, container := range set.Spec.Template.Spec.Containers {
			require.False(t, container.Resources.Requests.Cpu().IsZero())
			require.False(t, container.Resources.Requests.Memory().IsZero())
		}
	}
	for _, kind := range parsed.Kinds {
		holdsItsPods(t, objects, kind.StatefulSet)
	}
	hpa := find[autoscalingv2.HorizontalPodAutoscaler](t, objects, "HorizontalPodAutoscaler", "iota-dac")
	require.Equal(t, "recommended_replicas", hpa.Spec.Metrics[0].Object.Metric.Name)
	require.Equal(t, "1", hpa.Spec.Metrics[0].Object.Target.AverageValue.String())
	require.True(t, hpa.Spec.Behavior.ScaleUp.Tolerance.IsZero())
	require.True(t, hpa.Spec.Behavior.ScaleDown.Tolerance.IsZero())
	require.Zero(t, *hpa.Spec.Behavior.ScaleDown.StabilizationWindowSeconds)
}

// heapStaysBelowTheLimit requires that GOMEMLIMIT is 7/8 of the memory limit, as docs/operating.md
// has it.
func heapStaysBelowTheLimit(t *testing.T, c *corev1.Container) {
	t.Helper()
	i := slices.IndexFunc(c.Env, func(e corev1.EnvVar) bool { return e.Name == "GOMEMLIMIT" })
	require.GreaterOrEqual(t, i, 0)
	heap, err := resource.ParseQuantity(strings.TrimSuffix(c.Env[i].Value, "B"))
	require.NoError(t, err)
	require.Equal(t, c.Resources.Limits.Memory().Value()*7/8, heap.Value())
}

// holdsItsPods requires that the preStop hook of a workload knows the grace it has and whom to ask,
// and that a budget covers its pods.
func holdsItsPods(t *testing.T, objects []unstructured.Unstructured, name string) {
	t.Helper()
	pod := find[appsv1.StatefulSet](t, objects, "StatefulSet", name).Spec.Template
	container := pod.Spec.Containers[0]
	command := container.Lifecycle.PreStop.Exec.Command
	require.Equal(t, []string{"/shardscaler/prestop", "--grace", fmt.Sprintf("%ds", *pod.Spec.TerminationGracePeriodSeconds)}, command)
	require.Equal(t, []string{"/prestop", "install", path.Dir(command[0])}, pod.Spec.InitContainers[0].Command)
	for _, mount := range []corev1.VolumeMount{pod.Spec.InitContainers[0].VolumeMounts[0], container.VolumeMounts[0]} {
		require.Equal(t, path.Dir(command[0]), mount.MountPath)
		require.Equal(t, pod.Spec.Volumes[0].Name, mount.Name)
	}
	env := map[string]corev1.EnvVar{}
	for _, e := range container.Env {
		env[e.Name] = e
	}
	require.Equal(t, "metadata.name", env["POD_NAME"].ValueFrom.FieldRef.FieldPath)
	require.Equal(t, "metadata.namespace", env["POD_NAMESPACE"].ValueFrom.FieldRef.FieldPath)
	service := find[corev1.Service](t, objects, "Service", "shardscaler")
	require.EqualValues(t, 80, service.Spec.Ports[0].Port)
	require.Equal(t, "http://"+service.Name, env["SHARDSCALER_SERVER"].Value)

	budget := find[policyv1.PodDisruptionBudget](t, objects, "PodDisruptionBudget", name)
	require.Subset(t, pod.Labels, budget.Spec.Selector.MatchLabels)
	require.EqualValues(t, 1, budget.Spec.MaxUnavailable.IntVal)
}

// The HPA of the example scales the InstanceGroup, which names the kind and the StatefulSet of the
// configuration, and no other HPA scales that.
func TestGroupFits(t *testing.T) {
	tr := newTree(t, "shardscaler")
	objects := slices.Concat(tr.build(t, "overlays/example-group"), tr.build(t, "tuning/example-group"))
	group := find[v1alpha1.InstanceGroup](t, objects, v1alpha1.Kind, "things")
	require.Zero(t, group.Spec.Replicas, "an apply would set the wish back")
	cfg := find[corev1.ConfigMap](t, objects, "ConfigMap", "shardscaler")
	parsed, err := config.Parse([]byte(cfg.Data["config.yaml"]))
	require.NoError(t, err)
	kind, ok := parsed.Kind(group.Spec.Kind)
	require.True(t, ok)
	require.Equal(t, kind.StatefulSet, group.Spec.StatefulSetName)
	require.Equal(t, config.OwnerGroup, kind.Replicas.Owner)
	hpas := 0
	for _, object := range objects {
		if object.GetKind() == "HorizontalPodAutoscaler" {
			hpas++
		}
	}
	require.Equal(t, 1, hpas)
	hpa := find[autoscalingv2.HorizontalPodAutoscaler](t, objects, "HorizontalPodAutoscaler", "things")
	require.Equal(t, autoscalingv2.CrossVersionObjectReference{
		APIVersion: v1alpha1.GroupVersion.String(), Kind: v1alpha1.Kind, Name: group.Name,
	}, hpa.Spec.ScaleTargetRef)
	require.Equal(t, fmt.Sprint(kind.TargetPerInstance), hpa.Spec.Metrics[0].Object.Target.AverageValue.String())
}

// Nothing that is shipped tells the API server not to check who answers.
func TestCertificatesAreChecked(t *testing.T) {
	files := 0
	require.NoError(t, filepath.WalkDir(".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || filepath.Ext(path) == ".go" {
			return err
		}
		files++
		text, err := os.ReadFile(path)
		require.NotContains(t, string(text), "insecureSkipTLSVerify", path)
		return err
	}))
	require.Greater(t, files, 20)
}

// With a certificate of its own making the Deployment needs none from elsewhere, and is otherwise
// the same.
func TestSelfManagedCertificate(t *testing.T) {
	tr := newTree(t, "shardscaler")
	usual := find[appsv1.Deployment](t, tr.build(t, "base"), "Deployment", "shardscaler").Spec.Template.Spec
	own := find[appsv1.Deployment](t, tr.build(t, "overlays/self-managed-cert"), "Deployment", "shardscaler").Spec.Template.Spec
	var want []string
	for _, arg := range usual.Containers[0].Args {
		switch {
		case strings.HasPrefix(arg, "--tls-cert-file="):
			want = append(want, "--tls-self-managed")
		case !strings.HasPrefix(arg, "--tls-private-key-file="):
			want = append(want, arg)
		}
	}
	require.Equal(t, want, own.Containers[0].Args)
	require.Equal(t, usual.Containers[0].VolumeMounts[1:], own.Containers[0].VolumeMounts)
	require.Equal(t, usual.Volumes[1:], own.Volumes)
}

// Keys of sessions come with what the pod has mounted already: no volume and no right is added.
func TestSessionKeys(t *testing.T) {
	tr := newTree(t, "shardscaler")
	overlay := tr.overlay(t, "namespace: shardscaler\nresources: [../../base]\ncomponents: [../../components/session-keys]\n")
	usual, with := tr.build(t, "base"), tr.build(t, overlay)
	require.Len(t, with, len(usual))
	want := find[appsv1.Deployment](t, usual, "Deployment", "shardscaler").Spec.Template.Spec
	want.Containers[0].Args = append(want.Containers[0].Args, "--session-key-file=/etc/shardscaler/credentials/session-keys")
	require.Equal(t, want, find[appsv1.Deployment](t, with, "Deployment", "shardscaler").Spec.Template.Spec)
}

// Of APIServices the server may read its own three and no other, and change them only where it
// keeps their caBundle.
func TestOnlyOurAPIServicesAreTouched(t *testing.T) {
	tr := newTree(t, "shardscaler")
	roles := tr.build(t, "cluster/base")
	for overlay, want := range map[string][]string{"base": {"get", "list", "watch"}, "overlays/self-managed-cert": {"get", "list", "watch", "patch"}} {
		var verbs []string
		for _, object := range tr.build(t, overlay) {
			role, _, _ := unstructured.NestedString(object.Object, "roleRef", "name")
			if object.GetKind() != "ClusterRoleBinding" || strings.HasPrefix(role, "system:") {
				continue
			}
			for _, rule := range find[rbacv1.ClusterRole](t, roles, "ClusterRole", role).Rules {
				if slices.Contains(rule.Resources, "apiservices") {
					require.ElementsMatch(t, registration.Names, rule.ResourceNames)
					verbs = append(verbs, rule.Verbs...)
				}
			}
		}
		require.ElementsMatch(t, want, verbs, overlay)
	}
}

var flagName = regexp.MustCompile(`^--([a-z-]+)`)

// Every flag that the Deployment passes exists.
func TestFlagsExist(t *testing.T) {
	text, err := os.ReadFile("base/deployment.yaml")
	require.NoError(t, err)
	args := find[appsv1.Deployment](t, objectsOf(t, string(text)), "Deployment", "shardscaler").Spec.Template.Spec.Containers[0].Args
	require.Equal(t, "run", args[0])
	help, err := exec.CommandContext(t.Context(), "go", "run", "../cmd/shardscaler", "run", "--help").CombinedOutput()
	require.NoError(t, err, string(help))
	for _, arg := range append(args[1:], "--tls-self-managed", "--session-key-file=x") {
		match := flagName.FindStringSubmatch(arg)
		require.NotNil(t, match, arg)
		require.Regexp(t, regexp.MustCompile(`--`+match[1]+`[ =]`), string(help))
	}
}

// rights installs the rights of an installation and returns what removes them again. The
// ClusterRoles get a name of this test's own.
func (tr *tree) rights(t *testing.T, namespace, suffix string) (remove func()) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(tr.dir, "overlays/self-managed-cert/kustomization.yaml"))
	require.NoError(t, err)
	require.Contains(t, string(text), "namespace: shardscaler\n")
	_, text, _ = bytes.Cut(text, []byte("kind: Kustomization\n"))
	overlay := tr.overlay(t, strings.Replace(string(text), "namespace: shardscaler\n", "namespace: "+namespace+"\n", 1))
	var rights []unstructured.Unstructured
	for _, object := range tr.build(t, overlay) {
		switch object.GetKind() {
		case "ClusterRoleBinding":
			if role, _, _ := unstructured.NestedString(object.Object, "roleRef", "name"); strings.HasPrefix(role, "shardscaler") {
				require.NoError(t, unstructured.SetNestedField(object.Object, role+suffix, "roleRef", "name"))
			}
		case "ServiceAccount", "Role", "RoleBinding":
		default:
			continue
		}
		rights = append(rights, object)
	}
	out, err := tr.apply(t.Context(), rights)
	require.NoError(t, err, out)
	return sync.OnceFunc(func() { tr.remove(t, rights) })
}

// clusterRoles installs them under names of this test's own, until it ends.
func (tr *tree) clusterRoles(t *testing.T, suffix string) {
	t.Helper()
	var roles []unstructured.Unstructured
	for _, object := range tr.build(t, "cluster/base") {
		if object.GetKind() == "ClusterRole" {
			object.SetName(object.GetName() + suffix)
			roles = append(roles, object)
		}
	}
	require.NotEmpty(t, roles)
	out, err := tr.apply(t.Context(), roles)
	require.NoError(t, err, out)
	t.Cleanup(func() { tr.remove(t, roles) })
}

// remove deletes what is not in a namespace of the test.
func (tr *tree) remove(t *testing.T, objects []unstructured.Unstructured) {
	t.Helper()
	for _, object := range objects {
		if object.GetNamespace() == "" {
			_, err := tr.cluster.Run(context.Background(), "delete", object.GetKind(), object.GetName())
			require.NoError(t, err)
		}
	}
}

// requireNamedAlone asks with the server's own rights and code: a StatefulSet that the Role does
// not name is denied, and told from one that is named and missing.
func (tr *tree) requireNamedAlone(t *testing.T, namespace string) {
	t.Helper()
	cfg, err := tr.cluster.Config()
	require.NoError(t, err)
	cfg.Impersonate = rest.ImpersonationConfig{
		UserName: "system:serviceaccount:" + namespace + ":shardscaler", Groups: []string{"system:serviceaccounts", "system:authenticated"},
	}
	client, err := kubernetes.NewForConfig(cfg)
	require.NoError(t, err)
	act := actuate.New(client, nil, slog.New(slog.DiscardHandler))
	for name, denied := range map[string]bool{"iota-dac": false, "iota-rules-engine": false, "other": true} {
		w := actuate.Workload{Namespace: namespace, Name: name, UID: "uid"}
		_, sizeErr := act.Size(t.Context(), w)
		resizeErr := act.Resize(t.Context(), w, actuate.Size{UID: "uid", ResourceVersion: "1"}, 1)
		for what, err := range map[string]error{"claim": act.Claim(t.Context(), w, "one/a"), "read": sizeErr, "write": resizeErr} {
			require.Error(t, err, "%s %s", what, name)
			require.Equal(t, denied, errors.Is(err, actuate.ErrDenied), "%s %s: %v", what, name, err)
		}
	}
}

// Each StatefulSet of the shipped configurations is named by the Role, and an overlay names one
// more as the README says.
func TestTheRoleNamesTheStatefulSets(t *testing.T) {
	tr := newTree(t, "shardscaler")
	readme, err := os.ReadFile("README.md")
	require.NoError(t, err)
	_, patch, found := strings.Cut(string(readme), "with another StatefulSet, `my-workload`:\n\n```yaml\n")
	require.True(t, found)
	patch, _, _ = strings.Cut(patch, "```")
	for overlay, more := range map[string][]string{
		"overlays/self-managed-cert":                               nil,
		tr.overlay(t, "resources: [../self-managed-cert]\n"+patch): {"my-workload"},
	} {
		role := find[rbacv1.Role](t, tr.build(t, overlay), "Role", "shardscaler-statefulsets")
		require.Len(t, role.Rules, 2)
		for _, file := range []string{"tuning/default/config.yaml", "tuning/example-hpa/config.yaml", "tuning/example-group/config.yaml"} {
			text, err := os.ReadFile(file)
			require.NoError(t, err)
			cfg, err := config.Parse(text)
			require.NoError(t, err)
			want := more
			for _, k := range cfg.Kinds {
				want = append(want, k.StatefulSet)
			}
			for _, rule := range role.Rules {
				require.ElementsMatch(t, want, rule.ResourceNames, file)
			}
		}
	}
}

// What the server may do, and, as telling, what it may not, after a second installation beside it
// came and went.
func TestRights(t *testing.T) {
	env := servers.Require(t, servers.PartKubernetes)
	namespace, second := env.Kubernetes.Namespace(t), env.Kubernetes.Namespace(t)
	tr := newTree(t, namespace)
	tr.clusterRoles(t, "-"+namespace)
	t.Cleanup(tr.rights(t, namespace, "-"+namespace))
	tr.rights(t, second, "-"+namespace)()
	tr.requireNamedAlone(t, namespace)

	account := "system:serviceaccount:" + namespace + ":shardscaler"
	for _, tc := range []struct {
		verb, group, resource, name, namespace string
		allowed                                bool
	}{
		{"list", "apps", "statefulsets", "", namespace, true},
		{"watch", "apps", "statefulsets", "", namespace, true},
		{"patch", "apps", "statefulsets", "iota-dac", namespace, true},
		{"get", "apps", "statefulsets/scale", "iota-dac", namespace, true},
		{"update", "apps", "statefulsets/scale", "iota-dac", namespace, true},
		{"get", "apps", "statefulsets/scale", "iota-rules-engine", namespace, true},
		{"update", "apps", "statefulsets/scale", "iota-rules-engine", namespace, true},
		{"patch", "apps", "statefulsets", "iota-rules-engine", namespace, true},
		{"delete", "", "pods", "iota-dac-3", namespace, true},
		{"list", "metrics.k8s.io", "pods", "", namespace, true},
		{"watch", "", "configmaps", "shardscaler", namespace, true},
		{"update", "coordination.k8s.io", "leases", "shardscaler", namespace, true},
		{"create", "coordination.k8s.io", "leases", "", namespace, true},
		{"create", "", "events", "", namespace, true},
		{"watch", "", "nodes", "", "", true},
		{"watch", "shardscaler.io", "instancegroups", "", namespace, true},
		{"patch", "shardscaler.io", "instancegroups", "things", namespace, true},
		{"update", "shardscaler.io", "instancegroups/status", "things", namespace, true},
		{"watch", "autoscaling", "horizontalpodautoscalers", "", namespace, true},
		{"create", "authentication.k8s.io", "tokenreviews", "", "", true},
		{"create", "authorization.k8s.io", "subjectaccessreviews", "", "", true},
		{"watch", "", "configmaps", "extension-apiserver-authentication", "kube-system", true},

		{"delete", "shardscaler.io", "instancegroups", "things", namespace, false},
		{"update", "shardscaler.io", "instancegroups/scale", "things", namespace, false},
		{"patch", "autoscaling", "horizontalpodautoscalers", "iota-dac", namespace, false},
		{"get", "apiregistration.k8s.io", "apiservices", "v1beta1.external.metrics.k8s.io", "", true},
		{"patch", "apiregistration.k8s.io", "apiservices", "v1beta2.custom.metrics.k8s.io", "", true},
		{"update", "", "secrets", "shardscaler-self-managed-cert", namespace, true},
		{"watch", "", "secrets", "shardscaler-self-managed-cert", namespace, true},
		{"create", "", "secrets", "", namespace, true},

		{"get", "apiregistration.k8s.io", "apiservices", "v1beta1.metrics.k8s.io", "", false},
		{"patch", "apiregistration.k8s.io", "apiservices", "v1beta1.metrics.k8s.io", "", false},
		{"delete", "apiregistration.k8s.io", "apiservices", "v1beta1.custom.metrics.k8s.io", "", false},
		{"list", "", "secrets", "", namespace, false},
		{"patch", "apps", "statefulsets", "other", namespace, false},
		{"patch", "apps", "statefulsets", "", namespace, false},
		{"get", "apps", "statefulsets/scale", "other", namespace, false},
		{"update", "apps", "statefulsets/scale", "other", namespace, false},
		{"update", "apps", "statefulsets", "iota-dac", namespace, false},
		{"patch", "apps", "statefulsets/scale", "iota-dac", namespace, false},
		{"patch", "apps", "statefulsets/status", "iota-dac", namespace, false},
		{"delete", "apps", "statefulsets", "iota-dac", namespace, false},
		{"create", "apps", "statefulsets", "", namespace, false},
		{"list", "apps", "statefulsets", "", "default", false},
		{"update", "apps", "statefulsets/scale", "iota-dac", "default", false},
		{"deletecollection", "", "pods", "", namespace, false},
		{"delete", "", "pods", "iota-dac-3", "default", false},
		{"update", "", "nodes", "node-1", "", false},
		{"create", "", "pods/exec", "iota-dac-3", namespace, false},
		{"get", "", "secrets", "shardscaler-credentials", namespace, false},
		{"update", "", "configmaps", "shardscaler", namespace, false},
		{"get", "", "configmaps", "shardscaler", namespace, false},
		{"list", "", "configmaps", "other", namespace, false},
		{"get", "", "pods", "iota-dac-3", namespace, false},
		{"get", "metrics.k8s.io", "pods", "iota-dac-3", namespace, false},
		{"get", "", "nodes", "node-1", "", false},
		{"update", "coordination.k8s.io", "leases", "other", namespace, false},
		{"update", "shardscaler.io", "orchestrations", "Thing", namespace, false},
	} {
		group, resource, sub := tc.group, tc.resource, ""
		if at := strings.IndexByte(resource, '/'); at > 0 {
			resource, sub = resource[:at], resource[at+1:]
		}
		review, err := env.Kubernetes.Client(t).AuthorizationV1().SubjectAccessReviews().Create(t.Context(), &authorizationv1.SubjectAccessReview{
			Spec: authorizationv1.SubjectAccessReviewSpec{
				User: account, Groups: []string{"system:serviceaccounts", "system:authenticated"},
				ResourceAttributes: &authorizationv1.ResourceAttributes{
					Namespace: tc.namespace, Verb: tc.verb, Group: group, Resource: resource, Subresource: sub, Name: tc.name,
				},
			},
		}, metav1.CreateOptions{})
		require.NoError(t, err)
		require.Equal(t, tc.allowed, review.Status.Allowed, "%s %s/%s %q in %q", tc.verb, tc.group, tc.resource, tc.name, tc.namespace)
	}
}

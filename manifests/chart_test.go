package manifests

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/kubernetes"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/yaml"

	"github.com/shardscaler/shardscaler/internal/config"
	"github.com/shardscaler/shardscaler/internal/testbed/servers"
)

// helmProgram is Helm, a tool of a module of this checkout.
var helmProgram = sync.OnceValues(func() (string, error) {
	out, err := exec.Command("go", "-C", "../tools/helm", "tool", "-n", "helm").Output()
	return strings.TrimSpace(string(out)), err
})

// helm runs Helm, with no other configuration than the arguments.
func helm(ctx context.Context, args ...string) (string, error) {
	program, err := helmProgram()
	if err != nil {
		return "", fmt.Errorf("build helm: %w", err)
	}
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Env = append(os.Environ(), "HELM_CONFIG_HOME=/nonexistent", "HELM_PLUGINS=/nonexistent")
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("helm %s: %w: %s", args[0], err, stderr.String())
	}
	return stdout.String(), nil
}

const chart = "chart"

// render renders the chart without a cluster.
func render(t *testing.T, namespace string, flags ...string) []unstructured.Unstructured {
	t.Helper()
	text, err := helm(t.Context(), append([]string{
		"template", "any", chart, "--namespace", namespace, "--no-hooks",
		"--api-versions", "shardscaler.io/v1alpha1/InstanceGroup",
	}, flags...)...)
	require.NoError(t, err)
	return objectsOf(t, text)
}

func objectsOf(t *testing.T, text string) (objects []unstructured.Unstructured) {
	t.Helper()
	for document := range strings.SplitSeq("\n"+text, "\n---\n") {
		var object unstructured.Unstructured
		require.NoError(t, yaml.Unmarshal([]byte(document), &object.Object))
		if len(object.Object) > 0 {
			objects = append(objects, object)
		}
	}
	return objects
}

// What kustomize has is what go generate writes.
func TestTheChartIsTheSource(t *testing.T) {
	dir := t.TempDir()
	out, err := exec.CommandContext(t.Context(), "go", "run", "./generate", "-out", dir).CombinedOutput()
	require.NoError(t, err, string(out))
	files := 0
	require.NoError(t, filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		files++
		name, err := filepath.Rel(dir, path)
		require.NoError(t, err)
		want, err := os.ReadFile(path)
		require.NoError(t, err)
		is, err := os.ReadFile(name)
		require.NoError(t, err)
		require.Equal(t, string(want), string(is), "%s: go generate ./manifests writes it anew", name)
		return nil
	}))
	require.Greater(t, files, 10)
}

// For each overlay the chart, with the values of that name, has the objects that kustomize has with
// what goes with it: what a cluster has once, and the tuning.
func TestChartAndOverlaysAreOne(t *testing.T) {
	require.NoError(t, lint(t))
	tr := newTree(t, "shardscaler")
	beside := map[string][2]string{ // else cluster/base and tuning/default
		"serving-cert":  {"cluster/serving-cert", "tuning/default"},
		"cert-manager":  {"cluster/cert-manager", "tuning/default"},
		"example-hpa":   {"cluster/base", "tuning/example-hpa"},
		"example-group": {"cluster/base", "tuning/example-group"},
	}
	values, err := filepath.Glob("chart/ci/*-values.yaml")
	require.NoError(t, err)
	overlays := tr.overlays(t)[1:] // without base
	require.Len(t, values, len(overlays))
	for _, folder := range overlays {
		name := filepath.Base(folder)
		t.Run(name, func(t *testing.T) {
			folders, ok := beside[name]
			if !ok {
				folders = [2]string{"cluster/base", "tuning/default"}
			}
			installed := slices.Concat(tr.build(t, folder), tr.build(t, folders[0]), tr.build(t, folders[1]))
			namespace := namespaceOf(installed)
			flags := []string{"--values", "chart/ci/" + name + "-values.yaml"}
			if name == "serving-cert" {
				for value, file := range map[string]string{"ca": "ca.crt", "crt": "tls.crt", "key": "tls.key"} {
					flags = append(flags, "--set-file", "certificate."+value+"="+filepath.Join(tr.dir, "components/serving-cert", file))
				}
			}
			want, is := canonical(t, namespace, installed), canonical(t, namespace, render(t, namespace, flags...))
			require.Equal(t, keys(want), keys(is))
			for id := range want {
				require.JSONEq(t, want[id], is[id], id)
			}
		})
	}
}

func lint(t *testing.T) error {
	_, err := helm(t.Context(), "lint", "--strict", chart)
	return err
}

// namespaceOf is that of the installation.
func namespaceOf(objects []unstructured.Unstructured) string {
	for _, object := range objects {
		if object.GetKind() == "ServiceAccount" {
			return object.GetNamespace()
		}
	}
	return ""
}

// canonical are objects as JSON, by what they are. The tuning goes to the namespace of the
// installation, as the README says; what tells Helm to keep an object is its own.
func canonical(t *testing.T, namespace string, objects []unstructured.Unstructured) map[string]string {
	t.Helper()
	all := map[string]string{}
	for _, object := range objects {
		object = *object.DeepCopy()
		if object.GetKind() == "ConfigMap" && object.GetName() == "shardscaler" {
			object.SetNamespace(namespace)
		}
		annotations := object.GetAnnotations()
		delete(annotations, "helm.sh/resource-policy")
		object.SetAnnotations(annotations)
		if len(annotations) == 0 {
			unstructured.RemoveNestedField(object.Object, "metadata", "annotations")
		}
		unwrap(object.Object)
		text, err := json.Marshal(object.Object)
		require.NoError(t, err)
		id := fmt.Sprintf("%s %s/%s", object.GetKind(), object.GetNamespace(), object.GetName())
		require.NotContains(t, all, id)
		all[id] = string(text)
	}
	return all
}

// unwrap joins the lines into which kustomize breaks what is binary.
func unwrap(fields map[string]any) {
	for name, value := range fields {
		switch value := value.(type) {
		case map[string]any:
			unwrap(value)
		case string:
			if joined := strings.ReplaceAll(value, "\n", ""); base64Only.MatchString(joined) {
				fields[name] = joined
			}
		}
	}
}

var base64Only = regexp.MustCompile(`^[A-Za-z0-9+/]{76,}=*$`)

func keys(all map[string]string) (ids []string) {
	for id := range all {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return ids
}

// Each value changes what is rendered, in the way that its name says.
func TestEachValueIsUsed(t *testing.T) {
	text, err := os.ReadFile("chart/values.yaml")
	require.NoError(t, err)
	var values map[string]any
	require.NoError(t, yaml.Unmarshal(text, &values))
	cases := map[string][]string{ // what is set (--set-json), and what is rendered then: "!": no more
		"image.repository":       {`"shelf.example/it"`, "image: shelf.example/it:latest"},
		"image.tag":              {`"v9"`, "image: shardscaler:v9"},
		"image.digest":           {`"` + aDigest + `"`, "image: shardscaler@" + aDigest},
		"image.pullPolicy":       {`"Always"`, "imagePullPolicy: Always"},
		"imagePullSecrets":       {`[{"name":"shelf"}]`, "imagePullSecrets:\n      - name: shelf"},
		"mode":                   {`"observe"`, "        - --mode=observe"},
		"replicas":               {`3`, "replicas: 3"},
		"zookeeper":              {`"z:1"`, `ZOOKEEPER: "z:1"`},
		"kafka":                  {`"k:1"`, `KAFKA: "k:1"`},
		"mqtt":                   {`"tcp://m:1"`, `MQTT: "tcp://m:1"`},
		"credentialsSecret":      {`"mine"`, "secret: {secretName: mine}"},
		"statefulSets":           {`["a","b"]`, "resourceNames: [a, b]"},
		"certificate.mode":       {`"certManager"`, "kind: Certificate\n"},
		"certificate.ca":         {`"c"`, "caBundle: Yw=="},
		"certificate.crt":        {`"c"`, "tls.crt: Yw=="},
		"certificate.key":        {`"c"`, "tls.key: Yw=="},
		"sessionKeys":            {`true`, "--session-key-file=/etc/shardscaler/credentials/session-keys"},
		"cluster.definition":     {`false`, "!kind: CustomResourceDefinition"},
		"cluster.roles":          {`false`, "!kind: ClusterRole\nmetadata"},
		"cluster.apiServices":    {`false`, "!kind: APIService"},
		"tuning.create":          {`false`, "!\n  name: shardscaler\n  namespace: any\n  annotations:"},
		"tuning.config":          {`"kinds: []"`, "config.yaml: |\n    kinds: []"},
		"resources.requests.cpu": {`"3"`, `cpu: "3"`}, "resources.requests.memory": {`"3Gi"`, "memory: 3Gi"}, "resources.limits.memory": {`"4Gi"`, "memory: 4Gi"},
		"preflight":                 {`false`, "!name: shardscaler-preflight"},
		"goMemoryLimit":             {`"3GiB"`, "{name: GOMEMLIMIT, value: 3GiB}"},
		"extraArgs":                 {`["--log-level=debug"]`, "        - --log-level=debug"},
		"extraEnv":                  {`[{"name":"TZ","value":"Asia/Shanghai"}]`, "- name: TZ\n          value: Asia/Shanghai"},
		"extraVolumes":              {`[{"name":"x","secret":{"secretName":"y"}}]`, "- name: x\n        secret:"},
		"extraVolumeMounts":         {`[{"name":"x","mountPath":"/x"}]`, "- mountPath: /x\n          name: x"},
		"podAnnotations":            {`{"a":"b"}`, "        a: b"},
		"podLabels":                 {`{"a":"b"}`, "        a: b"},
		"priorityClassName":         {`"high"`, "      priorityClassName: high"},
		"nodeSelector":              {`{"a":"b"}`, "      nodeSelector:\n        a: b"},
		"tolerations":               {`[{"key":"a"}]`, "      tolerations:\n      - key: a"},
		"affinity":                  {`{"nodeAffinity":{}}`, "      affinity:\n        nodeAffinity: {}"},
		"ports.http":                {`8081`, "--advertise=$(POD_IP):8081"},
		"ports.metrics":             {`6444`, "--secure-port=6444"},
		"monitoring.serviceMonitor": {`true`, "kind: ServiceMonitor"},
		"monitoring.podMonitor":     {`true`, "kind: PodMonitor"},
		"monitoring.rules":          {`true`, "kind: PrometheusRule"},
		"monitoring.dashboard":      {`true`, "name: shardscaler-dashboard"},
		"monitoring.interval":       {`"7s"`, "interval: 7s"},
		"monitoring.labels":         {`{"release":"prometheus"}`, "    release: prometheus"},
		"monitoring.dashboardLabels.grafana_dashboard": {`"yes"`, `    grafana_dashboard: "yes"`},
		"examples.workload":                            {`true`, "kind: StatefulSet\nmetadata:\n  name: iota-dac"},
		"examples.hpa":                                 {`true`, "metric: {name: recommended_replicas}"},
		"examples.group":                               {`true`, "kind: InstanceGroup\nmetadata"},
	}
	files := []string{"--set-json", `certificate={"mode":"files","ca":"x","crt":"x","key":"x"}`}
	used, renderings := 0, map[string]string{}
	for _, name := range leaves("", values) {
		set, ok := cases[name]
		require.True(t, ok, "%s has no case here", name)
		used++
		flags := []string{"template", "any", chart, "--namespace", "any", "--api-versions", "shardscaler.io/v1alpha1/InstanceGroup"}
		switch group, _, _ := strings.Cut(name, "."); {
		case group == "certificate" && name != "certificate.mode":
			flags = append(flags, files...)
		case strings.HasPrefix(name, "monitoring.") && set[0] != "true":
			flags = append(flags, "--set", "monitoring.podMonitor=true,monitoring.dashboard=true")
		}
		id := fmt.Sprint(flags)
		if renderings[id] == "" {
			renderings[id], err = helm(t.Context(), flags...)
			require.NoError(t, err)
		}
		before := renderings[id]
		after, err := helm(t.Context(), append(flags, "--set-json", name+"="+set[0])...)
		require.NoError(t, err)
		if gone, isGone := strings.CutPrefix(set[1], "!"); isGone {
			before, after, set[1] = after, before, gone
		}
		require.False(t, strings.Contains(before, set[1]), "%s: %q is there anyway", name, set[1])
		require.True(t, strings.Contains(after, set[1]), "%s: no %q", name, set[1])
	}
	require.Len(t, cases, used, "a case of a value that there is not")
	_, err = helm(t.Context(), "template", "any", chart, "--set", "certificate.mode=files")
	require.ErrorContains(t, err, "certificate.ca: must be set for certificate.mode files")
	_, err = helm(t.Context(), "template", "any", chart, "--set", "examples.group=true")
	require.ErrorContains(t, err, "examples.group: the cluster has no definition of InstanceGroups yet")
}

const aDigest = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

// Helm refuses values that the chart does not have, and a tuning that the server would refuse. What
// is shipped as text is also right as values.
func TestValuesHaveASchema(t *testing.T) {
	for set, want := range map[string]string{
		`replica=3`:                     "additional properties 'replica' not allowed",
		`image={"name":"it"}`:           "at '/image': additional properties 'name' not allowed",
		`replicas="many"`:               "at '/replicas': got string, want integer",
		`certificate={"mode":"none"}`:   "at '/certificate/mode': value must be one of 'selfManaged', 'certManager', 'files', 'existing'",
		`image={"digest":"sha256:abc"}`: "at '/image/digest'",
		`tuning={"config":{"kinds":[{"name":"Thing","statefulSet":"a","capacity":1,"init":1,"max":1,"replica":{}}]}}`:                   "additional properties 'replica' not allowed",
		`tuning={"config":{"kinds":[{"name":"Thing","statefulSet":"a","capacity":1,"init":1,"max":1,"handOff":"later"}]}}`:              "value must be one of 'immediate', 'acknowledged'",
		`tuning={"config":{"kinds":[{"name":"Thing","statefulSet":"a","capacity":1,"init":1,"max":1,"freshness":{"metrics":"soon"}}]}}`: "/freshness/metrics'",
		`tuning={"config":{"kinds":[{"name":"Thing"}]}}`:                                                                                "missing properties 'statefulSet', 'capacity', 'init', 'max'",
	} {
		_, err := helm(t.Context(), "template", "any", chart, "--set-json", set)
		require.ErrorContains(t, err, want, set)
	}
	files, err := filepath.Glob("tuning/*/config.yaml")
	require.NoError(t, err)
	require.Len(t, files, 3)
	for _, file := range files {
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		values, err := yaml.YAMLToJSON(text)
		require.NoError(t, err)
		objects := render(t, "any", "--set-json", "tuning.config="+string(values))
		data, _, err := unstructured.NestedString(tuningOf(t, objects).Object, "data", "config.yaml")
		require.NoError(t, err)
		want, err := config.Parse(text)
		require.NoError(t, err)
		is, err := config.Parse([]byte(data))
		require.NoError(t, err)
		require.Equal(t, want, is)
	}
}

func tuningOf(t *testing.T, objects []unstructured.Unstructured) *unstructured.Unstructured {
	t.Helper()
	for i := range objects {
		if objects[i].GetKind() == "ConfigMap" && objects[i].GetName() == "shardscaler" {
			return &objects[i]
		}
	}
	require.Fail(t, "no tuning")
	return nil
}

// leaves are the paths of values that are no group of others.
func leaves(prefix string, values map[string]any) (paths []string) {
	for name, value := range values {
		if group, ok := value.(map[string]any); ok && len(group) > 0 {
			paths = append(paths, leaves(prefix+name+".", group)...)
			continue
		}
		paths = append(paths, prefix+name)
	}
	slices.Sort(paths)
	return paths
}

// prometheusOperator is where the definitions of the Prometheus operator are.
const prometheusOperator = "github.com/prometheus-operator/prometheus-operator@v0.85.0"

// The Prometheus operator's definitions, on the real API server, take what the chart has for them.
func TestThePrometheusOperatorTakesIt(t *testing.T) {
	in, _ := newInstallation(t)
	out, err := exec.CommandContext(t.Context(), "go", "mod", "download", "-json", prometheusOperator).Output()
	require.NoError(t, err)
	var module struct{ Dir string }
	require.NoError(t, json.Unmarshal(out, &module))
	for _, kind := range []string{"servicemonitors", "podmonitors", "prometheusrules"} {
		_, err := in.cluster.Run(t.Context(), "apply", "--server-side", "--force-conflicts", "-f",
			filepath.Join(module.Dir, "example/prometheus-operator-crd/monitoring.coreos.com_"+kind+".yaml"))
		require.NoError(t, err)
		_, err = in.cluster.Run(t.Context(), "wait", "--for=condition=Established", "--timeout=60s", "crd/"+kind+".monitoring.coreos.com")
		require.NoError(t, err)
	}
	var objects []unstructured.Unstructured
	for _, object := range render(t, in.namespace, "--set", "monitoring.serviceMonitor=true,monitoring.podMonitor=true,monitoring.rules=true") {
		if object.GetAPIVersion() == "monitoring.coreos.com/v1" {
			objects = append(objects, object)
		}
	}
	require.Len(t, objects, 3)
	said, err := in.apply(t.Context(), objects, "--validate=strict")
	require.NoError(t, err, said)
	require.NotContains(t, said, "Warning")
	folder := in.overlay(t, "namespace: "+in.namespace+"\ncomponents: [../../components/prometheus-operator]\n")
	said, err = in.apply(t.Context(), in.build(t, folder), "--validate=strict")
	require.NoError(t, err, said)
	require.Equal(t, 2, strings.Count(said, "serverside-applied"))
}

// installation is the chart on the real API server, in a namespace, without what a cluster has once:
// other tests have that.
type installation struct {
	*tree
	namespace string
}

func (in installation) helm(t *testing.T, args ...string) string {
	t.Helper()
	out, err := helm(t.Context(), append(args, "--kubeconfig", in.cluster.Kubeconfig, "--namespace", in.namespace)...)
	require.NoError(t, err)
	return out
}

func (in installation) upgrade(t *testing.T, flags ...string) {
	t.Helper()
	in.helm(t, append([]string{"upgrade", "--install", "shardscaler", chart, "--set", "cluster.roles=false,cluster.apiServices=false"}, flags...)...)
}

// What operators have tuned stays whatever Helm does; uninstalling leaves it and the definition, and
// nothing else.
func TestHelmInstallsAndUninstalls(t *testing.T) {
	in, client := newInstallation(t)
	in.upgrade(t, "--take-ownership") // the definition may be there already
	maps := client.CoreV1().ConfigMaps(in.namespace)
	tuned, err := maps.Get(t.Context(), "shardscaler", metav1.GetOptions{})
	require.NoError(t, err)
	tuned.Data["config.yaml"] = strings.Replace(tuned.Data["config.yaml"], "init: 10", "init: 7", 1)
	tuned, err = maps.Update(t.Context(), tuned, metav1.UpdateOptions{FieldManager: "kubectl-edit"})
	require.NoError(t, err)
	require.EqualValues(t, 2, *in.deployment(t).Spec.Replicas)
	// what a server would write
	secrets, leases := client.CoreV1().Secrets(in.namespace), client.CoordinationV1().Leases(in.namespace)
	secret, err := secrets.Get(t.Context(), "shardscaler-self-managed-cert", metav1.GetOptions{})
	require.NoError(t, err)
	secret.Data = map[string][]byte{"tls.crt": []byte("of a server")}
	_, err = secrets.Update(t.Context(), secret, metav1.UpdateOptions{FieldManager: "shardscaler"})
	require.NoError(t, err)
	lease, err := leases.Get(t.Context(), "shardscaler", metav1.GetOptions{})
	require.NoError(t, err)
	lease.Spec.HolderIdentity = ptr.To("of a server")
	_, err = leases.Update(t.Context(), lease, metav1.UpdateOptions{FieldManager: "shardscaler"})
	require.NoError(t, err)

	for _, replicas := range []int{3, 2} {
		in.upgrade(t, "--set", fmt.Sprintf("replicas=%d", replicas), "--set", "tuning.config=kinds: []")
		require.EqualValues(t, replicas, *in.deployment(t).Spec.Replicas)
	}
	now, err := maps.Get(t.Context(), "shardscaler", metav1.GetOptions{})
	require.NoError(t, err)
	require.Equal(t, tuned.Data, now.Data)
	require.Equal(t, tuned.UID, now.UID)
	secret, err = secrets.Get(t.Context(), secret.Name, metav1.GetOptions{})
	require.NoError(t, err)
	require.Equal(t, "of a server", string(secret.Data["tls.crt"]))
	lease, err = leases.Get(t.Context(), lease.Name, metav1.GetOptions{})
	require.NoError(t, err)
	require.Equal(t, "of a server", *lease.Spec.HolderIdentity)

	in.helm(t, "uninstall", "shardscaler", "--wait")
	now, err = maps.Get(t.Context(), "shardscaler", metav1.GetOptions{})
	require.NoError(t, err)
	require.Equal(t, tuned.Data, now.Data)
	in.hasOnly(t, "configmap/kube-root-ca.crt", "configmap/shardscaler", "serviceaccount/default")
	_, err = in.cluster.Run(t.Context(), "get", "crd", "instancegroups.shardscaler.io")
	require.NoError(t, err)

	in.upgrade(t, "--take-ownership") // and again
	now, err = maps.Get(t.Context(), "shardscaler", metav1.GetOptions{})
	require.NoError(t, err)
	require.Equal(t, tuned.UID, now.UID)
	in.helm(t, "uninstall", "shardscaler", "--wait")
}

// What another tool applies, such as Argo CD, is what Helm has applied: neither undoes what the other
// did, and applied once more it changes nothing.
func TestNoOtherFieldManagerSeesADrift(t *testing.T) {
	in, _ := newInstallation(t)
	in.upgrade(t, "--take-ownership")
	flags := []string{"--set", "cluster.definition=false,cluster.roles=false,cluster.apiServices=false,tuning.create=false"}
	objects := render(t, in.namespace, flags...)
	require.Greater(t, len(objects), 15)
	before := in.live(t, objects)
	for range 2 {
		out, err := in.apply(t.Context(), objects, "--field-manager=another")
		require.NoError(t, err, out)
		require.Equal(t, before, in.live(t, objects))
	}
	in.upgrade(t)
	require.Equal(t, before, in.live(t, objects))
}

// live are the objects as the API server has them, but for who manages them.
func (in installation) live(t *testing.T, objects []unstructured.Unstructured) (all []string) {
	t.Helper()
	for i := range objects {
		args := []string{"get", objects[i].GetKind(), objects[i].GetName(), "--output=json"}
		if objects[i].GetNamespace() != "" {
			args = append(args, "--namespace", in.namespace)
		}
		text, err := in.cluster.Run(t.Context(), args...)
		require.NoError(t, err)
		var object unstructured.Unstructured
		require.NoError(t, object.UnmarshalJSON([]byte(text)))
		object.SetResourceVersion("")
		unstructured.RemoveNestedField(object.Object, "status")
		unstructured.RemoveNestedField(object.Object, "metadata", "annotations", "deployment.kubernetes.io/revision")
		normal, err := json.Marshal(object.Object)
		require.NoError(t, err)
		all = append(all, string(normal))
	}
	return all
}

// An installation by kustomize becomes one by Helm and back, and neither touches the workload.
func TestHelmTakesOverFromKustomize(t *testing.T) {
	in, client := newInstallation(t)
	overlay := in.overlay(t, "namespace: "+in.namespace+`
resources: [../../base, ../../tuning/default]
components: [../../components/self-managed-cert]
replacements:
- source: {kind: ServiceAccount, name: shardscaler, fieldPath: metadata.namespace}
  targets:
  - select: {kind: ClusterRoleBinding}
    fieldPaths: [metadata.name]
    options: {delimiter: ":", index: 2}
`)
	workload := in.overlay(t, "namespace: "+in.namespace+"\ncomponents: [../../components/example-workload]\n")
	apply := func(folder string) {
		out, err := in.apply(t.Context(), in.build(t, folder))
		require.NoError(t, err, out)
	}
	apply(workload)
	apply(overlay)
	before := in.workload(t)
	pods := in.deployment(t).Spec.Template
	uid := in.deployment(t).UID

	in.upgrade(t, "--take-ownership", "--force-conflicts")
	require.Equal(t, pods, in.deployment(t).Spec.Template, "no pod of ours is made anew either")
	require.Equal(t, uid, in.deployment(t).UID)
	in.upgrade(t)
	require.Equal(t, before, in.workload(t))

	// back: Helm forgets the release, and what it has installed stays
	require.NoError(t, client.CoreV1().Secrets(in.namespace).DeleteCollection(t.Context(), metav1.DeleteOptions{},
		metav1.ListOptions{LabelSelector: "owner=helm,name=shardscaler"}))
	apply(overlay)
	require.Equal(t, pods, in.deployment(t).Spec.Template)
	require.Equal(t, uid, in.deployment(t).UID)
	require.Equal(t, before, in.workload(t))
}

func newInstallation(t *testing.T) (installation, kubernetes.Interface) {
	t.Helper()
	env := servers.Require(t, servers.PartKubernetes)
	in := installation{namespace: env.Kubernetes.Namespace(t)}
	in.tree = newTree(t, in.namespace)
	client := env.Kubernetes.Client(t)
	t.Cleanup(func() { // they belong to no namespace
		bindings := client.RbacV1().ClusterRoleBindings()
		all, err := bindings.List(context.Background(), metav1.ListOptions{LabelSelector: "app.kubernetes.io/name=shardscaler"})
		require.NoError(t, err)
		for i := range all.Items {
			if name := all.Items[i].Name; strings.HasSuffix(name, ":"+in.namespace) {
				require.NoError(t, bindings.Delete(context.Background(), name, metav1.DeleteOptions{}))
			}
		}
	})
	return in, client
}

func (in installation) deployment(t *testing.T) *appsv1.Deployment {
	t.Helper()
	d, err := in.cluster.Client(t).AppsV1().Deployments(in.namespace).Get(t.Context(), "shardscaler", metav1.GetOptions{})
	require.NoError(t, err)
	return d
}

// workload is what the StatefulSets and their pods are, but for what their controllers say of them.
func (in installation) workload(t *testing.T) (all []string) {
	t.Helper()
	client := in.cluster.Client(t)
	sets, err := client.AppsV1().StatefulSets(in.namespace).List(t.Context(), metav1.ListOptions{})
	require.NoError(t, err)
	require.Len(t, sets.Items, 2)
	for i := range sets.Items {
		all = append(all, fmt.Sprintf("%s %s %d", sets.Items[i].Name, sets.Items[i].UID, sets.Items[i].Generation))
		pod := sets.Items[i].Name + "-0"
		require.Eventually(t, func() bool {
			p, err := client.CoreV1().Pods(in.namespace).Get(t.Context(), pod, metav1.GetOptions{})
			if err == nil {
				all = append(all, fmt.Sprintf("%s %s", pod, p.UID))
			}
			return err == nil
		}, time.Minute, 100*time.Millisecond)
	}
	return all
}

// hasOnly looks at whatever the namespace may hold, but for what happened there.
func (in installation) hasOnly(t *testing.T, want ...string) {
	t.Helper()
	types, err := in.cluster.Run(t.Context(), "api-resources", "--verbs=list", "--namespaced", "--output=name")
	require.NoError(t, err)
	var all []string
	for name := range strings.FieldsSeq(types) {
		if !strings.HasPrefix(name, "events") && !strings.Contains(name, "metrics.k8s.io") && !strings.HasSuffix(name, "ops.shardscaler.io") {
			all = append(all, name)
		}
	}
	require.EventuallyWithT(t, func(c *assert.CollectT) {
		is, err := in.cluster.Run(t.Context(), "get", strings.Join(all, ","), "--namespace", in.namespace, "--output=name", "--ignore-not-found")
		require.NoError(c, err)
		require.ElementsMatch(c, want, strings.Fields(is))
	}, time.Minute, time.Second)
}

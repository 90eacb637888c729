package manifests

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"github.com/shardscaler/shardscaler/internal/testbed/container"
	"github.com/shardscaler/shardscaler/internal/testbed/servers"
)

// image is the image of this checkout, unpacked.
func image(t *testing.T) *container.Image {
	t.Helper()
	archive := filepath.Join(t.TempDir(), "image.tar")
	out, err := exec.CommandContext(t.Context(), "go", "-C", "../tools/release", "run", ".", "image", "-version", "v0.0.0-test", "-out", archive).CombinedOutput()
	require.NoError(t, err, string(out))
	text, err := os.ReadFile(archive)
	require.NoError(t, err)
	im, err := container.Open(text, t.TempDir())
	require.NoError(t, err)
	return im
}

// freePorts are ports that no program listens on now.
func freePorts(t *testing.T, n int) (ports []int) {
	t.Helper()
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		defer l.Close()
		ports = append(ports, l.Addr().(*net.TCPAddr).Port)
	}
	return ports
}

// TestTheContainerRunsAsTheChartSays installs the chart on real servers, and runs the container of
// the Deployment as a process, exactly as the objects say: with its arguments, its environment, its
// mounts, its token and its rights, in the image's root.
func TestTheContainerRunsAsTheChartSays(t *testing.T) {
	env := servers.Require(t, servers.AllParts...)
	in, client := newInstallation(t)
	im := image(t)
	_, err := client.CoreV1().Secrets(in.namespace).Create(t.Context(), &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: "shardscaler-credentials"},
		StringData: map[string]string{"catalogue-dsn": env.Postgres.NewDatabase(t).ReaderURL},
	}, metav1.CreateOptions{})
	require.NoError(t, err)
	ports := freePorts(t, 2)
	values, err := json.Marshal(map[string]any{
		"zookeeper": env.ZooKeeper.Connect + env.ZooKeeper.Path(t), "kafka": env.Kafka.Addr, "mqtt": env.MQTT.URL,
		"ports":     map[string]int{"http": ports[0], "metrics": ports[1]},
		"cluster":   map[string]bool{"definition": true, "roles": true, "apiServices": false},
		"examples":  map[string]bool{"workload": true},
		"extraArgs": []string{"--mqtt-topic=" + in.namespace},
		"tuning":    map[string]any{"config": map[string]any{"kinds": []any{map[string]any{"name": "Thing", "statefulSet": "iota-dac", "capacity": 100, "init": 1, "max": 3}}}},
	})
	require.NoError(t, err)
	file := filepath.Join(t.TempDir(), "values.json")
	require.NoError(t, os.WriteFile(file, values, 0o600))
	install := func(flags ...string) {
		in.helm(t, append([]string{"upgrade", "--install", "shardscaler", chart, "--take-ownership", "--values", file}, flags...)...)
	}
	install()
	t.Cleanup(func() { in.uninstall(t) })

	process := in.preflight(t, im)
	require.Zero(t, process.ExitCode(), process.Printed())
	require.Contains(t, process.Printed(), "a session is opened")

	pod, process := in.start(t, im)
	in.answers(t, pod, pod.Spec.Containers[0].StartupProbe, process)
	in.answers(t, pod, pod.Spec.Containers[0].LivenessProbe, process)
	in.answers(t, pod, pod.Spec.Containers[0].ReadinessProbe, process)
	require.NotContains(t, process.Printed(), "forbidden", "its rights are enough")
	secret, err := client.CoreV1().Secrets(in.namespace).Get(t.Context(), "shardscaler-self-managed-cert", metav1.GetOptions{})
	require.NoError(t, err)
	require.NotEmpty(t, secret.Data["tls.crt"], "the server fills the Secret of the chart")
	process.Signal(syscall.SIGHUP)
	require.Eventually(t, func() bool { return strings.Contains(process.Printed(), "the configuration is read again") }, time.Minute, 50*time.Millisecond)
	in.answers(t, pod, pod.Spec.Containers[0].ReadinessProbe, process)
	require.Zero(t, process.Stop(30*time.Second), process.Printed())

	install("--set", "mqtt=tcp://127.0.0.1:1")
	process = in.preflight(t, im)
	require.Equal(t, 1, process.ExitCode(), process.Printed())
	require.Contains(t, process.Printed(), "MQTT tcp://127.0.0.1:1: next: start it")

	// what a slip in the chart looks like
	install("--set-json", `extraArgs=["--no-such-flag"]`)
	_, process = in.start(t, im)
	require.Equal(t, 2, process.ExitCode())
	require.Contains(t, process.Printed(), "unknown flag: --no-such-flag")
}

// start starts the container of a pod that the Deployment makes.
func (in installation) start(t *testing.T, im *container.Image) (container.Pod, *container.Process) {
	t.Helper()
	return in.run(t, im, "shardscaler-0", in.deployment(t).Spec.Template.Spec)
}

// preflight runs the container of the Job that `helm test` makes.
func (in installation) preflight(t *testing.T, im *container.Image) *container.Process {
	t.Helper()
	var job batchv1.Job
	require.NoError(t, yaml.UnmarshalStrict([]byte(in.helm(t, "get", "hooks", "shardscaler")), &job))
	require.Equal(t, "test", job.Annotations["helm.sh/hook"])
	_, process := in.run(t, im, "shardscaler-preflight-0", job.Spec.Template.Spec)
	return process
}

func (in installation) run(t *testing.T, im *container.Image, name string, spec corev1.PodSpec) (container.Pod, *container.Process) {
	t.Helper()
	config, err := in.cluster.Config()
	require.NoError(t, err)
	pod := container.Pod{Namespace: in.namespace, Name: name, IP: "127.0.0.1", Spec: spec}
	process, err := container.Start(t.Context(), container.Cluster{Client: in.cluster.Client(t), Config: config}, im, pod, t.TempDir())
	require.NoError(t, err)
	t.Cleanup(func() { process.Stop(0) })
	return pod, process
}

// answers asks as the kubelet would until a probe succeeds.
func (in installation) answers(t *testing.T, pod container.Pod, probe *corev1.Probe, process *container.Process) {
	t.Helper()
	url, err := pod.Probe(probe)
	require.NoError(t, err)
	said := ""
	ok := assert.Eventually(t, func() bool {
		select {
		case <-process.Done():
			t.Fatalf("it ended with %d:\n%s", process.ExitCode(), process.Printed())
		default:
		}
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		require.NoError(t, err)
		answer, err := http.DefaultClient.Do(request)
		if err != nil {
			said = err.Error()
			return false
		}
		defer answer.Body.Close()
		text, _ := io.ReadAll(answer.Body)
		said = fmt.Sprintf("%s: %s", answer.Status, text)
		return answer.StatusCode == http.StatusOK
	}, time.Minute, 200*time.Millisecond)
	require.True(t, ok, "%s: %s\n%s", url, said, process.Printed())
}

// uninstall takes along what belongs to no namespace, when the test is over.
func (in installation) uninstall(t *testing.T) {
	t.Helper()
	out, err := helm(context.Background(), "uninstall", "shardscaler", "--kubeconfig", in.cluster.Kubeconfig, "--namespace", in.namespace)
	require.NoError(t, err, out)
}

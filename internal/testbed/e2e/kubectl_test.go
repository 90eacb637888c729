package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/shardscaler/shardscaler/internal/ops"
	"github.com/shardscaler/shardscaler/internal/testbed/gocmd"
	"github.com/shardscaler/shardscaler/internal/testbed/product"
	"github.com/shardscaler/shardscaler/internal/testbed/servers"
)

// plugin is `kubectl shardscaler` of one user, run by the real kubectl.
type plugin struct {
	*world
	path       string // PATH: it has kubectl and the plugin
	kubeconfig string
}

// pluginProgram is built once, beside the other programs.
var pluginProgram = sync.OnceValues(func() (string, error) {
	root, err := servers.ModuleRoot()
	if err != nil {
		return "", err
	}
	file := filepath.Join(filepath.Dir(programs.Shardscaler), "kubectl-shardscaler")
	out, err := gocmd.Command(context.Background(), root, "build", "-o", file, "./cmd/kubectl-shardscaler").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("build the plugin: %w\n%s", err, out)
	}
	return file, nil
})

// newPlugin returns a folder that has the plugin and kubectl.
func (w *world) newPlugin() string {
	w.t.Helper()
	program, err := pluginProgram()
	require.NoError(w.t, err)
	folder := w.t.TempDir()
	require.NoError(w.t, os.Link(program, filepath.Join(folder, filepath.Base(program)))) // a program of its own: commands write beside it
	require.NoError(w.t, os.Symlink(w.Env.Kubernetes.Kubectl, filepath.Join(folder, "kubectl")))
	return folder
}

// of is the plugin as a service account.
func (w *world) of(path, account string) *plugin {
	w.t.Helper()
	file := filepath.Join(w.t.TempDir(), account+".kubeconfig")
	require.NoError(w.t, w.Env.Kubernetes.ServiceAccountKubeconfig(w.t.Context(), w.Namespace, account, file))
	return &plugin{w, path, file}
}

// run returns what `kubectl shardscaler` printed, and its exit status.
func (p *plugin) run(args ...string) (stdout, stderr string, code int) {
	p.t.Helper()
	return p.kubectl(append([]string{"shardscaler"}, args...)...)
}

func (p *plugin) env() []string {
	return []string{"PATH=" + p.path + string(filepath.ListSeparator) + "/usr/bin:/bin", "KUBECONFIG=" + p.kubeconfig, "HOME=" + p.path}
}

func (p *plugin) kubectl(args ...string) (stdout, stderr string, code int) {
	p.t.Helper()
	cmd := exec.CommandContext(p.t.Context(), filepath.Join(p.path, "kubectl"), args...)
	cmd.Env = p.env()
	var out, told bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &told
	var failed *exec.ExitError
	if err := cmd.Run(); err != nil && !errors.As(err, &failed) {
		require.NoError(p.t, err)
	}
	return out.String(), told.String(), cmd.ProcessState.ExitCode()
}

// does requires that a command succeeds.
func (p *plugin) does(args ...string) string {
	p.t.Helper()
	out, told, code := p.run(args...)
	require.Zero(p.t, code, "%v: %s%s", args, out, told)
	return out
}

// TestKubectl has an operator use the plugin as a person does, through the real API server, and
// looks in ZooKeeper for what came of it.
func TestKubectl(t *testing.T) {
	w := start(t, func(*servers.Env, *product.Options) {})
	ids := product.IDs(800, 1)
	require.NoError(t, w.Platform.Import(t.Context(), thing, ids, 1))
	a := w.settled(thing, thingSet, 2, len(ids))
	_, err := w.OperatorToken(t.Context())
	require.NoError(t, err)
	w.mayPauseThing("operator")
	path := w.newPlugin()
	operator := w.of(path, "operator")

	w.seesWithKubectl(operator, a)
	operator.opensThePage()
	w.drainsWithKubectl(operator)
	w.steersWithKubectl(operator, ids[7])
	w.completesWithKubectl(operator)
	w.mayNotWithKubectl(path)
	w.asksTheServerWithThePlugin(path)
	w.lostNothing(thing, nil)
}

func (w *world) seesWithKubectl(p *plugin, a *product.Assignment) {
	w.t.Helper()
	out := p.does("status")
	require.Regexp(w.t, `(?m)^Thing +2/2 +2 +800 +0 +0 `, out)
	require.Regexp(w.t, `(?m)^Rule +1/1 +1 +0 `, out)
	out = p.does("status", "Thing", "-o", "json")
	var kind ops.Kind
	require.NoError(w.t, json.Unmarshal([]byte(out), &kind))
	require.Equal(w.t, thing, kind.Name)
	require.Equal(w.t, 800, kind.Resources.Total)
	require.Equal(w.t, "kind.ops.shardscaler.io/Thing\nkind.ops.shardscaler.io/Rule\n", p.does("top", "-o", "name"))
	require.Contains(w.t, p.does("why", "Thing"), "no change at 2")
	require.Regexp(w.t, `(?m)^capacity +1000 +ConfigMap`, p.does("config", "Thing"))
	for _, n := range []int{0, 1} {
		id := a.Instances[n].IDs[0]
		require.Contains(w.t, p.does("find", id), fmt.Sprintf("%-10s %d (pod %s", "Instance:", n, podName(thingSet, n)))
	}
	out = p.does("find", podName(thingSet, 1))
	require.Regexp(w.t, fmt.Sprintf(`(?m)^Thing +1 +open +Healthy +%d/1000`, len(a.Instances[1].IDs)), out)
	_, told, code := p.run("find", "nowhere")
	require.Equal(w.t, 1, code)
	require.Contains(w.t, told, `"nowhere" is no resource, instance or node`)
	out, _, _ = p.run("doctor")
	require.Regexp(w.t, `(?m)^APIService v1\.ops\.shardscaler\.io +unknown +you may not see it`, out)
	require.Regexp(w.t, `(?m)^rights +ok`, out)
	require.Regexp(w.t, `(?m)^kind Thing: sources +ok +age of each: `, out)
}

// drainsWithKubectl plans a drain, applies it by its id, waits for its end, and takes it back.
func (w *world) drainsWithKubectl(p *plugin) {
	w.t.Helper()
	out, told, code := p.run("plan", "Thing", "--drain", "1", "-o", "json")
	require.Equal(w.t, 1, code, "there are moves: %s%s", out, told)
	var plan ops.Plan
	require.NoError(w.t, json.Unmarshal([]byte(out), &plan))
	require.Empty(w.t, plan.Refused)
	require.Positive(w.t, plan.Description.Moves)
	before := w.assignment(thing)
	require.Positive(w.t, owned(before, 1), "a plan does nothing")
	out = p.does("apply", plan.ID, "--wait", "--timeout", "2m")
	require.Contains(w.t, out, "Thing: drain instance 1: applied")
	require.Zero(w.t, owned(w.assignment(thing), 1))
	require.Regexp(w.t, `(?m)^1 +drained `, p.does("status", "Thing", "--instances", "--state", "drained"))
	out, told, code = p.run("apply", plan.ID)
	require.Equal(w.t, 2, code, "it is applied once: %s%s", out, told)
	require.Contains(w.t, p.does("undrain", podName(thingSet, 1)), "Thing: instance 1 may take resources again")
	w.until("it is open again", func(ctx context.Context) error {
		if out := p.does("status", "Thing", "--instances", "--state", "open", "-o", "name"); !strings.Contains(out, "/1\n") {
			return errors.New(out)
		}
		return nil
	})
}

func (w *world) steersWithKubectl(p *plugin, id string) {
	w.t.Helper()
	require.Equal(w.t, "Thing: voluntary moves are paused for 30m\n", p.does("pause", "Thing", "--for", "30m"))
	var kind ops.Kind
	w.until("the pause is shown", func(context.Context) error {
		require.NoError(w.t, json.Unmarshal([]byte(p.does("status", "Thing", "-o", "json")), &kind))
		if !kind.Paused.Value || !strings.HasSuffix(kind.Paused.By, ":operator") || kind.Paused.Until.IsZero() {
			return fmt.Errorf("paused: %+v", kind.Paused)
		}
		return nil
	})
	require.Equal(w.t, "Thing: voluntary moves go on\n", p.does("resume", "Thing"))
	out, told, code := p.run("rollback", "Thing")
	require.Equal(w.t, 2, code, "without a terminal it needs --yes: %s%s", out, told)
	to := "0"
	if a := w.assignment(thing); contains(a, 0, id) {
		to = "1"
	}
	p.does("move", "Thing", id, "--to", to, "--wait", "--timeout", "2m")
	require.Contains(w.t, p.does("find", id, "--as", "resource"), fmt.Sprintf("%-10s %s (pod ", "Instance:", to))
}

func contains(a *product.Assignment, ordinal int, id string) bool {
	for _, in := range a.Instances[ordinal].IDs {
		if in == id {
			return true
		}
	}
	return false
}

// completesWithKubectl has the real kubectl complete by the shim that the plugin installs.
func (w *world) completesWithKubectl(p *plugin) {
	w.t.Helper()
	require.Contains(w.t, p.does("completion", "install", "--yes"), "kubectl_complete-shardscaler")
	out, told, code := p.kubectl("__complete", "shardscaler", "drain", "")
	require.Zero(w.t, code, told)
	require.Regexp(w.t, `(?m)^Thing\b`, out)
	out, _, _ = p.kubectl("__complete", "shardscaler", "drain", "Thing", "")
	require.Regexp(w.t, `(?m)^1\t`, out)
}

// mayNotWithKubectl: the API server says what a user lacks.
func (w *world) mayNotWithKubectl(path string) {
	w.t.Helper()
	viewer := w.of(path, "viewer")
	_, err := w.Kube.RbacV1().RoleBindings(w.Namespace).Create(w.t.Context(), &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: "viewer"}, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "view"},
		Subjects: []rbacv1.Subject{{Kind: "ServiceAccount", Name: "viewer", Namespace: w.Namespace}},
	}, metav1.CreateOptions{})
	require.NoError(w.t, err)
	w.until("the viewer may see", func(context.Context) error {
		if out, told, code := viewer.run("status"); code != 0 {
			return errors.New(out + told)
		}
		return nil
	})
	out, told, code := viewer.run("pause", "Thing")
	require.Equal(w.t, 2, code, out)
	require.Contains(w.t, told, "error: pause Thing: ")
	require.Contains(w.t, told, "forbidden")
	require.Contains(w.t, told, "next:  see what you may do: kubectl shardscaler doctor")
	out, _, _ = viewer.run("doctor")
	require.Regexp(w.t, `(?m)^rights +info +in namespace .* you may not .*create kinds/pause \(pause\)`, out)
}

// asksTheServerWithThePlugin goes past the API server, with a token that the plugin makes.
func (w *world) asksTheServerWithThePlugin(path string) {
	w.t.Helper()
	ca := filepath.Join(w.t.TempDir(), "ca.crt")
	require.NoError(w.t, os.WriteFile(ca, w.Certs.CA, 0o600))
	admin := &plugin{w, path, w.Env.Kubernetes.Kubeconfig}
	out := admin.does("status", "--server", "https://"+w.Servers[0].Secure, "--certificate-authority", ca,
		"--tls-server-name", "shardscaler-metrics."+w.Namespace+".svc", "--service-account", w.Namespace+"/operator")
	require.Regexp(w.t, `(?m)^Thing +`, out)
	_, told, code := admin.run("status", "--server", "https://"+w.Servers[0].Secure, "--certificate-authority", ca,
		"--tls-server-name", "shardscaler-metrics."+w.Namespace+".svc")
	require.Equal(w.t, 2, code)
	require.Contains(w.t, told, "next:  give a token of the right audience: ")
}

package main

import (
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/shardscaler/shardscaler/internal/testbed/gocmd"
	"github.com/shardscaler/shardscaler/internal/testbed/servers"
)

const (
	kubectlInstances = 10
	kubectlRuns      = 41
)

// measureKubectl runs the plugin as a person does: each time a new process, which reads the
// kubeconfig, connects to the API server, and asks through it for all kinds.
func measureKubectl(ctx context.Context, w *world) (map[string]float64, error) {
	root, err := servers.ModuleRoot()
	if err != nil {
		return nil, err
	}
	plugin := filepath.Join(w.b.dir, "kubectl-shardscaler")
	w.b.tell("building the plugin")
	if out, err := gocmd.Command(ctx, root, "build", "-o", plugin, "./cmd/kubectl-shardscaler").CombinedOutput(); err != nil {
		return nil, fmt.Errorf("build the plugin: %w\n%s", err, out)
	}
	args := []string{"status", "--kubeconfig", w.b.env.Kubernetes.Kubeconfig, "-n", w.namespace}
	var took []float64
	for range kubectlRuns {
		var out, told bytes.Buffer
		cmd := exec.CommandContext(ctx, plugin, args...)
		cmd.Stdout, cmd.Stderr = &out, &told
		began := time.Now()
		if err := cmd.Run(); err != nil {
			return nil, fmt.Errorf("kubectl shardscaler status: %w\n%s", err, &told)
		}
		took = append(took, time.Since(began).Seconds()*1e3)
		if !bytes.Contains(out.Bytes(), []byte("\nThing ")) {
			return nil, fmt.Errorf("kubectl shardscaler status shows no kind: %s", &out)
		}
		if err := pause(ctx, 50*time.Millisecond); err != nil {
			return nil, err
		}
	}
	measured := map[string]float64{}
	quantiles(measured, "first_answer", took)
	return measured, nil
}

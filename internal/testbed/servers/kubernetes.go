package servers

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/shardscaler/shardscaler/internal/testbed/servers/proc"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

// Kubernetes is a control plane whose nodes and pods kwok plays: pods get Ready and have no
// processes. A pod's annotations kwok.x-k8s.io/usage-cpu and kwok.x-k8s.io/usage-memory are what it
// uses, and metrics-server scrapes that every 10 s.
type Kubernetes struct {
	URL        string `json:"url"`
	Kubeconfig string `json:"kubeconfig"` // of an administrator
	Kubectl    string `json:"kubectl"`    // of the same version
	AuditLog   string `json:"auditLog"`   // JSON Lines, see Audit

	APIServer         *Server `json:"apiServer"`
	Etcd              *Server `json:"etcd"`
	ControllerManager *Server `json:"controllerManager"`
	Scheduler         *Server `json:"scheduler"`
	Kwok              *Server `json:"kwok"` // frozen, its nodes are NotReady after 40 s
	MetricsServer     *Server `json:"metricsServer"`
}

// clusterName is also the name of the kubeconfig's context, with "kwok-" before it.
const clusterName = "sandbox"

// kwokctlConfig is kwokctl's; %[1]s is the folder of the control plane, %[2]s the one of
// metrics-server's manifests, and the rest are ports.
const kwokctlConfig = `kind: KwokctlConfiguration
apiVersion: config.kwok.x-k8s.io/v1alpha1
options:
  bindAddress: 127.0.0.1
  etcdPort: %[3]d
  kubeApiserverPort: %[4]d
  kubeControllerManagerPort: %[5]d
  kubeSchedulerPort: %[6]d
  kwokControllerPort: %[7]d
  metricsServerPort: %[8]d
  etcdPeerPort: %[9]d
  heartbeatFactor: 1   # its default of 5 multiplies what follows
  nodeLeaseDurationSeconds: 10
  kubeControllerManagerNodeMonitorPeriodMilliseconds: 2000
  kubeControllerManagerNodeMonitorGracePeriodMilliseconds: 40000   # a stall that ends sooner must lose no node: kwok makes no pod Ready again
  kubeAuditPolicy: %[1]s/audit-policy.yaml
  metricsServerManifests: ["%[2]s"]
componentsPatches:   # not --extra-args: two of those for one component crash kwokctl v0.8.0
- name: kube-controller-manager
  extraArgs:
  - {key: horizontal-pod-autoscaler-sync-period, value: 2s}
  - {key: use-service-account-credentials, value: "true"}   # else the HPA acts as an admin and its rights are never tested
- name: metrics-server
  extraArgs:
  - {key: metric-resolution, value: 10s, override: true}
  - {key: kubelet-request-timeout, value: 5s}
  - {key: kubelet-preferred-address-types, value: InternalIP, override: true}
- name: kwok-controller
  extraArgs:
  - {key: node-ip, value: 127.0.0.1, override: true}
- name: kube-apiserver   # without these an aggregated API sees the proxy's own client certificate (an admin's) instead of the caller
  extraArgs:
  - {key: requestheader-client-ca-file, value: %[1]s/clusters/` + clusterName + `/pki/ca.crt}
  - {key: requestheader-allowed-names, value: kwok-admin}
  - {key: requestheader-username-headers, value: X-Remote-User}
  - {key: requestheader-group-headers, value: X-Remote-Group}
  - {key: requestheader-extra-headers-prefix, value: X-Remote-Extra-}
`

// auditPolicy records what changes the size of a StatefulSet or ends a pod, with the time at which
// the API server had done it.
const auditPolicy = `apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- level: Request
  verbs: [create, update, patch, delete]
  resources:
  - {group: apps, resources: [statefulsets, statefulsets/scale]}
- level: Metadata
  verbs: [create, delete, deletecollection]
  resources:
  - {group: "", resources: [pods, pods/eviction]}
- level: None
`

// nodeManifest: nodes of "kwokctl scale node" have addresses outside, which metrics-server dials.
const nodeManifest = `---
apiVersion: v1
kind: Node
metadata:
  name: node-%[1]d
  annotations:
    kwok.x-k8s.io/node: fake
    metrics.k8s.io/resource-metrics-path: /metrics/nodes/node-%[1]d/metrics/resource
  labels: {kubernetes.io/hostname: node-%[1]d, topology.kubernetes.io/zone: %[2]c}
status:
  allocatable: {cpu: "64", memory: 256Gi, pods: "500"}
  capacity: {cpu: "64", memory: 256Gi, pods: "500"}
`

func (e *Env) startKubernetes(ctx context.Context, nodes int) (*Kubernetes, error) {
	dir, ports, err := e.newRoom("kubernetes", 7)
	if err != nil {
		return nil, err
	}
	manifests := filepath.Join(e.Tools.ControlPlane, "metrics-server")
	err = writeFiles(dir, map[string]string{
		"kwokctl.yaml":      fmt.Sprintf(kwokctlConfig, dir, manifests, ports[0], ports[1], ports[2], ports[3], ports[4], ports[5], ports[6]),
		"audit-policy.yaml": auditPolicy,
	})
	if err != nil {
		return nil, fmt.Errorf("start kubernetes: %w", err)
	}
	k := &Kubernetes{
		URL:        "https://" + loopback(ports[1]),
		Kubeconfig: filepath.Join(dir, "kubeconfig"),
		Kubectl:    filepath.Join(e.Tools.ControlPlane, "bin", "kubectl"),
		AuditLog:   filepath.Join(dir, "clusters", clusterName, "logs", "audit.log"),
	}
	err = e.createCluster(ctx, dir, k.Kubeconfig)
	if err == nil {
		err = k.adoptAll(ctx, e, dir, ports, nodes)
	}
	if err != nil {
		killCluster(dir)
		return nil, err
	}
	return k, nil
}

// adoptAll makes Servers of what kwokctl started, and waits for them and the nodes to be ready.
func (k *Kubernetes) adoptAll(ctx context.Context, e *Env, dir string, ports []int, nodes int) error {
	cluster := filepath.Join(dir, "clusters", clusterName)
	for i, c := range []struct {
		server        **Server
		name, answers string
	}{ // in the order of ports
		{&k.Etcd, "etcd", "http://%s/health"},
		{&k.APIServer, "kube-apiserver", "https://%s/readyz"},
		{&k.ControllerManager, "kube-controller-manager", "https://%s/healthz"},
		{&k.Scheduler, "kube-scheduler", "https://%s/healthz"},
		{&k.Kwok, "kwok-controller", "http://%s/healthz"},
		{&k.MetricsServer, "metrics-server", "https://%s/livez"},
	} {
		addr := loopback(ports[i])
		*c.server = &Server{
			Name: c.name, Addr: addr, Speaks: protocol(fmt.Sprintf(c.answers, addr)), WorkDir: cluster, owner: e.Dir,
			Log: filepath.Join(cluster, "logs", c.name+".log"), PidFile: filepath.Join(cluster, "pids", c.name+".pid"),
		}
		if err := (*c.server).learn(); err != nil {
			return err
		}
	}
	var manifests strings.Builder
	for i := range nodes {
		fmt.Fprintf(&manifests, nodeManifest, i, 'a'+rune(i%3))
	}
	if _, err := k.feed(ctx, manifests.String(), "create", "-f", "-"); err != nil {
		return err
	}
	for _, server := range k.Servers() {
		if err := server.AwaitReady(ctx); err != nil {
			return err
		}
	}
	return k.awaitDefaults(ctx)
}

// killCluster clears away what a failed start has left running, so that it can be tried again.
func killCluster(dir string) {
	files, _ := filepath.Glob(filepath.Join(dir, "clusters", clusterName, "pids", "*.pid"))
	for _, file := range files {
		_ = (&Server{PidFile: file}).Kill()
	}
}

// createCluster has kwokctl start the processes. They are daemons of their own session; that they
// end with the sandbox is due to the mark in the environment they inherit.
func (e *Env) createCluster(ctx context.Context, dir, kubeconfig string) error {
	bin := func(name string) string { return filepath.Join(e.Tools.ControlPlane, "bin", name) }
	cmd := exec.CommandContext(ctx, bin("kwokctl"), "create", "cluster", "--name", clusterName, "--runtime", "binary",
		"--enable", "metrics-server", "--kubeconfig", kubeconfig, "--config", filepath.Join(dir, "kwokctl.yaml"),
		"--kube-apiserver-binary", bin("kube-apiserver"), "--kube-controller-manager-binary", bin("kube-controller-manager"),
		"--kube-scheduler-binary", bin("kube-scheduler"), "--kwok-controller-binary", bin("kwok"))
	cmd.Dir = dir
	cmd.Env = proc.Environ(e.Dir,
		"KWOK_WORKDIR="+dir, "KWOK_ETCD_BINARY="+bin("etcd"), "KWOK_METRICS_SERVER_BINARY="+bin("metrics-server"),
		// it takes a kubectl from PATH before the one it is told of
		"PATH="+bin("")+":"+os.Getenv("PATH"))
	out, err := cmd.CombinedOutput()
	if err != nil {
		logs, _ := filepath.Glob(filepath.Join(dir, "clusters", clusterName, "logs", "*.log"))
		for _, log := range logs {
			out = fmt.Appendf(out, "the end of %s:\n%s\n", log, (&Server{Log: log}).Tail(15))
		}
		return fmt.Errorf("start kubernetes: %w\n%s", err, out)
	}
	return nil
}

// learn takes the command line from the running process.
func (s *Server) learn() error {
	id := s.ID()
	line, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", id.Pid))
	if err != nil || !id.Alive() {
		return fmt.Errorf("adopt %s: it has exited; the end of %s:\n%s", s.Name, s.Log, s.Tail(15))
	}
	s.Argv = strings.Split(strings.TrimSuffix(string(line), "\x00"), "\x00")
	return writeJSON(s.PidFile, id)
}

// Servers lists the processes of the control plane.
func (k *Kubernetes) Servers() []*Server {
	return []*Server{k.Etcd, k.APIServer, k.ControllerManager, k.Scheduler, k.Kwok, k.MetricsServer}
}

// awaitDefaults returns when a pod could be created.
func (k *Kubernetes) awaitDefaults(ctx context.Context) error {
	client, err := k.client()
	if err == nil {
		err = awaitAccount(ctx, client, metav1.NamespaceDefault)
	}
	if err == nil {
		_, err = k.Run(ctx, "wait", "--for=condition=Ready", "nodes", "--all", "--timeout=-1s")
	}
	return err
}

// Config is that of an administrator, without client-side limits on requests.
func (k *Kubernetes) Config() (*rest.Config, error) {
	config, err := clientcmd.BuildConfigFromFlags("", k.Kubeconfig)
	if err != nil {
		return nil, fmt.Errorf("read kubeconfig: %w", err)
	}
	config.QPS = -1
	return config, nil
}

func (k *Kubernetes) client() (*kubernetes.Clientset, error) {
	config, err := k.Config()
	if err != nil {
		return nil, err
	}
	return kubernetes.NewForConfig(config)
}

// Command is kubectl as an administrator.
func (k *Kubernetes) Command(ctx context.Context, args ...string) *exec.Cmd {
	return exec.CommandContext(ctx, k.Kubectl, append([]string{"--kubeconfig", k.Kubeconfig}, args...)...)
}

// Run runs kubectl and returns what it printed.
func (k *Kubernetes) Run(ctx context.Context, args ...string) (string, error) {
	return k.feed(ctx, "", args...)
}

// feed is Run with something to read.
func (k *Kubernetes) feed(ctx context.Context, input string, args ...string) (string, error) {
	cmd := k.Command(ctx, args...)
	var stdout, stderr bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(input), &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("kubectl %s: %w\n%s", strings.Join(args, " "), err, stderr.Bytes())
	}
	return stdout.String(), nil
}

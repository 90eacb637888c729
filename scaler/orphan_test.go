package scaler

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/tools/record"
	metricsclient "k8s.io/metrics/pkg/client/clientset/versioned"

	"github.com/shardscaler/shardscaler/adapter/observed"
	"github.com/shardscaler/shardscaler/adapter/workload"
	"github.com/shardscaler/shardscaler/internal/config"
	"github.com/shardscaler/shardscaler/internal/testbed/servers"
	dacs "github.com/shardscaler/shardscaler/internal/testbed/workload"
	"github.com/shardscaler/shardscaler/scaler/actuate"
	"github.com/shardscaler/shardscaler/scaler/decide"
	"github.com/shardscaler/shardscaler/scaler/outcome"
)

// platform is one kind on a real API server, with the StatefulSet's real controller, and a real
// ZooKeeper: a scaler, an engine, and a process that acknowledges for each pod there was at first.
type platform struct {
	*replica
	t     *testing.T
	k     *servers.Kubernetes
	ns    string
	kube  kubernetes.Interface
	cfg   config.Kind
	s     *Scaler
	solos map[int]*dacs.Solo
}

const platformSet = `
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: work}
spec:
  replicas: %d
  serviceName: work
  podManagementPolicy: Parallel
  selector: {matchLabels: {app: work}}
  template:
    metadata: {labels: {app: work}}
    spec:
      terminationGracePeriodSeconds: 1
      containers: [{name: work, image: work}]
`

func startPlatform(t *testing.T, size int) *platform {
	env := servers.Require(t, servers.PartZooKeeper, servers.PartKubernetes)
	p := &platform{t: t, k: env.Kubernetes, ns: env.Kubernetes.Namespace(t), solos: map[int]*dacs.Solo{}, cfg: config.Default("Thing", "work")}
	second, none := config.Duration(time.Second), config.Duration(0)
	p.cfg.Init, p.cfg.Max, p.cfg.Capacity, p.cfg.Heartbeat, p.cfg.HandOff = size, size, 1000, nil, config.HandOffAcknowledged
	p.cfg.Behavior.ScaleDown.StabilizationWindow, p.cfg.Rebalance.ListInterval = &second, &none
	connect := env.ZooKeeper.Connect + env.ZooKeeper.Path(t)
	p.replica = startReplica(t, connect, p.ns, "one", p.cfg, true)
	p.apply(size)
	p.follow()
	p.until("the scaler leads, and the pods are ready", func(d *outcome.Report) bool {
		return p.s.claimed.holder != "" && len(p.e.State().Head.Open) == size
	})
	sim := dacs.Default()
	var err error
	sim.ZooKeeper, sim.Chroot, err = dacs.ParseZooKeeper(connect)
	require.NoError(t, err)
	sim.Mode, sim.Session = dacs.ModeAcknowledged, 4*time.Second
	for n := range size {
		p.solos[n] = dacs.StartSolo(sim, "Thing", n, p.pod(n), dacs.NewRunLog(io.Discard), slog.New(slog.DiscardHandler))
		t.Cleanup(p.solos[n].Stop)
	}
	return p
}

// follow starts what looks at Kubernetes, and makes the scaler.
func (p *platform) follow() {
	cfg, err := p.k.Config()
	require.NoError(p.t, err)
	p.kube = p.k.Client(p.t)
	metrics, err := metricsclient.NewForConfig(cfg)
	require.NoError(p.t, err)
	dyn, err := dynamic.NewForConfig(cfg)
	require.NoError(p.t, err)
	meta, err := metadata.NewForConfig(cfg)
	require.NoError(p.t, err)
	log := slog.New(slog.NewTextHandler(p.t.Output(), nil))
	source := workload.New(workload.Config{Namespace: p.ns, Renew: time.Second},
		workload.Clients{Kube: p.kube, Metadata: meta, Metrics: metrics}, prometheus.NewRegistry())
	source.Configure([]config.Kind{p.cfg})
	p.state.Configure([]config.Kind{p.cfg})
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { _ = source.Run(ctx, p.state.Apply) })
	p.t.Cleanup(func() { cancel(); running.Wait() })
	act := struct {
		*actuate.Kubernetes
		*actuate.Groups
		*workload.PodLister
	}{actuate.New(p.kube, &record.FakeRecorder{}, log), actuate.NewGroups(dyn), workload.NewPodLister(meta, p.ns)}
	p.s = New(Config{Kind: "Thing"}, p.e, act, log, prometheus.NewRegistry())
}

// apply creates the StatefulSet.
func (p *platform) apply(size int) {
	p.k.Apply(p.t, p.ns, fmt.Sprintf(platformSet, size))
}

// kubectl runs it in the namespace.
func (p *platform) kubectl(args ...string) {
	p.t.Helper()
	out, err := p.k.Run(p.t.Context(), append(args, "-n", p.ns)...)
	require.NoError(p.t, err, out)
}

// pod is the uid of the ordinal's pod.
func (p *platform) pod(n int) string {
	p.t.Helper()
	pod, err := p.kube.CoreV1().Pods(p.ns).Get(p.t.Context(), fmt.Sprintf("work-%d", n), metav1.GetOptions{})
	require.NoError(p.t, err)
	return string(pod.UID)
}

// look is one tick over what there is now.
func (p *platform) look() outcome.Report {
	now := time.Now()
	for _, source := range []observed.SourceName{observed.SourceCatalogue, observed.SourceNotify} {
		p.state.Apply(observed.Read{Kind: "Thing", Source: source, At: now})
	}
	return look(p.t.Context(), p.t, p.s, now, p.cfg, *p.state.Snapshot(now).Kind("Thing"))
}

// until looks again and again until ok; nothing is timed by it.
func (p *platform) until(what string, ok func(*outcome.Report) bool) {
	p.t.Helper()
	var d outcome.Report
	for range 2400 {
		if d = p.look(); ok(&d) {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	p.t.Fatalf("still not: %s; %+v; %s", what, p.e.Progress(), d)
}

// TestAnOrphanedPodIsNotGone deletes a StatefulSet without its pods and creates it again, smaller,
// while one of them hangs with ids in flight. The new one does not adopt that pod, since its labels
// were edited; it runs all the while, and nothing of it is granted. When it is gone, everything is.
func TestAnOrphanedPodIsNotGone(t *testing.T) {
	p := startPlatform(t, 3)
	ids := make([]observed.ResourceKnown, 30)
	for i := range ids {
		ids[i].ID = fmt.Sprintf("thing-%04d", i)
	}
	require.NoError(t, p.e.Create(t.Context(), ids))
	running := func(n int) func(*outcome.Report) bool {
		return func(*outcome.Report) bool {
			sum := 0
			for _, s := range p.solos {
				sum += s.Count()
			}
			return sum == n && p.e.State().InFlight()+p.e.State().Unassigned() == 0
		}
	}
	p.until("everything runs", running(len(ids)))
	held, uid := p.solos[2].Count(), p.pod(2)
	require.Positive(t, held)

	p.solos[2].Hang()
	p.cfg.Init, p.cfg.Max = 2, 2
	p.until("what the one that hangs has is in flight", func(*outcome.Report) bool { return p.e.State().InFlight() == held })
	p.kubectl("delete", "statefulset", "work", "--cascade=orphan")
	p.until("the StatefulSet is gone", func(d *outcome.Report) bool { return d.Reason == decide.NoWorkload })
	p.kubectl("label", "pod", "work-2", "app=other", "--overwrite")
	p.apply(2)
	made := 0
	p.until("the scaler has looked at the new one many times", func(d *outcome.Report) bool {
		require.Equal(t, held, p.e.State().InFlight(), "the pod that runs it exists")
		if d.Current != nil && len(p.e.State().Head.Open) == 2 && p.s.claimed.holder != "" {
			made++
		}
		return made == 60
	})
	require.Equal(t, uid, p.pod(2))
	require.Contains(t, p.e.Progress().Blocked, "instance 2 has not released")
	require.Contains(t, p.look().String(), "work-2 is not adopted by the StatefulSet")

	p.solos[2].Kill()
	p.kubectl("delete", "pod", "work-2", "--force", "--grace-period=0")
	delete(p.solos, 2)
	p.until("the others run everything", running(len(ids)))
	p.until("its znodes are gone", func(*outcome.Report) bool { return p.e.State().Instances[2] == nil })
}

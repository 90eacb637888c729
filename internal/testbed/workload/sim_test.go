package workload

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-zookeeper/zk"
	"github.com/segmentio/kafka-go"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes/fake"
	"k8s.io/utils/ptr"

	"github.com/shardscaler/shardscaler/internal/testbed/servers"
	"github.com/shardscaler/shardscaler/internal/testbed/zkproxy"
)

func TestMain(m *testing.M) {
	if servers.RunRole() {
		return
	}
	code := m.Run()
	if code == 0 {
		if err := goleak.Find(); err != nil {
			fmt.Fprintln(os.Stderr, "goroutines left:", err)
			code = 1
		}
	}
	os.Exit(code)
}

// world is a simulation over a real ZooKeeper and pods that a fake API server keeps.
type world struct {
	t    *testing.T
	pods *fake.Clientset
	conn *zk.Conn
	root string // of the kind Thing
	zk   *servers.ZooKeeper
	ctl  Control
	log  *buffer
	stop func()
}

// buffer is a run log in memory that can be read while it grows.
type buffer struct {
	mu  sync.Mutex
	all bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.all.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.all.String()
}

const namespace = "iota"

func newWorld(t *testing.T, zoo *servers.ZooKeeper, change func(*Config)) *world {
	t.Helper()
	w := &world{t: t, pods: fake.NewClientset(), conn: zoo.Dial(t), zk: zoo, log: &buffer{}}
	chroot := zoo.Path(t)
	w.root = chroot + "/iota/orchestration/Thing"
	cfg := Default()
	cfg.Namespace, cfg.ZooKeeper, cfg.Chroot, cfg.Session = namespace, zoo.Addrs(), chroot, 2*time.Second
	cfg.Restart = 100 * time.Millisecond
	if change != nil {
		change(&cfg)
	}
	require.NoError(t, cfg.Validate())
	sim := New(cfg, w.pods, NewRunLog(w.log), slog.New(slog.NewTextHandler(testWriter{t}, nil)))
	server := httptest.NewServer(sim.Handler())
	w.ctl = Control{Addr: strings.TrimPrefix(server.URL, "http://")}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- sim.Run(ctx) }()
	w.stop = sync.OnceFunc(func() {
		cancel()
		require.NoError(t, <-done)
		server.Close()
	})
	t.Cleanup(w.stop)
	return w
}

type testWriter struct{ t *testing.T }

func (w testWriter) Write(p []byte) (int, error) {
	w.t.Log(strings.TrimSpace(string(p)))
	return len(p), nil
}

// pod starts a pod of the StatefulSet as Kubernetes would.
func (w *world) pod(ordinal int, uid string) {
	w.t.Helper()
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Name: fmt.Sprintf("iota-dac-%d", ordinal), Namespace: namespace, UID: types.UID(uid),
			OwnerReferences: []metav1.OwnerReference{{APIVersion: "apps/v1", Kind: "StatefulSet", Name: "iota-dac", Controller: ptr.To(true)}},
		},
		Status: corev1.PodStatus{
			Phase:             corev1.PodRunning,
			ContainerStatuses: []corev1.ContainerStatus{{Name: "dac", Ready: true, State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}}},
		},
	}
	_, err := w.pods.CoreV1().Pods(namespace).Create(w.t.Context(), pod, metav1.CreateOptions{})
	require.NoError(w.t, err)
}

func (w *world) removePod(ordinal int) {
	w.t.Helper()
	require.NoError(w.t, w.pods.CoreV1().Pods(namespace).Delete(w.t.Context(), fmt.Sprintf("iota-dac-%d", ordinal), metav1.DeleteOptions{}))
}

// give writes an ordinal's list and raises its times, in one transaction.
func (w *world) give(ordinal int, times int64, ids ...string) {
	w.t.Helper()
	node := fmt.Sprintf("%s/%d", w.root, ordinal)
	w.make(node)
	w.make(node + "/tmp")
	if ids == nil {
		ids = []string{}
	}
	list, err := json.Marshal(map[string]any{"ids": ids})
	require.NoError(w.t, err)
	reload := fmt.Appendf(nil, `{"times":%d}`, times)
	acl := zk.WorldACL(zk.PermAll)
	exists, _, err := w.conn.Exists(node + "/_reload")
	require.NoError(w.t, err)
	if exists {
		_, err = w.conn.Multi(
			&zk.SetDataRequest{Path: node + "/resources", Data: list, Version: -1},
			&zk.SetDataRequest{Path: node + "/_reload", Data: reload, Version: -1})
	} else {
		_, err = w.conn.Multi(
			&zk.CreateRequest{Path: node + "/resources", Data: list, Acl: acl},
			&zk.CreateRequest{Path: node + "/_reload", Data: reload, Acl: acl})
	}
	require.NoError(w.t, err)
}

func (w *world) make(node string) {
	w.t.Helper()
	if node == "/" {
		return
	}
	w.make(path.Dir(node))
	_, err := w.conn.Create(node, nil, 0, zk.WorldACL(zk.PermAll))
	if !errors.Is(err, zk.ErrNodeExists) {
		require.NoError(w.t, err)
	}
}

// eventually waits for what the simulation will do; the limit is there only to end a test that
// fails.
func (w *world) eventually(what string, holds func() bool) {
	w.t.Helper()
	for deadline := time.Now().Add(3 * time.Minute); !holds(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			w.t.Fatalf("never: %s\n%s", what, w.log)
		}
	}
}

func (w *world) runs() *Runs {
	w.t.Helper()
	runs, err := ReadRuns(strings.NewReader(w.log.String()))
	require.NoError(w.t, err)
	return runs
}

func (w *world) status(ordinal int) (s status, stat *zk.Stat, ok bool) {
	w.t.Helper()
	raw, stat, err := w.conn.Get(fmt.Sprintf("%s/%d/tmp/status", w.root, ordinal))
	if errors.Is(err, zk.ErrNoNode) {
		return s, nil, false
	}
	require.NoError(w.t, err)
	require.NoError(w.t, json.Unmarshal(raw, &s))
	return s, stat, true
}

func (w *world) acknowledged(ordinal int, times int64) {
	w.t.Helper()
	w.eventually(fmt.Sprintf("instance %d acknowledges %d and runs it", ordinal, times), func() bool {
		s, _, ok := w.status(ordinal)
		if !ok || s.Times != times {
			return false
		}
		list, err := w.ctl.Instances(w.t.Context(), false)
		return err == nil && slices.ContainsFunc(list, func(in Instance) bool {
			return in.Ordinal == ordinal && in.Times == times && in.State == "runs"
		})
	})
}

func (w *world) runsOn(id string) []Place { return w.runs().Running["Thing"][id] }

func TestInstanceObeysReloadAndAcknowledges(t *testing.T) {
	w := newWorld(t, servers.Require(t, servers.PartZooKeeper).ZooKeeper, nil)
	w.give(0, 1, "a", "b")
	w.pod(0, "u0")
	w.acknowledged(0, 1)
	s, stat, _ := w.status(0)
	require.Equal(t, "u0", s.Pod)
	require.False(t, s.Fences)
	require.Equal(t, int64(2000), s.SessionMs, "the timeout the server granted")
	require.NotZero(t, stat.EphemeralOwner)

	w.give(0, 2, "b", "c")
	w.acknowledged(0, 2)
	w.eventually("a is stopped and c runs", func() bool {
		return w.runsOn("a") == nil && len(w.runsOn("b")) == 1 && len(w.runsOn("c")) == 1
	})
	list, err := w.ctl.Instances(t.Context(), true)
	require.NoError(t, err)
	require.Len(t, list, 1)
	require.Equal(t, []string{"b", "c"}, list[0].IDs)
	require.Equal(t, HashIDs([]string{"c", "b"}), list[0].Hash)

	pod, err := w.pods.CoreV1().Pods(namespace).Get(t.Context(), "iota-dac-0", metav1.GetOptions{})
	require.NoError(t, err)
	require.Contains(t, pod.Finalizers, runningFinalizer)

	w.stop()
	_, _, ok := w.status(0)
	require.False(t, ok, "a session that is closed takes its status along")
	require.Empty(t, w.runs().Running["Thing"])
	pod, err = w.pods.CoreV1().Pods(namespace).Get(t.Context(), "iota-dac-0", metav1.GetOptions{})
	require.NoError(t, err)
	require.Empty(t, pod.Finalizers)
}

// A list that changes between the two reads of an instance: what was taken is stopped before the
// reload that took it is acknowledged. With the reads the other way round, the instance would
// acknowledge what it has not read.
func TestListThatChangesBetweenTheReads(t *testing.T) {
	zoo := servers.Require(t, servers.PartZooKeeper).ZooKeeper
	proxy := zkproxy.New(t, zoo.Addrs()...)
	w := newWorld(t, zoo, func(cfg *Config) { cfg.ZooKeeper = []string{proxy.Addr()} })
	w.give(0, 1, "a", "b")
	reads := 0
	proxy.OnRead(func(file string) {
		if name := path.Base(file); name != "_reload" && name != "resources" {
			return
		}
		if reads++; reads == 2 {
			w.give(0, 2, "b")
		}
	})
	w.pod(0, "u0")
	w.acknowledged(0, 2)
	require.Empty(t, w.runsOn("a"), "it acknowledged what took a away, and runs a")
	require.Len(t, w.runsOn("b"), 1)
}

func TestStatusThatVanishesIsWrittenAgain(t *testing.T) {
	w := newWorld(t, servers.Require(t, servers.PartZooKeeper).ZooKeeper, nil)
	w.give(0, 5, "a")
	w.pod(0, "u0")
	w.acknowledged(0, 5)
	require.NoError(t, w.conn.Delete(w.root+"/0/tmp/status", -1))
	w.acknowledged(0, 5)
	require.Equal(t, []Place{{0, "u0"}}, w.runsOn("a"))
}

func TestAnothersStatusIsWaitedFor(t *testing.T) {
	w := newWorld(t, servers.Require(t, servers.PartZooKeeper).ZooKeeper, nil)
	w.give(0, 1, "a")
	other := w.zk.Dial(t)
	_, err := other.Create(w.root+"/0/tmp/status", []byte(`{"times":1,"pod":"former"}`), zk.FlagEphemeral, zk.WorldACL(zk.PermAll))
	require.NoError(t, err)
	w.pod(0, "u0")
	w.eventually("it waits", func() bool {
		list, err := w.ctl.Instances(t.Context(), false)
		return err == nil && len(list) == 1 && strings.HasPrefix(list[0].State, "waits")
	})
	require.Nil(t, w.runsOn("a"))
	other.Close()
	w.acknowledged(0, 1)
	w.eventually("it runs", func() bool { return len(w.runsOn("a")) == 1 })
}

func TestListThatCannotBeReadStopsNothing(t *testing.T) {
	w := newWorld(t, servers.Require(t, servers.PartZooKeeper).ZooKeeper, nil)
	w.give(0, 1, "a")
	w.pod(0, "u0")
	w.acknowledged(0, 1)
	_, err := w.conn.Multi(
		&zk.SetDataRequest{Path: w.root + "/0/resources", Data: []byte(`{}`), Version: -1},
		&zk.SetDataRequest{Path: w.root + "/0/_reload", Data: []byte(`{"times":2}`), Version: -1})
	require.NoError(t, err)
	w.eventually("it says so", func() bool {
		list, err := w.ctl.Instances(t.Context(), false)
		return err == nil && len(list) == 1 && strings.Contains(list[0].State, "what runs goes on")
	})
	require.Len(t, w.runsOn("a"), 1)
	w.give(0, 3, "a", "b")
	w.acknowledged(0, 3)
}

func TestCrashDropsTheSessionAndRestarts(t *testing.T) {
	w := newWorld(t, servers.Require(t, servers.PartZooKeeper).ZooKeeper, nil)
	w.give(0, 1, "a")
	w.pod(0, "u0")
	w.acknowledged(0, 1)
	_, before, _ := w.status(0)
	require.NoError(t, w.ctl.Fault(t.Context(), "Thing", 0, "crash", 0))
	require.Nil(t, w.runsOn("a"))
	w.eventually("the next process runs it under a session of its own", func() bool {
		_, after, ok := w.status(0)
		return ok && after.EphemeralOwner != before.EphemeralOwner && len(w.runsOn("a")) == 1
	})
	w.acknowledged(0, 1)
	pod, err := w.pods.CoreV1().Pods(namespace).Get(t.Context(), "iota-dac-0", metav1.GetOptions{})
	require.NoError(t, err)
	require.Equal(t, int32(1), pod.Status.ContainerStatuses[0].RestartCount)
	require.Empty(t, w.runs().Overlaps)
}

func TestHungInstanceLosesItsSessionAndRunsOn(t *testing.T) {
	w := newWorld(t, servers.Require(t, servers.PartZooKeeper).ZooKeeper, nil)
	w.give(0, 1, "a", "b")
	w.pod(0, "u0")
	w.acknowledged(0, 1)
	require.NoError(t, w.ctl.Fault(t.Context(), "Thing", 0, "hang", 0))
	w.eventually("its session expires", func() bool { _, _, ok := w.status(0); return !ok })
	w.give(0, 2, "b")
	require.Len(t, w.runsOn("a"), 1, "a frozen process stops nothing")
	require.NoError(t, w.ctl.Fault(t.Context(), "Thing", 0, "resume", 0))
	w.acknowledged(0, 2)
	require.Nil(t, w.runsOn("a"))
	require.Len(t, w.runsOn("b"), 1)
}

// A stalled instance keeps its session and what it runs; a freeze on top of it ends with it.
func TestStalledInstanceKeepsItsSessionAndAppliesNothing(t *testing.T) {
	w := newWorld(t, servers.Require(t, servers.PartZooKeeper).ZooKeeper, nil)
	w.give(0, 1, "a", "b")
	w.pod(0, "u0")
	w.acknowledged(0, 1)
	_, before, _ := w.status(0)
	for times := int64(2); times < 4; times++ {
		require.NoError(t, w.ctl.Fault(t.Context(), "Thing", 0, "stall", 0))
		w.give(0, times, "b")
		if times == 3 {
			require.NoError(t, w.ctl.Fault(t.Context(), "Thing", 0, "hang", 0))
		}
		said, after, ok := w.status(0)
		require.True(t, ok)
		require.Equal(t, before.EphemeralOwner, after.EphemeralOwner)
		require.Equal(t, times-1, said.Times)
		require.NoError(t, w.ctl.Fault(t.Context(), "Thing", 0, "resume", 0))
		w.acknowledged(0, times)
		require.Nil(t, w.runsOn("a"))
	}
}

// A hook's command holds the pod and the work of its instance, however long it takes.
func TestPreStopHookHoldsThePod(t *testing.T) {
	dir := t.TempDir()
	hook := filepath.Join(dir, "hook")
	script := fmt.Sprintf("#!/bin/sh\necho $POD_NAME $POD_NAMESPACE $ADDRESS $*\nwhile [ ! -e %s/over ]; do sleep 0.05; done\nexit 3\n", dir)
	require.NoError(t, os.WriteFile(hook, []byte(script), 0o755))
	w := newWorld(t, servers.Require(t, servers.PartZooKeeper).ZooKeeper, func(c *Config) {
		c.PreStop = PreStop{Program: hook, Server: "http://here"}
	})
	w.give(0, 1, "a", "b")
	w.pod(0, "first")
	w.eventually("it runs", func() bool { return len(w.runs().Running["Thing"]) == 2 })
	pods := w.pods.CoreV1().Pods(namespace)
	pod, err := pods.Get(t.Context(), "iota-dac-0", metav1.GetOptions{})
	require.NoError(t, err)
	field := func(path string) *corev1.EnvVarSource {
		return &corev1.EnvVarSource{FieldRef: &corev1.ObjectFieldSelector{FieldPath: path}}
	}
	pod.Spec.Containers = []corev1.Container{{
		Name:      "dac",
		Env:       []corev1.EnvVar{{Name: "POD_NAME", ValueFrom: field("metadata.name")}, {Name: "POD_NAMESPACE", ValueFrom: field("metadata.namespace")}, {Name: "ADDRESS", Value: "there"}},
		Lifecycle: &corev1.Lifecycle{PreStop: &corev1.LifecycleHandler{Exec: &corev1.ExecAction{Command: []string{"/shardscaler/prestop", "--grace", "600s"}}}},
	}}
	pod.DeletionTimestamp = ptr.To(metav1.Now())
	_, err = pods.Update(t.Context(), pod, metav1.UpdateOptions{})
	require.NoError(t, err)
	w.eventually("the hook runs", func() bool {
		hooks, err := w.ctl.Hooks(t.Context())
		require.NoError(t, err)
		return len(hooks) == 1 && hooks[0].Ended == nil
	})
	w.give(0, 2, "a")
	w.acknowledged(0, 2)
	require.Len(t, w.runs().Running["Thing"], 1, "it works on, and obeys")
	pod, err = pods.Get(t.Context(), "iota-dac-0", metav1.GetOptions{})
	require.NoError(t, err)
	require.Contains(t, pod.Finalizers, runningFinalizer)

	require.NoError(t, os.WriteFile(filepath.Join(dir, "over"), nil, 0o600))
	w.eventually("it stops", func() bool { return len(w.runs().Running["Thing"]) == 0 })
	w.eventually("its pod may go", func() bool {
		pod, err := pods.Get(t.Context(), "iota-dac-0", metav1.GetOptions{})
		require.NoError(t, err)
		return len(pod.Finalizers) == 0
	})
	hooks, err := w.ctl.Hooks(t.Context())
	require.NoError(t, err)
	require.Len(t, hooks, 1)
	require.Equal(t, 3, hooks[0].ExitCode)
	require.Equal(t, "iota-dac-0 iota there --grace 600s --server http://here\n", hooks[0].Output)
}

func TestPodThatIsReplacedStopsFirst(t *testing.T) {
	w := newWorld(t, servers.Require(t, servers.PartZooKeeper).ZooKeeper, nil)
	w.give(0, 1, "a")
	w.pod(0, "u0")
	w.acknowledged(0, 1)
	w.removePod(0)
	w.eventually("it stops", func() bool { return w.runsOn("a") == nil })
	w.pod(0, "u1")
	w.eventually("its successor runs it", func() bool { return len(w.runsOn("a")) == 1 })
	require.Equal(t, []Place{{0, "u1"}}, w.runsOn("a"))
	require.Empty(t, w.runs().Overlaps)
}

func TestWhileZooKeeperIsAwayInstancesRunOn(t *testing.T) {
	env := servers.Require(t, servers.PartZooKeeper)
	w := newWorld(t, env.NewZooKeeper(t, 1), nil)
	w.give(0, 1, "a", "b")
	w.pod(0, "u0")
	w.acknowledged(0, 1)
	require.NoError(t, w.zk.Kill())
	w.eventually("it notices", func() bool {
		list, err := w.ctl.Instances(t.Context(), false)
		return err == nil && len(list) == 1 && list[0].State != "runs"
	})
	time.Sleep(2 * time.Second) // a whole session
	require.Len(t, w.runsOn("a"), 1)
	require.NoError(t, w.zk.Start(t.Context()))
	w.eventually("the test's own session is back", func() bool { _, _, err := w.conn.Exists("/"); return err == nil })
	w.give(0, 2, "b")
	w.acknowledged(0, 2)
	require.Nil(t, w.runsOn("a"))
	require.Len(t, w.runsOn("b"), 1)
	require.Equal(t, 2, w.runs().Started["Thing"], "what was never stopped is not started again")
}

func TestFencingInstanceStopsBeforeItsSessionCanEnd(t *testing.T) {
	env := servers.Require(t, servers.PartZooKeeper)
	w := newWorld(t, env.NewZooKeeper(t, 1), func(c *Config) { c.Fences = true })
	w.give(0, 1, "a")
	w.pod(0, "u0")
	w.acknowledged(0, 1)
	s, _, _ := w.status(0)
	require.True(t, s.Fences)
	require.NoError(t, w.zk.Servers[0].Freeze())
	w.eventually("it stops", func() bool { return w.runsOn("a") == nil })
	require.Contains(t, w.log.String(), `"reason":"fence"`)
	require.NoError(t, w.zk.Servers[0].Continue())
	w.eventually("it runs again", func() bool { return len(w.runsOn("a")) == 1 })
}

func TestUsageFollowsWhatRuns(t *testing.T) {
	w := newWorld(t, servers.Require(t, servers.PartZooKeeper).ZooKeeper, func(c *Config) {
		c.CPU, c.Memory = Load{Base: 0.1, PerResource: 0.05}, Load{Base: 1 << 20, PerResource: 1 << 10}
	})
	w.give(0, 1, "a", "b")
	w.pod(0, "u0")
	usage := func(cpu, memory string) func() bool {
		return func() bool {
			pod, err := w.pods.CoreV1().Pods(namespace).Get(t.Context(), "iota-dac-0", metav1.GetOptions{})
			require.NoError(t, err)
			return pod.Annotations[cpuAnnotation] == cpu && pod.Annotations[memoryAnnotation] == memory
		}
	}
	w.eventually("base and two resources", usage("200m", "1026Ki"))
	require.NoError(t, w.ctl.Load(t.Context(), "Thing", Factors{CPU: 3, Memory: 2}))
	w.eventually("three times and twice that", usage("600m", "2052Ki"))
	require.ErrorContains(t, w.ctl.Load(t.Context(), "Thing", Factors{CPU: -1}), "cpu")
	require.ErrorContains(t, w.ctl.Load(t.Context(), "Nothing", Factors{}), "Nothing")
}

// A Kafka that is new has no topic, and kafka-go has brokers make none.
func TestBeatsMakeTheirTopic(t *testing.T) {
	env := servers.Require(t, servers.PartZooKeeper, servers.PartKafka)
	topic := fmt.Sprintf("beats-%d", time.Now().UnixNano())
	w := newWorld(t, env.ZooKeeper, func(c *Config) {
		c.Kafka, c.Topic, c.Kinds = []string{env.Kafka.Addr}, topic, []Kind{{Name: "Thing", StatefulSet: "iota-dac", Beats: true}}
	})
	// the sandbox ends anyway
	t.Cleanup(func() { _ = env.Kafka.DeleteTopic(context.Background(), topic) })
	for n := range 3 {
		w.pod(n, fmt.Sprintf("u%d", n))
	}
	transport := &kafka.Transport{MetadataTTL: 50 * time.Millisecond}
	defer transport.CloseIdleConnections()
	client := kafka.Client{Addr: kafka.TCP(env.Kafka.Addr), Transport: transport}
	w.eventually("the topic is made, and not by the reader below", func() bool {
		found, err := client.Metadata(t.Context(), &kafka.MetadataRequest{Topics: []string{topic}})
		return err == nil && len(found.Topics) == 1 && found.Topics[0].Error == nil
	})
	reader := kafka.NewReader(kafka.ReaderConfig{Brokers: []string{env.Kafka.Addr}, Topic: topic, MaxWait: 100 * time.Millisecond})
	defer reader.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	beating := map[string]bool{}
	for len(beating) < 3 {
		m, err := reader.ReadMessage(ctx)
		require.NoError(t, err, "%v beat so far", beating)
		var b beat
		require.NoError(t, json.Unmarshal(m.Value, &b))
		require.Equal(t, "Thing", b.Resource)
		beating[b.InstanceID] = true
	}
	require.Equal(t, map[string]bool{"0": true, "1": true, "2": true}, beating)
}

func TestFaultsThatDoNotExist(t *testing.T) {
	w := newWorld(t, servers.Require(t, servers.PartZooKeeper).ZooKeeper, nil)
	require.ErrorContains(t, w.ctl.Fault(t.Context(), "Thing", 0, "hang", 0), "does not run")
	w.pod(0, "u0")
	w.eventually("it is there", func() bool { list, err := w.ctl.Instances(t.Context(), false); return err == nil && len(list) == 1 })
	require.ErrorContains(t, w.ctl.Fault(t.Context(), "Thing", 0, "explode", 0), "explode")
	require.ErrorContains(t, w.ctl.Fault(t.Context(), "Thing", 0, "hang", -time.Second), "for")
}

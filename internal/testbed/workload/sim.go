package workload

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	corelisters "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/util/workqueue"

	"github.com/shardscaler/shardscaler/internal/exact"
)

// Sim plays the pods of a namespace. It reconciles each pod name alone, change after change.
type Sim struct {
	cfg    Config
	client kubernetes.Interface
	runs   *RunLog
	log    *slog.Logger

	kubelet pods

	pods  corelisters.PodLister
	queue workqueue.TypedRateLimitingInterface[string]
	beats *beater

	mu        sync.Mutex
	instances map[string]*instance // by pod name
	factors   map[string]Factors   // by kind
	hooks     map[string]*Hook     // by pod uid

	ending sync.WaitGroup // instances that close their session
}

// workers is how many pods are started and stopped at once.
const workers = 8

// New makes a simulation of a valid configuration; Run starts it.
func New(cfg Config, client kubernetes.Interface, runs *RunLog, log *slog.Logger) *Sim {
	factors := map[string]Factors{}
	for _, k := range cfg.Kinds {
		factors[k.Name] = Factors{CPU: 1, Memory: 1}
	}
	return &Sim{
		cfg: cfg, client: client, kubelet: pods{client.CoreV1().Pods(cfg.Namespace)}, runs: runs, log: log,
		queue: workqueue.NewTypedRateLimitingQueue(
			workqueue.NewTypedItemExponentialFailureRateLimiter[string](50*time.Millisecond, 5*time.Second)),
		beats:     newBeater(cfg, log),
		instances: map[string]*instance{},
		factors:   factors,
		hooks:     map[string]*Hook{},
	}
}

// Run plays until ctx ends, and then stops every instance as its pod's end would.
func (s *Sim) Run(ctx context.Context) error {
	factory := informers.NewSharedInformerFactoryWithOptions(s.client, 0, informers.WithNamespace(s.cfg.Namespace))
	informer := factory.Core().V1().Pods()
	s.pods = informer.Lister()
	if _, err := informer.Informer().AddEventHandler(s.handler()); err != nil {
		return fmt.Errorf("watch pods: %w", err)
	}
	factory.Start(ctx.Done())
	defer factory.Shutdown()

	var group sync.WaitGroup
	if cache.WaitForCacheSync(ctx.Done(), informer.Informer().HasSynced) {
		for range workers {
			group.Go(func() { s.work(ctx) })
		}
		group.Go(func() { s.report(ctx) })
	}
	<-ctx.Done()
	s.queue.ShutDown()
	group.Wait()
	s.endAll()
	return errors.Join(s.runs.Err(), s.beats.close())
}

func (s *Sim) handler() cache.ResourceEventHandler {
	enqueue := func(obj any) {
		if key, err := cache.DeletionHandlingObjectToName(obj); err == nil {
			s.queue.Add(key.Name)
		}
	}
	return cache.ResourceEventHandlerFuncs{
		AddFunc:    enqueue,
		UpdateFunc: func(_, obj any) { enqueue(obj) },
		DeleteFunc: enqueue,
	}
}

func (s *Sim) work(ctx context.Context) {
	for {
		name, over := s.queue.Get()
		if over {
			return
		}
		if err := s.reconcile(ctx, name); err != nil && ctx.Err() == nil {
			s.log.Warn("reconcile pod", "pod", name, "error", err)
			s.queue.AddRateLimited(name)
		} else {
			s.queue.Forget(name)
		}
		s.queue.Done(name)
	}
}

// reconcile makes a pod name's instance what the pod is: running, another process, or none.
func (s *Sim) reconcile(ctx context.Context, name string) error {
	pod, err := s.pods.Pods(s.cfg.Namespace).Get(name)
	if apierrors.IsNotFound(err) {
		s.end(name, "pod", true)
		return nil
	}
	if err != nil {
		return err
	}
	want, ours := s.identify(pod)
	if !ours {
		return nil
	}
	runs := runs(pod)
	if cur := s.instance(name); cur != nil {
		if runs && cur.uid == want.uid && cur.restarts == want.restarts {
			return nil
		}
		if s.held(ctx, pod, cur) {
			return nil
		}
		s.end(name, "pod", true)
	}
	if !runs {
		return s.kubelet.release(ctx, pod)
	}
	if err := s.kubelet.hold(ctx, pod); err != nil {
		return err
	}
	s.begin(name, want)
	return nil
}

// identify says which instance a pod is; false when it belongs to no StatefulSet that is played. One
// that belongs to none is what its name says: the orchestrator of old made such.
func (s *Sim) identify(pod *corev1.Pod) (identity, bool) {
	owner, ordinal := metav1.GetControllerOf(pod), 0
	i := slices.IndexFunc(s.cfg.Kinds, func(k Kind) (ok bool) {
		if owner != nil && (owner.Name != k.StatefulSet || owner.Kind != "StatefulSet" || owner.APIVersion != appsv1.SchemeGroupVersion.String()) {
			return false
		}
		ordinal, ok = exact.PodOrdinal(k.StatefulSet, pod.Name)
		return ok
	})
	if i < 0 {
		return identity{}, false
	}
	id := identity{kind: s.cfg.Kinds[i], ordinal: ordinal, pod: pod.Name, uid: string(pod.UID), mode: Mode(pod.Annotations[modeAnnotation])}
	for _, c := range pod.Status.ContainerStatuses {
		id.restarts += c.RestartCount
	}
	return id, true
}

// runs says whether the pod's containers run.
func runs(pod *corev1.Pod) bool {
	return pod.DeletionTimestamp == nil && containersRun(pod)
}

func containersRun(pod *corev1.Pod) bool {
	if pod.Status.Phase != corev1.PodRunning {
		return false
	}
	return !slices.ContainsFunc(pod.Status.ContainerStatuses, func(c corev1.ContainerStatus) bool { return c.State.Running == nil })
}

func (s *Sim) begin(name string, id identity) {
	in := newInstance(id, s.cfg, s.runs, s.log)
	s.mu.Lock()
	s.instances[name] = in
	s.mu.Unlock()
	s.ending.Go(in.run)
	if id.kind.Beats {
		s.ending.Go(func() { s.beats.run(in.ctx, in) })
	}
	s.log.Debug("instance begins", "kind", id.kind.Name, "instance", id.ordinal, "pod", id.uid)
}

// end stops the work of an instance before it returns; the session is closed meanwhile.
func (s *Sim) end(name, reason string, clean bool) {
	s.mu.Lock()
	in := s.instances[name]
	delete(s.instances, name)
	s.mu.Unlock()
	if in != nil {
		in.end(reason, clean)
	}
}

func (s *Sim) endAll() {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	for _, in := range s.all() {
		s.end(in.pod, "exit", true)
		pod, err := s.kubelet.Get(ctx, in.pod, metav1.GetOptions{})
		if err == nil {
			err = s.kubelet.release(ctx, pod)
		}
		if err != nil && !apierrors.IsNotFound(err) {
			s.log.Warn("release pod", "pod", in.pod, "error", err)
		}
	}
	s.ending.Wait()
}

func (s *Sim) instance(name string) *instance {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.instances[name]
}

// all returns the instances in the order of kinds and ordinals.
func (s *Sim) all() []*instance {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := slices.Collect(maps.Values(s.instances))
	slices.SortFunc(list, func(a, b *instance) int {
		return cmp.Or(strings.Compare(a.kind.Name, b.kind.Name), a.ordinal-b.ordinal)
	})
	return list
}

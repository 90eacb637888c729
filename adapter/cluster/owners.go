package cluster

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	autoscalingv2 "k8s.io/api/autoscaling/v2"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"

	"github.com/shardscaler/shardscaler/adapter/observed"
	"github.com/shardscaler/shardscaler/adapter/v1alpha1"
	"github.com/shardscaler/shardscaler/internal/config"
)

// Owners follows what says how large the StatefulSets should be: InstanceGroups, and HPAs. Either may be unreadable without the
// other: a cluster without the CustomResourceDefinition has HPAs all the same.
type Owners struct {
	cfg          Config
	log          *slog.Logger
	groups, hpas follower

	mu    sync.Mutex
	kinds []config.Kind
}

// NewOwners returns Owners for kinds; Configure changes them later. It does not connect.
func NewOwners(cfg Config, kinds []config.Kind, kube kubernetes.Interface, dyn dynamic.Interface, log *slog.Logger) *Owners {
	cfg = cfg.withDefaults()
	o := &Owners{cfg: cfg, log: log, kinds: slices.Clone(kinds)}
	groups := dyn.Resource(v1alpha1.GroupVersion.WithResource(v1alpha1.Resource)).Namespace(cfg.Namespace)
	o.groups = newFollower(observed.SourceGroups, pictureOfGroups, groups.List, func(p *pulse) (cache.SharedIndexInformer, error) {
		return watched(dyn, groups, &unstructured.Unstructured{}, cfg.Probe, p, nil)
	})
	hpas := kube.AutoscalingV2().HorizontalPodAutoscalers(cfg.Namespace)
	o.hpas = newFollower(observed.SourceHPAs, pictureOfHPAs, hpas.List, func(p *pulse) (cache.SharedIndexInformer, error) {
		return watched(kube, hpas, &autoscalingv2.HorizontalPodAutoscaler{}, cfg.Probe, p, nil)
	})
	return o
}

// Configure replaces the kinds, at any time.
func (o *Owners) Configure(kinds []config.Kind) {
	o.mu.Lock()
	o.kinds = slices.Clone(kinds)
	o.mu.Unlock()
	o.groups.touch()
	o.hpas.touch()
}

func (o *Owners) configured() []config.Kind {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.kinds
}

// Run follows until ctx ends; it survives every error of the API server. sink must be safe for concurrent use. It may be called once.
func (o *Owners) Run(ctx context.Context, sink func(observed.Signal)) error {
	var all sync.WaitGroup
	for _, f := range []*follower{&o.groups, &o.hpas} {
		all.Go(func() { o.follow(ctx, f, sink) })
	}
	all.Wait()
	return nil
}

// follower keeps all objects of one type.
type follower struct {
	source observed.SourceName
	// picture is a kind's part of the objects.
	picture func(kinds []config.Kind, k config.Kind, at time.Time, objects []any) observed.Signal
	// probe asks for one object: whether the API server has the type at all.
	probe    func(context.Context) error
	informer func(*pulse) (cache.SharedIndexInformer, error)
	pulse    pulse
	dirty    chan struct{}
}

func newFollower[L runtime.Object](source observed.SourceName, picture func([]config.Kind, config.Kind, time.Time, []any) observed.Signal,
	list func(context.Context, metav1.ListOptions) (L, error), informer func(*pulse) (cache.SharedIndexInformer, error),
) follower {
	return follower{
		source: source, picture: picture, informer: informer, dirty: make(chan struct{}, 1),
		probe: func(ctx context.Context) error {
			ctx, cancel := context.WithTimeout(ctx, requestTimeout)
			defer cancel()
			_, err := list(ctx, metav1.ListOptions{Limit: 1})
			if apierrors.IsNotFound(err) {
				return fmt.Errorf("the API server has no %s: %w", source, errNotServed)
			}
			return err
		},
	}
}

// errNotServed: the API server does not know the type.
var errNotServed = errors.New("is the CustomResourceDefinition installed?")

// touch asks for a report soon.
func (f *follower) touch() {
	select {
	case f.dirty <- struct{}{}:
	default:
	}
}

// follow reports every change and every proof that the watch lives, as long as the API server has
// the type. Without the type an informer would only fill the log.
func (o *Owners) follow(ctx context.Context, f *follower, sink func(observed.Signal)) {
	for o.await(ctx, f, sink) {
		o.watch(ctx, f, sink)
	}
}

// await returns true when the API server has the type, and false when ctx ends.
func (o *Owners) await(ctx context.Context, f *follower, sink func(observed.Signal)) bool {
	for {
		err := f.probe(ctx)
		if ctx.Err() != nil {
			return false
		}
		if err == nil {
			f.pulse.beat()
			return true
		}
		o.failed(f, err, sink)
		select {
		case <-ctx.Done():
			return false
		case <-time.After(o.cfg.Probe):
		}
	}
}

// watch follows the objects until the type is gone, or ctx ends.
func (o *Owners) watch(ctx context.Context, f *follower, sink func(observed.Signal)) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	informer, err := f.informer(&f.pulse)
	if err == nil {
		_, err = informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
			AddFunc:    func(any) { f.touch() },
			UpdateFunc: func(any, any) { f.touch() },
			DeleteFunc: func(any) { f.touch() },
		})
	}
	if err != nil { // only an informer that has run or stopped refuses
		o.failed(f, err, sink)
		return
	}
	var running sync.WaitGroup
	running.Go(func() { informer.RunWithContext(ctx) })
	o.report(ctx, f, informer, sink)
	cancel()
	running.Wait()
}

// report sends every kind's picture at each change, and at each Probe with the age of the watch. It
// returns when the type is gone.
func (o *Owners) report(ctx context.Context, f *follower, informer cache.SharedIndexInformer, sink func(observed.Signal)) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-f.dirty:
			select {
			case <-ctx.Done():
				return
			case <-time.After(o.cfg.Debounce):
			}
		case <-time.After(o.cfg.Probe):
		}
		heard := f.pulse.last()
		if silent := silence("the watch has", heard, 2*o.cfg.Probe); silent != nil {
			err := f.probe(ctx)
			if errors.Is(err, errNotServed) {
				return
			}
			o.failed(f, cmp.Or(err, silent), sink)
			continue
		}
		if !informer.HasSynced() {
			f.touch() // the first picture is still coming
			continue
		}
		kinds, objects := o.configured(), informer.GetStore().List()
		for _, k := range kinds {
			sink(f.picture(kinds, k, heard, objects))
		}
	}
}

func (o *Owners) failed(f *follower, err error, sink func(observed.Signal)) {
	o.log.Debug("cannot read who owns the size", "source", f.source, "error", err)
	for _, k := range o.configured() {
		sink(observed.Failed{Kind: k.Name, Source: f.source, At: time.Now(), Err: err})
	}
}

func pictureOfGroups(kinds []config.Kind, k config.Kind, at time.Time, objects []any) observed.Signal {
	s := observed.Groups{Kind: k.Name, At: at}
	for _, obj := range objects {
		var g v1alpha1.InstanceGroup
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(obj.(*unstructured.Unstructured).Object, &g); err != nil {
			continue // the API server has checked it against the schema
		}
		configured := slices.ContainsFunc(kinds, func(k config.Kind) bool { return k.Name == g.Spec.Kind })
		switch {
		case g.Spec.Kind == k.Name:
			s.Groups = append(s.Groups, reduceGroup(&g))
		case !configured && k.Name == kinds[0].Name:
			s.Strangers = append(s.Strangers, reduceGroup(&g))
		}
	}
	for _, list := range [][]observed.Group{s.Groups, s.Strangers} {
		slices.SortFunc(list, func(a, b observed.Group) int {
			return cmp.Or(a.Created.Compare(b.Created), cmp.Compare(a.Name, b.Name))
		})
	}
	return s
}

func reduceGroup(g *v1alpha1.InstanceGroup) observed.Group {
	return observed.Group{
		Name: g.Name, UID: string(g.UID), Generation: g.Generation, Created: g.CreationTimestamp.Time, Labels: g.Labels,
		Kind: g.Spec.Kind, StatefulSet: g.Spec.StatefulSetName, Wish: int(g.Spec.Replicas), Paused: g.Spec.Paused,
		// The condition Seeded does not count: a status outlives the replacement of its spec.
		Seeded: g.Annotations[v1alpha1.SeededAnnotation] != "",
	}
}

func pictureOfHPAs(_ []config.Kind, k config.Kind, at time.Time, objects []any) observed.Signal {
	s := observed.HPAs{Kind: k.Name, At: at}
	for _, obj := range objects {
		h := obj.(*autoscalingv2.HorizontalPodAutoscaler)
		switch to := h.Spec.ScaleTargetRef; to.Kind {
		case "StatefulSet":
			if to.Name == k.StatefulSet {
				s.HPAs = append(s.HPAs, observed.HPA{Name: h.Name, Target: to.Name})
			}
		case v1alpha1.Kind:
			s.HPAs = append(s.HPAs, observed.HPA{Name: h.Name, Target: to.Name, OnGroup: true})
		}
	}
	slices.SortFunc(s.HPAs, func(a, b observed.HPA) int { return cmp.Compare(a.Name, b.Name) })
	return s
}

// Package owners follows what says how large the StatefulSets should be: InstanceGroups, and HPAs.
//
// In: watches on InstanceGroups and HorizontalPodAutoscalers of one namespace. Out: observed.Groups
// and observed.HPAs of each kind at each change, and observed.Read at each proof that their watch
// lives, as old as that; or Failed.
// Invariant: either comes without the other, since a cluster without the CustomResourceDefinition
// has HPAs all the same; an age grows unless the API server was heard.
package owners

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	autoscalingv2 "k8s.io/api/autoscaling/v2"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"

	"github.com/shardscaler/shardscaler/adapter/informer"
	"github.com/shardscaler/shardscaler/adapter/observed"
	"github.com/shardscaler/shardscaler/adapter/v1alpha1"
	"github.com/shardscaler/shardscaler/internal/config"
	"github.com/shardscaler/shardscaler/internal/wake"
)

// Config is what is followed and how often it is asked.
type Config struct {
	Namespace string
	// Renew is how long nothing is heard on a watch before it is opened anew, and the time between
	// two questions whether the API server has the type. Default informer.DefaultRenew.
	Renew time.Duration
}

// Source follows the owners of the sizes of all configured kinds.
type Source struct {
	cfg          Config
	log          *slog.Logger
	groups, hpas follower
	kinds        atomic.Pointer[[]config.Kind]
}

// New returns a Source without kinds. It does not connect.
func New(cfg Config, kube kubernetes.Interface, dyn dynamic.Interface, log *slog.Logger) *Source {
	cfg.Renew = cmp.Or(cfg.Renew, informer.DefaultRenew)
	groups := dyn.Resource(v1alpha1.GroupVersion.WithResource(v1alpha1.Resource)).Namespace(cfg.Namespace)
	hpas := kube.AutoscalingV2().HorizontalPodAutoscalers(cfg.Namespace)
	s := &Source{
		cfg: cfg, log: log,
		groups: newFollower(cfg, observed.SourceGroups, groupsOf, &unstructured.Unstructured{}, dyn, groups),
		hpas:   newFollower(cfg, observed.SourceHPAs, hpasOf, &autoscalingv2.HorizontalPodAutoscaler{}, kube, hpas),
	}
	s.Configure(nil)
	return s
}

// Configure replaces the kinds, at any time. They are read only from then on.
func (s *Source) Configure(kinds []config.Kind) {
	s.kinds.Store(&kinds)
	for _, f := range []*follower{&s.groups, &s.hpas} {
		f.moved.Store(true)
		f.changed.Wake()
	}
}

// Run follows until ctx ends, whatever fails, and calls sink concurrently. It may be called once.
func (s *Source) Run(ctx context.Context, sink func(observed.Signal)) error {
	var all sync.WaitGroup
	for _, f := range []*follower{&s.groups, &s.hpas} {
		all.Go(func() { s.follow(ctx, f, sink) })
	}
	all.Wait()
	return nil
}

// follower keeps all objects of one type.
type follower struct {
	source  observed.SourceName
	signals signals
	// probe asks for one object: whether the API server has the type at all.
	probe    func(context.Context) error
	informer func() *informer.Informer
	changed  wake.Signal
	moved    *atomic.Bool // an object has changed, or the kinds have, since that was told
}

// signals are what the objects say of each of the kinds.
type signals func(kinds []config.Kind, at time.Time, objects []any) []observed.Signal

func newFollower[L runtime.Object](
	cfg Config, source observed.SourceName, of signals, example runtime.Object, client any, api informer.API[L],
) follower {
	changed, moved := wake.New(), &atomic.Bool{}
	note := func() {
		moved.Store(true)
		changed.Wake()
	}
	follow := informer.Config{Renew: cfg.Renew, Strip: strip, Changed: informer.Calling(note), Failed: changed.Wake}
	return follower{
		source: source, signals: of, changed: changed, moved: moved,
		informer: func() *informer.Informer { return informer.New(follow, example, client, api) },
		probe: func(ctx context.Context) error {
			ctx, cancel := context.WithTimeout(ctx, informer.RequestTimeout)
			defer cancel()
			_, err := api.List(ctx, metav1.ListOptions{Limit: 1})
			if apierrors.IsNotFound(err) {
				return fmt.Errorf("the API server has no %s: %w", source, errNotServed)
			}
			return err
		},
	}
}

var errNotServed = errors.New("is the CustomResourceDefinition installed?")

// follow reports every change and every proof that the watch lives, as long as the API server has
// the type. Without the type an informer would only fill the log.
func (s *Source) follow(ctx context.Context, f *follower, sink func(observed.Signal)) {
	for s.await(ctx, f, sink) {
		i := f.informer()
		i.Hear() // the API server has just said that it has the type
		f.moved.Store(true)
		watching, cancel := context.WithCancel(ctx)
		var running sync.WaitGroup
		running.Go(func() { i.RunWithContext(watching) })
		s.report(ctx, f, i, sink)
		cancel()
		running.Wait()
	}
}

// await returns true when the API server has the type, and false when ctx ends.
func (s *Source) await(ctx context.Context, f *follower, sink func(observed.Signal)) bool {
	for pause := time.Duration(0); wake.Sleep(ctx, pause); {
		err := f.probe(ctx)
		if err == nil || ctx.Err() != nil {
			return ctx.Err() == nil
		}
		s.failed(f, err, sink)
		if pause = informer.Retry; errors.Is(err, errNotServed) {
			pause = s.cfg.Renew
		}
	}
	return false
}

// report sends every kind's signal at each change, and else how old it is, if that is younger than
// what was sent, until the type is gone: as old as the watch.
func (s *Source) report(ctx context.Context, f *follower, i *informer.Informer, sink func(observed.Signal)) {
	var told, asked time.Time
	for informer.Await(ctx, f.changed, time.After(informer.Look)) {
		heard := i.Heard()
		silent := informer.Silence("the watch has", heard, informer.Limit(s.cfg.Renew))
		if doubt := silent != nil || i.Failing(); doubt && time.Since(asked) > informer.Retry {
			asked = time.Now()
			err := f.probe(ctx)
			if errors.Is(err, errNotServed) {
				return
			}
			if err = cmp.Or(err, silent); err != nil {
				s.failed(f, err, sink)
			}
		}
		if !i.HasSynced() {
			f.changed.Wake() // the first list is still coming
			continue
		}
		moved, kinds := f.moved.Swap(false), *s.kinds.Load()
		switch {
		case moved:
			for _, one := range f.signals(kinds, heard, i.GetStore().List()) {
				sink(one)
			}
		case heard.After(told):
			for _, k := range kinds {
				sink(observed.Read{Kind: k.Name, Source: f.source, At: heard})
			}
		}
		told = heard
	}
}

func (s *Source) failed(f *follower, err error, sink func(observed.Signal)) {
	s.log.Debug("cannot read who owns the size", "source", f.source, "error", err)
	for _, k := range *s.kinds.Load() {
		sink(observed.Failed{Kind: k.Name, Source: f.source, At: time.Now(), Err: err})
	}
}

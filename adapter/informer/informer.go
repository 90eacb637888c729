// Package informer is client-go's informer, with proof that its watch lives.
//
// In: list and watch of one resource of the API. Out: the objects, in the informer's store; when
// the API server was last heard; when a report of changes is due.
// Invariant: only an answer of the API server makes Heard younger. A watch that has died looks like
// one that is silent, so a watch that has delivered its first list is renewed all the time.
package informer

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"
	"k8s.io/utils/ptr"

	"github.com/shardscaler/shardscaler/internal/config"
	"github.com/shardscaler/shardscaler/internal/wake"
)

// Times of the sources that follow objects by an Informer.
const (
	// Debounce is how long changes are collected before they are reported.
	Debounce = 150 * time.Millisecond
	// DefaultProbe is the time between two proofs that a watch lives.
	DefaultProbe = 5 * time.Second
	// RequestTimeout bounds one request of a source's own; lists and watches are the library's.
	RequestTimeout = 5 * time.Second
)

// Config is what an Informer keeps.
type Config struct {
	// Renew is how long one watch lasts.
	Renew time.Duration
	// Strip drops what is not read before an object is kept. It may see an object twice.
	Strip    cache.TransformFunc
	Changed  cache.ResourceEventHandler
	Indexers cache.Indexers
}

// Informer keeps all objects of one type, and when the API server was last heard about them.
type Informer struct {
	cache.SharedIndexInformer
	heard atomic.Pointer[time.Time]
}

// API is one resource of the API, as clients offer it.
type API[L runtime.Object] interface {
	List(ctx context.Context, opts metav1.ListOptions) (L, error)
	Watch(ctx context.Context, opts metav1.ListOptions) (watch.Interface, error)
}

// New does not connect. example is an empty object; client is api's: whether lists come as watches.
func New[L runtime.Object](cfg Config, example runtime.Object, client any, api API[L]) *Informer {
	i := &Informer{}
	lw := &cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
			list, err := api.List(ctx, o)
			if err == nil {
				i.Hear()
			}
			return list, err
		},
		// Heard are the bookmark shortly before a watch times out, and the answer to the next.
		WatchFuncWithContext: func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
			first := o.SendInitialEvents != nil // begins with all there is, which may take its time
			if !first {
				seconds := int64(max(1, cfg.Renew.Seconds()))
				o.TimeoutSeconds = &seconds
			}
			w, err := api.Watch(ctx, o)
			if err != nil {
				return nil, err
			}
			i.Hear()
			return renewed(w, i.Hear, cfg.Renew, first), nil
		},
	}
	i.SharedIndexInformer = cache.NewSharedIndexInformer(cache.ToListWatcherWithWatchListSemantics(lw, client), example, 0, cfg.Indexers)
	// Only an informer that runs, or has stopped, refuses these.
	_ = i.SetTransform(cfg.Strip)
	_, _ = i.AddEventHandler(cfg.Changed)
	return i
}

// Waking wakes at every event of an informer.
func Waking(changed wake.Signal) cache.ResourceEventHandlerFuncs {
	return cache.ResourceEventHandlerFuncs{
		AddFunc:    func(any) { changed.Wake() },
		UpdateFunc: func(any, any) { changed.Wake() },
		DeleteFunc: func(any) { changed.Wake() },
	}
}

// Await returns true when a report is due: at tick, or Debounce after a change, so that many make
// one report. It returns false when ctx ends. A nil tick never comes.
func Await(ctx context.Context, changed wake.Signal, tick <-chan time.Time) bool {
	select {
	case <-ctx.Done():
		return false
	case <-tick:
		return true
	case <-changed:
		return wake.Sleep(ctx, Debounce)
	}
}

// Hear notes that the API server has answered now.
func (i *Informer) Hear() { i.heard.Store(ptr.To(time.Now())) }

// Heard is when the API server was last heard; zero: it has not been yet.
func (i *Informer) Heard() time.Time { return ptr.Deref(i.heard.Load(), time.Time{}) }

// Silence is an error where what was last heard longer than limit ago, or never.
func Silence(what string, heard time.Time, limit time.Duration) error {
	if heard.IsZero() {
		return fmt.Errorf("%s not been heard yet", what)
	}
	if silent := time.Since(heard); silent > limit {
		return fmt.Errorf("%s been silent for %s", what, config.Duration(silent))
	}
	return nil
}

// renewed is a watch that ends by itself, so that the informer opens another one.
func renewed(inner watch.Interface, hear func(), renew time.Duration, first bool) watch.Interface {
	events := make(chan watch.Event)
	outer := watch.NewProxyWatcher(events)
	go func() {
		defer close(events)
		defer inner.Stop()
		pass(inner, hear, events, outer.StopChan(), renew, first)
	}()
	return outer
}

func pass(inner watch.Interface, hear func(), to chan<- watch.Event, stopped <-chan struct{}, renew time.Duration, first bool) {
	var over <-chan time.Time // nil while the first list is coming
	if !first {
		over = time.After(2 * renew) // the server ends it at renew, unless it is frozen
	}
	for {
		select {
		case <-stopped:
			return
		case <-over:
			return
		case e, ok := <-inner.ResultChan():
			if !ok {
				return
			}
			if e.Type != watch.Error {
				hear()
			}
			if first && endsFirstList(e) {
				over = time.After(renew)
			}
			select {
			case <-stopped:
				return
			case to <- e:
			}
		}
	}
}

func endsFirstList(e watch.Event) bool {
	if e.Type != watch.Bookmark {
		return false
	}
	o, err := meta.Accessor(e.Object)
	return err == nil && o.GetAnnotations()[metav1.InitialEventsAnnotationKey] == "true"
}

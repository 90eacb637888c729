package cluster

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"
)

// pulse is when the API server was last heard on a watch.
type pulse struct {
	mu sync.Mutex
	at time.Time
}

func (p *pulse) beat() {
	p.mu.Lock()
	p.at = time.Now()
	p.mu.Unlock()
}

func (p *pulse) last() time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.at
}

// silence is an error where what was last heard longer than limit ago, or never.
func silence(what string, heard time.Time, limit time.Duration) error {
	if heard.IsZero() {
		return fmt.Errorf("%s not been heard yet", what)
	}
	if silent := time.Since(heard); silent > limit {
		return fmt.Errorf("%s been silent for %s", what, silent.Round(time.Second))
	}
	return nil
}

// lister is one resource of the API, as clients offer it.
type lister[L runtime.Object] interface {
	List(ctx context.Context, opts metav1.ListOptions) (L, error)
	Watch(ctx context.Context, opts metav1.ListOptions) (watch.Interface, error)
}

// watched is an informer that feels the pulse of its watch. A watch that is silent looks like one that has died, so each lasts only
// for renew: the API server sends a bookmark shortly before that, and answers to the next one after it.
func watched[L runtime.Object](client any, api lister[L], example runtime.Object, renew time.Duration, p *pulse, indexers cache.Indexers) (cache.SharedIndexInformer, error) {
	lw := &cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
			list, err := api.List(ctx, o)
			if err == nil {
				p.beat()
			}
			return list, err
		},
		WatchFuncWithContext: func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
			first := o.SendInitialEvents != nil // begins with all there is, which may take its time
			if !first {
				seconds := int64(max(1, renew.Seconds()))
				o.TimeoutSeconds = &seconds
			}
			w, err := api.Watch(ctx, o)
			if err != nil {
				return nil, err
			}
			p.beat()
			return newRenewed(w, p, renew, first), nil
		},
	}
	informer := cache.NewSharedIndexInformer(cache.ToListWatcherWithWatchListSemantics(lw, client), example, 0, indexers)
	return informer, informer.SetTransform(strip)
}

// renewed is a watch that ends by itself, so that the informer opens another one.
type renewed struct {
	inner  watch.Interface
	pulse  *pulse
	events chan watch.Event
	done   chan struct{}
	stop   sync.Once
}

func newRenewed(inner watch.Interface, p *pulse, renew time.Duration, first bool) *renewed {
	w := &renewed{inner: inner, pulse: p, events: make(chan watch.Event), done: make(chan struct{})}
	go w.run(renew, first)
	return w
}

func (w *renewed) ResultChan() <-chan watch.Event { return w.events }

func (w *renewed) Stop() { w.stop.Do(func() { close(w.done) }) }

func (w *renewed) run(renew time.Duration, first bool) {
	defer close(w.events)
	defer w.inner.Stop()
	var over <-chan time.Time // nil while the first picture is coming
	if !first {
		over = time.After(2 * renew) // the server ends it at renew, unless it is frozen
	}
	for {
		select {
		case <-w.done:
			return
		case <-over:
			return
		case e, ok := <-w.inner.ResultChan():
			if !ok {
				return
			}
			if e.Type != watch.Error {
				w.pulse.beat()
			}
			if first && endsFirstPicture(e) {
				over = time.After(renew)
			}
			select {
			case <-w.done:
				return
			case w.events <- e:
			}
		}
	}
}

func endsFirstPicture(e watch.Event) bool {
	if e.Type != watch.Bookmark {
		return false
	}
	o, err := meta.Accessor(e.Object)
	return err == nil && o.GetAnnotations()[metav1.InitialEventsAnnotationKey] == "true"
}

// bySet indexes pods by the StatefulSet whose pods have such names: their owner now may not be the
// one that made them.
const bySet = "set"

func setNameOf(obj any) ([]string, error) {
	o, err := meta.Accessor(obj)
	if err != nil {
		return nil, err
	}
	if at := strings.LastIndexByte(o.GetName(), '-'); at > 0 {
		return []string{o.GetName()[:at]}, nil
	}
	return nil, nil
}

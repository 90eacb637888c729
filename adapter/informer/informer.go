// Package informer is client-go's informer, with proof that its watch lives.
//
// In: list and watch of one resource of the API. Out: the objects, in the informer's store; when
// the API server was last heard; when a report of changes is due.
// Invariant: only an answer of the API server makes Heard younger. A watch that has died looks like
// one that is silent, so a watch on which nothing was heard for a while is opened anew.
package informer

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
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
	// DefaultRenew is how long nothing is heard on a watch before it is opened anew, so that Limit
	// comes to observed.ClusterMaxAge.
	DefaultRenew = 20 * time.Second
	// QuietRenew is DefaultRenew where a watch is proven otherwise, or its age is not told. The API
	// server sends a bookmark a minute, so that only a watch that died is opened anew.
	QuietRenew = 150 * time.Second
	// Look is the time between two looks at how old a watch is. It costs no request.
	Look = time.Second
	// Retry is the time between two requests of a source's own while one fails.
	Retry = 5 * time.Second
	// RequestTimeout bounds one request of a source's own, listTimeout a list of all objects.
	RequestTimeout = 5 * time.Second
	listTimeout    = time.Minute
)

// Config is what an Informer keeps.
type Config struct {
	// Renew is how long nothing is heard on a watch before it is opened anew.
	Renew time.Duration
	// Proven says that the watch is proven by other reads, which tell by HearAt. Bookmarks then
	// prove nothing, nor does the answer to a watch: both may come from a cache of the API server.
	Proven bool
	// Name limits the watch to the object of that name; empty: all objects.
	Name string
	// Strip drops what is not read before an object is kept. It may see an object twice.
	Strip    cache.TransformFunc
	Changed  cache.ResourceEventHandler
	Indexers cache.Indexers
	// Failed is called when a list or a watch was refused or not answered; it may be nil.
	Failed func()
}

// Informer keeps all objects of one type, and when the API server was last heard about them.
type Informer struct {
	cache.SharedIndexInformer
	cfg     Config
	heard   atomic.Pointer[time.Time]
	failing atomic.Bool
	reopen  wake.Signal
}

// API is one resource of the API, as clients offer it.
type API[L runtime.Object] interface {
	List(ctx context.Context, opts metav1.ListOptions) (L, error)
	Watch(ctx context.Context, opts metav1.ListOptions) (watch.Interface, error)
}

// New does not connect. example is an empty object; client is api's: whether lists come as watches.
func New[L runtime.Object](cfg Config, example runtime.Object, client any, api API[L]) *Informer {
	i := &Informer{cfg: cfg, reopen: wake.New()}
	lw := &cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
			bounded, cancel := context.WithTimeout(ctx, listTimeout)
			defer cancel()
			list, err := api.List(bounded, cfg.only(o))
			i.answered(ctx, err, true)
			return list, err
		},
		WatchFuncWithContext: func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
			// an answer that does not begin ends, too
			bounded, cancel := context.WithCancel(ctx)
			late := time.AfterFunc(max(cfg.Renew, firstSilence), cancel)
			w, err := api.Watch(bounded, cfg.only(o))
			late.Stop()
			first := o.SendInitialEvents != nil // begins with all there is, which may take its time
			i.answered(ctx, err, !cfg.Proven && !first)
			if err != nil {
				cancel()
				return nil, err
			}
			return i.renewed(w, cancel, first), nil
		},
	}
	if cfg.Name != "" {
		client = plain{}
	}
	i.SharedIndexInformer = cache.NewSharedIndexInformer(cache.ToListWatcherWithWatchListSemantics(lw, client), example, 0, cfg.Indexers)
	// Only an informer that runs, or has stopped, refuses these.
	_ = i.SetTransform(cfg.Strip)
	_, _ = i.AddEventHandler(cfg.Changed)
	return i
}

// plain has the first list come as a list: of one object it is as good.
type plain struct{}

// IsWatchListSemanticsUnSupported is what client-go asks a client.
func (plain) IsWatchListSemanticsUnSupported() bool { return true }

func (cfg *Config) only(o metav1.ListOptions) metav1.ListOptions {
	if cfg.Name != "" {
		o.FieldSelector = fields.OneTermEqualSelector(metav1.ObjectNameField, cfg.Name).String()
	}
	return o
}

// answered notes what became of a request while ctx, which ends with the informer, has not ended;
// proof says whether an answer makes Heard younger.
func (i *Informer) answered(ctx context.Context, err error, proof bool) {
	switch {
	case ctx.Err() != nil:
	case err != nil:
		i.failing.Store(true)
		if i.cfg.Failed != nil {
			i.cfg.Failed()
		}
	case proof:
		i.Hear()
	default:
		i.failing.Store(false)
	}
}

// Calling calls note at every event of an informer.
func Calling(note func()) cache.ResourceEventHandlerFuncs {
	return cache.ResourceEventHandlerFuncs{
		AddFunc:    func(any) { note() },
		UpdateFunc: func(any, any) { note() },
		DeleteFunc: func(any) { note() },
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
func (i *Informer) Hear() { i.HearAt(time.Now()) }

// HearAt notes that the API server was asked at, and has answered what the informer has.
func (i *Informer) HearAt(at time.Time) {
	i.failing.Store(false)
	for was := i.heard.Load(); was == nil || was.Before(at); was = i.heard.Load() {
		if i.heard.CompareAndSwap(was, &at) {
			return
		}
	}
}

// Heard is when the API server was last heard; zero: it has not been yet.
func (i *Informer) Heard() time.Time { return ptr.Deref(i.heard.Load(), time.Time{}) }

// Failing says whether the last list or watch was refused or not answered.
func (i *Informer) Failing() bool { return i.failing.Load() }

// Reopen ends the watch, for the informer to open another one: where there is doubt about it.
func (i *Informer) Reopen() { i.reopen.Wake() }

// Limit is how old a watch becomes that is opened anew after renew, and whose server leaves one
// request unanswered.
func Limit(renew time.Duration) time.Duration { return renew + 2*RequestTimeout }

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

// firstSilence is how long a list that comes as a watch may bring nothing.
const firstSilence = 30 * time.Second

// renewed is a watch that ends by itself when it is silent, so that the informer opens another one.
// It calls cancel at its end. first: it begins with all there is.
func (i *Informer) renewed(inner watch.Interface, cancel func(), first bool) watch.Interface {
	events := make(chan watch.Event)
	outer := watch.NewProxyWatcher(events)
	select { // a doubt about its predecessor
	case <-i.reopen:
	default:
	}
	go func() {
		defer close(events)
		defer cancel()
		defer inner.Stop()
		i.pass(inner, events, outer.StopChan(), first)
	}()
	return outer
}

// pass passes events on. All there is counts as heard when it is complete: until then the informer
// has what it had.
func (i *Informer) pass(inner watch.Interface, to chan<- watch.Event, stopped <-chan struct{}, first bool) {
	silence, reopen := i.cfg.Renew, i.reopen
	if first {
		silence, reopen = firstSilence, nil
	}
	silent := time.NewTimer(silence)
	defer silent.Stop()
	for {
		select {
		case <-stopped:
			return
		case <-silent.C:
			return
		case <-reopen:
			return
		case e, ok := <-inner.ResultChan():
			if !ok {
				return
			}
			if first && endsFirstList(e) {
				first, silence, reopen = false, i.cfg.Renew, i.reopen
			}
			if !first && e.Type != watch.Error && !(i.cfg.Proven && e.Type == watch.Bookmark) {
				i.Hear()
			}
			select {
			case <-stopped:
				return
			case to <- e:
			}
			silent.Reset(silence)
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

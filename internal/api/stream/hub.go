package stream

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/shardscaler/shardscaler/internal/api/packed"
	"github.com/shardscaler/shardscaler/internal/api/stream/delta"
	"github.com/shardscaler/shardscaler/internal/exact"
	"github.com/shardscaler/shardscaler/internal/guard"
	"github.com/shardscaler/shardscaler/internal/limits"
	"github.com/shardscaler/shardscaler/internal/ops"
	"github.com/shardscaler/shardscaler/internal/wake"
)

// Hub serves the streams of a process. Make it with New.
type Hub struct {
	cfg   Config
	share *limits.Share
	done  chan struct{} // closed by Close
	once  sync.Once

	mu      sync.Mutex
	viewers int
	stop    context.CancelFunc // ends the loop; it runs while there are viewers
	now     *frame             // nil while the loop does not run, or has read nothing yet
	last    *delta.Frame       // the newest there was
	changed chan struct{}      // closed when now shows something else than before
	rings   map[string]*delta.Ring
}

// Close ends all streams at once; viewers are told to connect again. Streams that are asked
// for later get 503.
func (h *Hub) Close() { h.once.Do(func() { close(h.done) }) }

// join counts a viewer and returns the first frame; nil: there is none in time, or the hub is
// closed.
func (h *Hub) join(ctx context.Context) (f *frame, leave func()) {
	select {
	case <-h.done:
		return nil, func() {}
	default:
	}
	h.enter()
	timeout := time.NewTimer(firstFrame)
	defer timeout.Stop()
	for {
		f, changed := h.current()
		if f != nil {
			return f, h.leave
		}
		select {
		case <-changed:
		case <-timeout.C:
			return nil, h.leave
		case <-ctx.Done():
			return nil, h.leave
		case <-h.done:
			return nil, h.leave
		}
	}
}

func (h *Hub) enter() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.viewers++; h.viewers == 1 {
		ctx, stop := context.WithCancel(context.Background())
		h.stop = stop
		go h.run(ctx)
	}
}

func (h *Hub) leave() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.viewers--; h.viewers == 0 {
		h.stop()
		h.now = nil
	}
}

// current is the newest frame, and what is closed when there is another.
func (h *Hub) current() (*frame, <-chan struct{}) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.now, h.changed
}

// run reads until the last viewer has left: as each second begins, as other replicas do, so that
// they show the same versions.
func (h *Hub) run(ctx context.Context) {
	for {
		if err := guard.Run(func() error { return h.next(ctx) }); err != nil {
			if p := guard.Caught(err); p != nil {
				err = fmt.Errorf("%w at %s", err, p.Stack)
			}
			h.cfg.Log.Error("streams show nothing new", "error", err)
		}
		if !wake.Sleep(ctx, wake.Until(time.Now(), interval, 0)) {
			return
		}
	}
}

// next publishes the next frame. Only one goroutine writes last, and another begins after ctx has
// ended.
func (h *Hub) next(ctx context.Context) error {
	now := time.Now()
	next, err := delta.NextFrame(h.newest(), now, h.cfg.Read(now))
	if err != nil {
		return err
	}
	h.publish(ctx, &frame{Frame: next, history: h.cfg.History})
	return nil
}

func (h *Hub) newest() *delta.Frame {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.last
}

func (h *Hub) publish(ctx context.Context, f *frame) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if ctx.Err() != nil {
		return
	}
	rings := map[string]*delta.Ring{} // those of kinds that are configured no longer are forgotten
	for _, shot := range f.Kinds {
		r := h.rings[shot.Name()]
		if r == nil {
			r = &delta.Ring{}
		}
		r.Add(shot.Version)
		rings[shot.Name()] = r
	}
	same := h.now != nil && h.now.Same(f.Frame)
	h.rings, h.now, h.last = rings, f, f.Frame
	if !same {
		close(h.changed)
		h.changed = make(chan struct{})
	}
}

// kept is the version of that id, or nil.
func (h *Hub) kept(kind, id string) *delta.Version {
	h.mu.Lock()
	defer h.mu.Unlock()
	if r := h.rings[kind]; r != nil {
		return r.Find(id)
	}
	return nil
}

// frame is a delta.Frame, and what its viewers share: each text is made once.
type frame struct {
	*delta.Frame
	history func(kind, after string) []ops.Entry

	mu    sync.Mutex
	texts map[key]func() (packed.Part, error)
}

// key is what a text shows: of a kind what changed from a version on, or its history after an
// entry.
type key struct{ kind, version, after string }

// change is what changes of a kind from before, which may be nil, to this frame; empty: nothing.
func (f *frame) change(before *delta.Version, shot *delta.Shot) (packed.Part, error) {
	k := key{kind: shot.Name()}
	if before != nil {
		if before == shot.Version {
			return packed.Part{}, nil
		}
		k.version = before.ID()
	}
	return f.once(k, func() ([]byte, error) { return delta.Change(before, shot.Version) })()
}

// errMissed says that a client has missed more history than it is sent.
var errMissed = fmt.Errorf("more than %d history entries were missed", MaxMissed)

// entries is the data of a history event, empty where there is none. It can be errMissed.
func (f *frame) entries(kind, after string) (packed.Part, error) {
	return f.once(key{kind: kind, after: after}, func() ([]byte, error) {
		items := f.history(kind, after)
		if len(items) == 0 {
			return nil, nil
		}
		if len(items) > MaxMissed {
			return nil, errMissed
		}
		return exact.Marshal(delta.History{Kind: kind, Items: items})
	})()
}

func (f *frame) once(k key, text func() ([]byte, error)) func() (packed.Part, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.texts[k] == nil {
		if f.texts == nil {
			f.texts = map[key]func() (packed.Part, error){}
		}
		f.texts[k] = sync.OnceValues(func() (packed.Part, error) {
			plain, err := text()
			return packed.Shared(plain), err
		})
	}
	return f.texts[k]
}

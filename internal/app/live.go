package app

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"os"
	"reflect"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/shardscaler/shardscaler/internal/config"
	"github.com/shardscaler/shardscaler/internal/fault"
	"github.com/shardscaler/shardscaler/internal/wake"
)

// live holds the configuration in force: the ConfigMap's last good text; a bad one is refused.
type live struct {
	log     *slog.Logger
	metrics *metrics
	most    config.Mode // of every kind, whatever its own mode says
	refused func(error) // tells people; called for every text that is refused
	reload  wake.Signal // the configuration is to be read again

	mu      sync.Mutex
	cfg     *config.Config          // nil until the first good one
	kinds   map[string]*config.Kind // those of cfg, by name
	written config.Written          // which fields the text of cfg has
	// generation is that of cfg: its version where that is a number, as those of ConfigMaps are, so
	// that it is the same on every replica; else the count of those that came into force.
	generation int64
	version    string
	loadedAt   time.Time
	err        error // why the newest text is not in force
	changed    chan struct{}
}

func newLive(log *slog.Logger, m *metrics, most config.Mode, refused func(error)) *live {
	return &live{log: log, metrics: m, most: most, refused: refused, reload: wake.New(), changed: make(chan struct{})}
}

// byName are the kinds of a configuration, by name.
func byName(cfg *config.Config) map[string]*config.Kind {
	kinds := make(map[string]*config.Kind, len(cfg.Kinds))
	for i := range cfg.Kinds {
		kinds[cfg.Kinds[i].Name] = &cfg.Kinds[i]
	}
	return kinds
}

// reloadAt has the configuration be read again at each signal, until ctx ends.
func (l *live) reloadAt(ctx context.Context, signals <-chan os.Signal) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-signals:
			l.log.Info("the configuration is read again")
			l.reload.Wake()
		}
	}
}

// offer takes a new text into force if it is good.
func (l *live) offer(o offered) {
	err := cmp.Or(o.err, fault.Fail("config.offered"))
	var cfg *config.Config
	if err == nil {
		cfg, err = config.Parse(o.text)
	}
	var written config.Written
	if err == nil {
		written = config.ReadWritten(o.text)
		for i := range cfg.Kinds {
			cfg.Kinds[i].Mode = cfg.Kinds[i].Mode.AtMost(l.most)
		}
	}
	fault.Point("config.parsed")
	l.metrics.configLoaded(err == nil)
	switch news := l.take(cfg, written, o.version, err); {
	case err != nil && news:
		l.log.Error("configuration refused, the last good one stays", "error", err)
		l.refused(err)
	case news:
		l.log.Info("configuration in force", "version", o.version, "kinds", len(cfg.Kinds))
	}
}

// take says whether the configuration, or why there is none, is news. The caller tells others of it
// without the lock, which every answer of this process needs.
func (l *live) take(cfg *config.Config, written config.Written, version string, err error) (news bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err != nil {
		news = l.err == nil || l.err.Error() != err.Error()
		l.err = err
		return news
	}
	l.err, l.version, l.loadedAt, l.written = nil, version, time.Now(), written
	same := reflect.DeepEqual(l.cfg, cfg)
	if number, err := strconv.ParseInt(version, 10, 64); err == nil {
		l.generation = number
	} else if !same {
		l.generation++
	}
	if same {
		return false
	}
	l.cfg, l.kinds = cfg, byName(cfg)
	fault.Point("config.in-force")
	close(l.changed)
	l.changed = make(chan struct{})
	return true
}

// current returns the configuration in force (nil: none yet) and what its change closes.
func (l *live) current() (*config.Config, <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.cfg, l.changed
}

// kind returns the configuration in force and its entry for a kind, nil where there is none, at the
// same cost however many kinds there are.
func (l *live) kind(name string) (*config.Config, *config.Kind) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.cfg, l.kinds[name]
}

// loaded is what is known of the configuration in force beside its content.
type loaded struct {
	written    config.Written
	generation int64
	version    string
	at         time.Time
	refused    string // why a newer text is not in force
}

func (l *live) loaded() loaded {
	l.mu.Lock()
	defer l.mu.Unlock()
	in := loaded{written: l.written, generation: l.generation, version: l.version, at: l.loadedAt}
	if l.err != nil {
		in.refused = l.err.Error()
	}
	return in
}

// check is the health of the configuration: wrong while there is none, or the newest is refused.
func (l *live) check() (ready bool, detail string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.cfg == nil && l.err != nil:
		return false, l.err.Error()
	case l.cfg == nil:
		return false, "not read yet"
	case l.err != nil:
		return true, fmt.Sprintf("version %s stays in force, a newer one was refused: %v", l.version, l.err)
	default:
		return true, ""
	}
}

// inMode are the kinds of a mode.
func inMode(kinds []config.Kind, mode config.Mode) []config.Kind {
	return slices.DeleteFunc(slices.Clone(kinds), func(k config.Kind) bool { return k.Mode != mode })
}

// mode is that of a kind in force; observe for one that is not configured.
func (l *live) mode(kind string) config.Mode {
	if _, k := l.kind(kind); k != nil {
		return k.Mode
	}
	return config.ModeObserve
}

// during returns the mode of a kind and a context that ends when the kind has another one, or with
// end.
func (l *live) during(ctx context.Context, kind string) (mode config.Mode, lasting context.Context, end context.CancelFunc) {
	mode = l.mode(kind)
	lasting, end = context.WithCancel(ctx)
	go func() {
		defer end()
		l.await(lasting, func(*config.Config) bool { return l.mode(kind) != mode })
	}()
	return mode, lasting, end
}

// await returns when a configuration is in force for which holds is true, or when ctx ends.
func (l *live) await(ctx context.Context, holds func(cfg *config.Config) bool) {
	for {
		cfg, changed := l.current()
		if cfg != nil && holds(cfg) {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-changed:
		}
	}
}

// anyIn says whether a configuration has a kind in a mode.
func anyIn(cfg *config.Config, mode config.Mode) bool {
	return slices.ContainsFunc(cfg.Kinds, func(k config.Kind) bool { return k.Mode == mode })
}

package app

import (
	"context"
	"crypto/rand"
	"log/slog"
	"slices"
	"sync"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/leaderelection/resourcelock"

	"github.com/shardscaler/shardscaler/internal/config"
	"github.com/shardscaler/shardscaler/internal/election"
	"github.com/shardscaler/shardscaler/internal/wake"
)

// leadership says whether this replica may write, and for how long: it is the election's host. It
// does not promise a single leader: the head's epoch in ZooKeeper and the resourceVersion in
// Kubernetes do.
type leadership struct {
	mu   sync.Mutex
	term context.Context // nil while not leading
	// heard ends with the term, and where its beats are not acknowledged, because then another
	// replica may lead; there is another one when they are again.
	heard   context.Context
	unheard context.CancelFunc
	leader  string        // address of the leader, as far as known
	trouble error         // what keeps this replica from taking part; nil: nothing does
	changed chan struct{} // closed and replaced at every change
	doubt   wake.Signal   // has the election look whether this replica still leads
}

func newLeadership() *leadership {
	return &leadership{changed: make(chan struct{}), doubt: wake.New()}
}

// await returns the context of which, such as (*leadership).inTerm, waiting for it to begin; nil:
// ctx ended first.
func (l *leadership) await(ctx context.Context, which func(*leadership) context.Context) context.Context {
	for {
		term, changed := l.present(which)
		if term != nil && term.Err() == nil {
			return term
		}
		select {
		case <-ctx.Done():
			return nil
		case <-changed:
		}
	}
}

// present is what await waits for, nil or over where it has not begun, and what its change closes.
func (l *leadership) present(which func(*leadership) context.Context) (ctx context.Context, changed <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return which(l), l.changed
}

// inTerm lasts as long as this replica leads, whileHeard only while that is acknowledged.
func (l *leadership) inTerm() context.Context { return l.term }

func (l *leadership) whileHeard() context.Context { return l.heard }

func (l *leadership) leads() bool { return l.is((*leadership).inTerm) }

// leadsHeard says whether this replica leads, and no other can.
func (l *leadership) leadsHeard() bool { return l.is((*leadership).whileHeard) }

func (l *leadership) is(which func(*leadership) context.Context) bool {
	ctx, _ := l.present(which)
	return ctx != nil && ctx.Err() == nil
}

// address returns where the leader is reached, as far as this replica knows; empty: none is known.
func (l *leadership) address() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.leader
}

func (l *leadership) update(f func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	f()
	close(l.changed)
	l.changed = make(chan struct{})
}

// Lead implements election.Host.
func (l *leadership) Lead(term context.Context) {
	l.update(func() {
		l.term = term
		l.heard, l.unheard = context.WithCancel(term)
	})
}

// Heard implements election.Host.
func (l *leadership) Heard(heard bool) {
	l.update(func() {
		l.unheard()
		if heard {
			l.heard, l.unheard = context.WithCancel(l.term)
		}
	})
}

// Resign implements election.Host.
func (l *leadership) Resign() {
	l.update(func() {
		l.unheard()
		l.term, l.heard, l.unheard, l.leader = nil, nil, nil, ""
	})
}

// Follow implements election.Host.
func (l *leadership) Follow(address string) {
	if l.address() != address {
		l.update(func() { l.leader = address })
	}
}

// Trouble implements election.Host.
func (l *leadership) Trouble(err error) { l.update(func() { l.trouble = err }) }

// check is a line of readyz. It does not fail the probe: the others may lead, and all serve.
func (l *leadership) check() check {
	l.mu.Lock()
	defer l.mu.Unlock()
	return check{name: "leader", detail: text(l.trouble)}
}

// elect takes part in the election until ctx ends, and gives leading up then. Without election this
// replica leads at once.
func (l *leadership) elect(ctx context.Context, o Options, beats election.Beats, client kubernetes.Interface, log *slog.Logger) {
	if !o.LeaderElect {
		l.Follow(o.identity())
		l.Lead(ctx)
		<-ctx.Done()
		l.Resign()
		return
	}
	lease := &resourcelock.LeaseLock{
		LeaseMeta:  metav1.ObjectMeta{Namespace: o.Namespace, Name: o.LeaseName},
		Client:     client.CoordinationV1(),
		LockConfig: resourcelock.ResourceLockConfig{Identity: election.Marked(o.identity())},
	}
	e := election.New(election.Config{
		Holder: o.PodName + "/" + rand.Text()[:8], Address: o.identity(), Timeout: o.LeaderTimeout,
		Beats: beats, Older: election.NewLease(lease, log), Doubt: l.doubt, Host: l, Log: log,
	})
	e.Run(ctx)
}

// awaitRest returns when no kind is to be written and none is any more, or when ctx ends.
func awaitRest(ctx context.Context, l *live, s *runners) {
	for more := true; more; more = wake.Sleep(ctx, leadAgain) {
		l.await(ctx, func(cfg *config.Config) bool { return !anyIn(cfg, config.ModeAct) })
		if !slices.ContainsFunc(s.all(), func(r *runner) bool { return r.engine.Leading() }) {
			return
		}
	}
}

// electWhileActing takes part in the election until ctx ends, as long as any kind is written: the
// leader's beat is a write too.
func electWhileActing(ctx context.Context, a *App) {
	for ctx.Err() == nil {
		a.live.await(ctx, func(cfg *config.Config) bool { return anyIn(cfg, config.ModeAct) })
		acting, end := context.WithCancel(ctx)
		go func() {
			defer end()
			awaitRest(acting, a.live, &a.runners)
		}()
		a.leadership.elect(acting, a.opts, a.beats, a.kube.client, a.log)
		end()
	}
}

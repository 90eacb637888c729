package app

import (
	"context"
	"fmt"
	"log/slog"
	"sync"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/leaderelection"
	"k8s.io/client-go/tools/leaderelection/resourcelock"

	"github.com/shardscaler/shardscaler/internal/fault"
)

// leadership says whether this replica may write, and for how long. It does not promise a single
// leader: the head's epoch in ZooKeeper and the resourceVersion in Kubernetes do.
type leadership struct {
	mu      sync.Mutex
	term    context.Context // ends with the lease; nil while not leading
	leader  string          // identity of the leader, as far as known
	changed chan struct{}   // closed and replaced at every change
}

func newLeadership() *leadership {
	return &leadership{changed: make(chan struct{})}
}

// await returns the current term's context, waiting for one to begin; nil: ctx ended first.
func (l *leadership) await(ctx context.Context) context.Context {
	for {
		term, changed := l.present()
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

// present is the term, nil or over while this replica does not lead, and what its change closes.
func (l *leadership) present() (term context.Context, changed <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.term, l.changed
}

func (l *leadership) leads() bool {
	term, _ := l.present()
	return term != nil && term.Err() == nil
}

// identity returns who leads as far as this replica knows; empty: none is known.
func (l *leadership) identity() string {
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

// elect takes part in the election until ctx ends, and releases the lease then. Without election
// this replica leads at once, also in a dry run: that must not keep the working one from leading.
func (l *leadership) elect(ctx context.Context, o Options, id string, client kubernetes.Interface, log *slog.Logger) error {
	if !o.LeaderElect || o.DryRun {
		l.update(func() { l.term, l.leader = ctx, id })
		<-ctx.Done()
		return nil
	}
	lock := &resourcelock.LeaseLock{
		LeaseMeta:  metav1.ObjectMeta{Namespace: o.Namespace, Name: o.LeaseName},
		Client:     client.CoordinationV1(),
		LockConfig: resourcelock.ResourceLockConfig{Identity: id},
	}
	elector, err := leaderelection.NewLeaderElector(leaderelection.LeaderElectionConfig{
		Lock:            lock,
		LeaseDuration:   o.LeaseDuration,
		RenewDeadline:   o.RenewDeadline,
		RetryPeriod:     o.RetryPeriod,
		ReleaseOnCancel: true,
		Name:            o.LeaseName,
		Callbacks: leaderelection.LeaderCallbacks{
			OnStartedLeading: func(term context.Context) {
				log.Info("leading")
				fault.Point("lead.elected")
				l.update(func() { l.term = term })
			},
			OnStoppedLeading: func() {
				log.Info("not leading any more")
				fault.Point("lead.stopped")
				l.update(func() { l.term = nil })
			},
			OnNewLeader: func(leader string) { l.update(func() { l.leader = leader }) },
		},
	})
	if err != nil {
		return fmt.Errorf("prepare leader election: %w", err)
	}
	for ctx.Err() == nil {
		elector.Run(ctx)
	}
	return nil
}

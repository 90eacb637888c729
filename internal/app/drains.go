package app

import (
	"context"
	"errors"
	"fmt"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/utils/ptr"

	"github.com/shardscaler/shardscaler/adapter/observed"
	"github.com/shardscaler/shardscaler/internal/api"
	"github.com/shardscaler/shardscaler/internal/config"
	"github.com/shardscaler/shardscaler/internal/exact"
	"github.com/shardscaler/shardscaler/internal/limits"
	"github.com/shardscaler/shardscaler/scaler"
	"github.com/shardscaler/shardscaler/scaler/actuate"
)

// Reads a second of StatefulSets for pods that end, and how many may be made at once. The client
// that makes them also writes sizes, and any caller may ask.
const (
	drainsPerSecond = 10
	drainsAtOnce    = 20
)

// drainReads are the reads that pods which end together share: StatefulSets and what is owned.
type drainReads struct {
	client    kubernetes.Interface
	namespace string

	sets *limits.Shared[string, bounds]
	left *limits.Shared[instanceKey, leftover]
}

// bounds are the ordinals that a StatefulSet makes: from first up to, not including, end.
type bounds struct{ first, end int }

type instanceKey struct {
	kind    string
	ordinal int
}

// leftover is what an instance owns, and whether it may receive.
type leftover struct {
	count int
	open  bool
}

func newDrainReads(client kubernetes.Interface, namespace string) drainReads {
	return drainReads{
		client: client, namespace: namespace,
		sets: &limits.Shared[string, bounds]{Begin: limits.NewLine(drainsPerSecond, drainsAtOnce).Wait},
		left: &limits.Shared[instanceKey, leftover]{},
	}
}

// drainLook is the time between two looks at what a pod still owns when nothing seems to change.
const drainLook = time.Second

// PodDrain implements api.Backend. Whether the pod is made again is asked of the API server: a
// watch may show the pod's end before the size that caused it. What is not read is never "empty".
func (a *App) PodDrain(ctx context.Context, namespace, pod string, wait time.Duration) (api.PodDrain, error) {
	cfg, _ := a.live.current()
	k, ordinal, err := instanceOf(cfg, a.opts.Namespace, namespace, pod)
	if err != nil {
		return api.PodDrain{}, err
	}
	d := api.PodDrain{Kind: k.Name, Pod: pod, Ordinal: ordinal}
	stays, err := a.drainReads.staysNow(ctx, k.StatefulSet, ordinal)
	if err != nil {
		return d, err
	}
	if stays {
		d.State = api.DrainStays
		return d, nil
	}
	ctx, cancel := context.WithTimeout(ctx, wait+callsTimeout)
	defer cancel()
	for deadline := time.Now().Add(wait); ; {
		changed := a.state.Changed(k.Name)
		if err := a.lookAtDrain(ctx, &d); err != nil {
			return d, err
		}
		left := time.Until(deadline)
		if d.State == api.DrainEmpty || left <= 0 {
			return d, nil
		}
		select {
		case <-ctx.Done():
			return d, ctx.Err()
		case <-changed:
		case <-time.After(min(left, drainLook)):
		}
	}
}

const callsTimeout = 10 * time.Second

// instanceOf is the kind and the ordinal of a pod; ours is the namespace that the kinds run in.
func instanceOf(cfg *config.Config, ours, namespace, pod string) (*config.Kind, int, error) {
	if cfg == nil {
		return nil, 0, errors.New("the configuration has not been read yet")
	}
	for i := range cfg.Kinds {
		if n, made := exact.PodOrdinal(cfg.Kinds[i].StatefulSet, pod); made && namespace == ours {
			return &cfg.Kinds[i], n, nil
		}
	}
	return nil, 0, fmt.Errorf("%w: pod %s of namespace %s belongs to no configured StatefulSet of namespace %s", api.ErrUnknownPod, pod, namespace, ours)
}

// staysNow says whether the StatefulSet, as the API server has it now, makes this ordinal.
func (s *drainReads) staysNow(ctx context.Context, statefulSet string, ordinal int) (bool, error) {
	made, err := s.sets.Do(ctx, statefulSet, func(ctx context.Context) (bounds, error) { return s.readBounds(ctx, statefulSet) })
	return err == nil && ordinal >= made.first && ordinal < made.end, err
}

// readBounds reads from the API server itself which ordinals a StatefulSet makes.
func (s *drainReads) readBounds(ctx context.Context, statefulSet string) (bounds, error) {
	ctx, cancel := context.WithTimeout(ctx, callsTimeout)
	defer cancel()
	set, err := s.client.AppsV1().StatefulSets(s.namespace).Get(ctx, statefulSet, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err), err == nil && set.DeletionTimestamp != nil:
		// there is nothing left that its resources could go to
		return bounds{}, fmt.Errorf("%w: there is no StatefulSet %s any more", api.ErrUnknownPod, statefulSet)
	case err != nil:
		return bounds{}, fmt.Errorf("read StatefulSet %s: %w", statefulSet, err)
	}
	start := int(ptr.Deref(set.Spec.Ordinals, appsv1.StatefulSetOrdinals{}).Start)
	// the API server's defaults
	return bounds{start, start + int(ptr.Deref(set.Spec.Replicas, 1))}, nil
}

// lookAtDrain looks at what this replica has seen, and at ZooKeeper itself when that is nothing.
func (a *App) lookAtDrain(ctx context.Context, d *api.PodDrain) error {
	r := a.runner(d.Kind)
	if r == nil {
		return fmt.Errorf("kind %s is not run", d.Kind)
	}
	now := time.Now()
	d.State, d.Left = api.DrainLeaving, a.state.Kind(d.Kind).Instance(d.Ordinal).Owned()
	if dec, err := r.served(now); err == nil && dec.Drain != nil {
		d.Blocked = dec.Drain.Blocked
	}
	if d.Left > 0 {
		return nil
	}
	owns, err := a.drainReads.left.Do(ctx, instanceKey{d.Kind, d.Ordinal}, func(ctx context.Context) (l leftover, err error) {
		ctx, cancel := context.WithTimeout(ctx, callsTimeout)
		defer cancel()
		l.count, l.open, err = r.engine.Left(ctx, d.Ordinal)
		return l, err
	})
	if err != nil {
		return err
	}
	if d.Left = owns.count; owns.count == 0 && !owns.open {
		d.State = api.DrainEmpty
	}
	return nil
}

// seenSince waits until the snapshot shows a kind as ZooKeeper had it after since.
func seenSince(ctx context.Context, state *observed.State, kind string, since time.Time) (*observed.Kind, time.Time, error) {
	for {
		changed, now := state.Changed(kind), time.Now()
		seen := state.Kind(kind)
		if seen != nil && seen.Sources.Store.At.After(since) {
			return seen, now, nil
		}
		select {
		case <-ctx.Done():
			return nil, now, fmt.Errorf("not carried out: ZooKeeper was not read since: %w", ctx.Err())
		case <-changed:
		case <-time.After(drainLook):
		}
	}
}

// Reassign implements api.Backend. What shows that the instance lives is read after the call: one
// made while ZooKeeper was away must not count an instance as unhealthy that came back since.
func (a *App) Reassign(ctx context.Context, kind string, ordinal int, user string) (api.Reassigned, error) {
	r, k, _, ok := a.effective(kind)
	if !ok {
		return api.Reassigned{}, fmt.Errorf("kind %s: %w", kind, errors.ErrUnsupported)
	}
	seen, now, err := seenSince(ctx, a.state, kind, time.Now())
	if err != nil {
		return api.Reassigned{}, err
	}
	if seen.Workload == nil || !seen.Sources.Cluster.Fresh(now, observed.ClusterMaxAge) {
		return api.Reassigned{}, errors.New("the StatefulSet and its pods are not known at the moment")
	}
	inst := seen.Instance(ordinal)
	switch {
	case inst == nil || inst.Occupant() == nil:
		return api.Reassigned{}, fmt.Errorf("%w: instance %d has no pod that could be dead", api.ErrConflict, ordinal)
	case inst.Pod == nil:
		return api.Reassigned{}, fmt.Errorf("%w: pod %s is not adopted by the StatefulSet: nothing is known of it; delete it if it is dead",
			api.ErrConflict, inst.Unadopted.Name)
	}
	if alive := scaler.Alive(seen, k, inst, now); alive != "" {
		return api.Reassigned{}, fmt.Errorf("%w: instance %d is not dead: %s", api.ErrConflict, ordinal, alive)
	}
	out := api.Reassigned{Kind: kind, Ordinal: ordinal, Pod: inst.Pod.Name, UID: inst.Pod.UID, By: user, Left: inst.Owned()}
	word := scaler.AssumedDead{Ordinal: ordinal, Pod: out.Pod, UID: out.UID, Node: inst.Pod.Node, By: user, At: now.UTC()}
	err = r.engine.Keep(ctx, scaler.AssumedDeadName, func(old []byte) ([]byte, error) { return scaler.AssumeDead(old, word) })
	if err != nil {
		return api.Reassigned{}, fmt.Errorf("store what is assumed dead: %w", err)
	}
	a.actuator.Publish(actuate.Workload{Namespace: a.opts.Namespace, Name: k.StatefulSet, UID: seen.Workload.UID},
		actuate.AssumedDead(out.Pod, out.UID, user, out.Left))
	r.asked.Wake()
	return out, nil
}

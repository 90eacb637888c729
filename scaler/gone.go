package scaler

import (
	"context"
	"fmt"
	"maps"
	"time"

	"github.com/shardscaler/shardscaler/adapter/observed"
	"github.com/shardscaler/shardscaler/rebalancer/orders"
	"github.com/shardscaler/shardscaler/scaler/decide"
)

// That a pod is gone is proven by a pod list alone, begun after what it is to prove (protocol rule
// 6 ii). The snapshot, which is of one StatefulSet and by watches, only says when to ask for one.

// podList is the last list, and when the next one may be asked for.
type podList struct {
	observed.PodList
	next time.Time
	// failure is why the latest try brought none; empty: it did.
	failure string
}

// listShare bounds the time that goes into lists: one part of so many.
const listShare = 20

// unseen is what the snapshot does not show, and what a pod list is to conclude from that.
type unseen struct {
	// uids are those of pods that something in flight was taken from, from their ordinals.
	uids map[string]bool
	from map[int]bool
	// beyond are ordinals beyond the size that have znodes.
	beyond []int
}

func (m *unseen) none() bool { return len(m.uids)+len(m.beyond) == 0 }

// unseenPods finds flights from pods that the snapshot does not show, and ordinals without a pod.
func unseenPods(in *decide.Input, d *decide.Decision, flights []orders.Flight) unseen {
	m := unseen{uids: map[string]bool{}, from: map[int]bool{}}
	for _, f := range flights {
		if f.Pod != "" && (!present(in, f.From) || f.Pod != in.Observed.Instance(f.From).Occupant().UID) {
			m.uids[f.Pod], m.from[f.From] = true, true
		}
	}
	for _, inst := range in.Observed.Instances {
		n := inst.Ordinal
		if inst.Occupant() == nil && (n < d.Start || n >= d.Start+max(d.Stays(), *d.Current)) {
			m.beyond, m.from[n] = append(m.beyond, n), true
		}
	}
	return m
}

func orderGone(in *decide.Input, a *answers, o *orders.Orders) {
	o.GonePods = map[string]bool{}
	for _, inst := range in.Observed.Instances {
		if p := inst.Occupant(); p != nil && p.Ended() {
			o.GonePods[p.UID] = true
		}
	}
	if o.PodsUnknown = a.pods.failure; a.unseen.none() || o.PodsUnknown != "" {
		return
	}
	o.PodsAt = a.pods.Begun
	gone := maps.Clone(a.unseen.uids)
	for _, uid := range a.pods.UIDs {
		delete(gone, uid)
	}
	maps.Copy(o.GonePods, gone)
	for n := range a.unseen.from {
		if uid := a.pods.UIDs[podName(in, n)]; uid != "" && !present(in, n) {
			o.Pods[n] = uid // it has come since the snapshot
		}
	}
	for _, n := range a.unseen.beyond {
		if a.pods.UIDs[podName(in, n)] == "" {
			o.Gone = append(o.Gone, n)
		}
	}
}

// present says whether the snapshot shows a pod of that name that has not ended.
func present(in *decide.Input, ordinal int) bool {
	inst := in.Observed.Instance(ordinal)
	return inst != nil && inst.Occupant() != nil && !inst.Occupant().Ended()
}

func podName(in *decide.Input, ordinal int) string {
	return fmt.Sprintf("%s-%d", in.Config.StatefulSet, ordinal)
}

// listPods lists the pods, unless the last list is a moment old. It counts only if the StatefulSet
// is still there after it: an API server that has lost its store has no pods either.
func (s *Scaler) listPods(ctx context.Context, in *decide.Input) {
	if in.Now.Before(s.pods.next) {
		return
	}
	begun := s.cfg.Now()
	list, err := s.act.ListPods(ctx)
	if err == nil {
		_, err = s.act.Size(ctx, statefulSet(in))
	}
	s.pods.next = in.Now.Add(max(s.period, listShare*s.cfg.Now().Sub(begun)))
	if err != nil {
		if s.pods.failure == "" {
			s.log.Warn("it is not known which pods are gone", "error", err)
		}
		s.pods.failure = "it is not known which pods are gone: " + err.Error()
		return
	}
	s.pods.PodList, s.pods.failure = list, ""
}

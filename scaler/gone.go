package scaler

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/shardscaler/shardscaler/adapter/observed"
	"github.com/shardscaler/shardscaler/internal/config"
	"github.com/shardscaler/shardscaler/rebalancer/orders"
	"github.com/shardscaler/shardscaler/scaler/decide"
)

// That a pod is gone is proven by a pod list alone, begun after what it is to prove (protocol rule
// 6 ii). The snapshot, which is of one StatefulSet and by watches, only says when to ask for one.

// podList is the last list, what it was wanted for, and when it is repeated if it still is.
type podList struct {
	observed.PodList
	wants map[want]int
	next  time.Time
	// failure is why the latest try brought none; empty: it did.
	failure string
}

// listShare bounds the time that goes into lists that are repeated: one part of so many.
const listShare = 20

// unseen is what the snapshot does not show, and what a pod list is to conclude from that.
type unseen struct {
	// uids are those of pods that something in flight was taken from, with how often, from their
	// ordinals.
	uids map[string]int
	from map[int]bool
	// vacant are ordinals without a pod that runs, beyond the size, or of which no pod is known that
	// something was taken from, or is to be.
	vacant []int
	// silent are uids of such pods that the snapshot shows, and whose status is gone: it may be
	// that only the watch is behind.
	silent map[string]bool
}

func (m *unseen) none() bool { return len(m.uids)+len(m.vacant)+len(m.silent) == 0 }

// want is one thing that a list is wanted for: a pod, or a vacant ordinal.
type want struct {
	uid    string
	silent bool
	vacant int
}

// wants are all of them, and how often.
func (m *unseen) wants() map[want]int {
	wants := map[want]int{}
	for uid, n := range m.uids {
		wants[want{uid: uid}] = n
	}
	for uid := range m.silent {
		wants[want{uid: uid, silent: true}] = 1
	}
	for _, n := range m.vacant {
		wants[want{vacant: n}]++
	}
	return wants
}

// unseenPods finds flights from pods that the snapshot does not show, or that are silent, ordinals
// without a pod, and pods that it does not show of what is to be reassigned.
func unseenPods(in *decide.Input, d *decide.Decision, flights []orders.Flight) unseen {
	m := unseen{uids: map[string]int{}, from: map[int]bool{}, silent: map[string]bool{}}
	for _, f := range flights {
		inst := in.Observed.Instance(f.From)
		switch {
		case f.Pod == "" && inst.Runner() == nil:
			m.vacate(f.From)
		case f.Pod == "":
		case inst.Runner() == nil || f.Pod != inst.Runner().UID:
			m.uids[f.Pod]++
			m.from[f.From] = true
		case in.Config.HandOff == config.HandOffAcknowledged && (inst.List == nil || inst.List.Status == nil):
			m.silent[f.Pod] = true
		}
	}
	for _, inst := range in.Observed.Instances {
		n := inst.Ordinal
		if inst.Occupant() == nil && (n < d.Start || n >= d.Start+max(d.Stays(), *d.Current)) {
			m.vacate(n)
		}
	}
	for _, v := range d.Health.Verdicts {
		inst := in.Observed.Instance(v.Ordinal)
		if !v.Reassign || inst.Runner() != nil {
			continue
		}
		m.vacate(v.Ordinal)
		for _, s := range []*observed.Status{inst.List.Status, inst.List.Last} {
			if s != nil && s.PodUID != "" {
				m.uids[s.PodUID]++ // the engine may see its session yet, or not any more
			}
		}
	}
	return m
}

func (m *unseen) vacate(n int) { m.vacant, m.from[n] = append(m.vacant, n), true }

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
	gone := maps.Clone(a.unseen.silent)
	for uid := range a.unseen.uids {
		gone[uid] = true
	}
	for _, uid := range a.pods.UIDs {
		delete(gone, uid)
	}
	maps.Copy(o.GonePods, gone)
	for n := range a.unseen.from {
		if uid := a.pods.UIDs[podName(in, n)]; uid != "" && in.Observed.Instance(n).Runner() == nil {
			o.Pods[n] = uid // it has come since the snapshot
		}
	}
	for _, n := range a.unseen.vacant {
		if a.pods.UIDs[podName(in, n)] == "" && !slices.Contains(o.Gone, n) {
			o.Gone = append(o.Gone, n)
		}
	}
}

func podName(in *decide.Input, ordinal int) string {
	return fmt.Sprintf("%s-%d", in.Config.StatefulSet, ordinal)
}

// listDue says whether the pods are to be listed: at once for what was not wanted before, however
// lately the last list was made. One is repeated only for what the snapshot does not show.
func (s *Scaler) listDue(now time.Time, m *unseen) bool {
	before, wants := s.pods.wants, m.wants()
	s.pods.wants = wants
	due := !now.Before(s.pods.next)
	if s.pods.failure != "" {
		return due && len(wants) > 0
	}
	for what, n := range wants {
		if n > before[what] {
			return true
		}
	}
	return due && len(m.uids)+len(m.vacant) > 0
}

// listPods lists the pods. It counts only if the StatefulSet is still there after it: an API server
// that has lost its store has no pods either.
func (s *Scaler) listPods(ctx context.Context, in *decide.Input) {
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

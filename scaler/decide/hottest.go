package decide

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/shardscaler/shardscaler/adapter/observed"
	"github.com/shardscaler/shardscaler/internal/config"
	"github.com/shardscaler/shardscaler/scaler/decide/hpa"
)

// Relief is what can be done for an overloaded instance.
type Relief string

// The reliefs.
const (
	ByRebalance Relief = "rebalance" // tried first: others may have room
	ByScaleUp   Relief = "growth"    // a rebalance cannot help, or has not
	ByNothing   Relief = "none"      // it is one resource's load, which cannot be divided, or nothing can be taken from it
)

// Hot is an instance that uses more than the target for the hottest one, tolerance included.
type Hot struct {
	Ordinal int    `json:"ordinal"`
	Signal  Reason `json:"signal"`
	// Ratio is its use over that target.
	Ratio  float64 `json:"ratio"`
	Relief Relief  `json:"relief"`
	// NotAcknowledging is why nothing can be taken from it.
	NotAcknowledging string `json:"mute,omitempty"`
}

// observeHottest adds the instances above the target to d.Hot, and proposes in s a size for the
// most loaded one. What an instance uses is taken to be in proportion to what it owns, and that to
// fall with the size: an instance at 1.3 of its target on 10 instances would be at 1.0 on 13. As
// long as a rebalance may bring the same, no scale up is proposed.
func (d *Decision) observeHottest(in *Input, m *measure, cfg *config.HottestTarget, sample sample, s *Signal) {
	target, written := m.target(cfg.TargetUtilization, cfg.TargetValue, "its request")
	work := in.working(in.Observed.Workload.Replicas)
	tol, size := tolerance(in), float64(in.carrying())
	var hottest *observed.Instance
	var use int64
	up := 0.0 // the greatest ratio that only a scale up can lower
	for i, l := range sample.loads {
		if l.Group != hpa.Counted || target.Utilization > 0 && l.Request == 0 {
			continue
		}
		ratio := hpa.Ratio(l, target)
		if hottest == nil || ratio > s.Ratio {
			hottest, s.Ratio, use = sample.of[i], ratio, l.Use
		}
		if ratio <= 1 || tol.Within(ratio) {
			continue
		}
		relief := relief(in, cfg, sample.of[i])
		if relief == ByScaleUp {
			up = max(up, ratio)
		}
		d.Hot = append(d.Hot, Hot{Ordinal: sample.of[i].Ordinal, Signal: s.Name, Ratio: ratio, Relief: relief, NotAcknowledging: notAcknowledging(in, sample.of[i])})
	}
	slices.SortStableFunc(d.Hot, func(a, b Hot) int { return cmp.Compare(b.Ratio, a.Ratio) })
	if hottest == nil {
		s.Missing = hpa.ErrNoSamples.Error()
		return
	}
	s.Inputs = fmt.Sprintf("%s used by %s, the most loaded, target %s", m.show(use), hottest.Pod.Name, written)
	if sample.missing > 0 {
		s.Inputs += fmt.Sprintf("; %d without sample", sample.missing)
	}
	s.Need = size * s.Ratio
	s.total = s.Need
	least := s.Ratio // what the size is proposed by
	if s.Ratio > 1 {
		least = up
	}
	ratio := s.Ratio
	if size > float64(work) { // it falls on fewer
		ratio = s.Need / float64(max(1, work))
	}
	proposed, within := settle(work, size*least, ratio, tol)
	s.Proposed, s.Within = in.sized(in.Observed.Workload.Replicas, proposed), within
	s.own = s.Proposed
	if own := in.History.Own; in.working(own) > 0 {
		proposed, _ = settle(in.working(own), size*least, s.Need/float64(in.working(own)), tol)
		s.own = in.sized(own, proposed)
	}
}

// settle is the size for need, or from where the ratio is within tolerance or asks for a scale up
// that need does not.
func settle(from int, need, ratio float64, tol hpa.Tolerance) (size int, within bool) {
	if tol.Within(ratio) {
		return from, true
	}
	if ratio > 1 {
		return max(from, hpa.Ceil(need)), false
	}
	return hpa.Ceil(need), false
}

func relief(in *Input, cfg *config.HottestTarget, inst *observed.Instance) Relief {
	h := &in.History
	switch {
	case inst.List == nil || inst.List.Count <= 1 || notAcknowledging(in, inst) != "":
		return ByNothing
	case !settled(&in.Observed):
		return ByRebalance // what is being made will take its part first
	case evened(in, inst):
		return ByScaleUp
	case !h.HotSince.IsZero() && in.Now.Sub(h.HotSince) >= cfg.Patience.Std():
		return ByScaleUp
	}
	return ByRebalance
}

// settled says whether every instance of the present size can take its part.
func settled(k *observed.Kind) bool {
	_, ready := staying(k)
	return ready == k.Workload.Replicas
}

// evened says whether inst owns no more than its share by number, and was measured wholly since its
// list last changed. Its resources are then heavier than others', and evening numbers cannot help.
func evened(in *Input, inst *observed.Instance) bool {
	k, work := &in.Observed, max(1, in.working(in.Observed.Workload.Replicas))
	share := (k.Assigned + work - 1) / work
	return inst.List.Count <= share && !inst.Usage.At.Add(-inst.Usage.Window).Before(inst.List.Changed)
}

// hotText says of the overloaded instances what is to be done, in words; "" when there are none.
func hotText(hot []Hot) string {
	var parts []string
	for _, r := range []struct {
		relief Relief
		mute   bool
		then   string
	}{
		{ByRebalance, false, "a rebalance is asked for"},
		{ByScaleUp, false, "a rebalance does not help: scale up"},
		{ByNothing, false, "by one resource alone: neither rebalance nor scale up helps"},
		{ByNothing, true, "not acknowledging: neither rebalance nor scale up helps"},
	} {
		var names []string
		for _, h := range hot {
			if h.Relief == r.relief && (h.NotAcknowledging != "") == r.mute {
				names = append(names, fmt.Sprintf("instance %d (%s %.2f x target)", h.Ordinal, h.Signal, h.Ratio))
			}
		}
		if text := listed(names, "%s is overloaded", "%s are overloaded"); text != "" {
			parts = append(parts, text+", "+r.then)
		}
	}
	return strings.Join(parts, "; ")
}

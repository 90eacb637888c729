package decide

import (
	"cmp"
	"slices"
	"time"

	"github.com/shardscaler/shardscaler/internal/config"
	"github.com/shardscaler/shardscaler/scaler/decide/hpa"
)

// History is what a decision must know of the past. It is small, and kept in ZooKeeper so that
// windows survive a new leader.
type History struct {
	// CompleteSince is since when every source was complete, breaks up to breakGrace aside; zero:
	// they are not.
	CompleteSince time.Time `json:"completeSince,omitzero"`
	// BrokenSince is since when one is not; zero: all are.
	BrokenSince time.Time `json:"brokenSince,omitzero"`
	// Adopted says that every source was once complete for a whole window: from then on the size
	// may fall.
	Adopted bool `json:"adopted,omitempty"`
	// BusSince is since when the bus of the heartbeats was readable without a break; zero: it is
	// not.
	BusSince time.Time `json:"busSince,omitzero"`
	// Recommendations are what the signals asked for, oldest first; equal ones in a row are one
	// entry.
	Recommendations []Recommendation `json:"recommendations,omitempty"`
	// Scales are the changes of size that were seen, by whomever, oldest first.
	Scales []hpa.Scale `json:"scales,omitempty"`
	// Own is Decision.Own of the last decision; 0: none yet.
	Own int `json:"own,omitempty"`
	// Replicas is the size seen last, Wrote the one that we wrote last; 0: none yet.
	Replicas int `json:"replicas,omitempty"`
	Wrote    int `json:"wrote,omitempty"`
	// Unseen: no snapshot has shown yet what we wrote last.
	Unseen bool `json:"unseen,omitempty"`
	// Set is the uid of the StatefulSet of that size, Desired is Decision.Desired of the last
	// decision; 0: none yet.
	Set     string   `json:"set,omitempty"`
	Desired int      `json:"desired,omitempty"`
	Raised  *Raise   `json:"raised,omitempty"`
	Foreign *Foreign `json:"foreign,omitempty"`
	// HotSince is since when an instance is overloaded at the present size with all instances
	// ready; zero: none is.
	HotSince time.Time `json:"hotSince,omitzero"`
	// Rollout says that pods were of a former revision when they were seen last, or that one which
	// replaced such a pod was not available yet. The StatefulSet's status says the first alone.
	Rollout bool   `json:"rollout,omitempty"`
	Down    []Down `json:"down,omitempty"`
	// Restarts are the pods that were restarted for being silent, the last one of each ordinal.
	Restarts []Restart `json:"restarts,omitempty"`
}

// Recommendation is a size that was asked for from From until To.
type Recommendation struct {
	From time.Time `json:"from,omitzero"`
	To   time.Time `json:"to,omitzero"`
	// Size is relative to the current size (the HPA's arithmetic), Own to the last recommendation.
	Size int `json:"size"`
	Own  int `json:"own"`
}

// Raise is replicas that another writer raised.
type Raise struct {
	At time.Time `json:"at,omitzero"`
	To int       `json:"to"`
}

// Down is an instance that does not work.
type Down struct {
	Ordinal int       `json:"ordinal"`
	Since   time.Time `json:"since,omitzero"`
}

// Restart is one restart of an instance's pod.
type Restart struct {
	Ordinal int       `json:"ordinal"`
	UID     string    `json:"uid"`
	At      time.Time `json:"at,omitzero"`
	// Count is how many restarts in a row were needed; the pause before the next one doubles with
	// each.
	Count int `json:"count"`
}

const (
	// breakGrace is how long sources may be incomplete without the window being watched anew: a new
	// leader's first connections.
	breakGrace = time.Minute
	// remembered bounds the past by time, entries bounds it by number; the oldest go first.
	remembered = config.MaxWindow
	entries    = 512
)

// Next is the history after d was decided from in. It shares nothing with in.History that it
// changes.
func Next(in Input, d Decision) History {
	h := in.History
	h.Recommendations = slices.Clone(h.Recommendations)
	h.watch(in, d)
	h.see(in, d)
	if d.Blind == "" {
		h.record(Recommendation{From: d.At, To: d.At, Size: d.highest, Own: d.highestOwn})
		h.Own, h.Desired = d.Own, d.Desired
		h.heat(in, d)
		h.Rollout = outdated(in.Observed.Workload) || d.Rollout != ""
		h.Down = downs(in, d.Health.Verdicts)
	}
	return h
}

// watch keeps since when the sources are complete.
func (h *History) watch(in Input, d Decision) {
	if d.Complete {
		h.BrokenSince, h.CompleteSince = time.Time{}, cmp.Or(h.CompleteSince, d.At)
		h.Adopted = h.Adopted || d.At.Sub(h.CompleteSince) >= downWindow(&in.Config)
	} else {
		h.BrokenSince = cmp.Or(h.BrokenSince, d.At)
		if d.At.Sub(h.BrokenSince) > breakGrace {
			h.CompleteSince = time.Time{}
		}
	}
	if h.BusSince = cmp.Or(h.BusSince, d.At); !busReadable(&in) {
		h.BusSince = time.Time{}
	}
}

// heat keeps since when a rebalance has had its chance to help an overloaded instance, at this
// size.
func (h *History) heat(in Input, d Decision) {
	switch {
	case len(d.Hot) == 0:
		h.HotSince = time.Time{}
	case h.HotSince.IsZero() || *d.Current != in.History.Replicas || !settled(&in.Observed):
		h.HotSince = d.At
	}
}

func (h *History) see(in Input, d Decision) {
	if d.Current == nil {
		return
	}
	h.Raised, h.Foreign, h.Scales = in.raised(d.Own), d.Foreign, slices.Clone(in.scales())
	h.Unseen = h.Unseen && *d.Current == h.Replicas && h.Replicas != h.Wrote && in.Paused() == ""
	h.Replicas, h.Set = *d.Current, in.Observed.Workload.UID
	h.Scales = slices.DeleteFunc(h.Scales, func(s hpa.Scale) bool { return d.At.Sub(s.At) > remembered })
	h.Scales = h.Scales[max(0, len(h.Scales)-entries):]
}

// record appends r, or prolongs the newest entry if it says the same.
func (h *History) record(r Recommendation) {
	if n := len(h.Recommendations); n > 0 && h.Recommendations[n-1].Size == r.Size && h.Recommendations[n-1].Own == r.Own {
		h.Recommendations[n-1].To = r.To
		return
	}
	h.Recommendations = append(h.Recommendations, r)
	h.Recommendations = slices.DeleteFunc(h.Recommendations, func(old Recommendation) bool { return r.To.Sub(old.To) > remembered })
	h.Recommendations = h.Recommendations[max(0, len(h.Recommendations)-entries):]
}

func (h *History) watched(now time.Time) time.Duration {
	if h.CompleteSince.IsZero() {
		return 0
	}
	return now.Sub(h.CompleteSince)
}

// Resumed is h for a process that goes on where another one stopped looking at last. After a long
// gap it is not known whether the sources were complete, and the windows of watching begin anew;
// what was recommended and done stays known.
func (h History) Resumed(last, now time.Time) History {
	if now.Sub(last) > breakGrace {
		h.CompleteSince, h.BrokenSince, h.BusSince = time.Time{}, time.Time{}, time.Time{}
	}
	return h
}

func (h *History) spans(size func(Recommendation) int) []hpa.Span {
	out := make([]hpa.Span, len(h.Recommendations))
	for i, r := range h.Recommendations {
		out[i] = hpa.Span{To: r.To, Size: size(r)}
	}
	return out
}

// scales are the changes of size, the one seen at this moment included.
func (in *Input) scales() []hpa.Scale {
	h, current := &in.History, in.Observed.Workload.Replicas
	if h.Replicas > 0 && current != h.Replicas {
		return append(slices.Clip(h.Scales), hpa.Scale{At: in.Now, From: h.Replicas, To: current})
	}
	return h.Scales
}

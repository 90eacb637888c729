package delta

import (
	"fmt"
	"slices"
	"time"

	"pgregory.net/rapid"

	"github.com/shardscaler/shardscaler/internal/ops"
	"github.com/shardscaler/shardscaler/rebalancer/inventory/resync"
	"github.com/shardscaler/shardscaler/rebalancer/orders"
	"github.com/shardscaler/shardscaler/scaler/outcome"
)

var begin = time.Date(2026, 11, 30, 7, 0, 0, 0, time.UTC)

// world is what replicas see, and changes at random.
type world struct {
	now   time.Time
	kinds []Seen
}

func (w *world) step(t *rapid.T) {
	w.now = w.now.Add(time.Duration(rapid.IntRange(1, 90).Draw(t, "seconds")) * time.Second)
	if rapid.IntRange(0, 5).Draw(t, "kinds") == 0 {
		w.configure(rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"Thing", "Rule", "Ünïcode <&> \"quoted\""}), 0, 3, rapid.ID[string]).Draw(t, "configured"))
	}
	for i := range w.kinds {
		w.kinds[i] = stepped(t, w.kinds[i], w.now)
	}
}

// configure keeps what is known of kinds that stay.
func (w *world) configure(names []string) {
	var kinds []Seen
	for _, name := range names {
		seen := Seen{Kind: ops.Kind{Name: name, Alarms: []ops.Alarm{}, Sources: []ops.Source{{Name: "store"}, {Name: "bus"}}}}
		if i := slices.IndexFunc(w.kinds, func(s Seen) bool { return s.Kind.Name == name }); i >= 0 {
			seen = w.kinds[i]
		}
		kinds = append(kinds, seen)
	}
	w.kinds = kinds
}

// stepped is a kind a moment later. What it was stays as it was: frames hold it.
func stepped(t *rapid.T, s Seen, now time.Time) Seen {
	k := &s.Kind
	k.At, k.Sources = now, slices.Clone(k.Sources)
	for i := range k.Sources {
		if rapid.Bool().Draw(t, "read") {
			k.Sources[i].At, k.Sources[i].Error = now, ""
		} else if !k.Sources[i].At.IsZero() {
			k.Sources[i].Error = rapid.SampledFrom([]string{"", "connection refused"}).Draw(t, "error")
		}
		if !k.Sources[i].At.IsZero() {
			k.Sources[i].Age = age(now, k.Sources[i].At)
		}
	}
	switch rapid.IntRange(0, 6).Draw(t, "what") {
	case 0:
		k.Why = rapid.StringN(0, 20, 40).Draw(t, "why")
		k.Blind = rapid.SampledFrom([]string{"", "the store is too old"}).Draw(t, "blind")
	case 1:
		k.Alarms = nil // it is encoded as null, and then as absent
		for range rapid.IntRange(0, 2).Draw(t, "alarms") {
			k.Alarms = append(k.Alarms, ops.Alarm{Name: "Silent", Params: map[string]string{"n": fmt.Sprint(len(k.Alarms))}})
		}
	case 2:
		k.Progress = orders.Progress{
			PerMinute: rapid.Float64Range(0, 1e6).Draw(t, "pace"), Moved: rapid.Int64Range(0, 1<<62).Draw(t, "moved"),
			Draining: rapid.MapOfN(rapid.IntRange(0, 9), rapid.IntRange(0, 9), 0, 4).Draw(t, "draining"),
		}
	case 3:
		k.Waiting = rapid.SampledFrom([]*resync.Waiting{nil, {Count: 3, Known: 10, Share: 0.3, Since: now}}).Draw(t, "waiting")
		k.Drain = rapid.SampledFrom([]*outcome.Drain{nil, {Phase: "draining", Ordinals: []int{4, 5}}, {Phase: "draining"}}).Draw(t, "drain")
	}
	s.Instances = instances(t, s.Instances, now)
	return s
}

func instances(t *rapid.T, before []ops.Instance, now time.Time) (after []ops.Instance) {
	for n := range 6 {
		i := slices.IndexFunc(before, func(in ops.Instance) bool { return in.Ordinal == n })
		in := ops.Instance{Ordinal: n, State: "open"}
		if i >= 0 {
			in = before[i]
		}
		switch rapid.IntRange(0, 4).Draw(t, "instance") {
		case 0:
			continue // gone
		case 1:
			in.List.Count = rapid.IntRange(0, 5000).Draw(t, "count")
			in.Beat = now
		case 2:
			ratio := rapid.Float64().Draw(t, "ratio") + 0 // not -0: JSON's reader makes it 0
			in.CPU = rapid.SampledFrom([]*ops.Load{nil, {Usage: 250, At: now}, {Usage: 250, Ratio: &ratio}}).Draw(t, "cpu")
		default:
			if i < 0 {
				continue
			}
		}
		if in.Lag = ""; !in.Beat.IsZero() {
			in.Lag = age(now, in.Beat)
		}
		after = append(after, in)
	}
	return after
}

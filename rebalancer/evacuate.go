package rebalancer

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/shardscaler/shardscaler/internal/config"
	"github.com/shardscaler/shardscaler/rebalancer/protocol"
)

// evacuate takes out of Stay the ordinals that a person has declared dead, and those that are lost if what is taken from them will be
// released. From then on they are like any other ordinal that leaves: closed, emptied, and no donor of anything voluntary. When the
// scaler calls them lost no longer they are back, and what is still in flight from them comes home.
//
// An instance that is lost may well run: taking from it what it will never acknowledge would only stop that for good.
func (t *term) evacuate() {
	t.unproven = nil
	if len(t.orders.Reassign) == 0 && len(t.orders.AssumedDead) == 0 {
		return
	}
	stay := make([]int, 0, len(t.orders.Stay))
	for _, n := range t.orders.Stay {
		if t.deadPod(n) {
			continue
		}
		if slices.Contains(t.orders.Reassign, n) {
			why := t.unprovable(n)
			if why == "" {
				continue
			}
			if t.unproven == nil {
				t.unproven = map[int]string{}
			}
			t.unproven[n] = why
		}
		stay = append(stay, n)
	}
	t.orders.Stay = stay
}

// unprovable says why nobody would ever know that n has released what is taken from it; "" if it has released everything already, or
// its session lives and it will answer.
func (t *term) unprovable(n int) string {
	in := t.st.Instances[n]
	if in == nil {
		return ""
	}
	if t.orders.HandOff != config.HandOffAcknowledged {
		return fmt.Sprintf("a hand-off that is %s proves nothing of an instance that cannot be reached", t.orders.HandOff)
	}
	pod := t.orders.Pods[n]
	if in.Status != nil && pod != "" && in.Status.Pod == pod {
		return ""
	}
	next := &protocol.Flight{From: n, Times: t.st.NextTimes(n), Pod: pod}
	fate := protocol.Fate{Gone: t.orders.GonePods[pod]}
	// An absence counts from the revoke. One that has lasted long enough already will do so again.
	if ok, why := protocol.Released(next, in.Status, fate, t.absence(n, time.Time{})); !ok {
		return why
	}
	return ""
}

// deadPod says whether the pod of n was declared dead.
func (t *term) deadPod(n int) bool {
	uid := t.orders.Pods[n]
	return uid != "" && t.orders.AssumedDead[uid]
}

// declaredDead says whether the pod that f was taken from was declared dead; of a piece that names no pod, the one that n has now.
func (t *term) declaredDead(f *protocol.Flight) bool {
	if f.Pod == "" {
		return t.deadPod(f.From)
	}
	return t.orders.AssumedDead[f.Pod]
}

// Left asks ZooKeeper itself (a synced read) how many resources n still owns, in its list or in flight from it, and whether it may
// receive more. Any replica may ask.
func (e *Engine) Left(ctx context.Context, n int) (left int, open bool, err error) {
	read, err := e.store.ReadLeft(ctx, e.cfg.Kind, []int{n})
	if err != nil {
		return 0, false, fmt.Errorf("read what is left: %w", err)
	}
	return read.Count[n], slices.Contains(read.Head.Open, n), nil
}

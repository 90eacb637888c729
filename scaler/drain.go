package scaler

import (
	"fmt"
	"slices"
	"time"

	"github.com/shardscaler/shardscaler/adapter/observed"
	"github.com/shardscaler/shardscaler/scaler/actuate"
	"github.com/shardscaler/shardscaler/scaler/decide"
)

// drain notes how far what goes has come. It only describes: what is done follows from the orders and from resize, which look at what is.
func (t *turn) drain() {
	before := t.last.Drain
	if t.d.Blind != "" {
		if before != nil { // nobody knows, so it is where it was
			still := *before
			still.Blocked = t.d.Blind
			if still.BlockedSince.IsZero() {
				still.BlockedSince = t.now
			}
			t.d.Drain = &still
		}
		return
	}
	t.d.Drain = nil
	dr := t.going()
	if dr.Phase == "" {
		return
	}
	dr.Continue(before, t.now)
	t.d.Drain = &dr
}

// going is the drain without its times; its Phase is empty when nothing goes.
func (t *turn) going() (dr decide.Drain) {
	planned, beyond := t.outgoing()
	dr.Ordinals = slices.Concat(planned, beyond)
	slices.Sort(dr.Ordinals)
	open := slices.ContainsFunc(dr.Ordinals, func(n int) bool { return slices.Contains(t.in.Observed.Open, n) })
	for _, n := range dr.Ordinals {
		owned := ownedBy(t.in.Observed.Instance(n))
		dr.Left += owned
		dr.Taken = dr.Taken || owned > 0 && beyondSize(t.d, n)
	}
	if t.d.Act != nil { // a synced read knows more than the snapshot
		dr.Left = max(dr.Left, total(t.d.Act.Left))
	}
	switch {
	case open:
		dr.Phase, dr.Blocked = decide.Closing, t.orders.Suspended
	case dr.Left > 0:
		dr.Phase, dr.Blocked = decide.Emptying, t.blocked()
	case len(planned) > 0:
		dr.Phase, dr.Blocked = t.lowering()
	case len(beyond) > 0:
		dr.Phase, dr.Blocked = decide.Ending, t.stuck(beyond)
	}
	return dr
}

// outgoing are the ordinals that go: those that this decision wants gone, and those beyond the size of which something is left.
func (t *turn) outgoing() (planned, beyond []int) {
	for n := t.d.Start + staying(t.d); n < t.d.Start+*t.d.Current; n++ {
		planned = append(planned, n)
	}
	for i := range t.in.Observed.Instances {
		inst := &t.in.Observed.Instances[i]
		if beyondSize(t.d, inst.Ordinal) && (inst.Occupant() != nil || ownedBy(inst) > 0) {
			beyond = append(beyond, inst.Ordinal)
		}
	}
	return planned, beyond
}

// lowering is the phase of ordinals that are closed and seem to own nothing, by what resize has just done about them.
func (t *turn) lowering() (phase decide.Phase, blocked string) {
	switch done(t.d) {
	case doneScaled:
		return decide.Ending, ""
	case doneFailed:
		return decide.Lowering, t.d.Act.Text
	case doneNotOurs:
		return decide.Waiting, ""
	default:
		return decide.Verifying, acted(t.d)
	}
}

// blocked says what keeps the ordinals that go from becoming empty; "" while they do.
func (t *turn) blocked() string {
	if t.orders.Suspended != "" {
		return t.orders.Suspended
	}
	return t.engine.Progress().Blocked
}

// stuckAfter is how long a pod may outlive its grace before the drain is called blocked by it.
const stuckAfter = time.Minute

// stuck names a pod that should be gone.
func (t *turn) stuck(ordinals []int) string {
	for _, n := range ordinals {
		p := t.in.Observed.Instance(n).Occupant()
		if p != nil && p.Terminating && !p.DeleteBy.IsZero() && t.now.Sub(p.DeleteBy) >= stuckAfter {
			return fmt.Sprintf("pod %s should have been gone %s ago", p.Name, t.now.Sub(p.DeleteBy).Round(time.Second))
		}
	}
	return ""
}

func ownedBy(i *observed.Instance) int {
	if i == nil || i.List == nil {
		return 0
	}
	return i.List.Count + i.List.InFlight
}

// graceNearlyOver is about what the preStop hook leaves of a pod's grace when it gives up.
const graceNearlyOver = 15 * time.Second

// taken reports ordinals that another writer took while they own something, and those of them that end nevertheless.
func (t *turn) taken() {
	if t.d.Blind != "" {
		return
	}
	var all, ending, gone []int
	left, behind := 0, 0
	for i := range t.in.Observed.Instances {
		inst := &t.in.Observed.Instances[i]
		n := ownedBy(inst)
		if n == 0 || !beyondSize(t.d, inst.Ordinal) {
			continue
		}
		p := inst.Occupant()
		if p != nil && inst.List.Count > 0 {
			all, left = append(all, inst.Ordinal), left+n
		}
		if p == nil || p.Terminating && t.now.Add(graceNearlyOver).After(p.DeleteBy) {
			ending, behind = append(ending, inst.Ordinal), behind+n
			if p == nil {
				gone = append(gone, inst.Ordinal)
			}
		}
	}
	t.while("TakenWithResources", left > 0, actuate.TakenWithResources(all, left))
	t.whileAs("EndedWithResources", fmt.Sprint(gone), behind > 0, actuate.EndedWithResources(ending, behind))
}

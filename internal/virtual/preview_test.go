package virtual

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/shardscaler/shardscaler/internal/config"
	"github.com/shardscaler/shardscaler/internal/ops"
	"github.com/shardscaler/shardscaler/rebalancer/plan"
	"github.com/shardscaler/shardscaler/rebalancer/steps"
	"github.com/shardscaler/shardscaler/scaler/decide"
	"github.com/shardscaler/shardscaler/scaler/outcome"
)

// shown is a world in which persons preview what they then do.
type shown struct {
	t     *testing.T
	p     *Play
	w     *World
	over  ops.Over
	base  config.Kind
	after time.Duration
	// summary is that of the last decision.
	summary string
}

// previewing is a world of that seed, sized by how many resources there are: 60 to an instance, of
// which 100 have room. All that time keeps up stays up for long: what a change does is done at once.
func previewing(t *testing.T, seed uint64) *shown {
	d, err := NewDay(seed, 7*60, 7)
	require.NoError(t, err)
	window := config.Duration(12 * time.Hour)
	k := &d.Config.Kind
	k.Capacity, k.TargetPerInstance, k.Max, k.CPU, k.Behavior.ScaleDown.StabilizationWindow = 100, 60, 14, nil, &window
	d.Config.TakeOver = 3 * time.Second
	if seed%2 == 1 { // by CPU as well: 60 resources use what an instance is to use
		k.CPU = &config.ResourceTarget{TargetUtilization: 70}
		d.Config.Load = func(_ time.Time, _, runs int) (cpu, memory int64) {
			return int64(runs) * 70 * dayRequest / 100 / 60, 1 << 20
		}
	}
	x := &shown{t: t, p: d.Begin(), base: *k}
	x.w = x.p.World
	x.w.cfg.Decided = func(d *decide.Decision, _ *outcome.Outcome) { x.summary = d.Summary }
	x.play(10 * time.Minute)
	x.p.asks = nil // nothing is created any more
	require.NoError(t, x.w.Settled())
	return x
}

func (x *shown) play(long time.Duration) {
	x.t.Helper()
	x.after += long
	play(x.t, x.after, x.p)
}

// preview is what a change would do, by the leader that there is; false: it is refused.
func (x *shown) preview(c ops.Change) (d decide.Decision, p *steps.Preview, next ops.Over, ok bool) {
	x.t.Helper()
	ground := x.w.leader.ground()
	ground.Base = x.base
	next, err := c.Put(ops.Over{Override: x.over.Override, Operator: x.w.leader.operator()}, ground, "ann", x.w.clock.Now())
	if err != nil {
		return d, nil, next, false
	}
	k, next := next.Standing(x.base, x.w.clock.Now())
	basis := x.w.leader.scaler.Basis()
	d, o, ok := basis.Orders(k, next.Operator)
	require.True(x.t, ok)
	p, err = x.w.leader.Preview(o, false)
	require.NoError(x.t, err)
	require.Empty(x.t, p.Refused)
	return d, p, next, true
}

// do carries out a change: of the configuration's values as a new one of these, which all replicas
// have at once.
func (x *shown) do(c ops.Change, next ops.Over) {
	x.t.Helper()
	if c.ForOperator() {
		require.NoError(x.t, x.w.Change(x.t.Context(), c))
	}
	x.over = next
	x.w.cfg.Kind, _ = next.Standing(x.base, x.w.clock.Now())
}

// agree previews a change and carries it out; meanwhile is called when that has begun. It returns
// how many moves it took; -1: the change was refused.
func (x *shown) agree(what string, c ops.Change, meanwhile func()) (moves int) {
	x.t.Helper()
	d, preview, next, ok := x.preview(c)
	if !ok {
		return -1
	}
	last := preview.First
	if moves = len(last.Moves); preview.Then != nil {
		last = preview.Then
		moves += len(last.Moves)
	}
	was, terms, count := x.owners(), x.w.terms, x.w.leader.Progress().Moved
	x.do(c, next)
	meanwhile()
	x.play(6 * time.Minute)
	require.NoError(x.t, x.w.Settled(), what)
	require.Equal(x.t, d.Desired, x.w.cluster.replicas, "%s: %s; now: %s", what, d.Summary, x.summary)
	require.Equal(x.t, filled(last), lists(x.w), what)
	elsewhere := 0
	for id, n := range x.owners() {
		if was[id] != n {
			elsewhere++
		}
	}
	require.LessOrEqual(x.t, elsewhere, moves, what)
	if preview.Then == nil {
		require.Equal(x.t, moves, elsewhere, what)
	}
	if x.w.terms == terms { // else what the one that ended has moved is not known
		require.EqualValues(x.t, moves, x.w.leader.Progress().Moved-count, what)
	}
	return moves
}

// owners is where each resource is.
func (x *shown) owners() map[string]int {
	all := map[string]int{}
	for n, in := range x.w.leader.State().Instances {
		for _, id := range in.IDs.All() {
			all[id] = n
		}
	}
	return all
}

func nothing() {}

// any is a change that comes to a person's mind.
func (x *shown) any(rng *rand.Rand) (what string, c ops.Change) {
	st := x.w.leader.State()
	n := rng.IntN(x.w.cluster.replicas)
	var id string
	if ids := st.Instances[n].IDs.Strings(); len(ids) > 0 {
		id = ids[rng.IntN(len(ids))]
	}
	o, pin := x.w.leader.operator(), &ops.PinRequest{Resource: id, Instance: rng.IntN(x.w.cluster.replicas)}
	switch k := rng.IntN(10); {
	case k < 3:
		return fmt.Sprint("drain ", n), ops.Change{Drain: &n}
	case k < 5 && len(o.Drains) > 0:
		n = o.Drains[rng.IntN(len(o.Drains))].Ordinal
		return fmt.Sprint("undrain ", n), ops.Change{Undrain: &n}
	case k < 6 && o.Size == nil:
		size := x.w.cluster.replicas + 1 + rng.IntN(3)
		return fmt.Sprint("size ", size), ops.Change{Size: &size}
	case k < 6:
		return "end size", ops.Change{EndSize: true}
	case k < 7:
		capacity := 40 + rng.IntN(80)
		return fmt.Sprint("capacity ", capacity), ops.Change{Capacity: &capacity}
	case k < 8 && len(o.Pins) > 0:
		return "unpin " + o.Pins[0].Resource, ops.Change{Unpin: o.Pins[0].Resource}
	case k < 9:
		return fmt.Sprint("move ", *pin), ops.Change{Move: pin}
	}
	return fmt.Sprint("pin ", *pin), ops.Change{Pin: pin}
}

// Whatever a person asks for, its preview is what the scaler, the engine and the instances make of
// it: as many moves, and as many resources in each list. Pods take 20 s to become ready.
func TestAPreviewIsWhatTheCoreDoes(t *testing.T) {
	done := map[string]int{}
	for seed := range uint64(8) {
		x, rng := previewing(t, seed), rand.New(rand.NewPCG(seed, 3))
		for i := range 10 {
			what, c := x.any(rng)
			was := x.w.cluster.replicas
			if x.agree(fmt.Sprintf("seed %d, change %d: %s", seed, i, what), c, nothing) < 0 {
				continue
			}
			kind, _, _ := strings.Cut(what, " ")
			if done[kind]++; x.w.cluster.replicas > was {
				done[kind+" that adds instances"]++
			}
		}
	}
	for _, what := range []string{"drain", "undrain", "move", "pin", "size", "capacity"} {
		require.Greater(t, done[what], 3, "%s of %v", what, done)
	}
	for _, what := range []string{"drain", "size", "capacity"} {
		require.Positive(t, done[what+" that adds instances"], "%s of %v", what, done)
	}
}

// A drain that adds an instance moves what it empties once, straight to the new one: also where a
// leader ends meanwhile, and where another scale up is under way.
func TestWhatADrainEmptiesGoesStraightToANewInstance(t *testing.T) {
	drain := ops.Change{Drain: new(3)}
	for what, meanwhile := range map[string]func(x *shown){
		"undisturbed": func(*shown) {},
		"the leader ends before the size is written": func(x *shown) { x.w.Kill(1, true) },
		"the leader ends while the pod starts": func(x *shown) {
			x.play(10 * time.Second)
			require.Equal(x.t, 8, x.w.cluster.replicas)
			x.w.Kill(1, false)
		},
		"the leader ends while it drains": func(x *shown) { x.play(20 * time.Second); x.w.Kill(3, true) },
	} {
		x := previewing(t, 1)
		from := x.w.leader.State().Instances[3].IDs.Strings()
		require.Equal(t, len(from), x.agree(what, drain, func() { meanwhile(x) }), what)
		require.Equal(t, what != "undisturbed", x.w.terms > 1, what)
		require.ElementsMatch(t, from, x.w.leader.State().Instances[7].IDs.Strings(), what)
	}

	x := previewing(t, 1)
	_, _, next, _ := x.preview(ops.Change{Size: new(9)})
	x.do(ops.Change{Size: new(9)}, next)
	x.play(8 * time.Second)
	require.Equal(t, 9, x.w.cluster.replicas)
	before := x.w.leader.State().Instances[3].IDs.Len()
	require.Greater(t, x.agree("while others start", drain, nothing), before, "a spread follows, to 8 that work")
}

// A drain does not wait for long for a pod that does not come. The instance is as it was meanwhile.
func TestADrainDoesNotWaitForAPodThatDoesNotCome(t *testing.T) {
	x := previewing(t, 1)
	x.w.cluster.cfg.Ready = 5 * time.Minute // those that there are have been ready for longer
	owned := x.w.leader.State().Instances[3].IDs.Len()
	_, _, next, ok := x.preview(ops.Change{Drain: new(3)})
	require.True(t, ok)
	x.do(ops.Change{Drain: new(3)}, next)
	for _, killed := range []bool{true, false} { // a new leader does not begin to wait anew
		x.play(55 * time.Second)
		st := x.w.leader.State()
		require.Contains(t, st.Head.Open, 3)
		require.Equal(t, owned, st.Instances[3].IDs.Len())
		require.Contains(t, x.summary, "drained by a person: instance 3; the drain of instance 3 waits until instance 7 can take over, at most 2m")
		if killed {
			x.w.Kill(1, true)
		}
	}
	x.play(30 * time.Second)
	st := x.w.leader.State()
	require.NotContains(t, st.Head.Open, 3)
	require.NotContains(t, st.Head.Open, 7)
	require.Zero(t, st.Instances[3].IDs.Len())
	require.NotContains(t, x.summary, "can take over")
	x.play(5 * time.Minute)
	require.NoError(t, x.w.Settled())
	require.Equal(t, owned, x.w.leader.State().Instances[7].IDs.Len(), "they are spread when it comes")
}

// filled are the lengths of the lists that are not empty after a plan, sorted: of two instances that
// are alike nothing says which has one more.
func filled(p *plan.Plan) (all []int) {
	for _, in := range p.Describe().Instances {
		if in.After > 0 {
			all = append(all, in.After)
		}
	}
	slices.Sort(all)
	return all
}

// lists are the lengths of those that there are.
func lists(w *World) (all []int) {
	for _, in := range w.leader.State().Instances {
		if in.IDs.Len() > 0 {
			all = append(all, in.IDs.Len())
		}
	}
	slices.Sort(all)
	return all
}

package plan

import (
	"cmp"
	"container/heap"
	"math"
	"slices"
)

// weightPlanner lays out moves by weight. Even weights are NP-hard: what has no place goes, the
// heaviest first, to the lightest instance; then the heaviest instance gives the lightest one the
// heaviest resource that fits between them. Every move is checked at once against capacity and
// bytes, and every voluntary one lowers Σ load².
type weightPlanner struct {
	*emitter
	o    Options
	open []InstanceIndex
	// weight is each instance's load in thousandths, parallel to World.Instances.
	weight []int64
	// quota, if set, is how many orphans of each class each instance may take so that most are
	// placed: the flow of a network.
	quota       *network
	sortedLists map[InstanceIndex]*sortedList
}

func (p *Plan) byWeight(o Options) {
	w := p.world
	s := newWeightPlanner(w, o)
	orphans := s.orphans()
	left := s.place(orphans)
	if len(left) > 0 && w.pinned() {
		// The unpinned may have taken the room of others: try again, the shares counted first.
		shared := newWeightPlanner(w, o)
		o.Regime = Emergency
		shared.quota = newNetwork(w, o)
		shared.quota.distribute()
		shared.quota.optimise()
		rest := shared.place(orphans)
		shared.quota = nil
		if rest = shared.place(rest); len(rest) < len(left) {
			s, left = shared, rest
		}
	}
	for _, m := range left {
		s.refused = append(s.refused, Refusal{From: m.From, Index: m.Index, Why: s.why(m)})
	}
	p.Bound = len(s.moves)
	if s.o.Regime == Periodic {
		s.makeRoom()
		s.spread()
		s.refuseOver()
	}
	p.Moves, p.Targets, p.Refused, p.Voluntary = s.moves, s.load, s.refused, len(s.moves)-p.Bound
	if over := p.Voluntary - s.o.Budget; s.o.Budget > 0 && over > 0 {
		p.Remaining, p.Voluntary = over, s.o.Budget
		p.Moves = p.Moves[: len(p.Moves)-over : len(p.Moves)-over]
	}
}

func newWeightPlanner(w *World, o Options) *weightPlanner {
	s := &weightPlanner{emitter: &emitter{tally: newTally(w)}, o: o, sortedLists: map[InstanceIndex]*sortedList{}}
	s.open, _, _ = survey(w)
	s.weight = weights(w)
	return s
}

// weights are what the instances hold, arriving included, in thousandths.
func weights(w *World) []int64 {
	sums := make([]int64, len(w.Instances))
	for i := range w.Instances {
		in := &w.Instances[i]
		sums[i] = in.Arriving.Weight
		for j := range in.IDs.Len() {
			sums[i] += in.weight(j)
		}
	}
	return sums
}

// orphans are the resources that must move, the heaviest first, then as stored; To is not set.
func (s *weightPlanner) orphans() []Move {
	w := s.w
	var all []Move
	for at, l := range w.Lists() {
		if l.Pins == nil && w.mayStay(0, at) {
			continue
		}
		for i := range l.IDs.Len() {
			if m := (Move{From: at, Index: int32(i)}); !w.voluntary(m) {
				all = append(all, m)
			}
		}
	}
	slices.SortStableFunc(all, func(a, b Move) int { return cmp.Compare(w.weightOf(b), w.weightOf(a)) })
	return all
}

// place gives each its instance, again while what went makes room, and returns those without.
func (s *weightPlanner) place(orphans []Move) (left []Move) {
	for {
		left = nil
		free := newLightest(s)
		for _, m := range orphans {
			if m.To = s.target(m, free); m.To < 0 {
				left = append(left, m)
				continue
			}
			s.send(m)
			free.moved(m.From)
			free.moved(m.To)
		}
		if len(left) == len(orphans) || len(left) == 0 {
			return left
		}
		orphans = left
	}
}

// target is the lightest instance that takes a resource, -1: none.
func (s *weightPlanner) target(m Move, free *lightest) InstanceIndex {
	w := s.w
	class, size := w.pinOf(m), s.size(m)
	for free.Len() > 0 && s.room(free.items[0]) <= 0 {
		heap.Pop(free)
	}
	if class == 0 && s.quota == nil && free.Len() > 0 && s.fits(free.items[0], size) {
		return free.items[0]
	}
	best := InstanceIndex(-1)
	for c, at := range s.open {
		if s.room(at) > 0 && w.Allows(class, at) && s.fits(at, size) && s.inQuota(class, c) && (best < 0 || s.weight[at] < s.weight[best]) {
			best = at
		}
	}
	return best
}

func (s *weightPlanner) inQuota(class PinIndex, c int) bool {
	if s.quota == nil {
		return true
	}
	k, _ := slices.BinarySearch(s.quota.classes, class)
	return s.quota.flow[s.quota.cell(k, c)] > 0
}

func (s *weightPlanner) send(m Move) {
	w := s.w
	cost := w.weightOf(m)
	s.apply(m)
	s.moves = append(s.moves, m)
	s.weight[m.To] += cost
	if m.From != FromPool {
		s.weight[m.From] -= cost
	}
	if s.quota != nil && !w.voluntary(m) {
		k, _ := slices.BinarySearch(s.quota.classes, w.pinOf(m))
		c, _ := slices.BinarySearch(s.open, m.To)
		s.quota.flow[s.quota.cell(k, c)]--
	}
}

// makeRoom takes from instances above their capacity what does good elsewhere.
func (s *weightPlanner) makeRoom() {
	for _, at := range s.open {
		for !s.fixed(at) && s.room(at) < 0 && s.give(at, s.weight[at]/2) {
		}
	}
}

// refuseOver names what stays above a capacity, the lightest.
func (s *weightPlanner) refuseOver() {
	for _, at := range s.open {
		if s.fixed(at) {
			continue
		}
		for _, i := range s.sorted(at).first(-s.room(at)) {
			s.refused = append(s.refused, Refusal{From: at, Index: i, Why: OverCapacity})
		}
	}
}

// spread moves from the heaviest to the lightest until all are within Leave or nothing helps.
func (s *weightPlanner) spread() {
	stuck := make([]bool, len(s.weight))
	for {
		mean, worst := imbalance(evenable(s.w, s.open, s.weight), s.weight)
		if worst <= s.o.Leave {
			return
		}
		heaviest := InstanceIndex(-1)
		for _, at := range s.open {
			if !stuck[at] && !s.fixed(at) && s.weight[at] > mean && (heaviest < 0 || s.weight[at] > s.weight[heaviest]) {
				heaviest = at
			}
		}
		if heaviest < 0 {
			return
		}
		stuck[heaviest] = !s.give(heaviest, mean)
	}
}

func (s *weightPlanner) fixed(at InstanceIndex) bool { return s.w.Instances[at].Fixed }

// evenable are the open instances without the fixed ones that hold more than the mean of those that
// are left: they cannot be evened, and the others are not to be filled up to them.
func evenable(w *World, open []InstanceIndex, weight []int64) []InstanceIndex {
	for {
		sum := int64(0)
		for _, at := range open {
			sum += weight[at]
		}
		over := func(at InstanceIndex) bool { return w.Instances[at].Fixed && weight[at]*int64(len(open)) > sum }
		if !slices.ContainsFunc(open, over) {
			return open
		}
		open = slices.DeleteFunc(slices.Clone(open), over)
	}
}

// imbalance is the mean weight of the open instances and how far from it the farthest is: 1 +
// |weight − mean| / mean.
func imbalance(open []InstanceIndex, weight []int64) (mean int64, worst float64) {
	if len(open) == 0 {
		return 0, 1
	}
	low, high, sum := int64(math.MaxInt64), int64(0), int64(0)
	for _, at := range open {
		low, high, sum = min(low, weight[at]), max(high, weight[at]), sum+weight[at]
	}
	if sum == 0 {
		return 0, 1
	}
	exact := float64(sum) / float64(len(open))
	return sum / int64(len(open)), 1 + max(float64(high)-exact, exact-float64(low))/exact
}

// give moves one resource from an instance to the lightest that takes one, not past the mean if
// that can be.
func (s *weightPlanner) give(from InstanceIndex, mean int64) bool {
	for to := s.lightest(-1); to >= 0 && s.weight[to] < s.weight[from]; to = s.lightest(to) {
		if s.room(to) <= 0 {
			continue
		}
		gap := s.weight[from] - s.weight[to]
		ideal := min(gap/2, s.weight[from]-mean, mean-s.weight[to])
		if i, ok := s.sorted(from).take(s, to, ideal, gap-1); ok {
			s.send(Move{From: from, To: to, Index: i})
			return true
		}
	}
	return false
}

// lightest is the next open instance by weight, then ordinal; after -1, the first; -1: none.
func (s *weightPlanner) lightest(after InstanceIndex) InstanceIndex {
	best := InstanceIndex(-1)
	for _, at := range s.open {
		if (after < 0 || s.lighter(after, at)) && (best < 0 || s.lighter(at, best)) {
			best = at
		}
	}
	return best
}

func (s *weightPlanner) lighter(a, b InstanceIndex) bool {
	return s.weight[a] < s.weight[b] || s.weight[a] == s.weight[b] && a < b
}

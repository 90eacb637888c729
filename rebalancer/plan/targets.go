package plan

// shares is how many resources of one class each of some instances shall hold: the question and the
// answer of water-filling. All slices are parallel.
type shares struct {
	// floor is what stays in any case, limit the most it may get; floor <= limit. owned is what it
	// holds now: of equally good answers the one that keeps most is taken.
	floor, limit, owned []int
	// want is the answer.
	want []int
}

func newShares(n int) shares {
	all := make([]int, 4*n)
	return shares{floor: all[:n:n], limit: all[n : 2*n : 2*n], owned: all[2*n : 3*n : 3*n], want: all[3*n:]}
}

// fill pours total resources into instances as evenly as can be, and returns the rest.
//
// The answer minimises Σ want². Each instance gets the highest level that total reaches; the rest,
// less than one each, goes first to those that hold more than the level already, then to the lowest
// ordinals. Total is at least Σ floor.
func (s shares) fill(total int) (left int) {
	room := 0
	for _, l := range s.limit {
		room += l
	}
	if left = total - room; left >= 0 {
		copy(s.want, s.limit)
		return left
	}
	level, rest := s.level(total)
	for i := range s.want {
		s.want[i] = min(max(level, s.floor[i]), s.limit[i])
		if rest > 0 && s.takesExtra(i, level) && s.owned[i] > level {
			s.want[i]++
			rest--
		}
	}
	for i := 0; rest > 0; i++ {
		if s.takesExtra(i, level) && s.want[i] == level {
			s.want[i]++
			rest--
		}
	}
	return 0
}

func (s shares) takesExtra(i, level int) bool { return s.floor[i] <= level && level < s.limit[i] }

// level is the highest level whose pouring needs no more than total, and what is then left.
func (s shares) level(total int) (level, rest int) {
	poured := func(level int) (sum int) {
		for i, f := range s.floor {
			sum += min(max(level, f), s.limit[i])
		}
		return sum
	}
	low, high := 0, total+1 // poured(low) <= total < poured(high): one instance has room for more
	for high-low > 1 {
		if mid := low + (high-low)/2; poured(mid) <= total {
			low = mid
		} else {
			high = mid
		}
	}
	return low, total - poured(low)
}

package hpa

import (
	"math"
	"slices"
	"time"
)

// Span is a recommendation that was made from some time until To.
type Span struct {
	To   time.Time
	Size int
}

// Windows are how long recommendations are remembered for a change in either direction.
type Windows struct{ Up, Down time.Duration }

// Stabilize moves current as little as needed to lie between the smallest recommendation of the up
// window and the largest of the down window; newest is the newest recommendation.
func Stabilize(current, newest int, past []Span, w Windows, now time.Time) int {
	least, most := newest, newest
	for _, p := range past {
		if p.To.After(now.Add(-w.Up)) {
			least = min(least, p.Size)
		}
		if p.To.After(now.Add(-w.Down)) {
			most = max(most, p.Size)
		}
	}
	return min(max(current, least), most)
}

// Scale is one change of size.
type Scale struct {
	At   time.Time `json:"at,omitzero"`
	From int       `json:"from"`
	To   int       `json:"to"`
}

// Policy allows a change within a period: by Value pods, or by Value percent of the size at the
// period's start.
type Policy struct {
	Percent bool
	Value   int
	Period  time.Duration
}

// Select picks among policies: by default the one that allows the greatest change.
type Select string

// The other choices, as the HPA names them.
const (
	SelectMin      Select = "Min"
	SelectDisabled Select = "Disabled" // no change in this direction
)

// Rules limit the rate in one direction. Without policies there is no limit.
type Rules struct {
	Policies []Policy
	Select   Select
}

// UpLimit is the greatest size the rules allow now, never less than current.
func UpLimit(current int, past []Scale, r Rules, now time.Time) int {
	return max(current, r.limit(current, past, now, math.MaxInt32, func(start int, p Policy) int {
		if p.Percent {
			// Rounded up, or a small size could never grow. In whole numbers: 100 and 10 percent
			// are 110, not 111.
			return (start*(100+p.Value) + 99) / 100
		}
		return start + p.Value
	}, r.Select == SelectMin))
}

// DownLimit is the least size the rules allow now, never more than current.
func DownLimit(current int, past []Scale, r Rules, now time.Time) int {
	return min(current, r.limit(current, past, now, 0, func(start int, p Policy) int {
		if p.Percent {
			return start * (100 - p.Value) / 100
		}
		return start - p.Value
	}, r.Select != SelectMin))
}

// limit applies allowed to the size at each policy's start and picks the least or the greatest
// result.
func (r Rules) limit(current int, past []Scale, now time.Time, none int, allowed func(start int, p Policy) int, least bool) int {
	if r.Select == SelectDisabled {
		return current
	}
	if len(r.Policies) == 0 {
		return none
	}
	limits := make([]int, len(r.Policies))
	for i, p := range r.Policies {
		limits[i] = allowed(current-Moved(past, p.Period, now), p)
	}
	if least {
		return slices.Min(limits)
	}
	return slices.Max(limits)
}

// Moved is what the size changed by within the period, on balance.
func Moved(past []Scale, period time.Duration, now time.Time) (by int) {
	for _, c := range past {
		if c.At.After(now.Add(-period)) {
			by += c.To - c.From
		}
	}
	return by
}

package resync

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// waiting are the deletes that a comparison has found and that a person is to decide, in sets: what
// one read found is one set. Beside them it counts what has gone without a person: a large loss
// that is noticed in small parts is a large loss.
type waiting struct {
	by   map[string]*Set // by id
	sets []*Set          // the oldest first, without shares; those that have become empty are taken out
	last int             // the number of the newest set
	// known is how many ids were known when deletes were last found.
	known int
	went  []Went
}

const (
	// budgetSpan is the time in which what goes without a person must not exceed the limit.
	budgetSpan = time.Hour
	// maxSets bounds what a person is shown; more join the newest set.
	maxSets = 20
	// wentStep is the time of which one entry of what went tells, so that there are few of them.
	wentStep = time.Minute
)

// Went is how many deletes went without a person within wentStep from that time on.
type Went struct {
	At    time.Time `json:"at,omitzero"`
	Count int       `json:"count"`
}

// Waiting is what a person is to decide.
type Waiting struct {
	// Count is how many deletes wait; Share is Count over Known, Since the oldest's time.
	Count int       `json:"count"`
	Known int       `json:"known"`
	Share float64   `json:"share"`
	Since time.Time `json:"since,omitzero"`
	// Sets are what single reads found, the oldest first.
	Sets []Set `json:"sets,omitempty"`
}

// Set is what one read found. It is confirmed by its number and its size.
type Set struct {
	Set   int       `json:"set"`
	Count int       `json:"count"`
	Known int       `json:"known"`
	Share float64   `json:"share"`
	Since time.Time `json:"since,omitzero"`
}

// admit returns the deletes that may go now. The others wait, as a set.
func (h *waiting) admit(now time.Time, confirmed []string, known int, l Limits) []string {
	if len(confirmed) == 0 {
		return nil
	}
	spent := h.spent(now)
	// of what was known before any went
	limit := max(float64(l.MaxDeletes), l.MaxShare*float64(known+spent))
	if float64(spent+len(confirmed)) <= limit {
		h.spend(now, len(confirmed))
		return confirmed
	}
	h.known = known
	h.add(now, confirmed)
	return nil
}

// add has deletes wait, as a set of their own if there is room for one.
func (h *waiting) add(now time.Time, ids []string) {
	if len(h.sets) < maxSets {
		h.last++
		h.sets = append(h.sets, &Set{Set: h.last, Since: now})
	}
	s := h.sets[len(h.sets)-1]
	s.Known = h.known
	for _, id := range ids {
		h.by[id] = s
		s.Count++
	}
}

// spent is how many have gone without a person within budgetSpan and a wentStep.
func (h *waiting) spent(now time.Time) (n int) {
	h.went = slices.DeleteFunc(h.went, func(w Went) bool { return now.Sub(w.At) >= budgetSpan+wentStep })
	for _, w := range h.went {
		n += w.Count
	}
	return n
}

// spend counts deletes that go without a person.
func (h *waiting) spend(now time.Time, n int) {
	if last := len(h.went) - 1; last >= 0 && now.Sub(h.went[last].At) < wentStep {
		h.went[last].Count += n
		return
	}
	h.went = append(h.went, Went{now, n})
}

func (h *waiting) has(id string) bool { return h.by[id] != nil }

func (h *waiting) drop(id string) {
	s := h.by[id]
	if s == nil {
		return
	}
	delete(h.by, id)
	if s.Count--; s.Count == 0 {
		h.sets = slices.DeleteFunc(h.sets, func(o *Set) bool { return o == s })
	}
}

// Waiting is what waits for a person, nil when nothing does.
func (h *waiting) Waiting() *Waiting {
	if len(h.sets) == 0 {
		return nil
	}
	w := &Waiting{Count: len(h.by), Known: h.sets[len(h.sets)-1].Known, Since: h.sets[0].Since}
	w.Share = share(w.Count, w.Known)
	for i, s := range h.sets {
		w.Sets = append(w.Sets, *s)
		w.Sets[i].Share = share(s.Count, s.Known)
	}
	return w
}

func share(count, known int) float64 { return float64(count) / float64(max(known, 1)) }

// Confirm returns the deletes of a set that wait, if it has as many as the person was shown; set 0:
// of the only one of that size, or of all if there are as many in all. They wait no more: if they
// are not carried out, the next two reads find them again.
func (h *waiting) Confirm(set, count int) (ids []string, err error) {
	var chosen []*Set
	all := set == 0 && count == len(h.by)
	for _, s := range h.sets {
		if all || s.Count == count && (set == 0 || set == s.Set) {
			chosen = append(chosen, s)
		}
	}
	switch {
	case len(h.sets) == 0:
		return nil, fmt.Errorf("confirm deletes: count %d given, none wait", count)
	case len(chosen) > 1 && !all:
		return nil, fmt.Errorf("confirm deletes: count %d given: several sets have that size; name one: %s", count, h.list())
	case len(chosen) == 0 && set != 0:
		return nil, fmt.Errorf("confirm deletes: set %d, count %d given; waiting: %s", set, count, h.list())
	case len(chosen) == 0:
		return nil, fmt.Errorf("confirm deletes: count %d given, %d wait: %s", count, len(h.by), h.list())
	}
	for id, s := range h.by {
		if slices.Contains(chosen, s) {
			ids = append(ids, id)
		}
	}
	for _, id := range ids {
		h.drop(id)
	}
	slices.Sort(ids)
	return ids, nil
}

// Unconfirm lets ids wait again that Confirm returned and that were not carried out. It must come
// before the end of another read, which might have found them.
func (h *waiting) Unconfirm(now time.Time, ids []string) {
	if len(ids) > 0 {
		h.add(now, ids)
	}
}

// Went is what went without a person within the last hour, for a successor to go on with.
func (h *waiting) Went() []Went { return slices.Clone(h.went) }

// Resume goes on with what went under the leader before.
func (h *waiting) Resume(went []Went) { h.went = slices.Clone(went) }

func (h *waiting) list() string {
	var all []string
	for _, s := range h.sets {
		all = append(all, fmt.Sprintf("set %d of %d", s.Set, s.Count))
	}
	return strings.Join(all, ", ")
}

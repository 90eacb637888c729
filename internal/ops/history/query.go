package history

import (
	"fmt"
	"slices"
	"time"

	"github.com/shardscaler/shardscaler/internal/ops"
	"github.com/shardscaler/shardscaler/internal/ops/explain"
)

// MaxLimit bounds a page of entries.
const MaxLimit = 1000

// Query picks entries.
type Query struct {
	// Types are those wanted; none: all.
	Types []string
	// Since and Until bound the time: an entry counts if any of it is at or after Since, and it
	// begins before Until; zero: no bound.
	Since, Until time.Time
	// Before is the number of the entry that the page ends before, 0: at the newest.
	Before int64
	// Limit is how many at most, 1 to MaxLimit.
	Limit int
}

// Held is a piece as a replica has it.
type Held struct {
	Version int32
	Data    []byte
	// Err is why there is no data.
	Err error
}

// List is a page of entries, the newest first. piece is a piece that the contents name; false: it
// has not been read. What is not there is a gap.
func (c *Contents) List(q Query, piece func(name string) (Held, bool)) ops.EntryList {
	list := ops.EntryList{Items: []ops.Entry{}}
	if len(c.Pieces) > 0 {
		list.Since = c.Pieces[0].From
	}
	for _, p := range slices.Backward(c.Pieces) {
		if !q.wants(&p) {
			continue
		}
		for _, e := range slices.Backward(p.entries(piece)) {
			number, _ := ParseID(e.ID) // of our own making
			if !q.picks(&e, number) {
				continue
			}
			if len(list.Items) == q.Limit {
				list.Continue = list.Items[q.Limit-1].ID
				return list
			}
			list.Items = append(list.Items, e)
		}
	}
	return list
}

// Newest is the id of the newest entry that has been read; "" if none has.
func (c *Contents) Newest(piece func(name string) (Held, bool)) string {
	for _, p := range slices.Backward(c.Pieces) {
		if held, read := piece(p.Name); read && held.Err == nil && held.Version >= p.Version {
			return ID(p.Last)
		}
	}
	return ""
}

// wants says whether the piece may hold something that is asked for. One that cannot be read holds
// a gap.
func (q *Query) wants(p *Info) bool {
	if q.Before > 0 && p.First >= q.Before || !q.Until.IsZero() && !p.From.Before(q.Until) || p.To.Before(q.Since) {
		return false
	}
	return len(q.Types) == 0 || slices.ContainsFunc(q.Types, func(t string) bool { return t == TypeGap || p.Counts[t] > 0 })
}

func (q *Query) picks(e *ops.Entry, number int64) bool {
	end := e.At
	if e.Until.After(end) {
		end = e.Until
	}
	return (q.Before == 0 || number < q.Before) && (len(q.Types) == 0 || slices.Contains(q.Types, e.Type)) &&
		!end.Before(q.Since) && (q.Until.IsZero() || e.At.Before(q.Until))
}

// entries are those of a piece, or the gap that it is.
func (p *Info) entries(piece func(name string) (Held, bool)) []ops.Entry {
	lost := func(reason, text string) []ops.Entry {
		e := gapEntry(p.From, p.To, reason, text, int(p.Last-p.First+1))
		e.ID = ID(p.First)
		return []ops.Entry{e}
	}
	held, read := piece(p.Name)
	switch {
	case !read:
		return lost(GapUnread, "this replica has not read it yet")
	case held.Err != nil:
		return lost(GapUnread, fmt.Sprintf("it could not be read: %v", held.Err))
	}
	all, err := Entries(held.Data)
	if err == nil && (len(all) == 0 || all[0].ID != ID(p.First) || int64(len(all)) < p.Last-p.First+1) {
		err = fmt.Errorf("%d entries, want those from %s to %s", len(all), ID(p.First), ID(p.Last))
	}
	if err != nil {
		return lost(GapDamaged, fmt.Sprintf("piece %s cannot be read: %v", p.Name, err))
	}
	return all[:p.Last-p.First+1] // what was added since belongs to later contents
}

// Decided is the decision of that id as a whole; false: it is not kept, or cannot be read.
func (c *Contents) Decided(id string, piece func(name string) (Held, bool)) (ops.Decision, bool) {
	number, err := ParseID(id)
	if err != nil {
		return ops.Decision{}, false
	}
	p := c.piece(number)
	if p == nil {
		return ops.Decision{}, false
	}
	held, read := piece(p.Name)
	if !read || held.Err != nil {
		return ops.Decision{}, false
	}
	report, err := Decision(held.Data, number)
	if err != nil || report == nil {
		return ops.Decision{}, false
	}
	return ops.Decision{ID: id, Report: report, Explanation: explain.Explain(report, nil)}, true
}

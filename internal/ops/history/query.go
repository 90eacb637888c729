package history

import (
	"bytes"
	"errors"
	"fmt"
	"iter"
	"slices"
	"time"

	"github.com/shardscaler/shardscaler/internal/exact"
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

	// first and count are what its entries say; fault is why they cannot be read.
	first int64
	count int
	fault error
}

// Hold is a piece that was read. All of it is checked here, once: lists read of it what they show.
func Hold(version int32, data []byte) Held {
	all, err := Entries(data)
	if err == nil && len(all) == 0 {
		err = errors.New("no entries")
	}
	if err != nil {
		return Held{Version: version, Data: data, fault: err}
	}
	first, err := ParseID(all[0].ID)
	return Held{Version: version, Data: data, first: first, count: len(all), fault: err}
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
		for e := range q.entries(&p, piece) {
			if len(list.Items) == q.Limit {
				list.Continue = list.Items[q.Limit-1].ID
				return list
			}
			list.Items = append(list.Items, e)
		}
	}
	return list
}

// entries are those of a piece that are picked, the newest first, or the gap that it is.
func (q *Query) entries(p *Info, piece func(name string) (Held, bool)) iter.Seq[ops.Entry] {
	return func(yield func(ops.Entry) bool) {
		held, read := piece(p.Name)
		if reason, text := p.lost(&held, read); reason != "" {
			gap := gapEntry(p.From, p.To, reason, text, int(p.Last-p.First+1))
			if gap.ID = ID(p.First); q.picks(&gap, p.First) {
				yield(gap)
			}
			return
		}
		if !q.holds(p) {
			return
		}
		lines := held.lines()
		for n, line := range slices.Backward(lines[:min(int64(len(lines)), p.Last-p.First+1)]) { // what was added since belongs to later contents
			number := p.First + int64(n)
			if q.Before != 0 && number >= q.Before || !q.mayPick(line) {
				continue
			}
			var e ops.Entry
			if exact.JSON(line, &e) != nil { // Hold has read it
				continue
			}
			if e.ID = ID(number); q.picks(&e, number) && !yield(e) {
				return
			}
		}
	}
}

// lines are the entries as they are stored, the oldest first.
func (h *Held) lines() [][]byte {
	_, frame, _, err := frames(h.Data)
	if err != nil {
		return nil // Hold has read them
	}
	text, err := unpack(frame)
	if err != nil {
		return nil // as above
	}
	lines := make([][]byte, 0, h.count)
	for line := range bytes.Lines(text) {
		lines = append(lines, line)
	}
	return lines
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

// wants says whether the piece may hold something that is asked for.
func (q *Query) wants(p *Info) bool {
	return !(q.Before > 0 && p.First >= q.Before || !q.Until.IsZero() && !p.From.Before(q.Until) || p.To.Before(q.Since))
}

// holds says whether a piece that can be read has an entry of a type that is asked for.
func (q *Query) holds(p *Info) bool {
	return len(q.Types) == 0 || slices.ContainsFunc(q.Types, func(t string) bool { return p.Counts[t] > 0 })
}

// mayPick says whether a line can be an entry of a type that is asked for, without reading it.
func (q *Query) mayPick(line []byte) bool {
	return len(q.Types) == 0 || slices.ContainsFunc(q.Types, func(t string) bool { return bytes.Contains(line, []byte(`"type":"`+t+`"`)) })
}

func (q *Query) picks(e *ops.Entry, number int64) bool {
	end := e.At
	if e.Until.After(end) {
		end = e.Until
	}
	return (q.Before == 0 || number < q.Before) && (len(q.Types) == 0 || slices.Contains(q.Types, e.Type)) &&
		!end.Before(q.Since) && (q.Until.IsZero() || e.At.Before(q.Until))
}

// lost is why nothing of a piece can be shown, as the reason and the text of a gap; "": it can.
func (p *Info) lost(held *Held, read bool) (reason, text string) {
	switch {
	case !read:
		return GapUnread, "this replica has not read it yet"
	case held.Err != nil:
		return GapUnread, fmt.Sprintf("it could not be read: %v", held.Err)
	case held.fault != nil:
		return GapDamaged, fmt.Sprintf("piece %s cannot be read: %v", p.Name, held.fault)
	case held.first != p.First || int64(held.count) < p.Last-p.First+1:
		return GapDamaged, fmt.Sprintf("piece %s cannot be read: %d entries from %s, want those from %s to %s",
			p.Name, held.count, ID(held.first), ID(p.First), ID(p.Last))
	}
	return "", ""
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

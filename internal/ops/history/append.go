package history

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/shardscaler/shardscaler/internal/ops"
	"github.com/shardscaler/shardscaler/rebalancer/protocol"
)

const (
	// MaxDay bounds what is stored of one day, pieces and contents: 1 MiB. The contents take at most
	// contentsRoom, and have MaxDayPieces a day.
	MaxDay       = 1 << 20
	contentsRoom = 64 << 10
	MaxDayPieces = 24
	dayRoom      = MaxDay - contentsRoom
	// KeepDays are the days before today that are kept: a week can be replayed whole at any time.
	KeepDays = 8
	// maxDeletes bounds how many old pieces go with one update.
	maxDeletes = 20
)

// What of a day's room is used up to some time of the day, so that a storm in the morning does not
// leave the evening without a record: at most first, and at the end of the day at most last. Whole
// decisions yield to entries, and entries to samples.
var (
	wholeRoom = room{first: 320 << 10, last: dayRoom * 70 / 100}
	entryRoom = room{first: 448 << 10, last: dayRoom * 88 / 100}
	allRoom   = room{first: dayRoom, last: dayRoom}
)

type room struct{ first, last int }

// at is the room by that time of the day.
func (r room) at(now time.Time) int {
	passed := now.Sub(now.UTC().Truncate(24 * time.Hour))
	return r.first + int(float64(r.last-r.first)*passed.Hours()/24)
}

// Record is an entry that waits to be stored, and its whole decision as JSON; nil: there is none.
type Record struct {
	ops.Entry
	Whole []byte
}

// Update is what is to be stored, in one transaction.
type Update struct {
	// Base are the contents that it was made from; they must be there still.
	Base, Contents []byte
	Parts          []protocol.Part
	// Name and Text are of the piece that is written, "" if none is; Data is that as it is stored.
	Name string
	Text Text
	Data []byte
}

// ErrFull says that a day has no room left.
var ErrFull = errors.New("the day's room is used up")

// Flush is when records are stored.
type Flush struct {
	Now time.Time
	// Ended: no more are to follow.
	Ended bool
	// Conflicts is how often it was tried in vain, because pieces are not as the contents say:
	// nothing is deleted then, and another piece is begun, each time by another name.
	Conflicts int
}

// Append is the update that adds records. last is what the last piece of the contents holds; nil:
// that is not known, and another one is begun. Where the day has no room for all, whole decisions
// are left out first, then decisions and moves, for which a gap stands. ErrFull: there is no room
// for anything.
func Append(base []byte, c Contents, last *Text, records []Record, f Flush) (*Update, error) {
	u, now := &Update{Base: base}, f.Now
	c.V, c.Pieces = schema, slices.Clone(c.Pieces)
	if c.Next == 0 {
		c.Next = now.Unix() // after contents that were lost no id comes twice: fewer come than seconds
	}
	u.retire(&c, f)
	if f.Conflicts > 0 {
		c.Next += int64(f.Conflicts)
		last = nil
	}
	done := func() (*Update, error) {
		c.Until, c.Ended = second(now), f.Ended
		u.Contents = c.encode()
		return u, nil
	}
	if len(records) == 0 {
		return done()
	}
	for _, level := range []struct {
		room    room
		records func() []Record
	}{
		{wholeRoom, func() []Record { return records }},
		{entryRoom, func() []Record { return inShort(records) }},
		{allRoom, func() []Record { return sparse(records) }},
	} {
		if u.fits(&c, last, level.records(), now, level.room.at(now)) {
			return done()
		}
	}
	return nil, ErrFull
}

// retire drops the oldest pieces of days that are not kept any more.
func (u *Update) retire(c *Contents, f Flush) {
	oldest := f.Now.UTC().AddDate(0, 0, -KeepDays).Format(dayFormat)
	for n := 0; len(c.Pieces) > 0 && n < maxDeletes && c.Pieces[0].day() < oldest; n++ {
		if p := c.Pieces[0]; f.Conflicts == 0 {
			u.Parts = append(u.Parts, protocol.Part{Name: p.Name, Version: p.Version})
		}
		c.Pieces = c.Pieces[1:]
	}
}

// fits adds the records to the last piece, or to a new one, if the day has at most limit bytes
// then.
func (u *Update) fits(c *Contents, last *Text, records []Record, now time.Time, limit int) bool {
	today := now.UTC().Format(dayFormat)
	used, pieces := c.used(today)
	if n := len(c.Pieces); last != nil && n > 0 && c.Pieces[n-1].day() == today && c.Pieces[n-1].Bytes < sealedAt {
		old := c.Pieces[n-1]
		if text, ok := last.with(records, c.Next); ok {
			data := text.Encode()
			if len(data) <= sealedAt && used-old.Bytes+len(data) <= limit {
				info := old
				info.Counts = maps.Clone(info.Counts)
				u.write(info.Name, info.Version, text, data)
				info.Version++
				c.Pieces[n-1] = info.grown(records, c, len(data))
				return true
			}
		}
	}
	text, ok := (&Text{First: c.Next}).with(records, c.Next)
	if !ok || pieces >= MaxDayPieces {
		return false
	}
	data := text.Encode()
	if len(data) > MaxPiece || used+len(data) > limit {
		return false
	}
	info := Info{Name: nameOf(now, c.Next), First: c.Next, Counts: map[string]int{}}
	u.write(info.Name, -1, text, data)
	c.Pieces = append(c.Pieces, info.grown(records, c, len(data)))
	return true
}

func (u *Update) write(name string, version int32, text Text, data []byte) {
	u.Name, u.Text, u.Data = name, text, data
	u.Parts = append(u.Parts, protocol.Part{Name: name, Data: data, Version: version})
}

// grown is the description of a piece with more records, which take their numbers.
func (p Info) grown(records []Record, c *Contents, bytes int) Info {
	for i := range records {
		r := &records[i]
		p.Counts[r.Type]++
		if p.From.IsZero() || r.At.Before(p.From) {
			p.From = r.At
		}
		for _, at := range []time.Time{r.At, r.Until} {
			if at.After(p.To) {
				p.To = at
			}
		}
	}
	c.Next += int64(len(records))
	p.Last, p.Bytes = c.Next-1, bytes
	return p
}

// with is the text with more records, of which next is the number of the first; false: it would be
// too long.
func (t *Text) with(records []Record, next int64) (Text, bool) {
	if t.First+int64(t.Count) != next {
		return Text{}, false // numbers have been passed over
	}
	more := Text{First: t.First, Entries: slices.Clone(t.Entries), Decisions: slices.Clone(t.Decisions), Count: t.Count + len(records)}
	for i := range records {
		e := records[i].Entry
		e.ID = ""
		if e.Decision != nil {
			short := *e.Decision
			short.Whole = records[i].Whole != nil
			e.Decision = &short
		}
		line, _ := json.Marshal(e) // times of a clock, numbers and texts always encode
		more.Entries = append(append(more.Entries, line...), '\n')
		if whole := records[i].Whole; whole != nil {
			more.Decisions = append(append(append(more.Decisions, wholeOpen(next+int64(i))...), whole...), "}\n"...)
		}
	}
	return more, len(more.Entries) <= maxText && len(more.Decisions) <= maxText
}

// inShort are records without their whole decisions.
func inShort(records []Record) []Record {
	short := slices.Clone(records)
	for i := range short {
		short[i].Whole = nil
	}
	return short
}

// sparse are the samples, the gaps and what persons did, and a gap for the rest.
func sparse(records []Record) []Record {
	var kept []Record
	lost := ops.Entry{Type: TypeGap, Gap: &ops.GapEntry{Reason: GapBudget}}
	for _, r := range records {
		if r.Type != TypeDecision && r.Type != TypeMoves {
			r.Whole = nil
			kept = append(kept, r)
			continue
		}
		if lost.Gap.Lost++; lost.At.IsZero() || r.At.Before(lost.At) {
			lost.At = r.At
		}
		for _, at := range []time.Time{r.At, r.Until} {
			if at.After(lost.Until) {
				lost.Until = at
			}
		}
	}
	if lost.Gap.Lost > 0 {
		lost.Gap.Text = fmt.Sprintf("decisions and moves that are not kept, because the day's %d KiB are used up: %d", MaxDay>>10, lost.Gap.Lost)
		kept = append(kept, Record{Entry: lost})
	}
	return kept
}

package inventory

import (
	"bytes"
	"encoding/json"
	"slices"
	"time"

	"github.com/shardscaler/shardscaler/internal/exact"
	"github.com/shardscaler/shardscaler/rebalancer/protocol"
)

const (
	// maxMoves bounds a kind's log of moves, at 24 bytes each, and keepMoves how old they become.
	maxMoves  = 200_000
	keepMoves = 24 * time.Hour
	// shownMoves bounds what is told of one resource.
	shownMoves = 50
)

// Why a resource is where it is. The words are those of ops.Resource.
type why uint8

const (
	notKept why = iota // it was there before this replica watched
	created
	drain
	spread
	pin
	reassigned
	undone
	moved // it did move, and why cannot be told from what is stored
)

var whys = [...]string{"not kept", "created", "drain", "spread", "pin", "reassigned", "undone", "moved"}

// A spot is where an id is: an ordinal, InPool, or flightFrom its source. mark says since when and
// why: it takes the room that a map's entry leaves unused beside its place.
//
//	bit 31     gone: for a moment, while States are compared
//	bits 28-30 why
//	bits 0-27  seconds since the moveLog's base, 0: not known. They last for eight years
type spot struct {
	place int32
	mark  uint32
}

const (
	gone      = 1 << 31
	whyShift  = 28
	sinceBits = 1<<whyShift - 1
	whyBits   = 7 << whyShift
)

// firstFlight is the place of what is in flight from ordinal 0; the others follow downwards.
const firstFlight int32 = -16

// flightFrom is the place of what is in flight from an ordinal.
func flightFrom(n int) int32 { return firstFlight - int32(min(n, 1<<30)) }

// shown is a place without its source.
func shown(place int32) int32 {
	if place <= firstFlight {
		return InFlight
	}
	return place
}

// Track is what is known of the way of a resource.
type Track struct {
	// Place is an ordinal, InPool or InFlight; From is whose it was in flight, else -1.
	Place, From int
	// Since and Why are of its last move, zero and "not kept" where that is not known.
	Since time.Time
	Why   string
	// Moves are the last of a day, the newest first, at most 50. Of those before KeptSince some are
	// not known.
	Moves     []Moved
	KeptSince time.Time
}

// Moved is one move of a resource between ordinals; -1 is the pool.
type Moved struct {
	At       time.Time
	From, To int
	Why      string
}

// entry is a move in the log: 24 bytes.
type entry struct {
	hash     uint64
	at       uint32 // seconds since base
	from, to int32
	why      why
}

// moveLog are the moves of a day, of all resources, and why what moves now does.
type moveLog struct {
	base time.Time // one second before the first State
	kept time.Time // nothing before is known
	ring []entry
	next int // where the ring is written next, once it is full
	// now is the State's time, in seconds since base; wave is what moved until then.
	now  uint32
	wave waveHeader
	open []int
}

// begin forgets everything: from at on moves are known.
func (l *moveLog) begin(at time.Time) { *l = moveLog{base: at.Add(-time.Second), kept: at} }

// observe says what is true while the moves up to st are noted.
func (l *moveLog) observe(st *protocol.State, plan *protocol.StoredPlan) {
	if l.base.IsZero() {
		return
	}
	l.now = uint32(max(1, int64(st.ReadAt.Sub(l.base)/time.Second))) & sinceBits
	l.open = st.Head.Open
	l.wave.follow(plan)
}

// arrived is the spot of an id that is now at a place; where known, it was at prev before.
func (l *moveLog) arrived(hash uint64, prev spot, known bool, place int32) spot {
	switch {
	case !known:
		return l.spot(place, created)
	case prev.place == place: // another piece, or another place in the same list
		return spot{place, prev.mark &^ gone}
	case place <= firstFlight:
		if prev.place >= 0 {
			return l.spot(place, l.why(prev.place))
		}
		return l.spot(place, prev.why())
	case prev.place == InPool && prev.why() == created:
		return l.spot(place, created)
	}
	from, because := prev.place, prev.why()
	if from <= firstFlight {
		if from = firstFlight - from; from == place {
			because = undone
		}
	} else if from >= 0 {
		because = l.why(from)
	}
	if because == notKept || because == created {
		because = moved
	}
	l.add(entry{hash, l.now, from, place, because})
	return l.spot(place, because)
}

func (l *moveLog) spot(place int32, because why) spot {
	if l.now == 0 {
		because = notKept
	}
	return spot{place, l.now | uint32(because)<<whyShift}
}

func (s spot) why() why { return why(s.mark & whyBits >> whyShift) }

func (l *moveLog) add(e entry) {
	if len(l.ring) < maxMoves {
		l.ring = append(l.ring, e)
		return
	}
	l.kept = l.time(l.ring[l.next].at + 1)
	l.ring[l.next] = e
	l.next = (l.next + 1) % maxMoves
}

func (l *moveLog) time(at uint32) time.Time { return l.base.Add(time.Duration(at) * time.Second) }

// why is that of a move from an ordinal: what the stored wave is for, or, where none is, what the
// set of open ordinals tells.
func (l *moveLog) why(from int32) why {
	_, open := slices.BinarySearch(l.open, int(from))
	switch {
	case l.wave.reason == drain && open: // the only moves from ordinals that stay
		return pin
	case l.wave.reason == drain && slices.Contains(l.wave.reassigned, int(from)):
		return reassigned
	case l.wave.reason != notKept:
		return l.wave.reason
	case !open:
		return drain
	}
	return moved
}

// track is what is known of an id at a spot.
func (l *moveLog) track(hash uint64, s spot) Track {
	now := l.time(l.now)
	day := now.Add(-keepMoves)
	t := Track{Place: int(shown(s.place)), From: -1, Why: whys[s.why()], KeptSince: l.kept}
	if day.After(t.KeptSince) {
		t.KeptSince = day
	}
	if s.place <= firstFlight {
		t.From = int(firstFlight - s.place)
	}
	if since := s.mark & sinceBits; since > 0 {
		t.Since = l.time(since)
	}
	for i := range l.ring {
		e := &l.ring[(l.next+len(l.ring)-1-i)%len(l.ring)]
		if e.hash != hash {
			continue
		}
		if len(t.Moves) == shownMoves || l.time(e.at).Before(day) {
			break
		}
		t.Moves = append(t.Moves, Moved{At: l.time(e.at), From: int(e.from), To: int(e.to), Why: whys[e.why]})
	}
	return t
}

// waveHeader is what a stored wave says before its moves.
type waveHeader struct {
	of         *protocol.StoredPlan
	reason     why // notKept: there is no wave
	reassigned []int
}

var reasons = map[string]why{"drain": drain, "pin": pin, "spread": spread, "undo": undone}

// follow reads the header of the plan, if it is another one.
func (w *waveHeader) follow(plan *protocol.StoredPlan) {
	if plan == w.of {
		return
	}
	*w = waveHeader{of: plan}
	if plan == nil {
		return
	}
	w.reason = moved // whatever it is, something moves
	for name, value := range fieldsBefore(plan.Data, "moves") {
		switch name {
		case "reason":
			var text string
			if exact.JSON(value, &text) == nil && reasons[text] != notKept {
				w.reason = reasons[text]
			}
		case "reassigned":
			_ = exact.JSON(value, &w.reassigned) // what cannot be read says nothing
		}
	}
}

// fieldsBefore are the fields of an object up to the one of that name, which may be long.
func fieldsBefore(data []byte, last string) map[string]json.RawMessage {
	fields := map[string]json.RawMessage{}
	d := json.NewDecoder(bytes.NewReader(data)) //nolint:forbidigo // it stops before the moves; values are read exactly
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return fields
	}
	for d.More() {
		name, err := d.Token()
		if text, ok := name.(string); err != nil || !ok || text == last {
			break
		}
		var value json.RawMessage
		if d.Decode(&value) != nil {
			break
		}
		fields[name.(string)] = value
	}
	return fields
}

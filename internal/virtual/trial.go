package virtual

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/shardscaler/shardscaler/rebalancer/protocol"
)

// trial is the judgement of one transaction.
type trial struct {
	j  *Judge
	tx *Transaction
	// changes are those of lists and pieces.
	changes []change
	// before is what was beside the lists of the ordinals that the transaction touches.
	before map[int]beside
}

// change is what left a place and what came to it. flight is the piece of the flight as it was.
type change struct {
	of         *holder
	left, came []string
	flight     *protocol.Flight
}

func (t *trial) fail(format string, args ...any) {
	t.j.fail("transaction %d (%s) at %s: %w",
		t.tx.Zxid, t.tx.Step, t.tx.At.Format("2006-01-02 15:04:05.000"), fmt.Errorf(format, args...))
}

// see takes up what an operation writes. What cannot be read is a fault: a world has no damaged
// znodes.
func (t *trial) see(op protocol.Op) {
	at := locate(t.j.kind, op.Path)
	if at.ordinal >= 0 {
		if _, touched := t.before[at.ordinal]; !touched {
			t.before[at.ordinal] = t.j.instances[at.ordinal]
		}
	}
	if op.Kind == protocol.OpDelete {
		t.deleted(op.Path, at)
		return
	}
	var err error
	beside := t.j.instances[at.ordinal]
	switch at.part {
	case partHead:
		t.j.head, err = protocol.DecodeHead(op.Data)
	case partData:
		beside.used, beside.capacity = protocol.DecodeData(op.Data)
		t.j.instances[at.ordinal] = beside
	case partReload:
		beside.times = protocol.DecodeReload(op.Data)
		t.j.instances[at.ordinal] = beside
	case partList, partPool:
		var ids protocol.IDs
		ids, err = protocol.DecodeIDs(op.Data)
		t.change(op.Path, at, ids, nil)
	case partFlight:
		var f *protocol.Flight
		if f, err = protocol.DecodeFlight(at.name, op.Data); err == nil {
			t.change(op.Path, at, f.IDs, f)
		}
	}
	if err != nil {
		t.fail("%s: %w", op.Path, err)
	}
}

func (t *trial) deleted(path string, at location) {
	switch at.part {
	case partData:
		delete(t.j.instances, at.ordinal)
	case partList, partPool, partFlight:
		t.change(path, at, protocol.IDs{}, nil)
		delete(t.j.holders, path)
	}
}

// change notes what a list or a piece holds from now on.
func (t *trial) change(path string, at location, ids protocol.IDs, f *protocol.Flight) {
	h := t.j.holders[path]
	if h == nil {
		h = &holder{path: path, list: at.ordinal}
		t.j.holders[path] = h
	}
	was, is := h.ids.Differ(ids)
	left, came := differ(was.Strings(), is.Strings())
	t.changes = append(t.changes, change{h, left, came, h.flight})
	h.ids, h.flight = ids, f
}

// differ returns which ids left and which came. An id that only stands elsewhere now may be among
// both.
func differ(was, is []string) (left, came []string) {
	for _, id := range was {
		if len(is) > 0 && is[0] == id {
			is = is[1:]
			continue
		}
		left = append(left, id)
	}
	return left, is
}

// move follows each id from where it was to where it is.
func (t *trial) move() {
	left := make([][]*known, len(t.changes))
	for i, c := range t.changes {
		left[i] = make([]*known, len(c.left))
		for n, id := range c.left {
			k := t.j.known[id]
			k.at, k.left = nil, t.tx.Zxid
			left[i][n] = k
		}
		t.j.there -= len(c.left)
	}
	for _, c := range t.changes {
		for _, id := range c.came {
			t.arrive(id, c.of)
		}
		t.j.there += len(c.came)
	}
	for i, c := range t.changes {
		t.depart(&c, left[i])
	}
}

// arrive notes that an id has come to a place.
func (t *trial) arrive(id string, h *holder) {
	k := t.j.known[id]
	switch {
	case k == nil || k.left != t.tx.Zxid && k.at == nil && !k.wanted:
		t.fail("id %q: comes to %s from nowhere, and no create of it was heard", id, h.path)
	case k.at != nil:
		t.fail("id %q: is in %s and in %s", id, k.at.path, h.path)
	default:
		k.at = h
	}
}

// depart checks what has left a place: it is elsewhere or was to be deleted, and what left the
// flight had been released, unless it went back where it was taken from.
func (t *trial) depart(c *change, left []*known) {
	elsewhere := false
	for i, k := range left {
		elsewhere = elsewhere || c.flight != nil && (k.at == nil || k.at.list != c.flight.From)
		switch {
		case k.at != nil:
		case !k.doomed:
			t.fail("id %q: was in %s and is nowhere, and no delete of it was heard", c.left[i], c.of.path)
		case !k.wanted:
			delete(t.j.known, c.left[i])
		}
	}
	if !elsewhere || t.j.released == nil {
		return
	}
	if why := t.j.released(c.flight); why != "" {
		t.fail("%s is given on before it is released: %s", c.of.path, why)
	}
}

// checkLists checks what belongs to the lists that changed: `used` and a higher `_reload` in the
// same transaction; and where a list grew, that it is open and within its capacity.
func (t *trial) checkLists() {
	for _, c := range t.changes {
		n := c.of.list
		is, exists := t.j.instances[n]
		if n < 0 || len(c.left)+len(c.came) == 0 || !exists {
			continue
		}
		_, open := slices.BinarySearch(t.j.head.Open, n)
		switch count := c.of.ids.Len(); {
		case is.used != count:
			t.fail("%s has %d ids, and used is %d", c.of.path, count, is.used)
		case is.times <= t.before[n].times:
			t.fail("%s has changed, and _reload stays %d", c.of.path, is.times)
		case len(c.came) > 0 && count > is.capacity:
			t.fail("%s has %d ids, capacity %d", c.of.path, count, is.capacity)
		case len(c.came) > 0 && !open:
			t.fail("%s receives and is closed", c.of.path)
		}
	}
}

// part is what a znode is in the protocol.
type part int

const (
	partOther part = iota
	partHead
	partData
	partReload
	partList
	partPool
	partFlight
)

// location is what a path says of its znode. ordinal is -1 where it is of none.
type location struct {
	part    part
	ordinal int
	name    string
}

// partsOfInstance are those of an ordinal, by the name below it. The status is the instance's own.
var partsOfInstance = map[string]part{"": partData, "_reload": partReload, "resources": partList}

func locate(kind, path string) location {
	at := location{ordinal: -1}
	if rest, ok := strings.CutPrefix(path, protocol.KindPath(kind)+"/"); ok {
		number, below, _ := strings.Cut(rest, "/")
		n, err := strconv.Atoi(number)
		if of, known := partsOfInstance[below]; err == nil && known {
			at.part, at.ordinal = of, n
		}
	} else if name, ok := strings.CutPrefix(path, protocol.PoolPath(kind)+"/"); ok {
		at.part, at.name = partPool, name
	} else if name, ok := strings.CutPrefix(path, protocol.FlightsPath(kind)+"/"); ok {
		at.part, at.name = partFlight, name
	} else if path == protocol.HeadPath(kind) {
		at.part = partHead
	}
	return at
}

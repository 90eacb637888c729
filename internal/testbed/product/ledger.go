package product

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/shardscaler/shardscaler/internal/exact"
)

// Ledger is what ZooKeeper's log says of one kind: where every id was after each transaction.
type Ledger struct {
	Kind string
	// Transactions counts those that changed a list, the pool or the flight: none proves nothing.
	Transactions int
	// Faults are transactions after which an id was in two places, in words.
	Faults []string
	// Lost holds the ids that were somewhere before and are nowhere at the end, and since when.
	Lost map[string]time.Time
	// Busy says, for each ordinal, when its list had an id or something was in flight from it.
	Busy map[int][]Span
	// Reloads counts the changes of each ordinal's `_reload`.
	Reloads map[int]int

	places      map[string]place // by znode
	count       map[string]int   // in how many places an id is
	shared, own string
}

// Span is a time; To is zero while it lasts.
type Span struct{ From, To time.Time }

// place is the content of one znode that holds ids; ordinal is whose they are, -1 for the pool's.
type place struct {
	ordinal int
	ids     []string
}

// Ledger folds the transaction log of the ensemble. Faults up to the transaction `after` are left
// out: what a test wrote itself, as it pleased.
func (t *Tree) Ledger(kind string, after int64) (*Ledger, error) {
	txns, err := t.Transactions()
	if err != nil {
		return nil, err
	}
	l := newLedger(t.chroot, kind)
	for _, txn := range txns {
		if err := l.add(txn, txn.Zxid > after); err != nil {
			return nil, err
		}
	}
	return l, nil
}

// ReadLedger folds the transaction log in the data folder of a server that stands alone. It may be
// longer than can be kept.
func ReadLedger(dataDir, chroot, kind string) (*Ledger, error) {
	l := newLedger(chroot, kind)
	err := WalkTxns(dataDir, func(t Txn) error { return l.add(t, true) })
	return l, err
}

func newLedger(chroot, kind string) *Ledger {
	shared, own := roots(chroot, kind)
	return &Ledger{
		Kind: kind, Lost: map[string]time.Time{}, Busy: map[int][]Span{}, Reloads: map[int]int{},
		places: map[string]place{}, count: map[string]int{}, shared: shared + "/", own: own + "/",
	}
}

// errGarbage says that what was written cannot be read: what was there before counts on.
var errGarbage = errors.New("garbage")

func (l *Ledger) add(t Txn, judged bool) error {
	var before, after []string // ids that places of this transaction held and hold
	changed := false
	for _, op := range t.Ops {
		now, ours, err := l.decode(op)
		if errors.Is(err, errGarbage) && judged {
			l.Faults = append(l.Faults, fmt.Sprintf("0x%x at %s: %v", t.Zxid, t.Time.Format(time.StampMilli), err))
		}
		if err != nil && !errors.Is(err, errGarbage) {
			return fmt.Errorf("transaction 0x%x: %w", t.Zxid, err)
		}
		if !ours {
			continue
		}
		changed = true
		before = append(before, l.places[op.Path].ids...)
		after = append(after, now.ids...)
		if op.Deleted {
			delete(l.places, op.Path)
		} else {
			l.places[op.Path] = now
		}
	}
	if !changed {
		return nil
	}
	l.Transactions++
	l.recount(t, before, after, judged)
	l.mark(t.Time)
	return nil
}

// recount judges the transaction as a whole: between its operations no client can read.
func (l *Ledger) recount(t Txn, before, after []string, judged bool) {
	for _, id := range before {
		l.count[id]--
	}
	for _, id := range after {
		l.count[id]++
		if l.count[id] > 1 && judged {
			l.Faults = append(l.Faults, fmt.Sprintf("0x%x at %s: %s %s is in two places", t.Zxid, t.Time.Format(time.StampMilli), l.Kind, id))
		}
		delete(l.Lost, id)
	}
	for _, id := range before {
		if l.count[id] == 0 {
			l.Lost[id] = t.Time
		}
	}
}

// mark keeps the spans in which ordinals own something.
func (l *Ledger) mark(now time.Time) {
	owns := map[int]bool{}
	for _, p := range l.places {
		if p.ordinal >= 0 && len(p.ids) > 0 {
			owns[p.ordinal] = true
		}
	}
	for n := range owns {
		if spans := l.Busy[n]; len(spans) == 0 || !spans[len(spans)-1].To.IsZero() {
			l.Busy[n] = append(spans, Span{From: now})
		}
	}
	for n, spans := range l.Busy {
		if last := &spans[len(spans)-1]; last.To.IsZero() && !owns[n] {
			last.To = now
		}
	}
}

// decode reads an operation on a list, a piece of the pool or of the flight; others are not ours.
func (l *Ledger) decode(op TxnOp) (p place, ours bool, err error) {
	p.ordinal = -1
	if op.Checked {
		return p, false, nil
	}
	if rest, found := strings.CutPrefix(op.Path, l.shared); found {
		name, leaf, _ := strings.Cut(rest, "/")
		if p.ordinal, err = exact.Ordinal(name); err != nil {
			return p, false, fmt.Errorf("%s: no ordinal", op.Path)
		}
		if leaf == "_reload" && !op.Deleted {
			l.Reloads[p.ordinal]++
		}
		if leaf != "resources" {
			return p, false, nil
		}
	} else if rest, found := strings.CutPrefix(op.Path, l.own); !found || !strings.HasPrefix(rest, "pool/") && !strings.HasPrefix(rest, "flight/") {
		return p, false, nil
	}
	if op.Deleted {
		return p, true, nil
	}
	var content struct {
		IDs  []string `json:"ids"`
		From *int     `json:"from"`
	}
	if err := json.Unmarshal(op.Data, &content); err != nil {
		return p, false, fmt.Errorf("%s: %w: %w", op.Path, errGarbage, err)
	}
	if content.From != nil {
		p.ordinal = *content.From
	}
	p.ids = content.IDs
	return p, true, nil
}

// BusyBetween says whether an ordinal owned anything at some moment from `from` to `to`.
func (l *Ledger) BusyBetween(ordinal int, from, to time.Time) bool {
	return slices.ContainsFunc(l.Busy[ordinal], func(s Span) bool {
		return s.From.Before(to) && (s.To.IsZero() || s.To.After(from))
	})
}

package protocol

import (
	"errors"
	"fmt"
	"slices"
	"time"
)

// What a step or a commit can fail with.
var (
	// ErrFenced: the head moved; another leads, or closed ordinals meanwhile. Nothing was written.
	ErrFenced = errors.New("fenced: another process has taken the head, the record of who leads")
	// ErrConflict: another client changed a znode. Nothing is known to be written: Read, decide
	// again.
	ErrConflict = errors.New("conflict: a znode changed")
	// ErrUnavailable: ZooKeeper did not answer in time. The outcome is unknown, and the request may
	// still be under way: only Client.Lead stops it, and comes before any other write.
	ErrUnavailable = errors.New("zookeeper unavailable")
	// ErrRefused: ZooKeeper answered that it does not do this (a quota, a missing right, a full
	// server), and nothing was written. The same again is refused again until something else has
	// changed: the caller pauses before each repetition, longer each time.
	ErrRefused = errors.New("refused by zookeeper")
	// ErrTooLarge: more than fits into one transaction or znode; split.
	ErrTooLarge = errors.New("too large")
	// ErrStopped: the kind has a fault (State.Fault).
	ErrStopped = errors.New("kind stopped")
)

// Empty says that there is nothing to commit.
func (m Multi) Empty() bool { return len(m.Ops) == 0 }

// Apply changes s as the committed transaction changed ZooKeeper. s is the State that the step was
// computed from, or one in which only Multis that do not overlap were applied since.
func (m Multi) Apply(s *State, results []Result) {
	for i, effect := range m.effects {
		if effect != nil {
			effect(s, results[i])
		}
	}
}

// opOverhead is about what an operation takes on the wire beside its path and data.
const opOverhead = 80

// Bytes is about what the transaction takes on the wire.
func (m Multi) Bytes() int {
	n := opOverhead
	for _, op := range m.Ops {
		n += opOverhead + len(op.Path) + len(op.Data)
	}
	return n
}

// Overlaps says whether the two must not be in flight together: both touch a znode (the check of
// the head aside), or one of them moves the head.
func (m Multi) Overlaps(o Multi) bool {
	if m.MovesHead() || o.MovesHead() {
		return true
	}
	return slices.ContainsFunc(m.touched(), func(a Op) bool {
		return slices.ContainsFunc(o.touched(), func(b Op) bool { return a.Path == b.Path })
	})
}

// MovesHead says whether the transaction writes the head: its first operation is always the head's.
func (m Multi) MovesHead() bool { return len(m.Ops) > 0 && m.Ops[0].Kind != OpCheck }

func (m Multi) touched() []Op { return m.Ops[min(1, len(m.Ops)):] }

// Multi is one transaction and its effect. The zero Multi is empty: it does nothing.
type Multi struct {
	// Step names the protocol step, for logs, metrics and fault points: lead, open, create, …
	Step string
	Ops  []Op
	// Gate, where set, is asked once, right before the transaction is sent for the first time: with
	// its error the commit fails unsent. It must not wait.
	Gate func() error
	// Parents are znodes without data that must exist first, created outside the transaction.
	Parents []string
	effects []func(*State, Result) // one an operation, on the State it was computed from
}

// OpKind is what an Op does.
type OpKind int

// What an Op does to the znode.
const (
	OpCheck OpKind = iota
	OpCreate
	OpSet
	OpDelete
)

// Op is one operation of a transaction.
type Op struct {
	Kind    OpKind
	Path    string
	Data    []byte
	Version int32 // the version the znode must have; of no meaning to OpCreate
}

// Result is what the server answered to one operation: the znode's new version, and the time and
// number of the transaction, which are zero where the server did not tell (where nothing was set).
type Result struct {
	Version int32
	Mtime   time.Time
	Zxid    int64
}

// known is what is known of a znode after it was written with data.
func (r Result) known(data []byte) known { return known{r.Version, len(data), r.Zxid} }

// Results are those of m once it is done: common, each with the version that follows from m.
func (m Multi) Results(common Result) []Result {
	results := make([]Result, len(m.Ops))
	for i, op := range m.Ops {
		results[i] = common
		switch op.Kind {
		case OpSet:
			results[i].Version = op.Version + 1
		case OpCheck:
			results[i].Version = op.Version
		}
	}
	return results
}

// Together says why the transactions could not all succeed when they are sent together.
func Together(ms []Multi) error {
	owner := make(map[string]int)
	for i, m := range ms {
		if m.Bytes() > MaxRequestBytes {
			return fmt.Errorf("%s: %d bytes, at most %d: %w", m.Step, m.Bytes(), MaxRequestBytes, ErrTooLarge)
		}
		if m.MovesHead() && len(ms) > 1 {
			return fmt.Errorf("%s: moves the head, and must be alone", m.Step)
		}
		for _, op := range m.touched() {
			if j, taken := owner[op.Path]; taken && j != i {
				return fmt.Errorf("%s and %s: both touch %s", ms[j].Step, m.Step, op.Path)
			}
			owner[op.Path] = i
		}
	}
	return nil
}

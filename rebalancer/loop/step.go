// Package loop holds the steps by which the assignment of a kind is kept: a step proposes, the loop
// that owns the State commits.
//
// In: a View of what is. Out: Proposals. Invariant: a step sends nothing, starts no goroutine,
// reads no clock, and changes nothing but its own memory. All that it must finish a successor finds
// in ZooKeeper: what it remembers only spares work or tells of it.
//
// Steps that are not here yet stand in package rebalancer, and send by themselves.
package loop

import (
	"slices"
	"time"

	"github.com/shardscaler/shardscaler/rebalancer/inventory"
	"github.com/shardscaler/shardscaler/rebalancer/inventory/resync"
	"github.com/shardscaler/shardscaler/rebalancer/orders"
	"github.com/shardscaler/shardscaler/rebalancer/protocol"
)

// View is what a step looks at, and does not change.
type View struct {
	State  *protocol.State
	Orders *orders.Orders
	// Idle is why the orders may not be acted upon; "" if they may.
	Idle  string
	Index *inventory.Index
	// Requests are what callers wait for.
	Requests inventory.Writer
	Releases *Releases
	// Busy: transactions are under way that State does not show yet. What is proposed must not overlap
	// them, nor answer a caller by what they change.
	Busy bool
	// Written is when this leader last changed a list.
	Written map[int]time.Time
	// Piece is the least number that no pool piece of this epoch has ever had.
	Piece int64
	Now   time.Time
}

// stays says whether an ordinal will remain.
func (v *View) stays(n int) bool {
	_, stays := slices.BinarySearch(v.Orders.Stay, n)
	return stays
}

// Writable is when the list of n may change next, by the interval between two changes of one list.
func (v *View) Writable(n int) time.Time {
	at, written := v.Written[n]
	if !written {
		return time.Time{}
	}
	return at.Add(v.Orders.ListInterval())
}

// sooner is the earlier of two times, of which a zero one is none; later is the later one.
func sooner(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

func later(a, b time.Time) time.Time {
	if a.Before(b) {
		return b
	}
	return a
}

// Step is one part of a pass.
type Step interface {
	// Next looks, and proposes what to do next. It is asked again after what it proposed was
	// committed or refused, and whenever something has changed.
	Next(v *View) Proposal
}

// Proposal is what a step would have done; the zero Proposal is nothing.
type Proposal struct {
	// Jobs do not overlap.
	Jobs []Job
	// Pieces is how many numbers of pool pieces they use, from View.Piece on.
	Pieces int64
	// Answer are ids of which what is wanted is so already. Their callers are answered when it is proven
	// that this process still led after they asked.
	Answer Answer
	// Again is when the step is to be asked again at the latest; zero: when something has changed.
	Again time.Time
	// Blocked is what keeps the step from going on, in words; "" if nothing does.
	Blocked string
	// Err is why something could not be proposed. What could is sent all the same.
	Err error
}

// Answer says of ids that op is so.
type Answer struct {
	Op  resync.Op
	IDs []string
}

// Job is a transaction, and the ordinals whose lists it changes. Then, if set, is called once it is
// committed and State shows it.
type Job struct {
	Multi protocol.Multi
	Then  func(now time.Time)
	Lists []int
}

// Bounds of what is sent at once. Between two batches creates are served.
const (
	// MaxJobs is the most transactions.
	MaxJobs = 32
	// MaxBytes is about how much.
	MaxBytes = 3 * protocol.MaxMultiBytes
)

// Batch collects what is sent at once: transactions that do not overlap, no more than MaxJobs, and
// no more bytes than about its limit.
type Batch struct {
	proposal    Proposal
	size, limit int
	// tried counts all that were offered, also those that overlap: making them costs as much.
	tried int
}

// NewBatch is empty.
func NewBatch() *Batch { return &Batch{limit: MaxBytes} }

// Full says that no more should be made. After an error nothing should.
func (b *Batch) Full() bool {
	return b.tried >= MaxJobs || b.size >= b.limit || b.proposal.Err != nil
}

// Add takes a transaction unless it overlaps one before it: that is proposed again after the others
// are committed. then may be nil; lists are the ordinals whose lists it changes.
func (b *Batch) Add(m protocol.Multi, err error, then func(now time.Time), lists ...int) {
	if b.proposal.Err != nil {
		return
	}
	if b.proposal.Err = err; err != nil {
		return
	}
	overlaps := func(j Job) bool { return j.Multi.Overlaps(m) }
	if b.tried++; m.Empty() || slices.ContainsFunc(b.proposal.Jobs, overlaps) {
		return
	}
	b.size += m.Bytes()
	b.proposal.Jobs = append(b.proposal.Jobs, Job{m, then, lists})
}

// Proposal is what was collected.
func (b *Batch) Proposal() Proposal { return b.proposal }

// Package steps holds the steps by which the assignment of a kind is kept: a step looks and
// proposes, and the loop that owns the State commits.
//
// In: a View of what is. Out: Proposals. Invariant: a step sends nothing, starts no goroutine,
// reads no clock, and changes nothing but what it and other steps remember. All that it must finish
// a successor finds in ZooKeeper: what it remembers only spares work or tells of it.
//
//	View ─► keep                      documents, also while the kind is stopped
//	        claims                    what deletes by a condition have claimed
//	        create, delete            what callers wait for
//	        repair, open              znodes of ordinals, and which may receive
//	        roll back, grant, move    what is in flight, and the wave that it belongs to
//	        place, spread             plans, and the waves that they become
//	        remove, compact, account  what is left over
//	     ─► Proposal
package steps

import (
	"slices"
	"time"

	"github.com/shardscaler/shardscaler/internal/config"
	"github.com/shardscaler/shardscaler/rebalancer/inventory"
	"github.com/shardscaler/shardscaler/rebalancer/inventory/resync"
	"github.com/shardscaler/shardscaler/rebalancer/plan"
	"github.com/shardscaler/shardscaler/rebalancer/protocol"
	"github.com/shardscaler/shardscaler/rebalancer/release"
)

// View is what a step looks at, and does not change.
type View struct {
	release.View
	// Refusal is why the orders may not be acted upon; "" if they may.
	Refusal string
	Index   *inventory.Index
	// Requests are what callers wait for.
	Requests inventory.Writer
	// Attributes are the weights and pins in force; nil: none are known, or none are needed. lists
	// are the lists with them.
	Attributes *inventory.Attributes
	lists      map[int]*attributed
	Releases   *release.Releases
	// UnderWay are transactions that are on their way, and that State does not show yet. What is
	// proposed must not overlap them, nor answer a caller by what they change. Busy: there are
	// such, or will be in a moment.
	UnderWay []Job
	Busy     bool
	// More: the step is asked for more of what it has just proposed.
	More bool
	// Written is when this leader last changed a list.
	Written map[int]time.Time
	// Piece is the least number that no pool piece of this epoch has ever had.
	Piece int64
}

// leaving says whether an ordinal that does not stay owns a list that may be revoked from it.
func (v *View) leaving() bool {
	for n, in := range v.State.Instances {
		if in.IDs.Len() > 0 && !v.Orders.Stays(n) && v.Releases.Fixed(n) == "" {
			return true
		}
	}
	return false
}

// flying counts the resources in flight that will arrive somewhere: all but deletes.
func (v *View) flying() (n int) {
	for _, f := range v.State.Flight {
		n += f.IDs.Len() - f.Deletes()
	}
	return n
}

// flightRoom is how many more resources may be in flight; negative: any number.
func (v *View) flightRoom() int {
	limit := v.Orders.Limits.MaxInFlight
	if limit == 0 {
		return -1
	}
	return max(0, limit-v.flying())
}

// writableAt is when the list of n may change next, by the interval between two changes of one
// list.
func (v *View) writableAt(n int) time.Time {
	at, written := v.Written[n]
	if !written {
		return time.Time{}
	}
	return at.Add(v.Orders.ListInterval())
}

// writable says whether the list of n may change now. If not, p comes again when it may.
func (v *View) writable(n int, p *Proposal) bool {
	at := v.writableAt(n)
	if v.Now.Before(at) {
		p.again(at)
		return false
	}
	return true
}

// soonGranted says whether a list of those that receive may be written soon. If not, p comes again
// when it is so.
func (v *View) soonGranted(to []int, p *Proposal) bool {
	if v.Orders.HandOff != config.HandOffAcknowledged {
		return true
	}
	soon := v.Now.Add(v.Orders.ListInterval() / 2)
	var first time.Time
	for _, n := range to {
		at := v.writableAt(n)
		if !at.After(soon) {
			return true
		}
		if first.IsZero() || at.Before(first) {
			first = at
		}
	}
	p.again(first.Add(-v.Orders.ListInterval() / 2))
	return false
}

// piecesOf are the pieces that jobs change: what needs one of them is given later.
func piecesOf(all ...[]Job) map[string]bool {
	busy := map[string]bool{}
	for _, jobs := range all {
		for _, j := range jobs {
			for _, name := range j.Pieces {
				busy[name] = true
			}
		}
	}
	return busy
}

// beingWritten says whether a transaction that is on its way changes the list of n.
func (v *View) beingWritten(n int) bool {
	return slices.ContainsFunc(v.UnderWay, func(j Job) bool { return slices.Contains(j.Lists, n) })
}

// abandoned says that n is reassigned and nobody reads its list: it says nothing, or who said
// something is gone. It is not spared.
func (v *View) abandoned(n int) bool {
	if v.Orders.Stays(n) {
		return false
	}
	in := v.State.Instances[n]
	silent := in == nil || in.Status == nil || v.Orders.GonePods[in.Status.Pod]
	return release.AssumedDead(v.Orders, n) || silent && slices.Contains(v.Orders.Reassign, n)
}

// Step is one part of a pass.
type Step interface {
	// Next looks, and proposes what to do next. It is asked again after what it proposed was
	// committed or refused, and whenever something has changed.
	Next(v *View) Proposal
}

// Proposal is what a step would have done; the zero Proposal is nothing.
type Proposal struct {
	// As is what errors and hooks call the proposal, "": as they call the step.
	As string
	// Jobs are sent together, and do not overlap. Rest are sent after them, each once all before
	// it are committed.
	Jobs []Job
	Rest [][]Job
	// More: while Jobs are on their way, the step is asked for more, until it says that there is
	// none. Creates are served meanwhile, so that what is proposed so must leave every resource
	// alive that a caller may ask for.
	More bool
	// Onward is the step that is asked for more once all of it is committed, before any other is;
	// nil: none is.
	Onward Step
	// Pieces is how many numbers of pool pieces they use, from View.Piece on.
	Pieces int64
	// Answer is what is so already. The callers are answered when it is proven that this process
	// still led after they asked.
	Answer Answer
	// Prove: the head must be proven to be ours, although nothing is sent.
	Prove bool
	// Again is when the step is to be asked again at the latest; zero: when something has changed.
	Again time.Time
	// Blocked is what keeps the step from going on, in words; "" if nothing does.
	Blocked string
	// Parked are the groups of all that has no place, if that is known anew: empty, everything has
	// one; nil, nothing new is known.
	Parked []plan.RefusedGroup
	// Resync: a complete read of the catalogue is needed.
	Resync bool
	// Err is why something could not be proposed. What could is sent all the same.
	Err error
	// Ended, if set, is told how all of it went: err is the gravest error, retried whether the step
	// is asked for the same again because others have written, or because the term is over. It
	// returns what is left of the error to be dealt with.
	Ended func(err error, retried bool) error

	made amount
}

// amount is how much of a batch was made: size is about how many bytes its jobs are, tried how many
// were offered, also those that overlap: making them costs as much.
type amount struct{ size, tried int }

// Answer says of ids that op is so.
type Answer struct {
	Op  resync.Op
	IDs []string
}

// Job is a transaction. Once it is committed and State shows it, the callers that wait for Answer
// are answered, and Then, if set, is called.
type Job struct {
	Multi  protocol.Multi
	Answer Answer
	Then   func(now time.Time)
	// Lists are the ordinals whose lists it changes, Pieces the pieces, of the pool or of the flight,
	// that it takes from.
	Lists  []int
	Pieces []string
}

// Bounds of what is sent at once. Between two batches creates are served.
const (
	// MaxJobs is the most transactions.
	MaxJobs = 32
	// MaxBytes is about how much.
	MaxBytes = 3 * protocol.MaxMultiBytes
	// moreBytes is the same of a batch that is sent while others are on their way: about one full
	// list.
	moreBytes = protocol.MaxMultiBytes / 2
)

// propose is a proposal of one transaction.
func propose(m protocol.Multi, err error, then func(now time.Time)) (p Proposal) {
	p.add(Job{Multi: m, Then: then}, err)
	return p
}

// add adds a job to those that are sent together, unless its transaction could not be made, or
// overlaps one before it: that is proposed again after the others are committed.
func (p *Proposal) add(j Job, err error) {
	if p.Err != nil {
		return
	}
	if p.Err = err; err != nil {
		return
	}
	overlaps := func(k Job) bool { return k.Multi.Overlaps(j.Multi) }
	if p.made.tried++; j.Multi.Empty() || slices.ContainsFunc(p.Jobs, overlaps) {
		return
	}
	p.made.size += j.Multi.Bytes()
	p.Jobs = append(p.Jobs, j)
}

// full says that no more jobs should be made. After an error none should.
func (p *Proposal) full() bool {
	most := MaxBytes
	if p.More {
		most = moreBytes
	}
	return p.made.tried >= MaxJobs || p.made.size >= most || p.Err != nil
}

// inOrder has jobs that do not overlap sent before last, in as many batches as they need.
func (p *Proposal) inOrder(jobs []Job, last ...Job) {
	var batches [][]Job
	for len(jobs) > 0 {
		n := 0
		for size := 0; n < min(len(jobs), MaxJobs) && size < MaxBytes; n++ {
			size += jobs[n].Multi.Bytes()
		}
		batches, jobs = append(batches, jobs[:n:n]), jobs[n:]
	}
	if len(last) > 0 {
		batches = append(batches, last)
	}
	if len(batches) > 0 {
		p.Jobs, p.Rest = batches[0], batches[1:]
	}
}

// Empty says that there is nothing to do.
func (p *Proposal) Empty() bool {
	return len(p.Jobs) == 0 && len(p.Rest) == 0 && len(p.Answer.IDs) == 0 && !p.Prove && p.Ended == nil
}

// block notes what keeps the step from going on; the first reason is shown.
func (p *Proposal) block(why string) {
	if p.Blocked == "" {
		p.Blocked = why
	}
}

// again has the step asked again at that time at the latest.
func (p *Proposal) again(at time.Time) {
	if p.Again.IsZero() || at.Before(p.Again) {
		p.Again = at
	}
}

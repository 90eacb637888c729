// Package rebalancer keeps one kind's assignment: it makes creates durable, places what has no owner, empties what leaves, and
// spreads what is uneven.
//
// In: creates and deletes, and the scaler's Orders. Out: transactions through zk, planned by plan. Invariant: every change goes
// through the protocol's steps, so that none is lost and none is owned twice, whoever dies when.
//
//	engine.go     what callers see: Create, Delete, Order, Drained, Lookup
//	keep.go       documents changed by the one writer; callers who give up
//	lend.go       the reconciler, lent for long work outside of the engine's lock
//	rounds.go     when the loops last went round
//	follow.go     every replica: look at ZooKeeper, report what is there
//	lead.go       the one that leads: take the head, start a term, start another after trouble
//	term.go       a term: one goroutine owns the State; passes, rounds of transactions, looks, alarms
//	batch.go      transactions that are under way together while the next ones are made
//	pauses.go     how long what failed waits for its next attempt, and what is said of it
//	glance.go     a look at what others wrote that goes on beside our own writes
//	write.go      steps of a pass: creates and deletes
//	members.go    steps of a pass: ordinals opened, closed, added, removed, mended; duplicates
//	moves.go      steps of a pass: flights that land, the pool and drains (the emergency regime)
//	deal.go       the pool dealt out in whole pieces, two lists a transaction
//	keeps.go      from whom nothing is taken, since it would not be released
//	evacuate.go   steps of a pass: what is lost or declared dead leaves, if its release is proven
//	spread.go     steps of a pass: voluntary moves (the periodic regime) and what holds them
//	wave.go       a wave of moves: what is stored before its first revoke, and how far it is
//	waves.go      steps of a pass: the wave begun, taken up by a successor, ended
//	rollback.go   a wave taken back on request
//	balance.go    the planner's world: weights, pins, what is parked; the account of weights that every replica reads
//	traits.go     what the catalogue says of resources beside their ids, reduced to what balance and pins need
//	claims.go     deletes by a condition, which wait for a read of the catalogue
//	unannounced.go  rows of which no message tells
//	catalogue.go  complete reads of the catalogue, compared by package reconcile
package rebalancer

import (
	"time"

	"github.com/shardscaler/shardscaler/internal/config"
	"github.com/shardscaler/shardscaler/internal/pins"
	"github.com/shardscaler/shardscaler/rebalancer/plan"
	"github.com/shardscaler/shardscaler/rebalancer/reconcile"
)

// Orders is what the scaler wants of the assignment. It is level-triggered: the scaler sends it anew on every tick, and the
// latest one alone counts. An engine without Orders, or with Orders older than three ticks, moves nothing.
type Orders struct {
	// At is when the orders were made from a snapshot; Tick is the time between two orders, 0: 2s.
	At   time.Time
	Tick time.Duration
	// Stay are the ordinals that will remain, ascending. Every other ordinal that owns something is to be emptied.
	Stay []int
	// Passing are those of Stay that only a window or a rate still keeps: if what is recommended now stands, they will leave. They keep what
	// they have and get new resources, but nothing is spread onto them, to be taken away again a moment later.
	Passing []int
	// Ready are those of Stay whose pod is ready and may be opened. An ordinal once open stays open through a restart.
	Ready []int
	// PodsAt is when the complete list of the namespace's pods was begun by which pods are gone;
	// zero: there is none, and nothing is released for a pod's absence. What was revoked later is
	// not judged by it: a pod that has come since may have read the list before the revoke.
	// PodsUnknown, when not empty, is why a list that was needed could not be had.
	PodsAt      time.Time
	PodsUnknown string
	// Gone are ordinals outside the StatefulSet's range of whose name that list has no pod, with
	// any owner or none. It says nothing of a pod that was recorded: only its uid does.
	Gone []int
	// GonePods are uids that no pod of the namespace has any more, or whose containers have
	// terminated for good (protocol rule 6 ii).
	GonePods map[string]bool
	// Pods is the uid of the pod that has each ordinal's name, with any owner or none. What is
	// taken from an instance remembers it (acknowledged hand-off needs it).
	Pods map[int]string
	// Lost are those of Stay that nobody can reach, because their node is lost, or that have not worked for long. They leave as an emergency as far as what is taken from
	// them will provably be released (protocol rule 6); Progress.Unproven says of the others why it would not.
	Lost []int
	// Dead are uids of pods that a person has declared dead: what they ran is released on that word alone, and an ordinal of Stay whose
	// pod is one of them leaves as an emergency.
	Dead map[string]bool
	// Hold, when not empty, is why nothing at all may be assigned or moved: blind means still. Creates and deletes go on.
	Hold string
	// HoldVoluntary, when not empty, is why spreading (moves between staying, healthy instances) must wait.
	HoldVoluntary string
	// Hot are ordinals of Stay that are overloaded while others are not, ascending: a reason to spread at once, however little the
	// lists differ.
	Hot []int
	// Capacity is the hard limit of resources an instance.
	Capacity int
	HandOff  config.HandOff
	// Settle is how long an immediate hand-off waits between revoke and grant.
	Settle time.Duration
	Limits config.Rebalance
	// Balance is what is to be even; Pins bind resources to ordinals. Both need the catalogue's weights and labels.
	Balance config.Balance
	Pins    []pins.Rule
	// CatalogueMaxAge is how old the catalogue's weights may be for voluntary moves. 0: any age.
	CatalogueMaxAge time.Duration
	// Catalogue says what deletes by comparison with the catalogue are held to.
	Catalogue config.Catalogue
}

// Progress is what an engine is doing, for the API and the metrics.
type Progress struct {
	// Refused is what ZooKeeper refuses to write, and why; empty when it refuses nothing. It is tried again, after pauses that grow.
	Refused string `json:"refused,omitempty"`
	// Draining counts what is left on ordinals that leave, by ordinal.
	Draining map[int]int `json:"draining,omitempty"`
	// Unproven says of instances that are lost why what they own is not given to others, by ordinal.
	Unproven map[int]string `json:"unproven,omitempty"`
	// PlanID is the running plan's, empty when none runs. It is carried out in waves; what follows describes the present one. Reason is
	// drain, spread or undo, and Why says it in words.
	PlanID string    `json:"planId,omitempty"`
	Reason string    `json:"reason,omitempty"`
	Why    string    `json:"why,omitempty"`
	Begun  time.Time `json:"begun,omitzero"`
	// Moves are the wave's moves, Done those that have arrived, Acknowledged those and what their instances have released, Left those that
	// have not arrived. Beyond are the plan's moves that wait for the next wave.
	Moves        int `json:"moves,omitempty"`
	Done         int `json:"done,omitempty"`
	Acknowledged int `json:"acknowledged,omitempty"`
	Left         int `json:"left,omitempty"`
	Beyond       int `json:"beyond,omitempty"`
	// PerMinute is how fast moves arrive, by the last minute; EstimatedEnd is when the plan will have ended at that pace.
	PerMinute    float64    `json:"perMinute,omitempty"`
	EstimatedEnd *time.Time `json:"estimatedEnd,omitempty"`
	// Moved counts resources moved since this process started.
	Moved int64 `json:"moved"`
	// Duplicates lists ids that were found in two places since this process leads and where each one stayed, at most 1000.
	Duplicates []Duplicate `json:"duplicates,omitempty"`
	// Alarm says why the engine has stopped (an unreadable list, foreign edits); empty when it works.
	Alarm string `json:"alarm,omitempty"`
	// Blocked says what keeps the running work from ending: capacity elsewhere, a hold, an instance that does not acknowledge.
	Blocked string `json:"blocked,omitempty"`
	// Unannounced is a warning: rows keep appearing in the catalogue of which no message tells.
	// Empty: they do not.
	Unannounced string `json:"unannounced,omitempty"`
	// Parked are the resources that have no place, or not the one they should have, summed up by where they are (-1: the pool) and why.
	Parked []plan.RefusedGroup `json:"parked,omitempty"`
}

// Duplicate is an id that was found in more than one place.
type Duplicate struct {
	ID string `json:"id"`
	// Stayed is where the id was left, Removed where it was taken from: an ordinal, "pool" or "flight".
	Stayed  string `json:"stayed"`
	Removed string `json:"removed"`
}

// defaultTick is the scaler's default period.
const defaultTick = 2 * time.Second

// stale says why the orders may not be acted upon; "" if they may.
func (o *Orders) stale(now time.Time) string {
	tick := o.Tick
	if tick <= 0 {
		tick = defaultTick
	}
	switch age := now.Sub(o.At); {
	case o.At.IsZero():
		return "no orders from the scaler yet"
	case age > 3*tick:
		return "the scaler's last orders are " + age.Round(time.Second).String() + " old"
	case o.Hold != "":
		return o.Hold
	case o.Capacity < 1:
		return "the scaler's orders name no capacity"
	}
	return ""
}

// revive is how long after a message that deleted a row a read begins that has it all the same and
// is believed: longer than a standby is mostly behind, and shorter than who restores a row cares to
// wait.
const revive = 30 * time.Second

// compared are the limits of a comparison with the catalogue.
func (o *Orders) compared() reconcile.Limits {
	c := o.Catalogue.Completed()
	l := reconcile.Limits{MaxShare: *c.MaxDeleteShare, MaxDeletes: *c.MaxDeletes, Lag: c.Lag.Std()}
	l.Gap, l.Revive = min(c.Interval.Std(), l.Lag), min(revive, l.Lag)
	return l
}

// interval is the least time between two changes of one list.
func (o *Orders) interval() time.Duration {
	if o.Limits.ListInterval == nil {
		return time.Second
	}
	return o.Limits.ListInterval.Std()
}

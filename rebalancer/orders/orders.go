// Package orders is what the scaler and the engine of a kind say to each other.
//
// In: from the scaler, Orders on every tick. Out: from the engine, Progress, and the documents that
// it stores for the scaler. Invariant: the latest Orders alone count, if not old.
package orders

import (
	"slices"
	"time"

	"github.com/shardscaler/shardscaler/internal/config"
	"github.com/shardscaler/shardscaler/internal/pins"
)

// Orders is what the scaler wants of the assignment. It is level-triggered: the scaler sends it
// anew on every tick, and the latest one alone counts. An engine without Orders, or with Orders
// older than three ticks, moves nothing.
type Orders struct {
	// At is when the orders were made from a snapshot; Tick is the time between two orders, 0: 2s.
	At   time.Time
	Tick time.Duration
	// Stay are the ordinals that will remain, ascending. All others are to be drained.
	Stay []int
	// MayLeave are those of Stay that only a window or a rate still keeps: if what is recommended
	// now stands, they will leave. They keep what they have and get new resources, but nothing is
	// spread onto them, to be taken away again a moment later.
	MayLeave []int
	// Ready are those of Stay whose pod is ready and may be opened. Open ones stay so in a restart.
	Ready []int
	// PodsAt is when the complete list of the namespace's pods was begun by which pods are gone;
	// zero: there is none, and nothing is released for a pod's absence. What was revoked later is
	// not judged by it: a pod that has come since may have read the list before the revoke.
	// PodsUnknown, when not empty, is why a list that was needed could not be had.
	PodsAt      time.Time
	PodsUnknown string
	// Gone are ordinals outside the StatefulSet's range, or of which no pod is known that ran what
	// they own, of whose name that list has no pod, with any owner or none. It says nothing of a pod
	// that was recorded: only its uid does.
	Gone []int
	// GonePods are uids that no pod of the namespace has any more, or whose containers have
	// terminated for good (protocol rule 6 ii).
	GonePods map[string]bool
	// Pods is the uid of the pod that has each ordinal's name, with any owner or none, and may run
	// something, or has ended: one that has no node yet is left out. What is revoked from an instance
	// remembers it (acknowledged hand-off needs it).
	Pods map[int]string
	// Reassign are those of Stay whose node is lost, or that have not worked for long. What they
	// own goes to others as an emergency, as far as its release will be proven (protocol rule 6);
	// Progress.Unproven says of the others why it would not.
	Reassign []int
	// AssumedDead are uids of pods of which a person has said that they run nothing any more: what
	// they ran is released on that statement alone, and what an ordinal of Stay with such a pod
	// owns goes to others as an emergency.
	AssumedDead map[string]bool
	// Suspended, when not empty, is why nothing at all may be assigned or moved: blind means still.
	// Creates and deletes go on.
	Suspended string
	// SpreadSuspended, if not empty, is why spreading must wait: moves between healthy instances.
	SpreadSuspended string
	// Landing: what is in flight is granted, and nothing else is placed or moved. What of a wave has
	// not been revoked stays where it is.
	Landing bool
	// Overloaded are ordinals of Stay that are overloaded while others are not, ascending: a reason
	// to spread at once, however little the lists differ.
	Overloaded []int
	// Capacity is the hard limit of resources an instance.
	Capacity int
	HandOff  config.HandOff
	// Settle is how long an immediate hand-off waits between revoke and grant.
	Settle time.Duration
	Limits config.Rebalance
	// Balance is what is to be even; Pins bind resources to ordinals. Both need attributes.
	Balance config.Balance
	Pins    []pins.Rule
	// Own binds single resources to ordinals, over what Pins say of them: a person has done so.
	Own map[string]int
	// CatalogueMaxAge is how old the catalogue's weights may be for voluntary moves. 0: any age.
	CatalogueMaxAge time.Duration
	// Catalogue says what deletes by comparison with the catalogue are held to.
	Catalogue config.Catalogue
}

// defaultTick is the scaler's default period.
const defaultTick = 2 * time.Second

// Refusal says why the orders may not be acted upon; "" if they may.
func (o *Orders) Refusal(now time.Time) string {
	tick := o.Tick
	if tick <= 0 {
		tick = defaultTick
	}
	switch age := now.Sub(o.At); {
	case o.At.IsZero():
		return "no orders from the scaler yet"
	case age > 3*tick:
		return "the scaler's last orders are " + config.Duration(age).String() + " old"
	case o.Suspended != "":
		return o.Suspended
	case o.Capacity < 1:
		return "the scaler's orders name no capacity"
	}
	return ""
}

// Stays says whether an ordinal is one of Stay.
func (o *Orders) Stays(n int) bool {
	_, stays := slices.BinarySearch(o.Stay, n)
	return stays
}

// ListInterval is the least time between two changes of one list.
func (o *Orders) ListInterval() time.Duration {
	if o.Limits.ListInterval == nil {
		return time.Second
	}
	return o.Limits.ListInterval.Std()
}

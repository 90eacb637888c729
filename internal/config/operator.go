package config

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/util/validation/field"
)

// MaxOperatorPins is how many resources of a kind a person may have pinned or be moving at once.
const MaxOperatorPins = 1000

// maxBy is the most bytes of By.
const maxBy = 300

// Saying is by, at that time, for so long; 0: until it is ended. A longer name is cut.
func Saying(by string, at time.Time, long time.Duration) Said {
	s := Said{By: strings.ToValidUTF8(by[:min(len(by), maxBy)], ""), At: at.UTC().Truncate(time.Second)}
	if long > 0 {
		s.Until = s.At.Add(long)
	}
	return s
}

// Said is who asked for something, when, and until when it counts.
type Said struct {
	By string    `json:"by,omitempty"`
	At time.Time `json:"at,omitzero"`
	// Until is the first moment at which it does not count any more; zero: it counts until it is
	// ended.
	Until time.Time `json:"until,omitzero"`
}

// Over says whether it does not count any more.
func (s Said) Over(now time.Time) bool { return !s.Until.IsZero() && !now.Before(s.Until) }

// Operator is what persons have put over a kind beside Override: a size, drains and pins. It is a
// document of its own in ZooKeeper: a build that does not know it keeps it as it is, whatever it
// writes into Override.
type Operator struct {
	// Size is what the size is to be, within init and max, whatever the signals ask for.
	Size *OperatorSize `json:"size,omitempty"`
	// Drains are the ordinals that are to own nothing although they do not leave, ascending.
	Drains []OperatorDrain `json:"drains,omitempty"`
	// Pins bind resources to ordinals, ascending by resource, one a resource.
	Pins []OperatorPin `json:"pins,omitempty"`
}

// OperatorSize is a size that a person has set.
type OperatorSize struct {
	Value int `json:"value"`
	Said
}

// OperatorDrain is an ordinal that a person drains.
type OperatorDrain struct {
	Ordinal int `json:"ordinal"`
	Said
}

// OperatorPin is a resource that a person has bound to an ordinal.
type OperatorPin struct {
	Resource string `json:"resource"`
	Ordinal  int    `json:"ordinal"`
	// Move: it ends when the resource has arrived.
	Move bool `json:"move,omitempty"`
	Said
}

// Standing is what of o counts at that time. It shares nothing with o that either changes.
func (o Operator) Standing(now time.Time) (s Operator) {
	if o.Size != nil && !o.Size.Over(now) {
		size := *o.Size
		s.Size = &size
	}
	for _, d := range o.Drains {
		if !d.Over(now) {
			s.Drains = append(s.Drains, d)
		}
	}
	for _, p := range o.Pins {
		if !p.Over(now) {
			s.Pins = append(s.Pins, p)
		}
	}
	return s
}

// Drained are the ordinals that a person drains, ascending.
func (o *Operator) Drained() (ordinals []int) {
	for _, d := range o.Drains {
		ordinals = append(ordinals, d.Ordinal)
	}
	return ordinals
}

// DrainedWithin counts the ordinals that a person drains of a size that begins at start.
func (o *Operator) DrainedWithin(start, size int) (n int) {
	for _, d := range o.Drains {
		if d.Ordinal >= start && d.Ordinal < start+size {
			n++
		}
	}
	return n
}

// Pinned is where each pinned resource is to be; nil: none is pinned.
func (o *Operator) Pinned() map[string]int {
	if len(o.Pins) == 0 {
		return nil
	}
	to := make(map[string]int, len(o.Pins))
	for _, p := range o.Pins {
		to[p.Resource] = p.Ordinal
	}
	return to
}

// Pin is that of a resource; nil: there is none.
func (o *Operator) Pin(resource string) *OperatorPin {
	if i, found := o.find(resource); found {
		return &o.Pins[i]
	}
	return nil
}

// Drain is that of an ordinal; nil: there is none.
func (o *Operator) Drain(ordinal int) *OperatorDrain {
	for i := range o.Drains {
		if o.Drains[i].Ordinal == ordinal {
			return &o.Drains[i]
		}
	}
	return nil
}

func (o *Operator) find(resource string) (int, bool) {
	return slices.BinarySearchFunc(o.Pins, resource, func(p OperatorPin, id string) int { return cmp.Compare(p.Resource, id) })
}

// WithSize is o with a size. Its error names field, value and bound: init and max of k, which is in
// force. Only the size that shardscaler itself writes can be set.
func (o Operator) WithSize(k *Kind, size int, said Said) (Operator, error) {
	var errs faults
	at := field.NewPath("size")
	switch {
	case k.Replicas.Owner == OwnerHPA:
		errs.add(field.Forbidden(at, "replicas.owner is hpa: the HPA writes the size; change its minReplicas and maxReplicas"))
	case k.Replicas.Owner == OwnerGroup:
		errs.add(field.Forbidden(at, "replicas.owner is group: the size is requested by spec.replicas of the InstanceGroup; change that"))
	case k.Replicas.Mode == ModeRecommend:
		errs.add(field.Forbidden(at, "replicas.mode is recommend: no size is written"))
	default:
		between(&errs, at, size, k.Init, k.Max)
	}
	if len(errs.ErrorList) > 0 {
		return Operator{}, fmt.Errorf("invalid size: %w", errs.ToAggregate())
	}
	o.Size = &OperatorSize{Value: size, Said: said}
	return o, nil
}

// WithDrain is o with a drain, which takes the place of one of the same ordinal. Whether the others
// have room is not looked at.
func (o Operator) WithDrain(ordinal int, said Said) Operator {
	o = o.WithoutDrain(ordinal)
	o.Drains = append(o.Drains, OperatorDrain{Ordinal: ordinal, Said: said})
	slices.SortFunc(o.Drains, func(a, b OperatorDrain) int { return cmp.Compare(a.Ordinal, b.Ordinal) })
	return o
}

// WithoutDrain is o without the drain of an ordinal.
func (o Operator) WithoutDrain(ordinal int) Operator {
	o.Drains = slices.DeleteFunc(slices.Clone(o.Drains), func(d OperatorDrain) bool { return d.Ordinal == ordinal })
	return o
}

// WithPin is o with a pin, which takes the place of one of the same resource. Its error names
// field, value and bound.
func (o Operator) WithPin(pin OperatorPin) (Operator, error) {
	var errs faults
	if pin.Resource == "" || len(pin.Resource) > maxIDBytes {
		errs.add(field.Invalid(field.NewPath("resource"), pin.Resource, fmt.Sprintf("must have 1 to %d bytes", maxIDBytes)))
	}
	between(&errs, field.NewPath("instance"), pin.Ordinal, 0, maxPinOrdinal)
	o = o.WithoutPin(pin.Resource)
	if len(o.Pins) >= MaxOperatorPins {
		errs.add(field.TooMany(field.NewPath("pins"), len(o.Pins)+1, MaxOperatorPins))
	}
	if len(errs.ErrorList) > 0 {
		return Operator{}, fmt.Errorf("invalid pin: %w", errs.ToAggregate())
	}
	i, _ := o.find(pin.Resource)
	o.Pins = slices.Insert(o.Pins, i, pin)
	return o, nil
}

// WithoutPin is o without the pin of a resource.
func (o Operator) WithoutPin(resource string) Operator {
	o.Pins = slices.DeleteFunc(slices.Clone(o.Pins), func(p OperatorPin) bool { return p.Resource == resource })
	return o
}

// EndedMoves are the moves whose resources are where they were to go, or are no more: at says where
// a resource is; false: there is none of that id.
func (o *Operator) EndedMoves(at func(resource string) (ordinal int, exists bool)) (ended []OperatorPin) {
	for _, p := range o.Pins {
		if !p.Move {
			continue
		}
		if n, exists := at(p.Resource); !exists || n == p.Ordinal {
			ended = append(ended, p)
		}
	}
	return ended
}

// WithoutPins is o without those pins, where it still has the same.
func (o Operator) WithoutPins(pins []OperatorPin) Operator {
	o.Pins = slices.DeleteFunc(slices.Clone(o.Pins), func(p OperatorPin) bool { return slices.ContainsFunc(pins, p.equal) })
	return o
}

func (p OperatorPin) equal(q OperatorPin) bool {
	return p.Resource == q.Resource && p.Ordinal == q.Ordinal && p.Move == q.Move && p.At.Equal(q.At)
}

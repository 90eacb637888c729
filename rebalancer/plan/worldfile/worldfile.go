// Package worldfile reads worlds that people write for the planner, and writes plans.
//
// In: a YAML file (docs/plan-world.md has its schema) and the JSON Lines file that it may refer to.
// Out: a plan.World with its Options. Invariant: what is read was understood: unknown fields,
// doubled ids and owners that are not there are errors with field, value and what was wanted.
package worldfile

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/shardscaler/shardscaler/internal/exact"
	"github.com/shardscaler/shardscaler/internal/pins"
	"github.com/shardscaler/shardscaler/rebalancer/plan"
	"github.com/shardscaler/shardscaler/rebalancer/protocol"
	"github.com/shardscaler/shardscaler/rebalancer/protocol/idlist"
)

// MaxResources is the most a world file may hold.
const MaxResources = 10_000_000

// File is a world as it is written down.
type File struct {
	// Regime is periodic (default) or emergency; Balance is count (default) or weight.
	Regime  plan.Regime  `json:"regime,omitempty"`
	Balance plan.Balance `json:"balance,omitempty"`
	// Budget limits the moves that only spread; 0: no limit.
	Budget int `json:"budget,omitempty"`
	// Enter and Leave are the band of balance by weight.
	Enter float64 `json:"enter,omitempty"`
	Leave float64 `json:"leave,omitempty"`
	// Capacity and MaxBytes hold for instances that name none; 0: no limit.
	Capacity int `json:"capacity,omitempty"`
	MaxBytes int `json:"maxBytes,omitempty"`

	Instances []Instance `json:"instances"`
	// Pool are the resources that no instance owns.
	Pool *Resources `json:"pool,omitempty"`
	// ResourcesFrom is a file of JSON Lines, relative to this one; - is standard input.
	ResourcesFrom string      `json:"resourcesFrom,omitempty"`
	Pins          []pins.Rule `json:"pins,omitempty"`
}

// Instance is one ordinal, or several that are alike.
type Instance struct {
	// Ordinal or Ordinals ("0-99"): exactly one of the two.
	Ordinal  *int   `json:"ordinal,omitempty"`
	Ordinals string `json:"ordinals,omitempty"`
	// State is open (default), leaving (to be drained) or kept (keeps what it has).
	State string `json:"state,omitempty"`
	// Fixed: nothing may be revoked from it. Not with leaving.
	Fixed    bool `json:"fixed,omitempty"`
	Capacity int  `json:"capacity,omitempty"`
	MaxBytes int  `json:"maxBytes,omitempty"`
	// Resources are what it holds: of each, where there are several.
	Resources *Resources `json:"resources,omitempty"`
	// Arriving is how many are in flight to it.
	Arriving int `json:"arriving,omitempty"`
}

// Resources is a count, or a list of ids or Resource objects.
type Resources struct {
	Count int
	List  []Resource
}

// Resource is one resource; Instance only in JSON Lines, absent or null: no instance owns it.
type Resource struct {
	ID       string            `json:"id"`
	Instance *int              `json:"instance,omitempty"`
	Weight   float64           `json:"weight,omitempty"`
	Labels   map[string]string `json:"labels,omitempty"`
	// Pin binds it to ordinals by itself.
	Pin []int `json:"pin,omitempty"`
}

// UnmarshalJSON reads a count or a list.
func (r *Resources) UnmarshalJSON(b []byte) error {
	if len(b) > 0 && b[0] != '[' {
		n, err := strconv.Atoi(string(b))
		if err != nil || n < 0 || n > MaxResources {
			return fmt.Errorf("resources: %.40s, want a list or a count from 0 to %d", b, MaxResources)
		}
		r.Count = n
		return nil
	}
	var items []json.RawMessage
	if err := exact.JSON(b, &items); err != nil {
		return err
	}
	r.List = make([]Resource, len(items))
	for i, item := range items {
		var err error
		if item[0] == '{' {
			err = exact.KnownJSON(item, &r.List[i])
		} else {
			err = exact.JSON(item, &r.List[i].ID)
		}
		if err != nil {
			return fmt.Errorf("resources[%d]: %w", i, err)
		}
	}
	return nil
}

// Read reads a world. open opens the file that resourcesFrom names.
func Read(in io.Reader, open func(name string) (io.ReadCloser, error)) (w *plan.World, o plan.Options, err error) {
	var f File
	text, err := io.ReadAll(in)
	if err == nil {
		err = exact.KnownYAML(text, &f)
	}
	if err == nil {
		w, err = f.world(open)
	}
	if err != nil {
		return nil, plan.Options{}, fmt.Errorf("read world: %w", err)
	}
	return w, plan.Options{
		Regime: cmp.Or(f.Regime, plan.Periodic), Balance: f.Balance, Budget: f.Budget, Enter: f.Enter, Leave: f.Leave,
	}, nil
}

// builder fills a world.
type builder struct {
	w      *plan.World
	pinner *plan.Pinner
	at     map[int]*plan.Instance
	ids    map[*plan.List]*idlist.Builder
	count  int
}

func (f *File) world(open func(string) (io.ReadCloser, error)) (*plan.World, error) {
	pinner, err := plan.NewPinner(f.Pins)
	if err != nil {
		return nil, err
	}
	b := &builder{w: &plan.World{}, pinner: pinner, ids: map[*plan.List]*idlist.Builder{}}
	if err := b.instances(f); err != nil {
		return nil, err
	}
	if f.Pool != nil {
		if err := b.fill(&b.w.Pool, "pool", f.Pool); err != nil {
			return nil, fmt.Errorf("pool: %w", err)
		}
	}
	if f.ResourcesFrom != "" {
		if err := b.from(f.ResourcesFrom, open); err != nil {
			return nil, fmt.Errorf("resourcesFrom: %s: %w", f.ResourcesFrom, err)
		}
	}
	for list, ids := range b.ids {
		list.IDs = ids.List()
	}
	if id, doubled := b.w.Doubled(); doubled {
		return nil, fmt.Errorf("id %q is there twice", id)
	}
	b.w.Pins = pinner.Pins()
	for i := range b.w.Instances {
		if in := &b.w.Instances[i]; in.MaxBytes != 0 {
			in.Bytes = len(`{"ids":[]}`) + protocol.Costs(in.IDs.Strings())
		}
	}
	return b.w, b.w.Validate()
}

func (b *builder) instances(f *File) error {
	given := map[int]*Instance{}
	for i := range f.Instances {
		in := &f.Instances[i]
		first, last, err := in.ordinals()
		if err == nil {
			err = in.validate()
		}
		if err != nil {
			return fmt.Errorf("instances[%d]: %w", i, err)
		}
		for o := first; o <= last; o++ {
			if given[o] != nil {
				return fmt.Errorf("instances[%d]: ordinal %d is there twice", i, o)
			}
			given[o] = in
		}
	}
	ordinals := slices.Sorted(maps.Keys(given))
	b.w.Instances = make([]plan.Instance, len(ordinals))
	b.at = make(map[int]*plan.Instance, len(ordinals))
	for i, o := range ordinals {
		b.w.Instances[i] = given[o].instance(o, f)
		b.at[o] = &b.w.Instances[i]
	}
	for i, o := range ordinals {
		if r := given[o].Resources; r != nil {
			if err := b.fill(&b.w.Instances[i].List, strconv.Itoa(o), r); err != nil {
				return fmt.Errorf("instance %d: %w", o, err)
			}
		}
	}
	return nil
}

// maxInstances bounds what "ordinals" may spell out.
const maxInstances = 10_000

func (in *Instance) ordinals() (first, last int, err error) {
	switch {
	case in.Ordinal != nil && in.Ordinals != "":
		return 0, 0, fmt.Errorf("ordinal and ordinals: want one of the two")
	case in.Ordinal != nil:
		first, last = *in.Ordinal, *in.Ordinal
	case in.Ordinals != "":
		from, to, ok := strings.Cut(in.Ordinals, "-")
		if !ok {
			to = from
		}
		first, err = exact.Ordinal(from)
		if err == nil {
			last, err = exact.Ordinal(to)
		}
		if err != nil {
			return 0, 0, fmt.Errorf("ordinals: %q, want for example \"0-99\": %w", in.Ordinals, err)
		}
	default:
		return 0, 0, fmt.Errorf("ordinal: missing")
	}
	if first < 0 || last < first || last-first >= maxInstances {
		return 0, 0, fmt.Errorf("ordinals: %d to %d, want ascending, from 0, at most %d", first, last, maxInstances)
	}
	return first, last, nil
}

func (in *Instance) validate() error {
	switch {
	case !slices.Contains([]string{"", "open", "leaving", "kept"}, in.State):
		return fmt.Errorf("state: %q, want open, leaving or kept", in.State)
	case in.Capacity < 0 || in.MaxBytes < 0 || in.Arriving < 0:
		return fmt.Errorf("capacity %d, maxBytes %d, arriving %d: want 0 or more", in.Capacity, in.MaxBytes, in.Arriving)
	}
	return nil
}

func (in *Instance) instance(ordinal int, f *File) plan.Instance {
	return plan.Instance{
		Ordinal: ordinal, Open: in.State == "" || in.State == "open", Leaving: in.State == "leaving", Fixed: in.Fixed,
		Capacity: cmp.Or(in.Capacity, f.Capacity, plan.Unlimited), MaxBytes: cmp.Or(in.MaxBytes, f.MaxBytes),
		Arriving: plan.Arriving{Count: in.Arriving, Weight: 1000 * int64(in.Arriving)},
	}
}

// fill adds what a file says a list holds. A count's are named after the list: 3/0, 3/1, …
func (b *builder) fill(l *plan.List, name string, r *Resources) error {
	for i := range r.Count {
		if err := b.add(l, &Resource{ID: name + "/" + strconv.Itoa(i)}); err != nil {
			return err
		}
	}
	for i := range r.List {
		if r.List[i].Instance != nil {
			return fmt.Errorf("%q: instance: want it only in resourcesFrom", r.List[i].ID)
		}
		if err := b.add(l, &r.List[i]); err != nil {
			return err
		}
	}
	return nil
}

func (b *builder) add(l *plan.List, r *Resource) error {
	if r.ID == "" {
		return fmt.Errorf("id: missing")
	}
	if r.Weight < 0 {
		return fmt.Errorf("weight of %q: %g, want 0 (counted as 1) or more", r.ID, r.Weight)
	}
	if b.count++; b.count > MaxResources {
		return fmt.Errorf("more than %d resources", MaxResources)
	}
	ids := b.ids[l]
	if ids == nil {
		ids = idlist.NewBuilder(0, 0)
		b.ids[l] = ids
	}
	n := ids.Len()
	ids.Add(r.ID)
	if r.Weight != 0 && l.Weights == nil {
		l.Weights = slices.Repeat([]plan.Weight{plan.WeightOf(1)}, n)
	}
	if l.Weights != nil {
		l.Weights = append(l.Weights, plan.WeightOf(r.Weight))
	}
	pin := b.pinner.Pin(r.ID, r.Labels, r.Pin)
	if pin != 0 && l.Pins == nil {
		l.Pins = make([]plan.PinIndex, n)
	}
	if l.Pins != nil {
		l.Pins = append(l.Pins, pin)
	}
	return nil
}

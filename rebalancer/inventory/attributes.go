package inventory

import (
	"cmp"
	"fmt"
	"hash/maphash"
	"math/bits"
	"reflect"
	"slices"
	"time"
	"unsafe"

	"github.com/shardscaler/shardscaler/adapter/observed"
	"github.com/shardscaler/shardscaler/internal/config"
	"github.com/shardscaler/shardscaler/internal/pins"
	"github.com/shardscaler/shardscaler/rebalancer/orders"
	"github.com/shardscaler/shardscaler/rebalancer/plan"
)

// Needs says what of the catalogue's rows a kind needs beside their ids. A kind that is balanced by
// count and has no pins needs nothing.
type Needs struct {
	weights bool
	pins    []pins.Rule
	// own are the ordinals that single resources are bound to by themselves. It needs no row, and is
	// no part of equal.
	own map[string]int
}

// NeedsOf are those of orders.
func NeedsOf(o *orders.Orders) Needs {
	return Needs{weights: o.Balance == config.BalanceWeight, pins: o.Pins, own: o.Own}
}

func (s Needs) equal(o Needs) bool {
	return s.weights == o.weights && (len(s.pins) == 0 && len(o.pins) == 0 || reflect.DeepEqual(s.pins, o.pins))
}

// ByLabels says whether a pin looks at labels.
func (s Needs) ByLabels() bool {
	return slices.ContainsFunc(s.pins, func(p pins.Rule) bool { return p.Selector != nil })
}

// reads says whether only a read of the catalogue can tell.
func (s Needs) reads() bool { return s.weights || s.ByLabels() }

// Attribute is what the planner must know of one resource, by a hash of its id, as in Index: 16
// bytes, and no string that would keep a row alive.
type Attribute struct {
	hash   uint64
	Weight plan.Weight
	Pin    plan.PinIndex
}

// Unit is the weight of a resource for which the catalogue names none.
const Unit plan.Weight = 1000

// Attributes is one complete read of the catalogue, reduced to a Needs. It never changes.
type Attributes struct {
	needs  Needs
	ReadAt time.Time // when the read began; zero: no read was needed
	seed   maphash.Seed
	// rows are ascending by hash. Those that are as if the catalogue said nothing are left out.
	// starts is where the rows begin whose hash begins with the index's bits: hashes are even, so
	// that a look-up reads a handful of neighbours.
	rows   []Attribute
	starts []int32
	// absent is the pin of a resource without labels, Median the weight of one not read yet.
	absent plan.PinIndex
	Median plan.Weight
	pins   []plan.Pin
	// unread are the hashes of rows that could not be read, and of which nothing was known before.
	unread map[uint64]bool
}

// Of is what is known of an id; false: as much as of any other.
func (x *Attributes) Of(hash uint64) (Attribute, bool) {
	k := x.bucket(hash)
	for _, t := range x.rows[x.starts[k]:x.starts[k+1]] {
		if t.hash == hash {
			return t, true
		}
	}
	return Attribute{Weight: Unit, Pin: x.absent}, false
}

// Unreadable says whether nothing is known of an id before its row is corrected. A pinned one is.
func (x *Attributes) Unreadable(hash uint64) bool {
	if !x.unread[hash] {
		return false
	}
	_, found := x.Of(hash)
	return !found
}

// Hash is what Of and Unreadable know an id by.
func (x *Attributes) Hash(id string) uint64 { return maphash.String(x.seed, id) }

// Pins are what Attribute.Pin counts from 1; the caller must not change them.
func (x *Attributes) Pins() []plan.Pin { return x.pins }

// Weighed says whether weights are known.
func (x *Attributes) Weighed() bool { return x != nil && x.needs.weights }

// Pinned says whether any resource may be bound to ordinals.
func (x *Attributes) Pinned() bool { return x != nil && len(x.needs.pins)+len(x.needs.own) > 0 }

// Labelled says whether any is bound by its labels.
func (x *Attributes) Labelled() bool { return x != nil && x.needs.ByLabels() }

// bucketSize is about how many rows begin with the same bits.
const bucketSize = 4

// bucket is the index in starts for a hash: its first bits.
func (x *Attributes) bucket(hash uint64) int {
	high, _ := bits.Mul64(hash, uint64(len(x.starts)-1))
	return int(high)
}

func (x *Attributes) index() {
	x.starts = make([]int32, len(x.rows)/bucketSize+2)
	for _, t := range x.rows {
		x.starts[x.bucket(t.hash)+1]++
	}
	for k := 1; k < len(x.starts); k++ {
		x.starts[k] += x.starts[k-1]
	}
}

// catalogueRead collects a read that has begun.
type catalogueRead struct {
	Attributes
	pinner *plan.Pinner
	// before is the read in force, if it has the same Needs.
	before *Attributes
	ones   int // rows of weight 1
	// named are the ids that pins name, classes the pins of label sets by address: rows share them.
	named   map[string]bool
	classes map[unsafe.Pointer]class
}

// class is the pin of all resources with these labels. It keeps them: the address stays theirs.
type class struct {
	labels map[string]string
	pin    plan.PinIndex
}

// knownClasses is how many classes of one read are kept.
const knownClasses = 10_000

func newCatalogueRead(s Needs, seed maphash.Seed, at time.Time) *catalogueRead {
	pinner, err := plan.NewPinner(s.pins)
	if err != nil {
		panic(fmt.Sprintf("pins that were validated are refused: %v", err))
	}
	r := &catalogueRead{Attributes: Attributes{needs: s, ReadAt: at, seed: seed, Median: Unit}, pinner: pinner}
	r.absent = pinner.Pin("", nil, nil)
	r.named, r.classes = map[string]bool{}, map[unsafe.Pointer]class{}
	for _, p := range s.pins {
		for _, id := range p.IDs {
			r.named[id] = true
		}
	}
	return r
}

func (r *catalogueRead) add(row observed.ResourceKnown, hash uint64) {
	t := Attribute{hash: hash, Weight: Unit}
	if r.needs.weights {
		t.Weight = plan.WeightOf(row.Weight)
	}
	if t.Weight == Unit {
		r.ones++
	}
	if len(r.needs.pins) > 0 {
		t.Pin = r.pin(row)
	}
	if t.Weight != Unit || t.Pin != r.absent {
		r.rows = append(r.rows, t)
	}
}

// keep has the row say what it said in the read before; false: it said nothing of its own there.
func (r *catalogueRead) keep(hash uint64) bool {
	if r.before == nil {
		return false
	}
	t, found := r.before.Of(hash)
	if !found {
		return false
	}
	if t.Pin > 0 {
		t.Pin = r.pinner.Keep(r.before.pins[t.Pin-1])
	}
	if t.Weight == Unit {
		r.ones++
	}
	r.rows = append(r.rows, t)
	return true
}

// lack notes a row of which nothing is known.
func (r *catalogueRead) lack(hash uint64) {
	if r.unread == nil {
		r.unread = map[uint64]bool{}
	}
	r.unread[hash] = true
}

// pin asks every rule once for each label set, not for each row.
func (r *catalogueRead) pin(row observed.ResourceKnown) plan.PinIndex {
	if r.named[row.ID] {
		return r.pinner.Pin(row.ID, row.Labels, nil)
	}
	address := reflect.ValueOf(row.Labels).UnsafePointer()
	c, known := r.classes[address]
	if !known {
		c = class{labels: row.Labels, pin: r.pinner.Pin(row.ID, row.Labels, nil)}
		if len(r.classes) < knownClasses {
			r.classes[address] = c
		}
	}
	return c.pin
}

// done is the read as a whole; nil: no attributes are needed. Ids that a pin names and no row had
// are bound all the same.
func (r *catalogueRead) done() *Attributes {
	if r == nil {
		return nil
	}
	r.weigh()
	for _, p := range r.needs.pins {
		for _, id := range p.IDs {
			r.rows = append(r.rows, Attribute{hash: maphash.String(r.seed, id), Weight: Unit, Pin: r.pinner.Pin(id, nil, nil)})
		}
	}
	slices.SortStableFunc(r.rows, func(a, b Attribute) int { return cmp.Compare(a.hash, b.hash) })
	// the first stays: the catalogue's
	r.rows = slices.CompactFunc(r.rows, func(a, b Attribute) bool { return a.hash == b.hash })
	r.rows = slices.Clip(r.rows)
	r.index()
	r.pins = r.pinner.Pins()
	done := r.Attributes
	return &done
}

func (r *catalogueRead) weigh() {
	if !r.needs.weights {
		return
	}
	weights := slices.Grow(slices.Repeat([]plan.Weight{Unit}, r.ones), len(r.rows))
	for _, t := range r.rows {
		if t.Weight != Unit {
			weights = append(weights, t.Weight)
		}
	}
	slices.Sort(weights)
	if len(weights) > 0 {
		r.Median = weights[len(weights)/2]
	}
}

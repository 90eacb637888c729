package rebalancer

import (
	"cmp"
	"fmt"
	"hash/maphash"
	"math/bits"
	"reflect"
	"slices"
	"sync"
	"time"
	"unsafe"

	"github.com/shardscaler/shardscaler/adapter/observed"
	"github.com/shardscaler/shardscaler/internal/config"
	"github.com/shardscaler/shardscaler/internal/pins"
	"github.com/shardscaler/shardscaler/rebalancer/orders"
	"github.com/shardscaler/shardscaler/rebalancer/plan"
)

// spec says what of the catalogue's rows a kind needs beside their ids. A kind that is balanced by count and has no pins needs
// nothing, and nothing is kept for it.
type spec struct {
	weights bool
	pins    []pins.Rule
}

func specOf(o *orders.Orders) spec {
	return spec{weights: o.Balance == config.BalanceWeight, pins: o.Pins}
}

func (s spec) equal(o spec) bool {
	return s.weights == o.weights && (len(s.pins) == 0 && len(o.pins) == 0 || reflect.DeepEqual(s.pins, o.pins))
}

// byLabels says whether a pin looks at labels.
func (s spec) byLabels() bool {
	return slices.ContainsFunc(s.pins, func(p pins.Rule) bool { return p.Selector != nil })
}

// reads says whether only a read of the catalogue can tell.
func (s spec) reads() bool { return s.weights || s.byLabels() }

// trait is what the planner must know of one resource, by a hash of its id: 16 bytes, and no string that would keep a row alive. Two of
// 350,000 ids share a hash in one process in 300 million; the next process has another seed.
type trait struct {
	hash   uint64
	weight plan.Weight
	pin    plan.PinIndex
}

// unit is the weight of a resource for which the catalogue names none.
const unit plan.Weight = 1000

// traits is one complete read of the catalogue, reduced to a spec. It does not change any more.
type traits struct {
	spec spec
	at   time.Time // when the read began; zero: no read was needed
	seed maphash.Seed
	// rows are ascending by hash. Those that are as if the catalogue said nothing are left out. starts is where the rows begin whose hash
	// begins with the index's bits: hashes are even, so that a look-up reads a handful of neighbours.
	rows   []trait
	starts []int32
	// absent is the pin of a resource without labels, median the weight of one that the read could not see yet.
	absent plan.PinIndex
	median plan.Weight
	pins   []plan.Pin
	// unread are the hashes of rows that could not be read, and of which nothing was known before.
	unread map[uint64]bool
}

// of is what is known of an id; false: as much as of any other.
func (x *traits) of(hash uint64) (trait, bool) {
	k := x.bucket(hash)
	for _, t := range x.rows[x.starts[k]:x.starts[k+1]] {
		if t.hash == hash {
			return t, true
		}
	}
	return trait{weight: unit, pin: x.absent}, false
}

// lacks says whether nothing can be known of an id before its row is mended. What a pin names is known.
func (x *traits) lacks(hash uint64) bool {
	if !x.unread[hash] {
		return false
	}
	_, found := x.of(hash)
	return !found
}

// bucketSize is about how many rows begin with the same bits.
const bucketSize = 4

// bucket is the index in starts for a hash: its first bits.
func (x *traits) bucket(hash uint64) int {
	high, _ := bits.Mul64(hash, uint64(len(x.starts)-1))
	return int(high)
}

// index fills starts; the rows are in order.
func (x *traits) index() {
	x.starts = make([]int32, len(x.rows)/bucketSize+2)
	for _, t := range x.rows {
		x.starts[x.bucket(t.hash)+1]++
	}
	for k := 1; k < len(x.starts); k++ {
		x.starts[k] += x.starts[k-1]
	}
}

// reading collects a read that has begun.
type reading struct {
	traits
	pinner *plan.Pinner
	// before is the read in force, if it has the same spec.
	before *traits
	units  int // rows of weight 1
	// named are the ids that pins name, classes the pins of label sets by their address: rows share equal ones.
	named   map[string]bool
	classes map[unsafe.Pointer]class
}

// class is the pin of all resources with these labels. It keeps the labels, so that their address stays theirs.
type class struct {
	labels map[string]string
	pin    plan.PinIndex
}

// knownClasses is how many classes of one read are kept.
const knownClasses = 10_000

func newReading(s spec, seed maphash.Seed, at time.Time) *reading {
	pinner, err := plan.NewPinner(s.pins)
	if err != nil {
		panic(fmt.Sprintf("pins that were validated are refused: %v", err))
	}
	r := &reading{traits: traits{spec: s, at: at, seed: seed, median: unit}, pinner: pinner}
	r.absent = pinner.Pin("", nil, nil)
	r.named, r.classes = map[string]bool{}, map[unsafe.Pointer]class{}
	for _, p := range s.pins {
		for _, id := range p.IDs {
			r.named[id] = true
		}
	}
	return r
}

func (r *reading) add(row observed.ResourceKnown, hash uint64) {
	t := trait{hash: hash, weight: unit}
	if r.spec.weights {
		t.weight = plan.WeightOf(row.Weight)
	}
	if t.weight == unit {
		r.units++
	}
	if len(r.spec.pins) > 0 {
		t.pin = r.pin(row)
	}
	if t.weight != unit || t.pin != r.absent {
		r.rows = append(r.rows, t)
	}
}

// keep has the row say what it said in the read before; false: it said nothing of its own there.
func (r *reading) keep(hash uint64) bool {
	if r.before == nil {
		return false
	}
	t, found := r.before.of(hash)
	if !found {
		return false
	}
	if t.pin > 0 {
		t.pin = r.pinner.Keep(r.before.pins[t.pin-1])
	}
	if t.weight == unit {
		r.units++
	}
	r.rows = append(r.rows, t)
	return true
}

// lack notes a row of which nothing is known.
func (r *reading) lack(hash uint64) {
	if r.unread == nil {
		r.unread = map[uint64]bool{}
	}
	r.unread[hash] = true
}

// pin asks every rule once for each label set, not for each row.
func (r *reading) pin(row observed.ResourceKnown) plan.PinIndex {
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

// done is the read as a whole. Ids that a pin names and no row had are bound all the same.
func (r *reading) done() *traits {
	r.weigh()
	for _, p := range r.spec.pins {
		for _, id := range p.IDs {
			r.rows = append(r.rows, trait{hash: maphash.String(r.seed, id), weight: unit, pin: r.pinner.Pin(id, nil, nil)})
		}
	}
	slices.SortStableFunc(r.rows, func(a, b trait) int { return cmp.Compare(a.hash, b.hash) })
	r.rows = slices.CompactFunc(r.rows, func(a, b trait) bool { return a.hash == b.hash }) // the first stays: the catalogue's
	r.rows = slices.Clip(r.rows)
	r.index()
	r.pins = r.pinner.Pins()
	done := r.traits
	return &done
}

// weigh finds the median.
func (r *reading) weigh() {
	if !r.spec.weights {
		return
	}
	weights := make([]plan.Weight, 0, len(r.rows)+r.units)
	for _, t := range r.rows {
		if t.weight != unit {
			weights = append(weights, t.weight)
		}
	}
	for range r.units {
		weights = append(weights, unit)
	}
	slices.Sort(weights)
	if len(weights) > 0 {
		r.median = weights[len(weights)/2]
	}
}

// book keeps what is known of the resources' traits while this replica leads. Engine.mu guards it, save fresh.
type book struct {
	seed   maphash.Seed
	wanted spec
	// now is in force: the latest complete read, or, if pins name ids and nothing else, the pins alone. nil: nothing is known, or nothing
	// needed. After a change of the pins the former ones hold until a read under the new ones is complete.
	now     *traits
	reading *reading
	fresh   fresh
	// asked: a read was asked for and has not begun. After one that failed the catalogue tries again by itself, and is asked no more
	// until then.
	asked bool
	pause time.Time
}

// askPause is how long nobody asks for another read after one failed.
const askPause = 10 * time.Second

func newBook() book {
	return book{seed: maphash.MakeSeed()}
}

// want says what the orders need. Without a need for the catalogue it is in force at once.
func (b *book) want(s spec) {
	if s.equal(b.wanted) {
		return
	}
	b.wanted = s
	if !s.reads() {
		b.now, b.reading = nil, nil
		b.fresh.clear()
		if len(s.pins) > 0 {
			b.now = newReading(s, b.seed, time.Time{}).done()
		}
	}
}

// lacks says whether a read is needed to know what is wanted.
func (b *book) lacks() bool {
	return b.wanted.reads() && (b.now == nil || !b.now.spec.equal(b.wanted))
}

// ask says whether somebody should ask for a read now.
func (b *book) ask(now time.Time) bool {
	if b.asked || b.reading != nil || now.Before(b.pause) {
		return false
	}
	b.asked = true
	return true
}

// begin starts a read. A row that is written later may be missing in it.
func (b *book) begin(now time.Time) {
	b.asked, b.reading = false, nil
	if b.wanted.reads() {
		b.reading = newReading(b.wanted, b.seed, now)
		if !b.lacks() {
			b.reading.before = b.now
		}
		b.fresh.begin()
	}
}

func (b *book) abort(now time.Time) {
	b.asked, b.reading, b.pause = false, nil, now.Add(askPause)
}

func (b *book) row(r observed.ResourceKnown) {
	if b.reading == nil {
		return
	}
	hash := maphash.String(b.seed, r.ID)
	created := b.fresh.has(hash) // by a message: what was known may be of another one with this id
	b.fresh.seen(hash)
	switch {
	case !r.Unread:
		b.reading.add(r, hash)
	case created || !b.reading.keep(hash):
		b.reading.lack(hash)
	}
}

// end puts a complete read, which r has collected, into force, unless the orders want it no more.
func (b *book) end(r *reading, read *traits) {
	if r != nil && b.reading == r {
		b.now, b.reading, b.pause = read, nil, time.Time{}
		b.fresh.end()
	}
}

// created notes a resource of which only a message has spoken.
func (b *book) created(id string) {
	if b.wanted.reads() {
		b.fresh.add(maphash.String(b.seed, id))
	}
}

// forget all that a leader knew.
func (b *book) forget() {
	b.now, b.reading, b.asked, b.pause, b.wanted = nil, nil, false, time.Time{}, spec{}
	b.fresh.clear()
}

// fresh are the resources, by hash, that were created by a message after the last complete read began: the catalogue has a word of them
// that we have not heard yet.
type fresh struct {
	mu sync.RWMutex
	// old are those from before the read under way began, young those since.
	old, young map[uint64]struct{}
}

func (f *fresh) add(hash uint64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.young == nil {
		f.young = map[uint64]struct{}{}
	}
	f.young[hash] = struct{}{}
}

// begin: the read that begins will see all that there are.
func (f *fresh) begin() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.old == nil {
		f.old, f.young = f.young, nil
		return
	}
	for hash := range f.young {
		f.old[hash] = struct{}{}
	}
	f.young = nil
}

// seen: the read under way had this one.
func (f *fresh) seen(hash uint64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.young, hash)
}

func (f *fresh) end() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.old = nil
}

func (f *fresh) clear() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.old, f.young = nil, nil
}

func (f *fresh) has(hash uint64) bool {
	f.mu.RLock()
	defer f.mu.RUnlock()
	_, old := f.old[hash]
	_, young := f.young[hash]
	return old || young
}

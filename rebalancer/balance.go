package rebalancer

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/shardscaler/shardscaler/adapter/observed"
	"github.com/shardscaler/shardscaler/internal/config"
	"github.com/shardscaler/shardscaler/internal/exact"
	"github.com/shardscaler/shardscaler/rebalancer/inventory"
	"github.com/shardscaler/shardscaler/rebalancer/plan"
	"github.com/shardscaler/shardscaler/rebalancer/protocol"
	"github.com/shardscaler/shardscaler/rebalancer/wave"
)

// listing is one list as the planner sees it. It is kept until its ids or the traits change: a plan
// costs what changed, not a look-up a resource.
type listing struct {
	ids  protocol.IDs
	of   *inventory.Attributes
	list plan.List
	// weight is the sum, in thousandths; misplaced counts those whose pin forbids where they are.
	weight    int64
	misplaced int
}

// listed is the list of an instance. Without traits it costs nothing.
func (t *term) listed(n int, in *protocol.Instance) *listing {
	if t.traits == nil {
		t.lists = nil
		return &listing{ids: in.IDs, list: plan.List{IDs: in.IDs.Strings()}}
	}
	if l := t.lists[n]; l != nil && l.of == t.traits && l.ids.Is(in.IDs) {
		return l
	}
	if t.lists == nil {
		t.lists = map[int]*listing{}
	}
	maps.DeleteFunc(t.lists, func(n int, _ *listing) bool { return t.st.Instances[n] == nil })
	l := &listing{ids: in.IDs, of: t.traits, list: plan.List{IDs: in.IDs.Strings()}}
	w := plan.World{Pins: t.traits.Pins(), Instances: []plan.Instance{{Ordinal: n}}}
	for i, id := range in.IDs.All() {
		tr, _, _ := t.trait(id)
		l.add(i, tr)
		l.weight += int64(tr.Weight)
		if !w.Allows(tr.Pin, 0) {
			l.misplaced++
		}
	}
	t.lists[n] = l
	return l
}

// add notes the traits of the i-th id. What is alike for all of them takes no memory.
func (l *listing) add(i int, tr inventory.Attribute) {
	if l.list.Weights == nil && tr.Weight != inventory.Unit {
		l.list.Weights = make([]plan.Weight, i, l.ids.Len())
		for k := range i {
			l.list.Weights[k] = inventory.Unit
		}
	}
	if l.list.Weights != nil {
		l.list.Weights = append(l.list.Weights, tr.Weight)
	}
	if l.list.Pins == nil && tr.Pin != 0 {
		l.list.Pins = make([]plan.PinIndex, i, l.ids.Len())
	}
	if l.list.Pins != nil {
		l.list.Pins = append(l.list.Pins, tr.Pin)
	}
}

// trait is what is known of an id; unheard says that the catalogue has a word of it that has not
// been read yet, unread that its row cannot be read. It then weighs the median. No pin forbids what
// is unread to be where it is.
func (t *term) trait(id string) (tr inventory.Attribute, unheard, unread bool) {
	hash := t.traits.Hash(id)
	tr, found := t.traits.Of(hash)
	if found {
		return tr, false, false
	}
	unheard, unread = t.e.inventory.Writer.NotYetRead(hash), t.traits.Unreadable(hash)
	if unread {
		tr.Pin = 0
	}
	if (unheard || unread) && t.traits.Weighed() {
		tr.Weight = t.traits.Median()
	}
	return tr, unheard, unread
}

// poolList is the pool. Where pins go by labels, what waits is that of which the catalogue has not
// told the labels yet, or in a way that cannot be read.
func (t *term) poolList(pool []string) plan.List {
	l := listing{ids: protocol.NewIDs(pool), list: plan.List{IDs: pool}}
	if t.traits == nil {
		return l.list
	}
	waits := t.traits.Labelled()
	for i, id := range pool {
		tr, unheard, unread := t.trait(id)
		switch {
		case waits && unheard:
			tr.Pin = t.unheard()
		case waits && unread:
			tr.Pin = t.unheard() + 1
		}
		l.add(i, tr)
	}
	return l.list
}

// unheard is the pin of what waits for its labels: one that no ordinal satisfies, after all others.
// The next one is that of what has labels that cannot be read.
func (t *term) unheard() plan.PinIndex { return plan.PinIndex(len(t.traits.Pins()) + 1) }

// The reasons of what waits for its labels, among the planner's own.
const (
	whyUnlabelled = "labels-unknown"
	whyUnreadable = "labels-unreadable"
)

// pins are those of the planner's world.
func (t *term) pins() []plan.Pin {
	if !t.pinned() {
		return nil
	}
	pins := t.traits.Pins()
	return append(slices.Clip(pins), plan.Pin{Name: whyUnlabelled}, plan.Pin{Name: whyUnreadable})
}

// pinned says whether any resource may be bound to ordinals.
func (t *term) pinned() bool { return t.traits.Pinned() }

// stuck says that nothing of what is to leave or to be placed can go anywhere, because of pins: no
// reason to hold up the others.
func (t *term) stuck() bool { return t.pinned() && t.full.shape == t.shape() }

// misplaced says whether anything sits where its pin forbids and may be taken from there.
func (t *term) misplaced() bool {
	if !t.pinned() {
		return false
	}
	for n, in := range t.st.Instances {
		if t.listed(n, in).misplaced > 0 && t.keeps(n) == "" {
			return true
		}
	}
	return false
}

// expels says whether all of a donation sit where their pins forbid: they leave although their
// donor stays.
func (t *term) expels(d wave.SourceMoves) bool {
	in := t.st.Instances[d.From]
	if in == nil || !t.pinned() || t.listed(d.From, in).misplaced == 0 {
		return false
	}
	w := plan.World{Pins: t.traits.Pins(), Instances: []plan.Instance{{Ordinal: d.From}}}
	return !slices.ContainsFunc(d.IDs, func(id string) bool {
		tr, _, _ := t.trait(id)
		return w.Allows(tr.Pin, 0)
	})
}

// waiting is the pool where some of it may need others to make room; else nil: spreading has
// nothing to do with the pool.
func (t *term) waiting() []string {
	if !t.pinned() {
		return nil
	}
	pool := poolOf(t.st)
	return pool.ids
}

// reservedWeight is what is in flight to each ordinal, in thousandths; by count nobody asks.
func (t *term) reservedWeight() map[int]int64 {
	if !t.weighed() {
		return nil
	}
	reserved := map[int]int64{}
	for _, f := range t.st.Flight {
		for i, id := range f.IDs.All() {
			if to := f.Target(i); to >= 0 {
				tr, _, _ := t.trait(id)
				reserved[to] += int64(tr.Weight)
			}
		}
	}
	return reserved
}

// weighed says whether weights are known.
func (t *term) weighed() bool { return t.traits.Weighed() }

// unlabelled says why nothing at all may be placed; "" when it may. A pin is a promise: what may be
// bound goes nowhere by guess.
func (t *term) unlabelled() string {
	if needs := inventory.NeedsOf(&t.orders); needs.ByLabels() && !t.traits.Labelled() {
		t.e.reread()
		return "pins go by labels, and the catalogue's labels have not been read yet"
	}
	return ""
}

// unweighed says why nothing may be spread; "" when it may.
func (t *term) unweighed(now time.Time) string {
	if why := t.unlabelled(); why != "" || t.orders.Balance != config.BalanceWeight {
		return why
	}
	if !t.weighed() {
		t.e.reread()
		return "the catalogue's weights have not been read yet"
	}
	if age, limit := now.Sub(t.traits.ReadAt()), t.orders.CatalogueMaxAge; limit > 0 && age > limit {
		return fmt.Sprintf("the catalogue's weights are %s old", age.Round(time.Second))
	}
	return ""
}

// options are how the planner balances this kind.
func (t *term) options(r plan.Regime, budget int) plan.Options {
	o := plan.Options{Regime: r, Budget: budget}
	if t.orders.Balance == config.BalanceWeight {
		o.Balance = plan.ByWeight
		if b := t.orders.Limits.Band; b != nil {
			o.Enter, o.Leave = b.Enter, b.Leave
		}
	}
	return o
}

// churn bounds the moves of one plan; negative: any number.
func (t *term) churn(room int) int {
	if most := t.orders.Limits.MovesPerPlan; most > 0 && (room < 0 || most < room) {
		return most
	}
	return room
}

// question is all that the answer of a periodic plan depends on.
type question struct {
	shape shape
	asked bool
	due   bool
	room  int
	by    config.Balance
	band  config.Band
	// passing are the ordinals that may soon leave.
	passing string
}

func (t *term) question(room int) question {
	q := question{shape: t.shape(), asked: true, due: t.spread.due, room: room, by: t.orders.Balance, passing: fmt.Sprint(t.orders.MayLeave)}
	if b := t.orders.Limits.Band; b != nil {
		q.band = *b
	}
	return q
}

// shownParked is how many groups of parked resources are shown.
const shownParked = 100

// park notes what a plan found no place for; nil: nothing waits.
func (t *term) park(p *plan.Plan) {
	if p == nil && t.parked == nil {
		return
	}
	t.parked = nil
	t.e.m.parked.Reset()
	if p == nil || len(p.Refused) == 0 {
		return
	}
	var whys []string
	sums := map[string]int{}
	for _, g := range p.RefusedGroups() {
		switch g.Pin {
		case whyUnlabelled:
			g.Why, g.Pin, g.Meaning = whyUnlabelled, "", "the catalogue has not told its labels yet, and pins go by labels"
			t.e.reread()
		case whyUnreadable:
			g.Why, g.Pin, g.Meaning = whyUnreadable, "", "the catalogue's row has a weight or labels that cannot be read, and pins go by labels"
		}
		t.e.m.parked.WithLabelValues(g.Why).Add(float64(g.Count))
		if len(t.parked) < shownParked {
			t.parked = append(t.parked, g)
		}
		why := g.Why
		if g.Pin != "" {
			why += " (" + g.Pin + ")"
		}
		if sums[why] == 0 {
			whys = append(whys, why)
		}
		sums[why] += g.Count
	}
	for i, why := range whys {
		whys[i] = fmt.Sprintf("%d %s", sums[why], why)
	}
	t.block(fmt.Sprintf("%d resources have no place: %s", len(p.Refused), strings.Join(whys[:min(len(whys), 5)], ", ")))
}

// account is what the leader says of the weights, for every replica to read: only the leader reads
// the catalogue.
type account struct {
	V        int       `json:"v"`
	At       time.Time `json:"at,omitzero"`
	ByWeight bool      `json:"byWeight"`
	// Total and Lists are there when the weights have been read: Lists is nil until then.
	Total float64         `json:"total,omitempty"`
	Lists map[int]float64 `json:"lists,omitempty"`
	// LeftOut are the ordinals that Lists lacks because there are more than accountLists.
	LeftOut int `json:"leftOut,omitempty"`
}

// encode writes the account: of more than accountLists ordinals the least.
func (a account) encode() ([]byte, error) {
	if ns := ordinals(a.Lists); len(ns) > accountLists {
		a.LeftOut = len(ns) - accountLists
		all := a.Lists
		a.Lists = make(map[int]float64, accountLists)
		for _, n := range ns[:accountLists] {
			a.Lists[n] = all[n]
		}
	}
	data, err := json.Marshal(a)
	if err != nil {
		return nil, fmt.Errorf("encode the account of weights: %w", err)
	}
	return data, nil
}

const (
	// accountName is the document in which the account is kept.
	accountName    = "weights"
	accountVersion = 1
	// accountEvery is the least time between two accounts, accountAgain the time after which the
	// same is said again.
	accountEvery = 5 * time.Second
	accountAgain = observed.WeightsMaxAge / 3
	// accountLists is how many lists it tells of: each takes at most about 40 bytes of
	// protocol.MaxDocBytes.
	accountLists = 5000
)

// account keeps an account of the weights, for kinds that are balanced by weight or were so.
func (t *term) account(context.Context) (bool, error) {
	now := t.now
	if t.idle != "" || now.Sub(t.accounted.At) < accountEvery {
		return false, nil
	}
	byWeight := t.orders.Balance == config.BalanceWeight
	if last, ok := accountOf(t.st); !byWeight && (!ok || !last.ByWeight) {
		return false, nil
	}
	a := account{V: accountVersion, At: now, ByWeight: byWeight}
	if byWeight && t.weighed() {
		a.Total, a.Lists = t.weigh()
	}
	if a.equal(t.accounted) && now.Sub(t.accounted.At) < accountAgain {
		return false, nil
	}
	data, err := a.encode()
	if err != nil {
		return false, err
	}
	t.accounted = a
	t.keepAlso(accountName, data)
	return true, nil
}

func (a account) equal(b account) bool {
	return a.ByWeight == b.ByWeight && a.Total == b.Total && maps.Equal(a.Lists, b.Lists)
}

// weigh is what everything weighs, and each list.
func (t *term) weigh() (total float64, lists map[int]float64) {
	lists = make(map[int]float64, len(t.st.Instances))
	var sum int64
	for n, in := range t.st.Instances {
		w := t.listed(n, in).weight
		lists[n] = float64(w) / 1000
		sum += w
	}
	for _, p := range t.st.Pool {
		sum += t.weightOf(p.IDs)
	}
	for _, f := range t.st.Flight {
		sum += t.weightOf(f.IDs)
	}
	return float64(sum) / 1000, lists
}

func (t *term) weightOf(ids protocol.IDs) (sum int64) {
	for _, id := range ids.All() {
		tr, _, _ := t.trait(id)
		sum += int64(tr.Weight)
	}
	return sum
}

// accountOf is the account that ZooKeeper holds; false: there is none that can be read.
func accountOf(st *protocol.State) (a account, ok bool) {
	doc := st.Kept[accountName]
	if doc == nil || exact.JSON(doc.Data, &a) != nil || a.V != accountVersion {
		return account{}, false
	}
	return a, true
}

// weightsOf is what every replica tells of the weights, from the leader's account; nil: the kind is
// balanced by count. lists get theirs.
func weightsOf(st *protocol.State, lists map[int]observed.List) *observed.Weights {
	a, _ := accountOf(st)
	if !a.ByWeight {
		return nil
	}
	if a.Lists == nil {
		return &observed.Weights{}
	}
	for n, w := range a.Lists {
		if l, ok := lists[n]; ok {
			l.Weight = &w
			lists[n] = l
		}
	}
	return &observed.Weights{At: a.At, Total: a.Total}
}

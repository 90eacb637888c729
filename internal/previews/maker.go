package previews

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/shardscaler/shardscaler/internal/config"
	"github.com/shardscaler/shardscaler/internal/ops"
	"github.com/shardscaler/shardscaler/rebalancer/orders"
	"github.com/shardscaler/shardscaler/rebalancer/steps"
	"github.com/shardscaler/shardscaler/scaler/decide"
)

// ErrBusy says that as many previews of the kind as are made at once are being made.
var ErrBusy = errors.New("previews of this kind are being made: ask again in a moment")

const (
	// atOnce is how many previews of a kind are made at once; a caller waits for its turn for that
	// long at most.
	atOnce  = 2
	waiting = 10 * time.Second
)

// Leader is the kind as its leader knows it now.
type Leader interface {
	// Standing is the kind in the ConfigMap, and what persons have put over it that counts.
	Standing() (base config.Kind, over ops.Over, err error)
	// Orders are the decision and the orders that would be by such a configuration.
	Orders(k config.Kind, operator config.Operator) (decide.Decision, orders.Orders, error)
	Head() (orders.Head, bool)
	Lookup(id string) (ordinal int, ok bool)
	Changed() map[int]orders.Changes
	// Preview plans by orders and does nothing; asked: also where no spread is due.
	Preview(o orders.Orders, asked bool) (*steps.Preview, error)
	// Hindrance is why nothing could be begun now, whatever it is; "": it could.
	Hindrance() string
}

// Maker makes and keeps the previews of one kind.
type Maker struct {
	Store
	turns chan struct{}
}

// NewMaker returns a Maker that keeps nothing yet.
func NewMaker() *Maker { return &Maker{turns: make(chan struct{}, atOnce)} }

// Enter waits for a turn to make a preview; leave ends it. ErrBusy, or the error of ctx.
func (m *Maker) Enter(ctx context.Context) (leave func(), err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, waiting, ErrBusy)
	defer cancel()
	select {
	case m.turns <- struct{}{}:
		return func() { <-m.turns }, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// put is what a change makes of what stands.
type put func(was ops.Over) (ops.Over, error)

// Preview says what a change would do, and keeps that it was said. put makes of what stands what
// would stand then.
func (m *Maker) Preview(l Leader, c ops.Change, put put, now time.Time) (ops.Plan, error) {
	changed := l.Changed() // before the State, which may be newer
	b, base, over, err := basisOf(l, c)
	if err != nil {
		return ops.Plan{}, err
	}
	next, err := put(over)
	if err != nil {
		return ops.Plan{}, err
	}
	k, next := next.Standing(base, now)
	d, o, err := l.Orders(k, next.Operator)
	if err != nil {
		return ops.Plan{}, err
	}
	p, err := l.Preview(o, c == ops.Change{})
	if err != nil {
		return ops.Plan{}, err
	}
	b.Lists = Counted(Sources(p.First, p.Then), changed)
	kept := m.Keep(b, p.Voluntary() > 0, now)
	return document(kept, p, &d, &o, refusal(l, p.Refused, k.Rebalance.Paused, kept.Voluntary)), nil
}

// refusal is why a plan would not be applied now; "": it would.
func refusal(l Leader, refused string, paused, voluntary bool) string {
	switch {
	case refused != "":
		return refused
	case paused && voluntary:
		return "voluntary moves are paused: resume them first"
	}
	return l.Hindrance()
}

// Refused says why a plan may not be applied now, as Preview does.
func Refused(l Leader, p *Plan, put put, now time.Time) error {
	base, over, err := l.Standing()
	if err != nil {
		return err
	}
	next, err := put(over)
	if err != nil {
		return err
	}
	k, next := next.Standing(base, now)
	_, o, err := l.Orders(k, next.Operator)
	if err != nil {
		return err
	}
	if why := refusal(l, o.Refusal(now), k.Rebalance.Paused, p.Voluntary); why != "" {
		return fmt.Errorf("%w: %s", ErrRefused, why)
	}
	return nil
}

// Guarded is an update that is made only on the plan's basis. The goroutine that writes calls it:
// no transaction comes between the comparison and the update, and one that another process sends
// meanwhile makes both void.
func Guarded(l Leader, p *Plan, update orders.Update) orders.Update {
	var made []byte
	return func(old []byte) ([]byte, error) {
		if made != nil && string(old) == string(made) { // the answer was lost: it is done
			return made, nil
		}
		if err := p.Unchanged(l); err != nil {
			return nil, err
		}
		fresh, err := update(old)
		made = fresh
		return fresh, err
	}
}

// Unchanged takes the basis anew and compares it: ErrChanged.
func (p *Plan) Unchanged(l Leader) error {
	changed := l.Changed()
	b, _, _, err := basisOf(l, p.Basis.Change)
	if err != nil {
		return err
	}
	b.Lists = Counted(p.Basis.Sources(), changed)
	return p.Check(&b)
}

// basisOf is what a plan for the change rests on now, but for lists; and what stands.
func basisOf(l Leader, c ops.Change) (b Basis, base config.Kind, over ops.Over, err error) {
	head, read := l.Head()
	if !read {
		return b, base, over, orders.ErrNotLeading
	}
	if base, over, err = l.Standing(); err != nil {
		return b, base, over, err
	}
	b = Basis{Kind: base.Name, Epoch: head.Epoch, Open: head.Open, Config: versionOf(&base), Overrides: over.Version(), Change: c}
	id := c.Unpin
	for _, r := range []*ops.PinRequest{c.Pin, c.Move} {
		if r != nil {
			id = r.Resource
		}
	}
	if id != "" {
		b.Place.Resource = id
		b.Place.Ordinal, b.Place.Known = l.Lookup(id)
	}
	return b, base, over, nil
}

// versionOf is the version of a kind's configuration: two that are equal have the same.
func versionOf(k *config.Kind) string {
	data, _ := json.Marshal(k) // it can be encoded
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:8])
}

// document is the plan as it is shown.
func document(kept Plan, p *steps.Preview, d *decide.Decision, o *orders.Orders, refused string) ops.Plan {
	doc := ops.Plan{
		ID: kept.ID, Change: kept.Basis.Change, Made: kept.Made.UTC(), Expires: kept.Expires.UTC(),
		Description: *p.First.Describe(), Waits: p.Waits, Refused: refused,
	}
	if p.Waits == "" && d.DrainWait != nil {
		doc.Waits = d.DrainWait.String()
	}
	if p.Then != nil {
		doc.Then = p.Then.Describe()
	}
	if takes := p.Takes(o); takes > 0 {
		doc.Takes = config.Duration(takes).String()
	}
	if d.Blind == "" && (kept.Basis.Change.Size != nil || d.Desired != *d.Current) {
		doc.Size = &ops.SizeChange{Before: *d.Current, After: d.Desired, Why: d.Summary}
	}
	return doc
}

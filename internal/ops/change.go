package ops

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/shardscaler/shardscaler/adapter/observed"
	"github.com/shardscaler/shardscaler/internal/config"
	"github.com/shardscaler/shardscaler/scaler/decide"
)

// ErrNothingToEnd says that what a Change is to end is not there.
var ErrNothingToEnd = errors.New("nothing to end")

// Over is all that persons have put over a kind's configuration: the two documents that are kept.
type Over struct {
	Override config.Override
	Operator config.Operator
}

// Ground is what a change is checked against. Nothing in it is changed.
type Ground struct {
	// Base is the kind in the ConfigMap, Ceiling its maxInstancesCeiling.
	Base    config.Kind
	Ceiling int
	// Observed is as last seen.
	Observed *observed.Kind
	// At says where a resource is, -1: in the pool or in flight; false: there is none of that id.
	At func(id string) (ordinal int, known bool)
	// Binds says which rules of the configuration bind a resource, and to which ordinals; "": none.
	Binds func(id string) (rules string, ordinals []int)
}

// Standing is what of o counts at that time, and the configuration under it.
func (o Over) Standing(base config.Kind, now time.Time) (config.Kind, Over) {
	k, override := o.Override.Apply(base, now)
	return k, Over{Override: override, Operator: o.Operator.Standing(now)}
}

// List is what o has put over the configuration: values, then drains, then pins.
func (o Over) List() []Override {
	all := []Override{}
	if s := o.Operator.Size; s != nil {
		all = append(all, Override{What: "size", Value: &s.Value, Said: s.Said})
	}
	if v := o.Override.MaxInstances; v != nil {
		all = append(all, Override{What: "maxInstances", Value: &v.Value, Said: v.Said})
	}
	if v := o.Override.ResourcePerInstance; v != nil {
		all = append(all, Override{What: "resourcePerInstance", Value: &v.Value, Said: v.Said})
	}
	if v := o.Override.Paused; v != nil {
		all = append(all, Override{What: "paused", Paused: &v.Value, Said: v.Said})
	}
	for _, d := range o.Operator.Drains {
		all = append(all, Override{What: "drain", Instance: &d.Ordinal, Said: d.Said})
	}
	for _, p := range o.Operator.Pins {
		what := "pin"
		if p.Move {
			what = "move"
		}
		all = append(all, Override{What: what, Resource: p.Resource, Instance: &p.Ordinal, Said: p.Said})
	}
	return all
}

// Version is the strong ETag of what stands, without quotes: two that are equal have the same.
func (o Over) Version() string {
	data, _ := json.Marshal(o.List()) // it can be encoded
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:8])
}

// Matches says whether a header If-Match, which may be empty, allows to change what has that
// version.
func Matches(ifMatch, version string) bool {
	if ifMatch == "" {
		return true
	}
	for tag := range strings.SplitSeq(ifMatch, ",") {
		if tag = strings.TrimSpace(tag); tag == "*" || tag == `"`+version+`"` {
			return true
		}
	}
	return false
}

// Text is what stands, for people: "size 12 by ann until 2026-03-01T12:00:00Z; drain 3 by bob";
// none of it is "nothing".
func (o Over) Text() string {
	var all []string
	for _, v := range o.List() {
		all = append(all, v.String())
	}
	return cmp.Or(strings.Join(all, "; "), "nothing")
}

// String is what it is, for people.
func (v Override) String() string {
	text := v.What
	switch {
	case v.Resource != "":
		text = fmt.Sprintf("%s %q to %d", v.What, v.Resource, *v.Instance)
	case v.Instance != nil:
		text = fmt.Sprintf("%s %d", v.What, *v.Instance)
	case v.Value != nil:
		text = fmt.Sprintf("%s %d", v.What, *v.Value)
	case v.Paused != nil:
		text = fmt.Sprintf("%s %t", v.What, *v.Paused)
	}
	if v.By != "" {
		text += " by " + v.By
	}
	if !v.Until.IsZero() {
		text += " until " + decide.Stamp(v.Until)
	}
	return text
}

// ForOperator says whether a change is one of Over.Operator; else it is one of Over.Override.
func (c *Change) ForOperator() bool {
	return c.MaxInstances == nil && c.Capacity == nil && c.Paused == nil
}

// Put is what o becomes by a change that by asks for now; what does not count any more is left out.
// An empty change changes nothing. An error names field, value and bound, or wraps ErrNothingToEnd.
func (c *Change) Put(o Over, g *Ground, by string, now time.Time) (Over, error) {
	if err := c.check(); err != nil {
		return Over{}, err
	}
	var long time.Duration
	var err error
	if c.For != "" {
		if long, err = ParseFor(c.For); err != nil {
			return Over{}, err
		}
	}
	said := config.Saying(by, now, long)
	k, o := o.Standing(g.Base, now)
	switch {
	case c.MaxInstances != nil || c.Capacity != nil:
		o.Override, err = o.Override.Set(&g.Base, g.Ceiling, c.MaxInstances, c.Capacity, said)
	case c.Paused != nil:
		o.Override = o.Override.SetPaused(&g.Base, *c.Paused, said)
	case c.Size != nil:
		o.Operator, err = c.size(o.Operator, &k, g, said)
	case c.EndSize && o.Operator.Size == nil:
		err = fmt.Errorf("%w: no size is set", ErrNothingToEnd)
	case c.EndSize:
		o.Operator.Size = nil
	case c.Drain != nil:
		o.Operator, err = c.drain(o.Operator, &k, g, said)
	case c.Undrain != nil && o.Operator.Drain(*c.Undrain) == nil:
		err = fmt.Errorf("%w: instance %d is not drained by a person", ErrNothingToEnd, *c.Undrain)
	case c.Undrain != nil:
		o.Operator = o.Operator.WithoutDrain(*c.Undrain)
	case c.Pin != nil:
		o.Operator, err = c.Pin.put(o.Operator, g, said, false)
	case c.Move != nil:
		o.Operator, err = c.Move.put(o.Operator, g, said, true)
	case c.Unpin != "" && o.Operator.Pin(c.Unpin) == nil:
		err = fmt.Errorf("%w: resource %q is not pinned by a person", ErrNothingToEnd, c.Unpin)
	case c.Unpin != "":
		o.Operator = o.Operator.WithoutPin(c.Unpin)
	}
	return o, err
}

// check says what makes no sense whatever there is.
func (c *Change) check() error {
	var set []string
	for name, is := range map[string]bool{
		"size": c.Size != nil, "endSize": c.EndSize, "drain": c.Drain != nil, "undrain": c.Undrain != nil,
		"capacity or maxInstances": c.Capacity != nil || c.MaxInstances != nil, "paused": c.Paused != nil,
		"pin": c.Pin != nil, "move": c.Move != nil, "unpin": c.Unpin != "",
	} {
		if is {
			set = append(set, name)
		}
	}
	if len(set) > 1 {
		return fmt.Errorf("a change has one member, this one has %d: %s", len(set), strings.Join(slices.Sorted(slices.Values(set)), ", "))
	}
	ends := c.EndSize || c.Undrain != nil || c.Unpin != "" || c.Paused != nil && !*c.Paused
	if c.For != "" && (ends || len(set) == 0) {
		return fmt.Errorf("for: %q: what ends something, or changes nothing, has no duration", c.For)
	}
	return nil
}

// Bounds of For.
const (
	MinFor = time.Second
	MaxFor = 365 * 24 * time.Hour
)

// ParseFor reads how long something is to count.
func ParseFor(text string) (time.Duration, error) {
	long, err := time.ParseDuration(text)
	if err != nil {
		return 0, fmt.Errorf("for: %q: must be a duration such as 2h or 90m", text)
	}
	if long < MinFor || long > MaxFor {
		return 0, fmt.Errorf("for: %q: must be between %s and %s", text, config.Duration(MinFor), config.Duration(MaxFor))
	}
	return long, nil
}

func (c *Change) size(o config.Operator, k *config.Kind, g *Ground, said Said) (config.Operator, error) {
	o, err := o.WithSize(k, *c.Size, said)
	if err != nil {
		return o, err
	}
	if why := noRoom(o, k, g); why != "" {
		return o, fmt.Errorf("size: %d: %s", *c.Size, why)
	}
	return o, nil
}

func (c *Change) drain(o config.Operator, k *config.Kind, g *Ground, said Said) (config.Operator, error) {
	n, w := *c.Drain, g.Observed.Workload
	if w == nil {
		return o, fmt.Errorf("instance: %d: StatefulSet %s is not known", n, k.StatefulSet)
	}
	if !w.Has(n) {
		return o, fmt.Errorf("instance: %d: must be one of the instances there are, %d to %d", n, w.Start, w.Start+w.Replicas-1)
	}
	for _, p := range o.Pins {
		if p.Ordinal == n {
			return o, fmt.Errorf("instance: %d: resource %q is pinned to it by %s: end that first", n, p.Resource, p.By)
		}
	}
	o = o.WithDrain(n, said)
	if why := noRoom(o, k, g); why != "" {
		return o, fmt.Errorf("instance: %d: %s", n, why)
	}
	return o, nil
}

// noRoom says why the instances that are not drained could not hold all resources, however many of
// them shardscaler may make; "" when they can.
func noRoom(o config.Operator, k *config.Kind, g *Ground) string {
	w := g.Observed.Workload
	if w == nil {
		return fmt.Sprintf("StatefulSet %s is not known", k.StatefulSet)
	}
	most := k.Max
	switch {
	case o.Size != nil:
		most = o.Size.Value
	case k.Replicas.Owner == config.OwnerHPA || k.Replicas.Mode == config.ModeRecommend:
		most = w.Replicas
	}
	drained := o.DrainedWithin(w.Start, most)
	resources, room := g.Observed.Resources(), (most-drained)*k.Capacity
	if most-drained < 1 || resources > room {
		return fmt.Sprintf("of at most %d instances %d are drained: the other %d have room for %d resources of capacity %d each, and there are %d",
			most, drained, most-drained, room, k.Capacity, resources)
	}
	return ""
}

// put adds a pin, or a move.
func (p *PinRequest) put(o config.Operator, g *Ground, said Said, move bool) (config.Operator, error) {
	_, known := g.At(p.Resource)
	switch rules, ordinals := g.Binds(p.Resource); {
	case !known:
		return o, fmt.Errorf("resource: %q: there is no such resource", p.Resource)
	case rules != "" && !slices.Contains(ordinals, p.Instance):
		return o, fmt.Errorf("instance: %d: the configuration's pin %s binds %q to %v", p.Instance, rules, p.Resource, ordinals)
	case o.Drain(p.Instance) != nil:
		return o, fmt.Errorf("instance: %d: it is drained by %s", p.Instance, o.Drain(p.Instance).By)
	case !slices.Contains(g.Observed.Open, p.Instance):
		return o, fmt.Errorf("instance: %d: it is not open; open are %v", p.Instance, g.Observed.Open)
	}
	return o.WithPin(config.OperatorPin{Resource: p.Resource, Ordinal: p.Instance, Move: move, Said: said})
}

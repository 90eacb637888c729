package ops

import (
	"cmp"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// DefaultPage is how many a page has where no limit is asked for.
const DefaultPage = 100

// Sorts are what instances are ordered by.
var Sorts = []string{"ordinal", "count", "lag", "cpu", "memory"}

// Query picks and orders instances.
type Query struct {
	// State, Health and Node pick those that have one of the values; empty: any.
	State, Health []string
	Node          string
	// Name picks the instance that has it as its ordinal, its pod or the pod that it is to have, and
	// those on the node of that name; "": any.
	Name string
	// Sort is one of Sorts; with a minus before it, the largest come first. What is not known comes
	// last. "": ordinal.
	Sort string
	// Limit is how many are returned at most, 0: DefaultPage; Continue is that of the page before.
	Limit    int
	Continue string
}

// ErrContinue says that a continue value is not one of this list.
var ErrContinue = errors.New("must be the continue of the page before, with the same sort")

// cursor is where a page ended: the value and the ordinal of its last instance.
type cursor struct {
	Sort    string   `json:"s,omitempty"`
	Value   *float64 `json:"v,omitempty"`
	Ordinal int      `json:"o"`
}

// Page is the part of all that q asks for. It fails with ErrContinue alone.
func Page(all []Instance, q Query) (InstanceList, error) {
	out := InstanceList{All: len(all), Items: []Instance{}}
	last, err := readCursor(q)
	if err != nil {
		return out, err
	}
	picked := slices.DeleteFunc(slices.Clone(all), func(i Instance) bool { return !q.picks(&i) })
	out.Total = len(picked)
	order := q.order()
	slices.SortFunc(picked, func(a, b Instance) int { return order(q.cursor(&a), q.cursor(&b)) })
	if last != nil {
		picked = slices.DeleteFunc(picked, func(i Instance) bool { return order(q.cursor(&i), *last) <= 0 })
	}
	limit := cmp.Or(q.Limit, DefaultPage)
	if len(picked) > limit {
		picked = picked[:limit]
		out.Continue = q.cursor(&picked[limit-1]).String()
	}
	out.Items = append(out.Items, picked...)
	return out, nil
}

func (q *Query) picks(i *Instance) bool {
	return (len(q.State) == 0 || slices.Contains(q.State, i.State)) &&
		(len(q.Health) == 0 || slices.Contains(q.Health, i.Health.Condition)) &&
		(q.Node == "" || q.Node == i.Node) &&
		(q.Name == "" || i.named(q.Name))
}

func (i *Instance) named(name string) bool {
	ordinal := strconv.Itoa(i.Ordinal)
	return name == ordinal || name == i.Pod || name == i.Node || name == i.StatefulSet+"-"+ordinal
}

// order compares by value, what has none last, and by ordinal where that is alike.
func (q *Query) order() func(a, b cursor) int {
	sign := 1
	if strings.HasPrefix(q.Sort, "-") {
		sign = -1
	}
	byOrdinal := sign
	if by := strings.TrimPrefix(q.Sort, "-"); by != "" && by != "ordinal" {
		byOrdinal = 1
	}
	return func(a, b cursor) int {
		if c := known(b.Value) - known(a.Value); c != 0 {
			return c
		}
		if a.Value != nil {
			if c := sign * cmp.Compare(*a.Value, *b.Value); c != 0 {
				return c
			}
		}
		return byOrdinal * cmp.Compare(a.Ordinal, b.Ordinal)
	}
}

func known(value *float64) int {
	if value == nil {
		return 0
	}
	return 1
}

func (q *Query) cursor(i *Instance) cursor {
	c := cursor{Sort: q.Sort, Ordinal: i.Ordinal}
	switch strings.TrimPrefix(q.Sort, "-") {
	case "count":
		n := float64(i.List.Count)
		c.Value = &n
	case "lag":
		if d, err := time.ParseDuration(i.Lag); err == nil {
			n := d.Seconds()
			c.Value = &n
		}
	case "cpu":
		c.Value = i.CPU.value()
	case "memory":
		c.Value = i.Memory.value()
	}
	return c
}

// value is what a load is sorted by: its ratio, or where the kind has no target, its use.
func (l *Load) value() *float64 {
	if l == nil || l.Missing != "" {
		return nil
	}
	if l.Ratio != nil {
		return l.Ratio
	}
	n := float64(l.Usage)
	return &n
}

// String is the cursor as continue has it.
func (c cursor) String() string {
	text, _ := json.Marshal(c) // numbers and a word
	return base64.RawURLEncoding.EncodeToString(text)
}

func readCursor(q Query) (*cursor, error) {
	if q.Continue == "" {
		return nil, nil
	}
	var c cursor
	text, err := base64.RawURLEncoding.DecodeString(q.Continue)
	if err == nil {
		err = json.Unmarshal(text, &c) //nolint:forbidigo // our own text: nothing else is a cursor
	}
	if err != nil || c.Sort != q.Sort || c.Value != nil && math.IsNaN(*c.Value) {
		return nil, fmt.Errorf("continue %q: %w", q.Continue, ErrContinue)
	}
	return &c, nil
}

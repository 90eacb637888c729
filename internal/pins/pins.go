// Package pins has the rules that bind resources to ordinals, as they are written.
//
// In: a rule and the labels of a resource, which are free text. Out: whether the rule's selector
// picks it. The reader of a rule checks it: a configuration asks for more than a world.
package pins

import "slices"

// Rule binds resources to ordinals: by selector, or named. All that match must hold.
type Rule struct {
	// Name is shown where a resource has no place for this rule. A configuration wants one each.
	Name string `json:"name"`
	// Selector looks at the catalogue's labels; absent: it matches none, empty: it matches all.
	Selector *Selector `json:"selector,omitempty"`
	// IDs are bound whatever their labels.
	IDs []string `json:"ids,omitempty"`
	// Ordinals are where they may be. At least one.
	Ordinals []int `json:"ordinals"`
}

// Selector is a label selector in the shape that Kubernetes gives it: all conditions must hold.
// Kubernetes' own package reaches the network, which pure ones must not, and restricts labels.
type Selector struct {
	MatchLabels      map[string]string `json:"matchLabels,omitempty"`
	MatchExpressions []Requirement     `json:"matchExpressions,omitempty"`
}

// Requirement is one condition on a label.
type Requirement struct {
	Key      string   `json:"key"`
	Operator Operator `json:"operator"`
	Values   []string `json:"values,omitempty"`
}

// Operator is what a Requirement asks of a label.
type Operator string

// The operators.
const (
	In           Operator = "In"
	NotIn        Operator = "NotIn" // holds where there is no such label
	Exists       Operator = "Exists"
	DoesNotExist Operator = "DoesNotExist"
)

// Operators are all of them.
var Operators = []Operator{In, NotIn, Exists, DoesNotExist}

// Matches says whether labels fulfil a selector whose form was checked.
func (s *Selector) Matches(labels map[string]string) bool {
	for k, v := range s.MatchLabels {
		if got, ok := labels[k]; !ok || got != v {
			return false
		}
	}
	for _, r := range s.MatchExpressions {
		got, ok := labels[r.Key]
		switch among := slices.Contains(r.Values, got); {
		case r.Operator == In && !(ok && among),
			r.Operator == NotIn && ok && among,
			r.Operator == Exists && !ok,
			r.Operator == DoesNotExist && ok:
			return false
		}
	}
	return true
}

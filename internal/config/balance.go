package config

import (
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/shardscaler/shardscaler/internal/pins"
)

// Balance is what is to be even among the instances of a kind.
type Balance string

const (
	// BalanceCount evens the number of resources.
	BalanceCount Balance = "count"
	// BalanceWeight evens the sum of the catalogue's weights, within capacity.
	BalanceWeight Balance = "weight"
)

// Balances are all of them.
var Balances = []Balance{BalanceCount, BalanceWeight}

// Band is the hysteresis of balance by weight, in ratios of the mean: 1.15 is 15 % off it.
type Band struct {
	// Enter is from where an instance counts as uneven, 1 to 10. Default 1.15.
	Enter float64 `json:"enter,omitempty"`
	// Leave is within which spreading ends, 1 to Enter. Default 1.05.
	Leave float64 `json:"leave,omitempty"`
}

// Bounds of pins: planning with pins takes time in proportion to their combinations.
const (
	maxPins       = 100
	maxPinnedIDs  = 10_000
	maxPinName    = 63
	maxPinOrdinal = 9999
	maxIDBytes    = 256
)

// ByLabels says whether any pin looks at labels.
func (k *Kind) ByLabels() bool {
	return slices.ContainsFunc(k.Pins, func(p pins.Rule) bool { return p.Selector != nil })
}

// query is the default query: it asks for what is used.
func (k *Kind) query() string {
	columns := "id"
	if k.Balance == BalanceWeight {
		columns += ", weight"
	}
	if k.ByLabels() {
		columns += ", labels"
	}
	return `SELECT ` + columns + ` FROM "` + k.Name + `"`
}

func (k *Kind) setBand() {
	if k.Balance != BalanceWeight {
		return
	}
	setDefaultPtr(&k.Rebalance.Band, Band{})
	setDefault(&k.Rebalance.Band.Enter, 1.15)
	setDefault(&k.Rebalance.Band.Leave, 1.05)
}

func (k *Kind) validateBalance(errs *faults, path *field.Path) {
	oneOf(errs, path.Child("balance"), k.Balance, Balances...)
	band := path.Child("rebalance", "band")
	switch b := k.Rebalance.Band; {
	case b != nil && k.Balance != BalanceWeight:
		errs.add(field.Forbidden(band, "only with balance: weight"))
	case b != nil:
		between(errs, band.Child("enter"), b.Enter, 1, 10)
		between(errs, band.Child("leave"), b.Leave, 1, max(b.Enter, 1))
	}
	validatePins(errs, path.Child("pins"), k.Pins)
}

func validatePins(errs *faults, path *field.Path, rules []pins.Rule) {
	if len(rules) > maxPins {
		errs.add(field.TooMany(path, len(rules), maxPins))
	}
	names, ids := map[string]bool{}, 0
	for i := range rules {
		p, at := &rules[i], path.Index(i)
		switch {
		case p.Name == "" || len(p.Name) > maxPinName:
			errs.add(field.Invalid(at.Child("name"), p.Name, fmt.Sprintf("must have 1 to %d bytes", maxPinName)))
		case names[p.Name]:
			errs.add(field.Duplicate(at.Child("name"), p.Name))
		}
		names[p.Name] = true
		ids += len(p.IDs)
		validatePin(errs, at, p)
	}
	if ids > maxPinnedIDs {
		errs.add(field.Invalid(path, ids, fmt.Sprintf("all pins together must name at most %d ids", maxPinnedIDs)))
	}
}

func validatePin(errs *faults, path *field.Path, p *pins.Rule) {
	if p.Selector == nil && len(p.IDs) == 0 {
		errs.add(field.Required(path, "selector or ids"))
	}
	if p.Selector != nil {
		for i, r := range p.Selector.MatchExpressions {
			validateRequirement(errs, path.Child("selector", "matchExpressions").Index(i), r)
		}
	}
	seen := map[string]bool{}
	for i, id := range p.IDs {
		at := path.Child("ids").Index(i)
		switch {
		case id == "" || len(id) > maxIDBytes:
			errs.add(field.Invalid(at, id, fmt.Sprintf("must have 1 to %d bytes", maxIDBytes)))
		case seen[id]:
			errs.add(field.Duplicate(at, id))
		}
		seen[id] = true
	}
	if len(p.Ordinals) == 0 {
		errs.add(field.Required(path.Child("ordinals"), "at least one ordinal"))
	}
	for i, o := range p.Ordinals {
		at := path.Child("ordinals").Index(i)
		between(errs, at, o, 0, maxPinOrdinal)
		if slices.Contains(p.Ordinals[:i], o) {
			errs.add(field.Duplicate(at, o))
		}
	}
}

// validateRequirement checks the form; keys and values are the catalogue's and may be any text.
func validateRequirement(errs *faults, path *field.Path, r pins.Requirement) {
	if strings.TrimSpace(r.Key) == "" {
		errs.add(field.Required(path.Child("key"), "the label's name"))
	}
	switch r.Operator {
	case pins.In, pins.NotIn:
		if len(r.Values) == 0 {
			errs.add(field.Required(path.Child("values"), "at least one with "+string(r.Operator)))
		}
	case pins.Exists, pins.DoesNotExist:
		if len(r.Values) > 0 {
			errs.add(field.Forbidden(path.Child("values"), "none with "+string(r.Operator)))
		}
	default:
		oneOf(errs, path.Child("operator"), r.Operator, pins.Operators...)
	}
}

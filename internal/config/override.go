package config

import (
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/util/validation/field"
)

// Override holds what persons have put over a kind's values in the ConfigMap. It lives in
// ZooKeeper. Builds before Said read it too, and drop who, when and until from what they write.
type Override struct {
	MaxInstances        *OverrideValue[int] `json:"maxInstances,omitempty"`
	ResourcePerInstance *OverrideValue[int] `json:"resourcePerInstance,omitempty"`
	// Paused is what POST …/pause and …/resume set.
	Paused *OverrideValue[bool] `json:"paused,omitempty"`
}

// OverrideValue replaces Over, which the ConfigMap said when it was set. It ends when that changes,
// and when it is over.
type OverrideValue[T comparable] struct {
	Value T `json:"value"`
	Over  T `json:"over"`
	Said
}

// put is a value put over base; nil: nothing is put over the same value.
func put[T comparable](value, base T, said Said) *OverrideValue[T] {
	if value == base {
		return nil
	}
	return &OverrideValue[T]{Value: value, Over: base, Said: said}
}

// stands says whether there is a value that counts, and base is still what it was put over. Former
// builds have put a limit over the same value, too.
func (v *OverrideValue[T]) stands(base T, now time.Time) bool {
	return v != nil && v.Over == base && v.Value != base && !v.Said.Over(now)
}

// SetPaused returns o with rebalance.paused put over kind k's; the same value ends what was put over it.
func (o Override) SetPaused(k *Kind, paused bool, said Said) Override {
	o.Paused = put(paused, k.Rebalance.Paused, said)
	return o
}

// Set returns o with the given values (nil: leave as it is) put over kind k, or an error that names
// field, value and bound. A value that k has ends what was put over it.
func (o Override) Set(k *Kind, ceiling int, maxInstances, resourcePerInstance *int, said Said) (Override, error) {
	var errs faults
	if maxInstances != nil {
		between(&errs, field.NewPath("maxInstances"), *maxInstances, max(MinCeiling, k.Init), ceiling)
		o.MaxInstances = put(*maxInstances, k.Max, said)
	}
	if resourcePerInstance != nil {
		between(&errs, field.NewPath("resourcePerInstance"), *resourcePerInstance, 1, MaxCapacity)
		o.ResourcePerInstance = put(*resourcePerInstance, k.Capacity, said)
	}
	if len(errs.ErrorList) > 0 {
		return Override{}, fmt.Errorf("invalid override: %w", errs.ToAggregate())
	}
	return o, nil
}

// Apply returns kind k under the override at that time, and what of that still stands. The target
// follows the capacity down, and follows it fully where it was left at its default.
func (o Override) Apply(k Kind, now time.Time) (Kind, Override) {
	if v := o.MaxInstances; v.stands(k.Max, now) && v.Value >= k.Init {
		k.Max = v.Value
	} else {
		o.MaxInstances = nil
	}
	if v := o.Paused; v.stands(k.Rebalance.Paused, now) {
		k.Rebalance.Paused = v.Value
	} else {
		o.Paused = nil
	}
	if v := o.ResourcePerInstance; v.stands(k.Capacity, now) {
		if k.TargetPerInstance == k.Capacity {
			k.TargetPerInstance = v.Value
		}
		k.Capacity, k.TargetPerInstance = v.Value, min(k.TargetPerInstance, v.Value)
	} else {
		o.ResourcePerInstance = nil
	}
	return k, o
}

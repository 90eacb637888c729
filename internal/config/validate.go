package config

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// Bounds of the configuration, by formats.md.
const (
	// MaxCapacity keeps an instance's list (about 39 bytes an id) far below ZooKeeper's 1 MiB.
	MaxCapacity = 5000
	// MinCeiling and MaxCeiling bound MaxInstancesCeiling.
	MinCeiling = 3
	MaxCeiling = 1000
	// MaxWindow is the longest stabilisation window, as in the HPA, and the longest cool-down.
	MaxWindow = time.Hour
	// DefaultMaxStaleShare is Heartbeat.MaxStaleShare where it is not set.
	DefaultMaxStaleShare = 0.34
)

// The values of ScalingRules.SelectPolicy and ScalingPolicy.Type.
const (
	SelectMax      = "Max"
	SelectMin      = "Min"
	SelectDisabled = "Disabled"
	PolicyPods     = "Pods"
	PolicyPercent  = "Percent"
)

// kindName keeps a kind usable as a znode name and inside the default query.
var kindName = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_-]{0,62}$`)

// dnsLabel is what a StatefulSet's name must be for its pods to have host names.
var dnsLabel = regexp.MustCompile(`^[a-z0-9]([-a-z0-9]{0,50}[a-z0-9])?$`)

func (c *Config) validate() field.ErrorList {
	var errs field.ErrorList
	errs = append(errs, between(field.NewPath("syncPeriod"), c.SyncPeriod, Duration(500*time.Millisecond), Duration(5*time.Minute))...)
	errs = append(errs, between(field.NewPath("maxInstancesCeiling"), c.MaxInstancesCeiling, MinCeiling, MaxCeiling)...)
	kinds := field.NewPath("kinds")
	if len(c.Kinds) == 0 {
		errs = append(errs, field.Required(kinds, "at least one kind"))
	}
	names, sets := map[string]bool{}, map[string]bool{}
	for i := range c.Kinds {
		k, path := &c.Kinds[i], kinds.Index(i)
		if names[k.Name] {
			errs = append(errs, field.Duplicate(path.Child("name"), k.Name))
		}
		if sets[k.StatefulSet] {
			errs = append(errs, field.Duplicate(path.Child("statefulSet"), k.StatefulSet))
		}
		names[k.Name], sets[k.StatefulSet] = true, true
		errs = append(errs, k.validate(path, c.MaxInstancesCeiling)...)
	}
	return errs
}

func (k *Kind) validate(path *field.Path, ceiling int) field.ErrorList {
	var errs field.ErrorList
	if !kindName.MatchString(k.Name) {
		errs = append(errs, field.Invalid(path.Child("name"), k.Name, "must match "+kindName.String()))
	}
	if !dnsLabel.MatchString(k.StatefulSet) {
		errs = append(errs, field.Invalid(path.Child("statefulSet"), k.StatefulSet, "must be the name of a StatefulSet (a DNS label of at most 52 characters)"))
	}
	errs = append(errs, between(path.Child("capacity"), k.Capacity, 1, MaxCapacity)...)
	errs = append(errs, between(path.Child("targetPerInstance"), k.TargetPerInstance, 1, max(k.Capacity, 1))...)
	errs = append(errs, between(path.Child("max"), k.Max, 1, max(ceiling, 1))...)
	errs = append(errs, between(path.Child("init"), k.Init, 1, max(k.Max, 1))...)
	errs = append(errs, k.Replicas.validate(path.Child("replicas"))...)
	errs = append(errs, oneOf(path.Child("handOff"), k.HandOff, HandOffImmediate, HandOffAcknowledged)...)
	errs = append(errs, between(path.Child("lostNodeGrace"), k.LostNodeGrace, Duration(time.Second), Duration(24*time.Hour))...)
	errs = append(errs, between(path.Child("settleSeconds"), k.SettleSeconds, 0, 3600)...)
	errs = append(errs, k.CPU.validate(path.Child("cpu"))...)
	errs = append(errs, k.Memory.validate(path.Child("memory"))...)
	errs = append(errs, between(path.Child("tolerance", "up"), *k.Tolerance.Up, 0, 1)...)
	errs = append(errs, between(path.Child("tolerance", "down"), *k.Tolerance.Down, 0, 1)...)
	errs = append(errs, k.Behavior.ScaleUp.validate(path.Child("behavior", "scaleUp"), *k.Tolerance.Up)...)
	errs = append(errs, k.Behavior.ScaleDown.validate(path.Child("behavior", "scaleDown"), *k.Tolerance.Down)...)
	errs = append(errs, k.Heartbeat.validate(path.Child("heartbeat"))...)
	errs = append(errs, oneOf(path.Child("health", "action"), k.Health.Action, ActionReport, ActionRestart, ActionReassign)...)
	errs = append(errs, between(path.Child("health", "reassignAfter"), k.Health.ReassignAfter, Duration(time.Minute), Duration(24*time.Hour))...)
	errs = append(errs, between(path.Child("freshness", "metrics"), k.Freshness.Metrics, Duration(time.Second), Duration(time.Hour))...)
	errs = append(errs, between(path.Child("freshness", "catalogue"), k.Freshness.Catalogue, Duration(time.Second), Duration(24*time.Hour))...)
	errs = append(errs, k.Catalogue.validate(path.Child("catalogue"))...)
	if limit := k.Freshness.Catalogue; k.Catalogue.Interval > limit {
		errs = append(errs, field.Invalid(path.Child("catalogue", "interval"), shown(k.Catalogue.Interval),
			fmt.Sprintf("must be at most freshness.catalogue, %v: between two reads nothing could shrink", shown(limit))))
	}
	errs = append(errs, k.Rebalance.validate(path.Child("rebalance"))...)
	return append(errs, k.validateBalance(path)...)
}

func (r *Replicas) validate(path *field.Path) field.ErrorList {
	errs := oneOf(path.Child("owner"), r.Owner, OwnerShardscaler, OwnerGroup, OwnerHPA)
	errs = append(errs, oneOf(path.Child("mode"), r.Mode, ModeAct, ModeRecommend)...)
	if r.Owner == OwnerHPA && r.Mode == ModeRecommend {
		errs = append(errs, field.Invalid(path.Child("mode"), r.Mode, "must be act with owner hpa: replicas are not written anyway"))
	}
	return errs
}

func (t *ResourceTarget) validate(path *field.Path) field.ErrorList {
	if t == nil {
		return nil
	}
	errs := oneTarget(path, "targetUtilization", t.TargetUtilization, "targetAverageValue", t.TargetAverageValue)
	h := t.Hottest
	if h == nil || len(errs) > 0 {
		return errs
	}
	path = path.Child("hottest")
	errs = append(errs, oneTarget(path, "targetUtilization", h.TargetUtilization, "targetValue", h.TargetValue)...)
	if len(errs) == 0 && t.TargetUtilization > h.TargetUtilization && h.TargetValue == nil {
		errs = append(errs, between(path.Child("targetUtilization"), h.TargetUtilization, t.TargetUtilization, 1000)...)
	}
	if mean, hottest := t.TargetAverageValue, h.TargetValue; len(errs) == 0 && mean != nil && hottest != nil && hottest.Cmp(*mean) < 0 {
		errs = append(errs, field.Invalid(path.Child("targetValue"), hottest.String(), "must be at least targetAverageValue, "+mean.String()))
	}
	return append(errs, between(path.Child("patience"), h.Patience, Duration(10*time.Second), Duration(MaxWindow))...)
}

// oneTarget checks a target that is written as a percentage or as a value, and not as both.
func oneTarget(path *field.Path, percentName string, percent int32, valueName string, value *resource.Quantity) field.ErrorList {
	switch {
	case percent != 0 && value != nil:
		return field.ErrorList{field.Forbidden(path, fmt.Sprintf("set one of %s and %s, not both", percentName, valueName))}
	case value != nil && value.Sign() <= 0:
		return field.ErrorList{field.Invalid(path.Child(valueName), value.String(), "must be greater than 0")}
	case value != nil:
		return nil
	case percent == 0:
		return field.ErrorList{field.Required(path, percentName+" or "+valueName)}
	default:
		return between(path.Child(percentName), percent, 1, 1000)
	}
}

// validate checks r; tolerance is what holds for its direction.
func (r *ScalingRules) validate(path *field.Path, tolerance float64) field.ErrorList {
	errs := between(path.Child("stabilizationWindow"), *r.StabilizationWindow, 0, Duration(MaxWindow))
	errs = append(errs, between(path.Child("coolDown"), r.CoolDown, 0, Duration(MaxWindow))...)
	errs = append(errs, oneOf(path.Child("selectPolicy"), r.SelectPolicy, SelectMax, SelectMin, SelectDisabled)...)
	if r.Tolerance != nil && *r.Tolerance != tolerance {
		errs = append(errs, field.Invalid(path.Child("tolerance"), *r.Tolerance, fmt.Sprintf("must be left out, or what the kind's tolerance says, %v", tolerance)))
	}
	for i, p := range r.Policies {
		at := path.Child("policies").Index(i)
		errs = append(errs, oneOf(at.Child("type"), p.Type, PolicyPods, PolicyPercent)...)
		errs = append(errs, between(at.Child("value"), p.Value, 1, 100000)...)
		errs = append(errs, between(at.Child("period"), p.Period, Duration(time.Second), Duration(30*time.Minute))...)
	}
	return errs
}

// topicName is Kafka's rule. A name that breaks it makes every question for the topic fail.
var topicName = regexp.MustCompile(`^[a-zA-Z0-9._-]{1,249}$`)

func (h *Heartbeat) validate(path *field.Path) field.ErrorList {
	if h == nil {
		return nil
	}
	var errs field.ErrorList
	if !topicName.MatchString(h.Topic) || h.Topic == "." || h.Topic == ".." {
		errs = append(errs, field.Invalid(path.Child("topic"), h.Topic,
			"must have 1 to 249 of the characters a-z, A-Z, 0-9, '.', '_' and '-', and not be '.' or '..'"))
	}
	errs = append(errs, between(path.Child("staleAfter"), h.StaleAfter, Duration(time.Second), Duration(time.Hour))...)
	errs = append(errs, between(path.Child("restartAfter"), h.RestartAfter, h.StaleAfter, Duration(24*time.Hour))...)
	errs = append(errs, between(path.Child("startupGrace"), h.StartupGrace, 0, Duration(24*time.Hour))...)
	return append(errs, between(path.Child("maxStaleShare"), h.MaxStaleShare, 0, 1)...)
}

func (c *Catalogue) validate(path *field.Path) field.ErrorList {
	var errs field.ErrorList
	if !strings.HasPrefix(strings.ToUpper(strings.TrimSpace(c.Query)), "SELECT") {
		errs = append(errs, field.Invalid(path.Child("query"), c.Query, "must be a SELECT statement"))
	}
	errs = append(errs, between(path.Child("interval"), c.Interval, Duration(time.Second), Duration(24*time.Hour))...)
	errs = append(errs, between(path.Child("maxDeletes"), *c.MaxDeletes, 0, 1000)...)
	errs = append(errs, between(path.Child("lag"), *c.Lag, 0, Duration(time.Hour))...)
	return append(errs, between(path.Child("maxDeleteShare"), *c.MaxDeleteShare, 0, 1)...)
}

func (r *Rebalance) validate(path *field.Path) field.ErrorList {
	errs := between(path.Child("listInterval"), *r.ListInterval, Duration(100*time.Millisecond), Duration(time.Minute))
	errs = append(errs, between(path.Child("movesPerMinute"), r.MovesPerMinute, 0, 10_000_000)...)
	errs = append(errs, between(path.Child("movesPerPlan"), r.MovesPerPlan, 0, 10_000_000)...)
	return append(errs, between(path.Child("maxInFlight"), r.MaxInFlight, 0, 10_000_000)...)
}

// between checks low ≤ value ≤ high, both ends included.
func between[T int | int32 | float64 | Duration](path *field.Path, value, low, high T) field.ErrorList {
	if value >= low && value <= high {
		return nil
	}
	return field.ErrorList{field.Invalid(path, shown(value), fmt.Sprintf("must be between %v and %v", shown(low), shown(high)))}
}

// shown turns durations into text; numbers stay numbers, so that errors do not quote them.
func shown(v any) any {
	if d, ok := v.(Duration); ok {
		return d.Std().String()
	}
	return v
}

func oneOf[T ~string](path *field.Path, value T, allowed ...T) field.ErrorList {
	if slices.Contains(allowed, value) {
		return nil
	}
	return field.ErrorList{field.NotSupported(path, value, allowed)}
}

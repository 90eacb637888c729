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

// SelectPolicies and PolicyTypes are all of them.
var (
	SelectPolicies = []string{SelectMax, SelectMin, SelectDisabled}
	PolicyTypes    = []string{PolicyPods, PolicyPercent}
)

// kindName keeps a kind usable as a znode name and inside the default query.
var kindName = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_-]{0,62}$`)

// dnsLabel is what a StatefulSet's name must be for its pods to have host names.
var dnsLabel = regexp.MustCompile(`^[a-z0-9]([-a-z0-9]{0,50}[a-z0-9])?$`)

// faults collects what is wrong with a configuration.
type faults struct{ field.ErrorList }

func (f *faults) add(more ...*field.Error) { f.ErrorList = append(f.ErrorList, more...) }

func (c *Config) validate(errs *faults) {
	between(errs, field.NewPath("syncPeriod"), c.SyncPeriod, Duration(500*time.Millisecond), Duration(5*time.Minute))
	between(errs, field.NewPath("maxInstancesCeiling"), c.MaxInstancesCeiling, MinCeiling, MaxCeiling)
	kinds := field.NewPath("kinds")
	if len(c.Kinds) == 0 {
		errs.add(field.Required(kinds, "at least one kind"))
	}
	names, sets := map[string]bool{}, map[string]bool{}
	for i := range c.Kinds {
		k, path := &c.Kinds[i], kinds.Index(i)
		if names[k.Name] {
			errs.add(field.Duplicate(path.Child("name"), k.Name))
		}
		if sets[k.StatefulSet] {
			errs.add(field.Duplicate(path.Child("statefulSet"), k.StatefulSet))
		}
		names[k.Name], sets[k.StatefulSet] = true, true
		k.validate(errs, path, c.MaxInstancesCeiling)
	}
}

func (k *Kind) validate(errs *faults, path *field.Path, ceiling int) {
	if !kindName.MatchString(k.Name) {
		errs.add(field.Invalid(path.Child("name"), k.Name, "must match "+kindName.String()))
	}
	if !dnsLabel.MatchString(k.StatefulSet) {
		errs.add(field.Invalid(path.Child("statefulSet"), k.StatefulSet, "must be the name of a StatefulSet (a DNS label of at most 52 characters)"))
	}
	between(errs, path.Child("capacity"), k.Capacity, 1, MaxCapacity)
	between(errs, path.Child("targetPerInstance"), k.TargetPerInstance, 1, max(k.Capacity, 1))
	between(errs, path.Child("max"), k.Max, 1, max(ceiling, 1))
	between(errs, path.Child("init"), k.Init, 1, max(k.Max, 1))
	k.Replicas.validate(errs, path.Child("replicas"))
	oneOf(errs, path.Child("mode"), k.Mode, Modes...)
	oneOf(errs, path.Child("handOff"), k.HandOff, HandOffs...)
	between(errs, path.Child("lostNodeGrace"), k.LostNodeGrace, Duration(time.Second), Duration(24*time.Hour))
	between(errs, path.Child("settleSeconds"), k.SettleSeconds, 0, 3600)
	k.CPU.validate(errs, path.Child("cpu"))
	k.Memory.validate(errs, path.Child("memory"))
	between(errs, path.Child("tolerance", "up"), *k.Tolerance.Up, 0, 1)
	between(errs, path.Child("tolerance", "down"), *k.Tolerance.Down, 0, 1)
	k.Behavior.ScaleUp.validate(errs, path.Child("behavior", "scaleUp"), *k.Tolerance.Up)
	k.Behavior.ScaleDown.validate(errs, path.Child("behavior", "scaleDown"), *k.Tolerance.Down)
	k.Heartbeat.validate(errs, path.Child("heartbeat"))
	k.Health.validate(errs, path.Child("health"), k.HandOff)
	between(errs, path.Child("freshness", "metrics"), k.Freshness.Metrics, Duration(time.Second), Duration(time.Hour))
	between(errs, path.Child("freshness", "catalogue"), k.Freshness.Catalogue, Duration(time.Second), Duration(24*time.Hour))
	k.Catalogue.validate(errs, path.Child("catalogue"))
	if limit := k.Freshness.Catalogue; k.Catalogue.Interval > limit {
		errs.add(field.Invalid(path.Child("catalogue", "interval"), shown(k.Catalogue.Interval),
			fmt.Sprintf("must be at most freshness.catalogue, %v: between two reads nothing could shrink", shown(limit))))
	}
	k.Rebalance.validate(errs, path.Child("rebalance"))
	k.validateBalance(errs, path)
}

func (h *Health) validate(errs *faults, path *field.Path, handOff HandOff) {
	oneOf(errs, path.Child("action"), h.Action, Actions...)
	path = path.Child("reassignAfter")
	after := Duration(h.After())
	between(errs, path, after, 0, Duration(24*time.Hour))
	if after >= 0 && after.Std() < LeastUnproven && handOff != HandOffAcknowledged {
		errs.add(field.Invalid(path, shown(after),
			fmt.Sprintf("must be at least %v: only with handOff: acknowledged is it proven sooner that nothing of an instance runs", shown(Duration(LeastUnproven)))))
	}
}

func (r *Replicas) validate(errs *faults, path *field.Path) {
	oneOf(errs, path.Child("owner"), r.Owner, Owners...)
	oneOf(errs, path.Child("mode"), r.Mode, SizeModes...)
	if r.Owner == OwnerHPA && r.Mode == ModeRecommend {
		errs.add(field.Invalid(path.Child("mode"), r.Mode, "must be act with owner hpa: shardscaler writes no replicas then"))
	}
}

func (t *ResourceTarget) validate(errs *faults, path *field.Path) {
	if t == nil {
		return
	}
	ok := oneTarget(errs, path, "targetUtilization", t.TargetUtilization, "targetAverageValue", t.TargetAverageValue)
	h := t.Hottest
	if h == nil || !ok {
		return
	}
	path = path.Child("hottest")
	ok = oneTarget(errs, path, "targetUtilization", h.TargetUtilization, "targetValue", h.TargetValue)
	if ok && t.TargetUtilization > h.TargetUtilization && h.TargetValue == nil {
		between(errs, path.Child("targetUtilization"), h.TargetUtilization, t.TargetUtilization, 1000)
	}
	if mean, hottest := t.TargetAverageValue, h.TargetValue; ok && mean != nil && hottest != nil && hottest.Cmp(*mean) < 0 {
		errs.add(field.Invalid(path.Child("targetValue"), hottest.String(), "must be at least targetAverageValue, "+mean.String()))
	}
	between(errs, path.Child("patience"), h.Patience, Duration(10*time.Second), Duration(MaxWindow))
}

// oneTarget checks a target that is written as a percentage or as a value, and not as both.
func oneTarget(errs *faults, path *field.Path, percentName string, percent int32, valueName string, value *resource.Quantity) (ok bool) {
	before := len(errs.ErrorList)
	switch {
	case percent != 0 && value != nil:
		errs.add(field.Forbidden(path, fmt.Sprintf("set one of %s and %s, not both", percentName, valueName)))
	case value != nil && value.Sign() <= 0:
		errs.add(field.Invalid(path.Child(valueName), value.String(), "must be greater than 0"))
	case value == nil && percent == 0:
		errs.add(field.Required(path, percentName+" or "+valueName))
	case value == nil:
		between(errs, path.Child(percentName), percent, 1, 1000)
	}
	return len(errs.ErrorList) == before
}

// validate checks r; tolerance is what holds for its direction.
func (r *ScalingRules) validate(errs *faults, path *field.Path, tolerance float64) {
	between(errs, path.Child("stabilizationWindow"), *r.StabilizationWindow, 0, Duration(MaxWindow))
	between(errs, path.Child("coolDown"), r.CoolDown, 0, Duration(MaxWindow))
	oneOf(errs, path.Child("selectPolicy"), r.SelectPolicy, SelectPolicies...)
	if r.Tolerance != nil && *r.Tolerance != tolerance {
		errs.add(field.Invalid(path.Child("tolerance"), *r.Tolerance, fmt.Sprintf("must be left out, or what the kind's tolerance says, %v", tolerance)))
	}
	for i, p := range r.Policies {
		at := path.Child("policies").Index(i)
		oneOf(errs, at.Child("type"), p.Type, PolicyTypes...)
		between(errs, at.Child("value"), p.Value, 1, 100000)
		between(errs, at.Child("period"), p.Period, Duration(time.Second), Duration(30*time.Minute))
	}
}

// topicName is Kafka's rule. A name that breaks it makes every question for the topic fail.
var topicName = regexp.MustCompile(`^[a-zA-Z0-9._-]{1,249}$`)

func (h *Heartbeat) validate(errs *faults, path *field.Path) {
	if h == nil {
		return
	}
	if !topicName.MatchString(h.Topic) || h.Topic == "." || h.Topic == ".." {
		errs.add(field.Invalid(path.Child("topic"), h.Topic,
			"must have 1 to 249 of the characters a-z, A-Z, 0-9, '.', '_' and '-', and not be '.' or '..'"))
	}
	between(errs, path.Child("staleAfter"), h.StaleAfter, Duration(time.Second), Duration(time.Hour))
	between(errs, path.Child("restartAfter"), h.RestartAfter, h.StaleAfter, Duration(24*time.Hour))
	between(errs, path.Child("startupGrace"), h.StartupGrace, 0, Duration(24*time.Hour))
	between(errs, path.Child("maxStaleShare"), h.MaxStaleShare, 0, 1)
}

func (c *Catalogue) validate(errs *faults, path *field.Path) {
	if !strings.HasPrefix(strings.ToUpper(strings.TrimSpace(c.Query)), "SELECT") {
		errs.add(field.Invalid(path.Child("query"), c.Query, "must be a SELECT statement"))
	}
	between(errs, path.Child("interval"), c.Interval, Duration(time.Second), Duration(24*time.Hour))
	between(errs, path.Child("maxDeletes"), *c.MaxDeletes, 0, 1000)
	between(errs, path.Child("lag"), *c.Lag, 0, Duration(time.Hour))
	between(errs, path.Child("maxDeleteShare"), *c.MaxDeleteShare, 0, 1)
}

func (r *Rebalance) validate(errs *faults, path *field.Path) {
	between(errs, path.Child("listInterval"), *r.ListInterval, Duration(100*time.Millisecond), Duration(time.Minute))
	between(errs, path.Child("movesPerMinute"), r.MovesPerMinute, 0, 10_000_000)
	between(errs, path.Child("movesPerPlan"), r.MovesPerPlan, 0, 10_000_000)
	between(errs, path.Child("maxInFlight"), r.MaxInFlight, 0, 10_000_000)
}

// between checks low ≤ value ≤ high, both ends included.
func between[T int | int32 | float64 | Duration](errs *faults, path *field.Path, value, low, high T) {
	if value < low || value > high {
		errs.add(field.Invalid(path, shown(value), fmt.Sprintf("must be between %v and %v", shown(low), shown(high))))
	}
}

// shown turns durations into text; numbers stay numbers, so that errors do not quote them.
func shown(v any) any {
	if d, ok := v.(Duration); ok {
		return d.Std().String()
	}
	return v
}

func oneOf[T ~string](errs *faults, path *field.Path, value T, allowed ...T) {
	if !slices.Contains(allowed, value) {
		errs.add(field.NotSupported(path, value, allowed))
	}
}

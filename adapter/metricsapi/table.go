package metricsapi

import (
	"fmt"
	"math"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/shardscaler/shardscaler/adapter/observed"
	"github.com/shardscaler/shardscaler/adapter/v1alpha1"
	"github.com/shardscaler/shardscaler/internal/config"
)

// The objects that metrics are on.
var (
	pods         = schema.GroupResource{Resource: "pods"}
	statefulSets = schema.GroupResource{Group: "apps", Resource: "statefulsets"}
	groups       = schema.GroupResource{Group: v1alpha1.GroupVersion.Group, Resource: v1alpha1.Resource}
)

// metric is one row of the table. What is on StatefulSets is on their InstanceGroups too.
type metric struct {
	name    string
	object  schema.GroupResource
	unit    string
	meaning string
	// external: also served in external.metrics.k8s.io, one item a kind.
	external bool
	// additive: the sum over kinds means something. An HPA adds up what an external metric answers.
	additive bool
	read     func(subject) (reading, error)
}

// subject is what a metric is read from: a kind, and for metrics on pods one of its instances.
type subject struct {
	now         time.Time
	kind        *observed.Kind
	config      *config.Kind
	instance    *observed.Instance
	recommended Recommendation
}

// reading is a value with its time. A value made from a time, and not of a moment, has a window.
type reading struct {
	value  resource.Quantity
	at     time.Time
	window time.Duration
}

// table describes every metric that is served.
var table = []metric{
	{
		name: "resources_per_instance", object: pods, unit: "resources",
		meaning: "Ids in the list of the instance; it does not grow past the capacity. A Ready pod that owns nothing has 0.",
		read:    onPods(storeRead, resourcesPerInstance),
	},
	{
		name: "capacity_used_ratio", object: pods, unit: "ratio",
		meaning: "Share of the kind's capacity that the list of the instance takes; 1 is full.",
		read:    onPods(storeRead, capacityUsed),
	},
	{
		name: "heartbeat_lag_seconds", object: pods, unit: "seconds",
		meaning: "Age of the newest heartbeat that the instance's present pod sent; without one, of the pod. Kinds without heartbeat have none.",
		read:    onPods(busRead, lag),
	},
	{
		name: "assignment_lag_seconds", object: pods, unit: "seconds",
		meaning: "Time since the oldest change of its list that the instance has not acknowledged; 0 when it has acknowledged all. " +
			"Only where `handOff: acknowledged`.",
		read: onPods(storeRead, assignmentLag),
	},
	{
		name: "resources", object: statefulSets, unit: "resources", external: true, additive: true,
		meaning: "All resources of the kind: assigned, in flight and unassigned.",
		read:    readCount(observed.Resources),
	},
	{
		name: "unassigned_resources", object: statefulSets, unit: "resources", external: true, additive: true,
		meaning: "Unassigned resources of the kind: in the pool, owned by no instance.",
		read:    readCount(observed.Unassigned),
	},
	{
		name: "in_flight_resources", object: statefulSets, unit: "resources", external: true, additive: true,
		meaning: "Resources of the kind that were taken from an instance and are not yet given to another.",
		read:    readCount(observed.InFlight),
	},
	{
		name: "resource_weight", object: statefulSets, unit: "weight", external: true, additive: true,
		meaning: "Sum of the weights of all resources of the kind; one without a weight of its own counts 1.",
		read:    readStore(observed.Weight),
	},
	{
		name: "imbalance_ratio", object: statefulSets, unit: "ratio", external: true,
		meaning: "Largest load of an instance, by count or by weight as the kind is balanced, over the mean of those that may receive; 1 when all are alike.",
		read:    readStore(observed.Imbalance),
	},
	{
		name: "heartbeat_lag_seconds_max", object: statefulSets, unit: "seconds", external: true,
		meaning: "Longest heartbeat lag of the kind's instances; those that are starting or leaving do not count.",
		read:    onPods(busRead, maxLag),
	},
	{
		name: "recommended_replicas", object: statefulSets, unit: "instances", external: true,
		meaning: "Recommended replicas: what the kind's own signals ask for, within its bounds and windows. It falls only after the leaving instances are drained. " +
			"Its `windowSeconds` is the longer one of the stabilization windows.",
		read: readRecommended,
	},
}

// objects are what the metric is on.
func (m metric) objects() []schema.GroupResource {
	if m.object == statefulSets {
		return []schema.GroupResource{statefulSets, groups}
	}
	return []schema.GroupResource{m.object}
}

// lookup finds the row of a metric on pods, on StatefulSets or on InstanceGroups.
func lookup(object schema.GroupResource, name string) (metric, bool) {
	for _, m := range table {
		if m.name == name && slices.Contains(m.objects(), object) {
			m.object = object
			return m, true
		}
	}
	return metric{}, false
}

// onPods reads what needs the pods to be known beside the source of its own time, at.
func onPods(at func(*observed.Sources) time.Time, value func(subject) (resource.Quantity, error)) func(subject) (reading, error) {
	return func(s subject) (reading, error) {
		if err := clusterUsable(s); err != nil {
			return reading{}, err
		}
		v, err := value(s)
		if err != nil { // and then the source of the time may be missing
			return reading{}, err
		}
		return reading{value: v, at: at(&s.kind.Sources)}, nil
	}
}

func storeRead(s *observed.Sources) time.Time { return s.Store.At }
func busRead(s *observed.Sources) time.Time   { return s.Bus.At }

func resourcesPerInstance(s subject) (resource.Quantity, error) {
	n, err := observed.ResourcesPerInstance(s.kind, s.instance, s.now)
	return whole(n), err
}

func capacityUsed(s subject) (resource.Quantity, error) {
	used, err := observed.CapacityUsed(s.kind, *s.config, s.instance, s.now)
	return milli(used), err
}

func assignmentLag(s subject) (resource.Quantity, error) {
	lag, err := observed.AssignmentLag(s.kind, *s.config, s.instance, s.now)
	return seconds(lag), err
}

func lag(s subject) (resource.Quantity, error) {
	lag, err := observed.Lag(s.kind, *s.config, s.instance, s.now)
	return seconds(lag), err
}

func maxLag(s subject) (resource.Quantity, error) {
	lag, err := observed.MaxLag(s.kind, *s.config, s.now)
	return seconds(lag), err
}

func whole(n int) resource.Quantity { return *resource.NewQuantity(int64(n), resource.DecimalSI) }

func seconds(d time.Duration) resource.Quantity {
	return *resource.NewMilliQuantity(d.Milliseconds(), resource.DecimalSI)
}

// milli is v to three digits.
func milli(v float64) resource.Quantity {
	const perUnit = 1000
	return *resource.NewMilliQuantity(int64(math.Round(v*perUnit)), resource.DecimalSI)
}

// clusterUsable guards the metrics on pods: whether an ordinal has a Ready pod is Kubernetes'.
func clusterUsable(s subject) error {
	src := s.kind.Sources.Cluster
	if src.Fresh(s.now, observed.ClusterMaxAge) {
		return nil
	}
	if !src.Known() {
		return fmt.Errorf("%w: the pods of %s have not been read yet%s", observed.ErrUnknown, s.config.StatefulSet, src.Because())
	}
	return fmt.Errorf("%w: the pods of %s were last read %s ago%s",
		observed.ErrTooOld, s.config.StatefulSet, config.Duration(src.Age(s.now)), src.Because())
}

func readCount(count func(*observed.Kind, time.Time) (int, error)) func(subject) (reading, error) {
	return func(s subject) (reading, error) {
		n, err := count(s.kind, s.now)
		return reading{value: whole(n), at: s.kind.Sources.Store.At}, err
	}
}

// readStore reads what is not a whole number from what ZooKeeper holds.
func readStore(value func(*observed.Kind, time.Time) (float64, error)) func(subject) (reading, error) {
	return func(s subject) (reading, error) {
		v, err := value(s.kind, s.now)
		at := s.kind.Sources.Store.At
		if w := s.kind.Weights; w != nil && w.At.Before(at) {
			at = w.At
		}
		return reading{value: milli(v), at: at}, err
	}
}

// Value returns the size if it is known.
func (r Recommendation) Value(kind string) (int, error) {
	switch {
	case r.Unknown != "":
		return 0, fmt.Errorf("%w: no size can be decided for kind %s: %s", observed.ErrUnknown, kind, r.Unknown)
	case r.At.IsZero():
		return 0, fmt.Errorf("%w: no size has been decided for kind %s yet", observed.ErrUnknown, kind)
	}
	return r.Replicas, nil
}

func readRecommended(s subject) (reading, error) {
	n, err := s.recommended.Value(s.kind.Name)
	return reading{value: whole(n), at: s.recommended.At, window: observed.Window(*s.config)}, err
}

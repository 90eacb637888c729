// Package hpa is the arithmetic of the Kubernetes HorizontalPodAutoscaler (v1.37,
// pkg/controller/podautoscaler) on plain values.
//
// In: pods grouped as the HPA groups them, their use and a target; or recommendations and changes
// with their times. Out: a size. Invariant: it agrees with the HPA but for one fault: ratios are
// exact here, and not cut to whole percent (83.9 % of 80 % is more than 83 %), so a scale up is not
// late and a scale down is not early.
package hpa

import (
	"errors"
	"math"
	"time"
)

// What the HPA waits for before it trusts a starting pod's CPU (its own defaults).
const (
	CPUInitialization = 5 * time.Minute
	InitialReadiness  = 30 * time.Second
)

// Group says how a pod counts.
type Group int

const (
	// Counted pods are measured by their sample.
	Counted Group = iota
	// Unready pods count as using nothing when the others ask for a scale up, and not at all
	// otherwise.
	Unready
	// Missing pods have no sample; they are filled in against the direction of the change.
	Missing
	// Ignored pods are terminating or have failed.
	Ignored
)

// Pod is what the grouping looks at.
type Pod struct {
	Deleting, Failed, Pending bool
	// Sampled says that there is a sample; At is its end and Window what it covers.
	Sampled bool
	At      time.Time
	Window  time.Duration
	// Ready is the condition, ReadyChanged its last transition (zero: no such condition), Started
	// the pod's start (zero: not yet).
	Ready                 bool
	ReadyChanged, Started time.Time
}

// Classify groups a pod. Readiness matters for CPU only: a starting process burns CPU that says
// nothing about its load.
func Classify(p Pod, cpu bool, now time.Time, initialization, readiness time.Duration) Group {
	switch {
	case p.Deleting || p.Failed:
		return Ignored
	case p.Pending:
		return Unready
	case !p.Sampled:
		return Missing
	case !cpu:
		return Counted
	case p.ReadyChanged.IsZero() || p.Started.IsZero():
		return Unready
	case p.Started.Add(initialization).After(now):
		// The sample must lie wholly after the pod became ready.
		if !p.Ready || p.At.Before(p.ReadyChanged.Add(p.Window)) {
			return Unready
		}
	case !p.Ready && p.Started.Add(readiness).After(p.ReadyChanged):
		return Unready // it never was ready
	}
	return Counted
}

// Load is one pod of a usage signal. Use and Request are in the same unit.
type Load struct {
	Group   Group
	Use     int64
	Request int64
}

// Target is the wanted mean use: a percentage of the requests, or a value in the unit of Load.Use.
// Exactly one is set.
type Target struct {
	Utilization  int64
	AverageValue int64
}

// Ratio is one pod's use over the target.
func Ratio(l Load, target Target) float64 {
	s := sum{target: target}
	s.add(l.Use, l.Request)
	return s.ratio()
}

// Tolerance is how far a ratio may lie from 1 without effect; both ends are within.
type Tolerance struct{ Up, Down float64 }

// slack absorbs what floating point adds to a value that is exact on paper.
const slack = 1e-12

// Within says whether ratio asks for nothing.
func (t Tolerance) Within(ratio float64) bool {
	return 1-t.Down-slack <= ratio && ratio <= 1+t.Up+slack
}

// Ceil rounds a need up to whole instances.
func Ceil(need float64) int {
	if need >= math.MaxInt32 {
		return math.MaxInt32
	}
	return int(math.Ceil(need * (1 - slack)))
}

// Result is a size and how it came about.
type Result struct {
	Replicas int
	// Ratio is mean use over target of the counted pods; Filled is that with missing and unready pods
	// filled in, and is what the tolerance judges.
	Ratio, Filled float64
	// Need is the load in units of instances at target, with missing and unready pods filled in.
	Need float64
	// Pods are the counted ones, Unready and Missing the others that are alive.
	Pods, Unready, Missing int
	// Kept says why Replicas is the current size although Ratio is not 1: tolerance, or a change of
	// direction by the fill-in.
	Kept string
}

// Why a size is kept.
const (
	KeptTolerance = "within tolerance"
	KeptDirection = "unready and missing pods would turn the direction"
)

// ErrNoSamples is returned when no pod counts.
var ErrNoSamples = errors.New("no pod has a usable sample")

// ErrNoRequests is returned when a utilisation is asked for and the pods request nothing.
var ErrNoRequests = errors.New("the pods request nothing")

// Replicas is the size at which mean use meets the target.
func Replicas(current int, pods []Load, target Target, tol Tolerance) (Result, error) {
	var r Result
	counted := sum{target: target}
	for _, p := range pods {
		switch p.Group {
		case Counted:
			counted.add(p.Use, p.Request)
		case Unready:
			r.Unready++
		case Missing:
			r.Missing++
		}
	}
	r.Pods = counted.pods
	if counted.pods == 0 {
		return r, ErrNoSamples
	}
	if target.Utilization > 0 && counted.request == 0 {
		return r, ErrNoRequests
	}
	r.Ratio = counted.ratio()
	filled := counted.fillIn(pods, r.Ratio)
	r.Need, r.Filled = filled.need(), filled.ratio()
	r.Replicas, r.Kept = settle(current, r.Ratio, filled, tol)
	return r, nil
}

// settle turns the ratios into a size; why is empty unless the current size is kept.
func settle(current int, ratio float64, filled sum, tol Tolerance) (size int, why string) {
	after := filled.ratio()
	if tol.Within(after) {
		return current, KeptTolerance
	}
	if ratio < 1 && after > 1 || ratio > 1 && after < 1 {
		return current, KeptDirection
	}
	size = Ceil(filled.need())
	if filled.guessed && (after < 1 && size > current || after > 1 && size < current) {
		return current, KeptDirection
	}
	return size, ""
}

type sum struct {
	target       Target
	pods         int
	use, request int64
	// guessed says that pods without a usable sample exist, so that the sum is partly a guess.
	guessed bool
}

func (s *sum) add(use, request int64) {
	s.pods++
	s.use += use
	s.request += request
}

// fillIn returns s with the pods that have no usable sample, at a use that works against the change
// which ratio asks for.
func (s sum) fillIn(pods []Load, ratio float64) sum {
	for _, p := range pods {
		switch {
		case p.Group == Missing:
			s.guessed = true
			if ratio < 1 {
				s.add(s.fallback(p.Request), p.Request)
			} else if ratio > 1 {
				s.add(0, p.Request)
			}
		case p.Group == Unready && ratio > 1:
			s.guessed = true
			s.add(0, p.Request)
		}
	}
	return s
}

// fallback is what a pod without a sample is taken to use when the others ask for a scale down.
func (s sum) fallback(request int64) int64 {
	if s.target.Utilization > 0 {
		return request * max(100, s.target.Utilization) / 100
	}
	return s.target.AverageValue
}

// atTarget is what the pods of s use together at target.
func (s sum) atTarget() float64 {
	if s.target.Utilization > 0 {
		return float64(s.request) * float64(s.target.Utilization) / 100
	}
	return float64(s.pods) * float64(s.target.AverageValue)
}

func (s sum) ratio() float64 { return float64(s.use) / s.atTarget() }

// need divides once, at the end: what is a whole number on paper stays one.
func (s sum) need() float64 { return float64(s.use) * float64(s.pods) / s.atTarget() }

package ops

import "time"

// Instance is one ordinal of a kind.
type Instance struct {
	Kind        string `json:"kind"`
	Ordinal     int    `json:"ordinal"`
	StatefulSet string `json:"statefulSet"`
	Pod         string `json:"pod,omitempty" doc:"absent: there is none"`
	UID         string `json:"uid,omitempty"`
	Node        string `json:"node,omitempty"`
	// State is one word for what it is doing with resources.
	State string `json:"state" enum:"open,closed,draining,drained,leaving,lost,absent" doc:"open: takes resources; closed: takes none yet; draining: a person drains it; drained: that is done; leaving: it leaves with the size; lost: its node is lost; absent: it owns resources and has no pod"`
	// Health is the verdict on it, and what that rests on.
	Health Health `json:"health"`
	List   List   `json:"list"`
	CPU    *Load  `json:"cpu,omitempty"`
	Memory *Load  `json:"memory,omitempty"`
	// Lag is now minus its newest heartbeat; absent: not known, or the kind has no heartbeat.
	Lag string `json:"lag,omitempty" doc:"a duration"`
	// Beat is when that heartbeat was sent; absent: none since the pod's start.
	Beat time.Time `json:"beat,omitzero"`
	// NotAcknowledging says why its status is no word of its pod; absent: it is one.
	NotAcknowledging string `json:"notAcknowledging,omitempty"`
	// Drain is who drains it, if a person does; Unproven why what it owns stays, if it is lost.
	Drain      *Said     `json:"drain,omitempty"`
	DrainWaits string    `json:"drainWaits,omitempty" doc:"what its drain waits for, for two minutes at most: instances that are starting; it takes resources meanwhile"`
	Unproven   string    `json:"unproven,omitempty"`
	Started    time.Time `json:"started,omitzero"`
	Restarts   int       `json:"restarts,omitempty"`
}

// Health is the verdict on an instance.
type Health struct {
	Condition string `json:"condition" enum:"Healthy,Starting,NotReady,Stale,Silent,CrashLooping,Failed,ImagePull,Pending,Terminating,Stuck,Absent,Unknown"`
	By        string `json:"by" enum:"session,heartbeat,pod,record," doc:"what the verdict rests on"`
	Text      string `json:"text,omitempty"`
}

// List is what an instance owns.
type List struct {
	Count    int       `json:"count"`
	Capacity int       `json:"capacity"`
	InFlight int       `json:"inFlight,omitempty" doc:"taken from it and not yet released"`
	Weight   *float64  `json:"weight,omitempty"`
	Changed  time.Time `json:"changed,omitzero"`
	Error    string    `json:"error,omitempty" doc:"it exists and cannot be read; count is the last known"`
}

// Load is the use of CPU or memory.
type Load struct {
	// Usage and Request are milli-CPU or bytes. Ratio is the use over the target: 1 is at target.
	Usage   int64     `json:"usage"`
	Request int64     `json:"request,omitempty"`
	Ratio   *float64  `json:"ratio,omitempty"`
	At      time.Time `json:"at,omitzero"`
	Missing string    `json:"missing,omitempty" doc:"why there is no value; usage is then 0 and means nothing"`
}

// InstanceList is a page of instances.
type InstanceList struct {
	Items []Instance `json:"items" nullable:"false"`
	// Total counts what the filter picks, of All.
	Total    int    `json:"total"`
	All      int    `json:"all"`
	Continue string `json:"continue,omitempty" doc:"ask for the next page with continue="`
}

// NodeInstances are the instances on one node.
type NodeInstances struct {
	Node  string     `json:"node"`
	Items []Instance `json:"items" nullable:"false"`
}

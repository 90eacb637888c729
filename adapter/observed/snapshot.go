// Package observed folds what the sources report into one Snapshot.
//
// In: Signals, one type per source, in any order and any number of times. Out: a Snapshot, a value
// in which every part carries the time at which it was observed. Invariant: the fold is pure (the
// caller brings the time), idempotent, and never turns "unknown" into a number: what was not seen
// is nil, what could not be read keeps its old time and an error.
package observed

import (
	"fmt"
	"slices"
	"time"
)

// Snapshot is all that is known at one moment. It is a value: nothing changes it afterwards.
type Snapshot struct {
	// At is the moment for which ages are computed.
	At time.Time `json:"at,omitzero"`
	// Kinds are in the order of the configuration.
	Kinds []Kind `json:"kinds"`
}

// Kind is what is known of one kind of resources.
type Kind struct {
	Name      string `json:"name"`
	Namespace string `json:"namespace"`
	// Workload is the StatefulSet; nil: not seen yet, or, if Sources.Cluster has no error, none.
	Workload *Workload `json:"workload,omitempty"`
	// Instances are in order of ordinal: each that has a pod, adopted or not, or a znode.
	Instances []Instance `json:"instances"`
	// Assigned, InFlight and Unassigned are ZooKeeper's; valid only if Sources.Store.Known().
	Assigned   int `json:"assigned"`
	InFlight   int `json:"inFlight"`
	Unassigned int `json:"unassigned"`
	// Open are the ordinals that may receive, ascending.
	Open []int `json:"open,omitempty"`
	// Weights are what the resources weigh; nil: the kind is balanced by count, and each weighs 1.
	Weights *Weights `json:"weights,omitempty"`
	// Groups are the InstanceGroups of the kind, oldest first; GroupFor picks the one that counts.
	// HPAs are those that scale its StatefulSet, or any InstanceGroup.
	Groups    []Group `json:"groups,omitempty"`
	Strangers []Group `json:"strangers,omitempty"` // InstanceGroups of no kind that is configured, with the first kind
	HPAs      []HPA   `json:"hpas,omitempty"`
	// Catalogue counts the last complete read's; valid only if Sources.Catalogue.Known().
	Catalogue int     `json:"catalogue"`
	Sources   Sources `json:"sources"`
}

// Resources counts all resources of the kind: assigned + in flight + unassigned.
func (k *Kind) Resources() int { return k.Assigned + k.InFlight + k.Unassigned }

// Instance returns the instance with that ordinal, or nil.
func (k *Kind) Instance(ordinal int) *Instance {
	i, found := slices.BinarySearchFunc(k.Instances, ordinal, func(inst Instance, n int) int { return inst.Ordinal - n })
	if !found {
		return nil
	}
	return &k.Instances[i]
}

// Kind returns what is known of the kind of that name, or nil.
func (s Snapshot) Kind(name string) *Kind {
	for i := range s.Kinds {
		if s.Kinds[i].Name == name {
			return &s.Kinds[i]
		}
	}
	return nil
}

// Sources is the health of each input of a kind.
type Sources struct {
	Store     Source  `json:"store"`         // ZooKeeper
	Cluster   Source  `json:"cluster"`       // StatefulSet and pods
	Metrics   Source  `json:"metrics"`       // metrics.k8s.io
	Catalogue Source  `json:"catalogue"`     // SQL
	Bus       *Source `json:"bus,omitempty"` // Kafka; nil for a kind without heartbeat
	Notify    Source  `json:"notify"`        // MQTT
	Groups    Source  `json:"groups"`        // InstanceGroups
	HPAs      Source  `json:"hpas"`          // HorizontalPodAutoscalers
}

// Source is the health of one input.
type Source struct {
	// At is when the input was last read completely; zero: never.
	At time.Time `json:"at,omitzero"`
	// Error is why the latest try failed; empty when it succeeded. ErrorAt is since when it fails.
	Error   string    `json:"error,omitempty"`
	ErrorAt time.Time `json:"errorAt,omitzero"`
}

// Known says whether the input was ever read completely.
func (s Source) Known() bool { return !s.At.IsZero() }

// Age is the time since the last complete read; it is meaningless unless Known.
func (s Source) Age(now time.Time) time.Duration { return now.Sub(s.At) }

// Fresh says whether the input was read completely within max before now.
func (s Source) Fresh(now time.Time, max time.Duration) bool { return s.Known() && s.Age(now) <= max }

// Because is why the input cannot be read now, as the end of a sentence; "" when it can.
func (s Source) Because() string {
	if s.Error == "" {
		return ""
	}
	return ": " + s.Error
}

// Workload is a StatefulSet, reduced to what is used.
type Workload struct {
	UID             string `json:"uid"`
	ResourceVersion string `json:"resourceVersion"`
	Generation      int64  `json:"generation"`
	// Start is spec.ordinals.start, Replicas is spec.replicas.
	Start    int `json:"start"`
	Replicas int `json:"replicas"`
	// What its controller reports; UpdatedReplicas differs from the others during a rollout.
	StatusReplicas  int `json:"statusReplicas"`
	ReadyReplicas   int `json:"readyReplicas"`
	UpdatedReplicas int `json:"updatedReplicas"`
	// AvailableReplicas have been ready for minReadySeconds; nil: a snapshot of an older build.
	AvailableReplicas *int   `json:"availableReplicas,omitempty"`
	Selector          string `json:"selector"`
	// UpdateRevision is what pods that are up to date have as RevisionLabel; empty: not known.
	UpdateRevision string `json:"updateRevision,omitempty"`
	// ReplicasWriter is the field manager that wrote Replicas last; empty: not known.
	ReplicasWriter string            `json:"replicasWriter,omitempty"`
	Labels         map[string]string `json:"labels,omitempty"`
}

// RevisionLabel is the label by which a pod of a StatefulSet says of which revision it is.
const RevisionLabel = "controller-revision-hash"

// Has says whether an ordinal is of the size there is.
func (w *Workload) Has(ordinal int) bool { return ordinal >= w.Start && ordinal < w.Start+w.Replicas }

// Instance is one ordinal.
type Instance struct {
	Ordinal int  `json:"ordinal"`
	Pod     *Pod `json:"pod,omitempty"` // nil: the StatefulSet owns no such pod
	// Unadopted is a pod of the instance's name that the StatefulSet does not own: an orphan, that
	// of another StatefulSet, or with edited labels. It may run what the instance owns.
	Unadopted *Pod   `json:"unadopted,omitempty"`
	List      *List  `json:"list,omitempty"`  // nil: ZooKeeper has no such ordinal, or its list has not been read
	Usage     *Usage `json:"usage,omitempty"` // nil: no sample
	// LastBeat is the newest heartbeat since the pod's start, at most its arrival; nil: none.
	LastBeat *time.Time `json:"lastBeat,omitempty"`
}

// Occupant is the pod that has the instance's name, of any owner or none; nil: none was seen.
func (i *Instance) Occupant() *Pod {
	if i.Pod != nil {
		return i.Pod
	}
	return i.Unadopted
}

// Owned counts what is in its list and in flight from it, as last read; nil owns nothing.
func (i *Instance) Owned() int {
	if i == nil || i.List == nil {
		return 0
	}
	return i.List.Count + i.List.InFlight
}

// SessionLives says whether the pod's own ZooKeeper session lives: its status is there, and names
// this pod or, if it names none as those of older instances do, was made since the pod was. Another
// pod of the ordinal may have left one behind for as long as its session lasted.
func (i *Instance) SessionLives() bool {
	switch l := i.List; {
	case i.Pod == nil || l == nil:
		return false
	case l.Status != nil && l.Status.PodUID != "":
		return l.Status.PodUID == i.Pod.UID
	default:
		return !l.SessionSince.IsZero() && !l.SessionSince.Before(i.Pod.Created)
	}
}

// Fenced says that its process runs nothing, by its own word: it said that it fences itself, and
// its status is gone with its session. A status that cannot be read is there all the same.
func (i *Instance) Fenced() bool {
	l := i.List
	return i.Pod != nil && l != nil && l.Status == nil && l.StatusFault == "" && l.SessionSince.IsZero() &&
		l.Last != nil && l.Last.Fences && l.Last.SessionMs > 0 && l.Last.PodUID == i.Pod.UID
}

// Runner is the pod that may run what the instance owns; nil: none is seen, also of no instance. One that its StatefulSet
// has made and no node has been found for runs nothing yet.
func (i *Instance) Runner() *Pod {
	if i == nil {
		return nil
	}
	pod := i.Occupant()
	if pod == nil || pod.Ended() || pod == i.Pod && pod.Node == "" && pod.Phase == "Pending" {
		return nil
	}
	return pod
}

// Pod is one pod, reduced to what is used.
type Pod struct {
	Name string `json:"name"`
	UID  string `json:"uid"`
	// Labels answer metric reads by label selector.
	Labels map[string]string `json:"labels,omitempty"`
	Node   string            `json:"node,omitempty"`
	Phase  string            `json:"phase"` // Pending, Running, Succeeded, Failed, Unknown
	Ready  bool              `json:"ready"`
	// ReadyChanged is the Ready condition's last transition.
	ReadyChanged time.Time `json:"readyChanged,omitzero"`
	Created      time.Time `json:"created,omitzero"`
	Started      time.Time `json:"started,omitzero"` // status.startTime; zero while Pending
	// Terminating is set while the pod has a deletion timestamp; DeleteBy is that: its grace's end.
	Terminating bool      `json:"terminating,omitempty"`
	DeleteBy    time.Time `json:"deleteBy,omitzero"`
	// NodeLost is since when the pod's node has not been Ready; zero: it is, or that is not known.
	NodeLost time.Time `json:"nodeLost,omitzero"`
	// Reason is why its container waits, or why it cannot be scheduled: CrashLoopBackOff, …
	Reason   string `json:"reason,omitempty"`
	Restarts int    `json:"restarts,omitempty"`
	// Requests by the spec: milli-CPU and bytes, of the pod itself or summed over its containers.
	// MissingRequest names the containers without a request, for which there is no such sum.
	CPURequest           int64    `json:"cpuRequest,omitempty"`
	MemoryRequest        int64    `json:"memoryRequest,omitempty"`
	MissingCPURequest    []string `json:"missingCPURequest,omitempty"`
	MissingMemoryRequest []string `json:"missingMemoryRequest,omitempty"`
	// Resizing says why the node has not applied the requests of the spec yet; empty: it has.
	Resizing string `json:"resizing,omitempty"`
}

// Ended says that the pod's containers have terminated for good: no kubelet starts one again.
func (p *Pod) Ended() bool { return p.Phase == "Succeeded" || p.Phase == "Failed" }

// List is an ordinal's list in ZooKeeper, without the ids.
type List struct {
	Count int `json:"count"`
	Bytes int `json:"bytes"`
	// Times is `_reload.times`; Changed is when the list last changed (znode mtime).
	Times   int64     `json:"times"`
	Changed time.Time `json:"changed,omitzero"`
	// InFlight counts the ids taken from this ordinal and not yet released.
	InFlight int `json:"inFlight,omitempty"`
	// Weight is what it weighed at Kind.Weights.At; nil: not known, or balanced by count.
	Weight *float64 `json:"weight,omitempty"`
	// Status is what the instance itself says; nil: no ephemeral status.
	Status *Status `json:"status,omitempty"`
	// StatusFault says what is in place of a status that cannot be read: "is present and empty".
	// StatusSince is when we first saw the status of this pod, or none; zero: not known.
	StatusFault string    `json:"statusFault,omitempty"`
	StatusSince time.Time `json:"statusSince,omitzero"`
	// Last is what its status said last, where there is none now; nil: no status was seen.
	Last *Status `json:"last,omitempty"`
	// SessionSince is when its ephemeral status was made, by ZooKeeper's clock; zero: none.
	SessionSince time.Time `json:"sessionSince,omitzero"`
	// Unapplied is when the oldest change was made that is not acknowledged; zero: none is known.
	Unapplied time.Time `json:"unapplied,omitzero"`
	// Error: the list exists and cannot be read; Count is then the last known.
	Error string `json:"error,omitempty"`
}

// Status is an instance's own ephemeral status.
type Status struct {
	Times     int64  `json:"times"`
	PodUID    string `json:"pod"`
	Fences    bool   `json:"fences,omitempty"`
	SessionMs int64  `json:"sessionMs,omitempty"`
}

// StatusLapse is how long an instance that acknowledges may lack a status: in a start, say.
const StatusLapse = time.Minute

// NotAcknowledging says why a status is no word of the pod with that uid; "" when it is one. A
// status that is nil is absent, or fault says what stands in its place: "is present and empty".
func NotAcknowledging(s *Status, fault, uid string) string {
	switch {
	case s == nil && fault == "":
		return "its status is absent"
	case s == nil:
		return "its status " + fault
	case uid == "":
		return fmt.Sprintf("its status is of pod %q, and Kubernetes does not know this pod", s.PodUID)
	case s.PodUID != uid:
		return fmt.Sprintf("its status is of pod %q, and it is pod %s", s.PodUID, uid)
	}
	return ""
}

// NotAcknowledging says why the instance's status is no word of its present pod; "" when it is one.
func (i *Instance) NotAcknowledging() string {
	uid, l := "", i.List
	if pod := i.Occupant(); pod != nil {
		uid = pod.UID
	}
	if l == nil {
		l = &List{}
	}
	return NotAcknowledging(l.Status, l.StatusFault, uid)
}

// Usage is one sample of metrics.k8s.io, summed over the pod's containers.
type Usage struct {
	At         time.Time     `json:"at,omitzero"` // end of the window
	Window     time.Duration `json:"window"`      // in nanoseconds
	WindowText string        `json:"windowText,omitempty"`
	CPU        int64         `json:"cpu"`    // milli-CPU
	Memory     int64         `json:"memory"` // bytes
	// MissingCPU and MissingMemory say why the sample has no such value; empty: it has one. A sum
	// that lacks a container is no value: CPU or Memory is then 0 and means nothing.
	MissingCPU    string `json:"missingCPU,omitempty"`
	MissingMemory string `json:"missingMemory,omitempty"`
}

// ResourceKnown is what a source of truth says of one resource: a message or the catalogue.
type ResourceKnown struct {
	ID string
	// Weight is the resource's cost; 0 when the catalogue names none (counted as 1).
	Weight float64
	// Labels may be shared with other resources: they are read only.
	Labels map[string]string
	// Unread says that the row has a weight or labels that cannot be read: what was known stays.
	Unread bool
}

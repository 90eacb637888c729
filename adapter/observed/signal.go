package observed

import "time"

// Signal is one report of one source: all pods, all lists, never a delta, so that a lost or
// repeated one does no harm; beats are the exception, and idempotent by themselves.
type Signal interface{ kind() string }

// SourceName names an input of a kind.
type SourceName string

// The inputs of a kind.
const (
	SourceStore     SourceName = "store"
	SourceCluster   SourceName = "cluster"
	SourceMetrics   SourceName = "metrics"
	SourceCatalogue SourceName = "catalogue"
	SourceBus       SourceName = "bus"
	SourceNotify    SourceName = "notify"
	SourceGroups    SourceName = "groups"
	SourceHPAs      SourceName = "hpas"
)

// Beat is one heartbeat.
type Beat struct {
	Kind    string
	Ordinal int
	// At is the message's own timestamp, Arrived when it was read here.
	At, Arrived time.Time
}

// Read says that a source was read completely (a stream: is connected and caught up) at At, and
// that nothing has changed since it told what it has.
type Read struct {
	Kind   string
	Source SourceName
	At     time.Time
}

// Failed says that a source could not be read at At; what it reported before keeps its age.
type Failed struct {
	Kind   string
	Source SourceName
	At     time.Time
	Err    error
}

// Cluster is the StatefulSet (nil: there is none), its pods, and those of such a name that it does
// not own, by ordinal.
type Cluster struct {
	Kind      string
	At        time.Time
	Workload  *Workload
	Pods      map[int]Pod
	Unadopted map[int]Pod
}

// PodUsage is the latest sample of every pod of the kind that has one, by ordinal.
type PodUsage struct {
	Kind  string
	At    time.Time
	Usage map[int]Usage
}

// Assignment is what ZooKeeper holds for a kind.
type Assignment struct {
	Kind       string
	At         time.Time
	Lists      map[int]List
	Assigned   int
	InFlight   int
	Unassigned int
	Open       []int
	Weights    *Weights
}

// PodList is a complete list of the namespace's pods that have not ended, of any name and owner, by
// the API server itself. Only it tells that a pod is gone: a watch may be behind. It is no Signal.
type PodList struct {
	// Begun is when it was asked for: a uid that it lacks was gone or had ended since, for good.
	Begun time.Time
	// UIDs are the pods' uids, by their names.
	UIDs map[string]string
}

// Catalogued is the number of resources in a complete read of the catalogue.
type Catalogued struct {
	Kind  string
	At    time.Time
	Count int
}

func (s Beat) kind() string       { return s.Kind }
func (s Read) kind() string       { return s.Kind }
func (s Failed) kind() string     { return s.Kind }
func (c Cluster) kind() string    { return c.Kind }
func (s PodUsage) kind() string   { return s.Kind }
func (s Assignment) kind() string { return s.Kind }
func (s Catalogued) kind() string { return s.Kind }

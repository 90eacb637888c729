// Package metricsapi serves what was observed as Kubernetes metrics, which any HPA can follow:
// custom.metrics.k8s.io (v1beta1 and v1beta2) and external.metrics.k8s.io (v1beta1).
//
// In: a View for each request. Out: values, each with the time of its observation.
// Invariant: a value is known and recent or it is an error that names the input and its age; no 0
// means "unknown". No request causes a call, but that Kubernetes is asked who the caller is.
//
// table.go describes every metric once; discovery, the answers and the documentation come from it.
package metricsapi

import (
	"time"

	"github.com/shardscaler/shardscaler/adapter/observed"
	"github.com/shardscaler/shardscaler/internal/config"
)

// View is what one answer is made from. It is read only.
type View struct {
	Snapshot observed.Snapshot
	Config   *config.Config
	// Recommended is what each kind's latest decision says, by the kind's name; none that is too
	// old.
	Recommended map[string]Recommendation
}

// Configured is the configuration of the i-th kind of the Snapshot; nil: it has none. Both have the
// kinds in one order, but for a moment when they change.
func (v *View) Configured(i int) *config.Kind {
	name := v.Snapshot.Kinds[i].Name
	if i < len(v.Config.Kinds) && v.Config.Kinds[i].Name == name {
		return &v.Config.Kinds[i]
	}
	k, _ := v.Config.Kind(name)
	return k
}

// Recommendation is the size that the signals of a kind ask for.
type Recommendation struct {
	// Replicas is the answer to recommended_replicas; it means nothing if Unknown says why.
	Replicas int
	Unknown  string
	// At is when it was decided.
	At time.Time
}

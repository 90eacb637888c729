package observed

import "time"

// Group is an InstanceGroup, reduced to what is used.
type Group struct {
	Name       string    `json:"name"`
	UID        string    `json:"uid"`
	Generation int64     `json:"generation"`
	Created    time.Time `json:"created,omitzero"`
	// Kind is the kind that it names; StatefulSet is the one it names, Requested is its
	// spec.replicas.
	Kind        string `json:"kind"`
	StatefulSet string `json:"statefulSet"`
	Requested   int    `json:"wish"`
	Paused      bool   `json:"paused,omitempty"`
	// Seeded says that shardscaler has set Requested to the size of the StatefulSet, and that the
	// object was not replaced since. Otherwise Requested may be the API's default.
	Seeded bool              `json:"seeded,omitempty"`
	Labels map[string]string `json:"labels,omitempty"`
}

// HPA is a HorizontalPodAutoscaler, reduced to what it scales: a StatefulSet, or an InstanceGroup.
type HPA struct {
	Name    string `json:"name"`
	OnGroup bool   `json:"onGroup,omitempty"`
	Target  string `json:"target"`
}

// Groups is all InstanceGroups of a kind, oldest first. Strangers, of the first configured kind,
// are those of a kind that is not configured: the first kind's loop tells them.
type Groups struct {
	Kind      string
	At        time.Time
	Groups    []Group
	Strangers []Group
}

// HPAs is all HPAs that scale the kind's StatefulSet or any InstanceGroup, by name.
type HPAs struct {
	Kind string
	At   time.Time
	HPAs []HPA
}

func (s Groups) kind() string { return s.Kind }
func (s HPAs) kind() string   { return s.Kind }

// GroupFor is the InstanceGroup that counts for a StatefulSet: the oldest that names it; nil: none.
func (k *Kind) GroupFor(statefulSet string) *Group {
	for i := range k.Groups {
		if k.Groups[i].StatefulSet == statefulSet {
			return &k.Groups[i]
		}
	}
	return nil
}

package ops

import "time"

// Settings is a kind's configuration in force, each value with its source.
type Settings struct {
	Kind       string    `json:"kind"`
	Generation int64     `json:"generation"`
	Version    string    `json:"version,omitempty" doc:"the ConfigMap's resourceVersion, or the file's name"`
	LoadedAt   time.Time `json:"loadedAt,omitzero"`
	Refused    string    `json:"refused,omitempty" doc:"why a newer text is not in force"`
	Items      []Setting `json:"items" nullable:"false"`
}

// Setting is one value.
type Setting struct {
	// Path is as in the ConfigMap, below the kind: cpu.targetUtilization.
	Path   string `json:"path"`
	Value  any    `json:"value"`
	Source string `json:"source" enum:"ConfigMap,default,override"`
	// Configured is the ConfigMap's or default value that an override covers.
	Configured any `json:"configured,omitempty"`
	Said
}

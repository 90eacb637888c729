package ops

import (
	"reflect"
	"time"
)

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
	Value  any    `json:"value" doc:"text, a number, a truth value, a list; null: it is off"`
	Source string `json:"source" enum:"ConfigMap,default,override"`
	// Configured is the ConfigMap's or default value that an override covers.
	Configured any `json:"configured,omitempty"`
	Said
}

// SettingsOf is the configuration in force with the source of each value.
func SettingsOf(v *View) Settings {
	s := Settings{
		Kind: v.Config.Name, Generation: v.Generation, Version: v.Version, LoadedAt: v.LoadedAt, Refused: v.Refused, Items: []Setting{},
	}
	base := map[string]any{}
	for _, c := range v.Base.Settings() {
		base[c.Path] = c.Value
	}
	for _, c := range v.Config.Settings() {
		out := Setting{Path: c.Path, Value: c.Value, Source: "default"}
		if v.Written[c.Path] {
			out.Source = "ConfigMap"
		}
		if was, known := base[c.Path]; known && !reflect.DeepEqual(was, c.Value) {
			out.Source, out.Configured, out.Said = "override", was, v.said(c.Path)
		}
		s.Items = append(s.Items, out)
	}
	return s
}

// said is who has put something over the value of a path. The target follows the capacity.
func (v *View) said(path string) Said {
	switch o := &v.Override; {
	case path == "max" && o.MaxInstances != nil:
		return o.MaxInstances.Said
	case (path == "capacity" || path == "targetPerInstance") && o.ResourcePerInstance != nil:
		return o.ResourcePerInstance.Said
	case path == "rebalance.paused" && o.Paused != nil:
		return o.Paused.Said
	}
	return Said{}
}

// Undated is the configuration as it is: no value of it changes by time alone.
func (s Settings) Undated() Settings { return s }

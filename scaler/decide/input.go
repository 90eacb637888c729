package decide

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"sigs.k8s.io/yaml"

	"github.com/shardscaler/shardscaler/internal/config"
	"github.com/shardscaler/shardscaler/internal/exact"
)

// Saved is what a server answers to GET /v1/api/snapshot: what each kind's latest decision was, or
// would be, made from.
type Saved struct {
	At     time.Time `json:"at,omitzero"`
	Inputs []Input   `json:"inputs"`
	// Configured says where the values of the kinds' configurations come from. Older files lack it.
	Configured []Configured `json:"configured,omitempty"`
}

// Configured is where the values of a kind's configuration come from.
type Configured struct {
	Kind string `json:"kind"`
	// Base is the ConfigMap's text with its defaults, Written which fields that text has, by path.
	Base    config.Kind     `json:"base"`
	Written map[string]bool `json:"written,omitempty"`
	// Override are values that persons have put over Base.
	Override config.Override `json:"override"`
	// Generation, Version, LoadedAt and Refused are as in GET …/kinds/{kind}/config.
	Generation int64     `json:"generation"`
	Version    string    `json:"version,omitempty"`
	LoadedAt   time.Time `json:"loadedAt,omitzero"`
	Refused    string    `json:"refused,omitempty"`
}

// ConfiguredOf is that of a kind; nil: the file lacks it.
func (s *Saved) ConfiguredOf(kind string) *Configured {
	for i := range s.Configured {
		if s.Configured[i].Kind == kind {
			return &s.Configured[i]
		}
	}
	return nil
}

// ParseSaved reads a Saved, or a single Input, as JSON or YAML, to decide again what was decided
// then. Unknown fields are refused; the configuration is checked and completed like that of a
// server.
func ParseSaved(text []byte) (Saved, error) {
	var shape struct {
		Inputs []json.RawMessage `json:"inputs"`
	}
	if err := yaml.Unmarshal(text, &shape); err == nil && shape.Inputs == nil { //nolint:forbidigo // it is read exactly below
		in, err := ParseInput(text)
		return Saved{At: in.Now, Inputs: []Input{in}}, err
	}
	var s Saved
	if err := exact.KnownYAML(text, &s); err != nil {
		return Saved{}, fmt.Errorf("read decision input: %w", err)
	}
	for i := range s.Inputs {
		if err := s.Inputs[i].complete(); err != nil {
			return Saved{}, fmt.Errorf("inputs[%d]: %w", i, err)
		}
	}
	for i := range s.Configured {
		base, err := checked(&s.Configured[i].Base)
		if err != nil {
			return Saved{}, fmt.Errorf("configured[%d]: %w", i, err)
		}
		s.Configured[i].Base = base
	}
	return s, nil
}

// ParseInput reads a single Input in the same way.
func ParseInput(text []byte) (Input, error) {
	var in Input
	if err := exact.KnownYAML(text, &in); err != nil {
		return Input{}, fmt.Errorf("read decision input: %w", err)
	}
	if err := in.complete(); err != nil {
		return Input{}, err
	}
	return in, nil
}

// complete fills in the configuration's defaults and checks what was read.
func (in *Input) complete() error {
	if in.Now.IsZero() {
		return errors.New("read decision input: now: required")
	}
	var err error
	if in.Config, err = checked(&in.Config); err != nil {
		return err
	}
	slices.SortFunc(in.Operator.Drains, func(a, b config.OperatorDrain) int { return cmp.Compare(a.Ordinal, b.Ordinal) })
	if w := in.Observed.Workload; w != nil && (w.Replicas < 0 || w.Start < 0 || w.Replicas > config.MaxCeiling) {
		return fmt.Errorf("read decision input: observed.workload: replicas %d and start %d must be 0 to %d", w.Replicas, w.Start, config.MaxCeiling)
	}
	return nil
}

// checked is a kind as a server takes it from a ConfigMap.
func checked(k *config.Kind) (config.Kind, error) {
	raw, err := json.Marshal(config.Config{MaxInstancesCeiling: config.MaxCeiling, Kinds: []config.Kind{*k}})
	if err != nil {
		return config.Kind{}, fmt.Errorf("read decision input: %w", err)
	}
	cfg, err := config.Parse(raw)
	if err != nil {
		return config.Kind{}, fmt.Errorf("read decision input: %w", err)
	}
	return cfg.Kinds[0], nil
}

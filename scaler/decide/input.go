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
	raw, err := json.Marshal(config.Config{MaxInstancesCeiling: config.MaxCeiling, Kinds: []config.Kind{in.Config}})
	if err != nil {
		return fmt.Errorf("read decision input: %w", err)
	}
	checked, err := config.Parse(raw)
	if err != nil {
		return fmt.Errorf("read decision input: %w", err)
	}
	in.Config = checked.Kinds[0]
	slices.SortFunc(in.Operator.Drains, func(a, b config.OperatorDrain) int { return cmp.Compare(a.Ordinal, b.Ordinal) })
	if w := in.Observed.Workload; w != nil && (w.Replicas < 0 || w.Start < 0 || w.Replicas > config.MaxCeiling) {
		return fmt.Errorf("read decision input: observed.workload: replicas %d and start %d must be 0 to %d", w.Replicas, w.Start, config.MaxCeiling)
	}
	return nil
}

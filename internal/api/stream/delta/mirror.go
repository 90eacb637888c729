package delta

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/shardscaler/shardscaler/internal/config"
	"github.com/shardscaler/shardscaler/internal/exact"
	"github.com/shardscaler/shardscaler/internal/ops"
)

// Mirror is what a client holds: the documents of a server, put together again from updates. The
// zero Mirror is empty.
type Mirror struct {
	at    time.Time
	names []string
	kinds map[string]*mirrored
	dated map[string]Dated
}

type mirrored struct {
	kind      map[string]any
	instances map[int]map[string]any
}

// errNoState says that a change came before any full state.
var errNoState = errors.New("a change came before a full state")

// Apply takes in the data of a state or change event. After an error the Mirror is half-done: the
// client needs a full state.
func (m *Mirror) Apply(data []byte) error {
	var u Update
	if err := exact.JSON(data, &u); err != nil {
		return fmt.Errorf("read update: %w", err)
	}
	switch {
	case u.Full:
		*m = Mirror{kinds: map[string]*mirrored{}}
	case m.kinds == nil:
		return errNoState
	}
	for i := range u.Kinds {
		if err := m.apply(&u.Kinds[i]); err != nil {
			return fmt.Errorf("read change of kind %s: %w", u.Kinds[i].Name, err)
		}
	}
	m.at, m.names, m.dated = u.At, u.Names, u.Dated
	maps.DeleteFunc(m.kinds, func(name string, _ *mirrored) bool { return !slices.Contains(m.names, name) })
	return nil
}

func (m *Mirror) apply(p *Part) error {
	k := m.kinds[p.Name]
	if k == nil {
		k = &mirrored{instances: map[int]map[string]any{}}
		m.kinds[p.Name] = k
	}
	if p.Kind != nil {
		var patch map[string]any
		if err := exact.JSON(p.Kind, &patch); err != nil {
			return err
		}
		k.kind = merge(k.kind, patch)
	}
	for _, text := range p.Instances {
		var of struct {
			Ordinal int `json:"ordinal"`
		}
		var patch map[string]any
		if err := errors.Join(exact.JSON(text, &of), exact.JSON(text, &patch)); err != nil {
			return err
		}
		k.instances[of.Ordinal] = merge(k.instances[of.Ordinal], patch)
	}
	for _, n := range p.Removed {
		delete(k.instances, n)
	}
	return nil
}

// At is the moment that the Mirror shows, by the server's clock; zero: none yet.
func (m *Mirror) At() time.Time { return m.at }

// Seen is a mirrored kind, as GET shows it at the moment now of the server's clock: with ages.
func (m *Mirror) Seen(now time.Time) ([]Seen, error) {
	var all []Seen
	for _, name := range m.names {
		k := m.kinds[name]
		if k == nil {
			return nil, fmt.Errorf("kind %s is named and was never sent", name)
		}
		dated, seen := m.dated[name], Seen{}
		if err := typed(k.kind, &seen.Kind); err != nil {
			return nil, fmt.Errorf("read kind %s: %w", name, err)
		}
		dated.restore(&seen.Kind, now)
		for _, n := range slices.Sorted(maps.Keys(k.instances)) {
			var in ops.Instance
			if err := typed(k.instances[n], &in); err != nil {
				return nil, fmt.Errorf("read instance %d of %s: %w", n, name, err)
			}
			if !in.Beat.IsZero() {
				in.Lag = age(now, in.Beat)
			}
			seen.Instances = append(seen.Instances, in)
		}
		all = append(all, seen)
	}
	return all, nil
}

func typed(tree map[string]any, into any) error {
	text, err := json.Marshal(tree)
	if err != nil {
		return err
	}
	return exact.JSON(text, into)
}

func age(now, at time.Time) string { return config.Duration(max(0, now.Sub(at))).String() }

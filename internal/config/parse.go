package config

import (
	"fmt"
	"time"

	"sigs.k8s.io/yaml"

	"github.com/shardscaler/shardscaler/internal/exact"
)

// Parse reads a configuration strictly (unknown and repeated fields are errors), fills in the
// defaults and validates it. The error lists every fault with its field, its value and the bound.
func Parse(text []byte) (*Config, error) {
	var c Config
	if err := exact.KnownYAML(text, &c); err != nil {
		return nil, fmt.Errorf("read configuration: %w", err)
	}
	c.setDefaults()
	var errs faults
	if c.validate(&errs); len(errs.ErrorList) > 0 {
		return nil, fmt.Errorf("invalid configuration: %w", errs.ToAggregate())
	}
	return &c, nil
}

// Marshal writes c as YAML that Parse reads back to an equal Config.
func (c *Config) Marshal() ([]byte, error) {
	return yaml.Marshal(c)
}

// Default is the configuration of formats.md for one kind: what a field is when left out.
func Default(name, statefulSet string) Kind {
	k := Kind{Name: name, StatefulSet: statefulSet, Capacity: 5000, Init: 10, Max: 100, Heartbeat: &Heartbeat{}}
	k.setDefaults()
	return k
}

func (c *Config) setDefaults() {
	setDefault(&c.SyncPeriod, Duration(2*time.Second))
	setDefault(&c.MaxInstancesCeiling, 100)
	for i := range c.Kinds {
		c.Kinds[i].setDefaults()
	}
}

// Completed is c with the defaults of what it leaves open, but for the query.
func (c Catalogue) Completed() Catalogue {
	setDefault(&c.Interval, Duration(5*time.Minute))
	setDefaultPtr(&c.Lag, Duration(10*time.Minute))
	setDefaultPtr(&c.MaxDeleteShare, 0.1)
	if *c.MaxDeleteShare > 0 {
		setDefaultPtr(&c.MaxDeletes, 5)
	}
	setDefaultPtr(&c.MaxDeletes, 0)
	return c
}

func (k *Kind) setDefaults() {
	setDefault(&k.TargetPerInstance, k.Capacity)
	setDefault(&k.Replicas.Owner, OwnerShardscaler)
	setDefault(&k.Replicas.Mode, ModeAct)
	setDefault(&k.Mode, ModeAct)
	setDefault(&k.HandOff, HandOffImmediate)
	setDefault(&k.LostNodeGrace, Duration(5*time.Minute))
	k.setTolerance(&k.Tolerance.Up, k.Behavior.ScaleUp.Tolerance)
	k.setTolerance(&k.Tolerance.Down, k.Behavior.ScaleDown.Tolerance)
	setDefaultPtr(&k.Behavior.ScaleUp.StabilizationWindow, 0)
	setDefaultPtr(&k.Behavior.ScaleDown.StabilizationWindow, Duration(5*time.Minute))
	setDefault(&k.Behavior.ScaleUp.SelectPolicy, SelectMax)
	setDefault(&k.Behavior.ScaleDown.SelectPolicy, SelectMax)
	setDefault(&k.Freshness.Metrics, Duration(time.Minute))
	setDefault(&k.Freshness.Catalogue, Duration(10*time.Minute))
	setDefault(&k.Balance, BalanceCount)
	k.setBand()
	setDefault(&k.Catalogue.Query, k.query())
	k.Catalogue = k.Catalogue.Completed()
	setDefaultPtr(&k.Rebalance.ListInterval, Duration(time.Second))
	setDefault(&k.Health.Action, ActionRestart)
	setDefaultPtr(&k.Health.ReassignAfter, Duration(defaultReassignAfter))
	for _, t := range []*ResourceTarget{k.CPU, k.Memory} {
		if t != nil && t.Hottest != nil {
			setDefault(&t.Hottest.Patience, Duration(3*time.Minute))
		}
	}
	if h := k.Heartbeat; h != nil {
		setDefault(&h.Topic, "HeartBeat")
		setDefault(&h.StaleAfter, Duration(90*time.Second))
		setDefault(&h.RestartAfter, Duration(180*time.Second))
		setDefault(&h.MaxStaleShare, DefaultMaxStaleShare)
		setDefault(&h.StartupGrace, h.RestartAfter)
	}
}

// setTolerance takes up what behavior says for a direction, else the default.
func (k *Kind) setTolerance(tolerance **float64, behavior *float64) {
	if behavior != nil {
		setDefaultPtr(tolerance, *behavior)
	}
	setDefaultPtr(tolerance, 0.1)
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// setDefaultPtr is for fields in which zero is a choice of its own.
func setDefaultPtr[T any](field **T, value T) {
	if *field == nil {
		*field = &value
	}
}

// Package config is what operators tune: the content of the ConfigMap.
//
// In: YAML text. Out: a Config, or one error that lists every fault by field, value and bound.
// Invariant: a Config that left Parse is complete and valid.
//
// Addresses and credentials are flags of the server: changing them needs a restart.
package config

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/shardscaler/shardscaler/internal/pins"
)

// Config is the whole tunable configuration.
type Config struct {
	// SyncPeriod is the time between two looks of the control loops, which changes wake sooner.
	SyncPeriod Duration `json:"syncPeriod,omitempty"`
	// MaxInstancesCeiling bounds each Max and REST's maxInstances, 3 to 1000. Default 100.
	MaxInstancesCeiling int `json:"maxInstancesCeiling,omitempty"`
	// Kinds are the classes of resources, in the order in which they are shown.
	Kinds []Kind `json:"kinds"`
}

// Kind configures one class of resources and the StatefulSet that runs it.
type Kind struct {
	// Name is the kind as the platform spells it (`Thing`): the znode and the `t` of messages.
	Name string `json:"name"`
	// StatefulSet runs the kind's instances; pod `<statefulSet>-<n>` is ordinal n.
	StatefulSet string `json:"statefulSet"`
	// Capacity is the hard limit of resources on an instance, 1 to 5000; spreading keeps it.
	Capacity int `json:"capacity"`
	// TargetPerInstance is what sizing aims at, 1 to Capacity. Default: Capacity.
	TargetPerInstance int `json:"targetPerInstance,omitempty"`
	// Init is the least number, Max the greatest: 1 ≤ Init ≤ Max ≤ MaxInstancesCeiling.
	Init int `json:"init"`
	Max  int `json:"max"`
	// Replicas says who writes the StatefulSet's replicas.
	Replicas Replicas `json:"replicas,omitempty"`
	// CPU and Memory are optional signals; nil means off.
	CPU    *ResourceTarget `json:"cpu,omitempty"`
	Memory *ResourceTarget `json:"memory,omitempty"`
	// Tolerance is the dead band around the cpu and memory targets, as a fraction.
	Tolerance Tolerance `json:"tolerance,omitempty"`
	Behavior  Behavior  `json:"behavior,omitempty"`
	// Heartbeat is nil for a kind whose instances do not beat.
	Heartbeat *Heartbeat `json:"heartbeat,omitempty"`
	// LostNodeGrace is how long a node is lost before others get what is safe to give. Default 5m.
	LostNodeGrace Duration `json:"lostNodeGrace,omitempty"`
	// Health says what is done about an instance that does not work.
	Health Health `json:"health,omitempty"`
	// HandOff says when a revoked resource counts as released.
	HandOff HandOff `json:"handOff,omitempty"`
	// SettleSeconds is how long an immediate hand-off waits between revoke and grant. Default 0.
	SettleSeconds int       `json:"settleSeconds,omitempty"`
	Freshness     Freshness `json:"freshness,omitempty"`
	// Catalogue says how the kind's resources are read from the database.
	Catalogue Catalogue `json:"catalogue,omitempty"`
	// Balance is what is to be even among the instances.
	Balance Balance `json:"balance,omitempty"`
	// Rebalance limits how resources move.
	Rebalance Rebalance `json:"rebalance,omitempty"`
	// Pins bind some resources to some ordinals.
	Pins []pins.Rule `json:"pins,omitempty"`
	// Paused stops every write for the kind (sizes and moves) while metrics go on.
	Paused bool `json:"paused,omitempty"`
	// Mode is the most that is done for the kind, unless the process allows less. Default: act.
	Mode Mode `json:"mode,omitempty"`
}

// Owner is who writes replicas.
type Owner string

const (
	// OwnerShardscaler: the scaler writes /scale.
	OwnerShardscaler Owner = "shardscaler"
	// OwnerGroup: the scaler writes /scale, and follows what the kind's InstanceGroup requests.
	OwnerGroup Owner = "group"
	// OwnerHPA: an HPA does; we assign, drain and publish, and never write /scale.
	OwnerHPA Owner = "hpa"
)

// Owners are all of them.
var Owners = []Owner{OwnerShardscaler, OwnerGroup, OwnerHPA}

// Replicas says who owns the size.
type Replicas struct {
	Owner Owner `json:"owner,omitempty"`
	// Mode is what the scaler does with a size it owns: act, the default, or recommend. With the
	// latter resources are still given to instances and moved; Kind.Mode stops that too.
	Mode Mode `json:"mode,omitempty"`
}

// Mode is how much is done.
type Mode string

const (
	// ModeObserve: what is there is measured and published. Nothing is decided or written.
	ModeObserve Mode = "observe"
	// ModeRecommend: decisions are published too. None is brought about, and nothing is written.
	ModeRecommend Mode = "recommend"
	// ModeAct: decisions are brought about.
	ModeAct Mode = "act"
)

// Modes are all of them, that which does the least first.
var Modes = []Mode{ModeObserve, ModeRecommend, ModeAct}

// SizeModes are those of Replicas.
var SizeModes = []Mode{ModeRecommend, ModeAct}

// AtMost is m, or most where that does less. Each is one of Modes.
func (m Mode) AtMost(most Mode) Mode {
	if slices.Index(Modes, most) < slices.Index(Modes, m) {
		return most
	}
	return m
}

// HandOff is when a revoked resource counts as released by its former instance.
type HandOff string

const (
	// HandOffImmediate: at once, or after SettleSeconds. For instances that only watch `_reload`.
	HandOffImmediate HandOff = "immediate"
	// HandOffAcknowledged: when the instance's status says so (protocol rule 6).
	HandOffAcknowledged HandOff = "acknowledged"
)

// HandOffs are all of them.
var HandOffs = []HandOff{HandOffImmediate, HandOffAcknowledged}

// ResourceTarget is a target for CPU or memory: exactly one of the first two fields is set.
type ResourceTarget struct {
	// TargetUtilization is the desired mean use as percent of the pods' requests, 1 to 1000.
	TargetUtilization int32 `json:"targetUtilization,omitempty"`
	// TargetAverageValue is the desired mean use of a pod (`500m`, `1Gi`), greater than 0.
	TargetAverageValue *resource.Quantity `json:"targetAverageValue,omitempty"`
	// Hottest limits the most loaded instance; nil: only the mean counts.
	Hottest *HottestTarget `json:"hottest,omitempty"`
}

// HottestTarget is a target for the most loaded instance: exactly one of the first two fields is
// set. What is above it by more than the tolerance is relieved by a rebalance, or else by growth.
type HottestTarget struct {
	// TargetUtilization is the desired use in percent of the request, from that of the mean to
	// 1000.
	TargetUtilization int32 `json:"targetUtilization,omitempty"`
	// TargetValue is the desired use of the pod (`900m`, `2Gi`), at least that of the mean.
	TargetValue *resource.Quantity `json:"targetValue,omitempty"`
	// Patience is how long a rebalance is given before growth is asked for. Default 3m.
	Patience Duration `json:"patience,omitempty"`
}

// Tolerance is how far use/target may lie from 1 before a size changes. Nil is what behavior says
// for the direction, else 0.1; 0 means none.
type Tolerance struct {
	Up   *float64 `json:"up,omitempty"`
	Down *float64 `json:"down,omitempty"`
}

// Behavior follows the shape of the HPA's behavior.
type Behavior struct {
	ScaleUp   ScalingRules `json:"scaleUp,omitempty"`
	ScaleDown ScalingRules `json:"scaleDown,omitempty"`
}

// ScalingRules limits changes in one direction.
type ScalingRules struct {
	// StabilizationWindow: its largest (up: smallest) recommendation holds. Nil: 5m (up: 0). To 1h.
	StabilizationWindow *Duration `json:"stabilizationWindow,omitempty"`
	// Policies limit the rate; none means no limit by rate.
	Policies []ScalingPolicy `json:"policies,omitempty"`
	// SelectPolicy picks among the policies: Max (default), Min or Disabled.
	SelectPolicy string `json:"selectPolicy,omitempty"`
	// Tolerance is the HPA's way to write Kind.Tolerance; both, if different, are refused.
	Tolerance *float64 `json:"tolerance,omitempty"`
	// CoolDown is the least time between any change of the size and the next one in this direction,
	// at most 1h. 0: none. A growth that the number of resources asks for does not wait.
	CoolDown Duration `json:"coolDown,omitempty"`
}

// ScalingPolicy allows a change of Value (pods or percent) within Period.
type ScalingPolicy struct {
	Type   string   `json:"type"` // Pods or Percent
	Value  int32    `json:"value"`
	Period Duration `json:"period"` // 1s to 30m
}

// Heartbeat says where a kind's instances beat and what their silence means.
type Heartbeat struct {
	// Topic is the Kafka topic. Default HeartBeat.
	Topic string `json:"topic,omitempty"`
	// StaleAfter is the lag from which an instance is reported as stale. Default 90s.
	StaleAfter Duration `json:"staleAfter,omitempty"`
	// RestartAfter is the lag from which its pod is restarted, at least StaleAfter. Default 180s.
	RestartAfter Duration `json:"restartAfter,omitempty"`
	// MaxStaleShare is the share of instances (and at least two) silent at once above which none
	// is restarted. Default 0.34. Without heartbeat, the default holds for those that do not work.
	MaxStaleShare float64 `json:"maxStaleShare,omitempty"`
	// StartupGrace is how long a new pod without a beat has no lag. Default RestartAfter.
	StartupGrace Duration `json:"startupGrace,omitempty"`
}

// Action is what is done about an instance that does not work.
type Action string

const (
	// ActionReport: it is reported and nothing else.
	ActionReport Action = "report"
	// ActionRestart: a silent instance's pod is restarted, with its grace, after growing pauses.
	ActionRestart Action = "restart"
	// ActionReassign: and after ReassignAfter without work, others get what it owns.
	ActionReassign Action = "reassign"
)

// Actions are all of them, the strongest last.
var Actions = []Action{ActionReport, ActionRestart, ActionReassign}

// Health says what is done about instances that do not work. Nothing is done about any while too
// many do not work at once (Heartbeat.MaxStaleShare), and nothing moves during a rolling update.
type Health struct {
	// Action is the strongest that is taken. Default: restart.
	Action Action `json:"action,omitempty"`
	// ReassignAfter is how long an instance is not working before others get its resources, at most
	// 24h. Nil: 10m. Less than LeastUnproven counts where nothing of the instance runs any more, and
	// takes an acknowledged hand-off, by which alone that is proven.
	ReassignAfter *Duration `json:"reassignAfter,omitempty"`
}

// LeastUnproven is the least time that an instance is not working before others get its resources
// if something of it may run all the same.
const LeastUnproven = time.Minute

// defaultReassignAfter is ReassignAfter where none is set.
const defaultReassignAfter = 10 * time.Minute

// After is ReassignAfter.
func (h Health) After() time.Duration {
	if h.ReassignAfter == nil {
		return defaultReassignAfter
	}
	return h.ReassignAfter.Std()
}

// Freshness is how old an input may be and still be used.
type Freshness struct {
	Metrics   Duration `json:"metrics,omitempty"`   // pod metrics; default 60s
	Catalogue Duration `json:"catalogue,omitempty"` // last complete read; default 10m
}

// Catalogue says how a kind's resources are read from the database.
type Catalogue struct {
	// Query returns the column id, and optionally weight and labels. Default: SELECT id FROM
	// "<Name>", with weight if the kind is balanced by it, and labels if a pin selects by them.
	Query string `json:"query,omitempty"`
	// Interval is the time between two periodic reads. Default 5m.
	Interval Duration `json:"interval,omitempty"`
	// Lag is how far a read may be behind messages (standby, open transaction): what is younger is
	// not missed, and a confirming read waits as long, at most Interval. 0 to 1h. Nil: 10m.
	Lag *Duration `json:"lag,omitempty"`
	// MaxDeleteShare is the share of known resources, MaxDeletes the number if that is more, up to
	// which a reconcile deletes in an hour without a person. Nil: 0.1, and 5, or 0 with share 0.
	MaxDeleteShare *float64 `json:"maxDeleteShare,omitempty"`
	MaxDeletes     *int     `json:"maxDeletes,omitempty"`
}

// Rebalance limits how resources move between healthy instances.
type Rebalance struct {
	// ListInterval is the least time between two changes of one instance's list. Default 1s.
	ListInterval *Duration `json:"listInterval,omitempty"`
	// MovesPerMinute limits voluntary moves (spreading, not drains nor orphans); 0 means no limit.
	MovesPerMinute int `json:"movesPerMinute,omitempty"`
	// MovesPerPlan limits the voluntary moves of one plan; the rest is planned after that. 0: none.
	MovesPerPlan int `json:"movesPerPlan,omitempty"`
	// MaxInFlight limits the resources that are in flight at once; 0 means no limit.
	MaxInFlight int `json:"maxInFlight,omitempty"`
	// Paused stops voluntary moves at once; drains and orphans go on.
	Paused bool `json:"paused,omitempty"`
	// Band says when spreading by weight begins and ends; only with balance: weight.
	Band *Band `json:"band,omitempty"`
}

// Duration is a time.Duration written as text: 90s, 5m.
type Duration time.Duration

// UnmarshalJSON reads "90s".
func (d *Duration) UnmarshalJSON(b []byte) error {
	v, err := time.ParseDuration(strings.Trim(string(b), `"`))
	if err != nil || b[0] != '"' {
		return fmt.Errorf("duration %s: want text such as \"90s\"", b)
	}
	*d = Duration(v)
	return nil
}

// MarshalJSON writes "1m30s".
func (d Duration) MarshalJSON() ([]byte, error) {
	return []byte(`"` + d.Std().String() + `"`), nil
}

// Std returns d as the standard library's type.
func (d Duration) Std() time.Duration { return time.Duration(d) }

// String is the duration as a person writes it: 1m, 5m30s, 1h5m. It is rounded to whole seconds,
// and from an hour on to whole minutes; below a second to milliseconds.
func (d Duration) String() string {
	unit := time.Second
	switch {
	case d.Std().Abs() >= time.Hour:
		unit = time.Minute
	case d.Std().Abs() < time.Second:
		unit = time.Millisecond
	}
	text := d.Std().Round(unit).String()
	if rest, whole := strings.CutSuffix(text, "m0s"); whole {
		text = rest + "m"
	}
	if rest, whole := strings.CutSuffix(text, "h0m"); whole {
		text = rest + "h"
	}
	return text
}

// Kind returns the kind of that name.
func (c *Config) Kind(name string) (*Kind, bool) {
	for i := range c.Kinds {
		if c.Kinds[i].Name == name {
			return &c.Kinds[i], true
		}
	}
	return nil, false
}

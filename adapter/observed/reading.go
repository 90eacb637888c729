package observed

import (
	"cmp"
	"errors"
	"fmt"
	"time"

	"github.com/shardscaler/shardscaler/internal/config"
)

// Past these ages what a source said is no longer a value but an error.
const (
	// StoreMaxAge: ZooKeeper is confirmed every few seconds, so this is several lost confirmations.
	StoreMaxAge = 30 * time.Second
	// ClusterMaxAge: a watch that is silent for 20 s is opened anew, and one request for that may
	// fail after 5 s (adapter/informer).
	ClusterMaxAge = 30 * time.Second
	// BusMaxAge is below the 30 s within which a silent bus is an error, less an answer's time.
	BusMaxAge = 25 * time.Second
)

// What a reading says instead of a number, for errors.Is; the text around them names the cause.
var (
	// ErrNoHeartbeat: the kind has no heartbeat, so it has no lag at all, ever.
	ErrNoHeartbeat       = errors.New("the kind has no heartbeat")
	ErrNoAcknowledgement = errors.New("the kind's instances do not acknowledge")
	ErrUnknown           = errors.New("not known")
	// ErrTooOld: the value was known and its source cannot be read any more.
	ErrTooOld = errors.New("too old")
)

// Lag is now minus the newest heartbeat of the instance since its pod started. Without one it is
// unknown during the start-up grace, and then as long as the pod is old. inst may be nil.
func Lag(k *Kind, cfg config.Kind, inst *Instance, now time.Time) (time.Duration, error) {
	if cfg.Heartbeat == nil || k.Sources.Bus == nil {
		return 0, fmt.Errorf("heartbeat lag of kind %s: %w", k.Name, ErrNoHeartbeat)
	}
	if inst == nil || inst.Pod == nil {
		return 0, fmt.Errorf("heartbeat lag: %w: no pod", ErrUnknown)
	}
	if err := usable("Kafka", *k.Sources.Bus, now, BusMaxAge); err != nil {
		return 0, fmt.Errorf("heartbeat lag of %s: %w", inst.Pod.Name, err)
	}
	if inst.LastBeat != nil {
		return max(0, now.Sub(*inst.LastBeat)), nil
	}
	if inst.Pod.Started.IsZero() {
		return 0, fmt.Errorf("heartbeat lag of %s: %w: the pod has not started", inst.Pod.Name, ErrUnknown)
	}
	age := now.Sub(inst.Pod.Started)
	if grace := cfg.Heartbeat.StartupGrace.Std(); age < grace {
		return 0, fmt.Errorf("heartbeat lag of %s: %w: no heartbeat yet, and its start-up grace ends in %s",
			inst.Pod.Name, ErrUnknown, config.Duration(grace-age))
	}
	return age, nil
}

// ResourcesPerInstance counts the ids in the list of an instance that has a pod. A pod that is
// Ready and has no list owns nothing: 0. inst may be nil: an unknown ordinal.
func ResourcesPerInstance(k *Kind, inst *Instance, now time.Time) (int, error) {
	if inst == nil || inst.Pod == nil {
		return 0, fmt.Errorf("resources per instance: %w: no pod", ErrUnknown)
	}
	if err := usable("ZooKeeper", k.Sources.Store, now, StoreMaxAge); err != nil {
		return 0, fmt.Errorf("resources of %s: %w", inst.Pod.Name, err)
	}
	switch {
	case inst.List == nil && inst.Pod.Ready:
		return 0, nil
	case inst.List == nil:
		return 0, fmt.Errorf("resources of %s: %w: no list, and the pod is not ready", inst.Pod.Name, ErrUnknown)
	case inst.List.Error != "":
		return 0, fmt.Errorf("resources of %s: %w: its list cannot be read: %s", inst.Pod.Name, ErrUnknown, inst.List.Error)
	}
	return inst.List.Count, nil
}

// CapacityUsed is the share of its capacity that an instance's list takes. inst may be nil.
func CapacityUsed(k *Kind, cfg config.Kind, inst *Instance, now time.Time) (float64, error) {
	n, err := ResourcesPerInstance(k, inst, now)
	if err != nil {
		return 0, err
	}
	return float64(n) / float64(max(cfg.Capacity, 1)), nil
}

// AssignmentLag is how long the oldest change of its list is not acknowledged. inst may be nil.
func AssignmentLag(k *Kind, cfg config.Kind, inst *Instance, now time.Time) (time.Duration, error) {
	if cfg.HandOff != config.HandOffAcknowledged {
		return 0, fmt.Errorf("assignment lag of kind %s: %w", k.Name, ErrNoAcknowledgement)
	}
	if _, err := ResourcesPerInstance(k, inst, now); err != nil {
		// a list that is not known has no lag
		return 0, fmt.Errorf("assignment lag: %w", err)
	}
	list := inst.List
	switch {
	case list == nil:
		return 0, nil // nothing was ever assigned
	case list.Status == nil:
		return 0, fmt.Errorf("assignment lag of %s: %w: the instance has not said what it applied", inst.Pod.Name, ErrUnknown)
	case list.Status.PodUID != "" && list.Status.PodUID != inst.Pod.UID:
		return 0, fmt.Errorf("assignment lag of %s: %w: the status is another pod's", inst.Pod.Name, ErrUnknown)
	case list.Status.Times >= list.Times:
		return 0, nil
	}
	return max(0, now.Sub(cmp.Or(list.Unapplied, list.Changed))), nil
}

// MaxLag is the longest lag of the kind's instances. Those that need not have beaten yet, and those
// that are leaving, do not count; a bus that cannot be read makes it unknown.
func MaxLag(k *Kind, cfg config.Kind, now time.Time) (time.Duration, error) {
	if cfg.Heartbeat == nil || k.Sources.Bus == nil {
		return 0, fmt.Errorf("heartbeat lag of kind %s: %w", k.Name, ErrNoHeartbeat)
	}
	if err := usable("Kafka", *k.Sources.Bus, now, BusMaxAge); err != nil {
		return 0, fmt.Errorf("heartbeat lag of kind %s: %w", k.Name, err)
	}
	longest, known := time.Duration(0), false
	for _, inst := range k.Instances {
		if inst.Pod == nil || inst.Pod.Terminating {
			continue
		}
		lag, err := Lag(k, cfg, &inst, now)
		if errors.Is(err, ErrUnknown) {
			continue
		}
		if err != nil {
			return 0, err
		}
		longest, known = max(longest, lag), true
	}
	if !known {
		return 0, fmt.Errorf("heartbeat lag of kind %s: %w: no instance has a lag yet", k.Name, ErrUnknown)
	}
	return longest, nil
}

// Window is what a kind's recommended size is made from: the longer of its stabilization windows.
func Window(cfg config.Kind) time.Duration {
	return max(cfg.Behavior.ScaleDown.StabilizationWindow.Std(), cfg.Behavior.ScaleUp.StabilizationWindow.Std())
}

// Resources counts all resources of the kind: assigned, in flight and unassigned.
func Resources(k *Kind, now time.Time) (int, error) { return counted(k, k.Resources(), now) }

// Unassigned counts the resources that wait in the pool.
func Unassigned(k *Kind, now time.Time) (int, error) { return counted(k, k.Unassigned, now) }

// InFlight counts the resources taken from an instance and not yet released by it.
func InFlight(k *Kind, now time.Time) (int, error) { return counted(k, k.InFlight, now) }

// counted is n, unless the counts of ZooKeeper are unknown, too old, or lack a list.
func counted(k *Kind, n int, now time.Time) (int, error) {
	if err := usable("ZooKeeper", k.Sources.Store, now, StoreMaxAge); err != nil {
		return 0, fmt.Errorf("resources of kind %s: %w", k.Name, err)
	}
	for _, inst := range k.Instances {
		if l := inst.List; l != nil && l.Error != "" {
			return 0, fmt.Errorf("resources of kind %s: %w: the list of instance %d cannot be read: %s", k.Name, ErrUnknown, inst.Ordinal, l.Error)
		}
	}
	return n, nil
}

func usable(name string, src Source, now time.Time, limit time.Duration) error {
	switch {
	case !src.Known():
		return fmt.Errorf("%w: %s has not been read yet%s", ErrUnknown, name, src.Because())
	case !src.Fresh(now, limit):
		return fmt.Errorf("%w: %s was last read %s ago%s", ErrTooOld, name, config.Duration(src.Age(now)), src.Because())
	}
	return nil
}

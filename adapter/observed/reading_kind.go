package observed

import (
	"errors"
	"fmt"
	"time"

	"github.com/shardscaler/shardscaler/internal/config"
)

// CapacityUsed is the share of its capacity that an instance's list takes. inst may be nil.
func CapacityUsed(k *Kind, cfg config.Kind, inst *Instance, now time.Time) (float64, error) {
	n, err := ResourcesPerInstance(k, inst, now)
	if err != nil {
		return 0, err
	}
	return float64(n) / float64(max(cfg.Capacity, 1)), nil
}

// AssignmentLag is how long the oldest change of its list waits for the instance to acknowledge it;
// 0 when it has acknowledged all. inst may be nil.
func AssignmentLag(k *Kind, cfg config.Kind, inst *Instance, now time.Time) (time.Duration, error) {
	if cfg.HandOff != config.HandOffAcknowledged {
		return 0, fmt.Errorf("assignment lag of kind %s: %w", k.Name, ErrNoAcknowledgement)
	}
	if _, err := ResourcesPerInstance(k, inst, now); err != nil { // a list that is not known has no lag
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
	since := list.Unapplied
	if since.IsZero() {
		since = list.Changed
	}
	return max(0, now.Sub(since)), nil
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
	for i := range k.Instances {
		inst := &k.Instances[i]
		if inst.Pod == nil || inst.Pod.Terminating {
			continue
		}
		lag, err := Lag(k, cfg, inst, now)
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
	longest := time.Duration(0)
	for _, window := range []*config.Duration{cfg.Behavior.ScaleDown.StabilizationWindow, cfg.Behavior.ScaleUp.StabilizationWindow} {
		if window != nil {
			longest = max(longest, window.Std())
		}
	}
	return longest
}

package observed

import (
	"fmt"
	"time"

	"github.com/shardscaler/shardscaler/internal/config"
)

// Weights is what the resources of a kind that is balanced by weight weigh. Only the leader reads
// the catalogue, and tells the followers by way of ZooKeeper. List.Weight is what one list weighs.
type Weights struct {
	// At is when it was made; zero: the leader does not know the weights yet.
	At time.Time `json:"at,omitzero"`
	// Total is the sum over all resources: in lists, in flight, unassigned.
	Total float64 `json:"total"`
}

// WeightsMaxAge is past what the account is no longer a value: several have not come then.
const WeightsMaxAge = time.Minute

// Weight is the sum of the weights of all resources of the kind. Balanced by count, each weighs 1.
func Weight(k *Kind, now time.Time) (float64, error) {
	n, err := Resources(k, now)
	if err == nil && k.Weights != nil {
		return k.Weights.Total, k.Weights.usable(k.Name, now)
	}
	return float64(n), err
}

// Imbalance is the largest load of an instance over the mean: 1 when all are alike, or nothing is
// assigned. A load is a number of resources, or what they weigh. Only instances that may receive
// count; those that are being drained are not meant to be in balance.
func Imbalance(k *Kind, now time.Time) (float64, error) {
	if _, err := counted(k, k.Assigned, now); err != nil {
		return 0, fmt.Errorf("imbalance: %w", err)
	}
	if k.Weights != nil {
		if err := k.Weights.usable(k.Name, now); err != nil {
			return 0, fmt.Errorf("imbalance: %w", err)
		}
	}
	if len(k.Open) == 0 {
		return 0, fmt.Errorf("imbalance of kind %s: %w: no instance may receive yet", k.Name, ErrUnknown)
	}
	sum, most := 0.0, 0.0
	for _, ordinal := range k.Open {
		load, err := k.load(ordinal)
		if err != nil {
			return 0, fmt.Errorf("imbalance: %w", err)
		}
		sum, most = sum+load, max(most, load)
	}
	if sum == 0 {
		return 1, nil
	}
	return most * float64(len(k.Open)) / sum, nil
}

// load is what counts as even: ids in the list, or what they weighed when the leader looked last.
func (k *Kind) load(ordinal int) (float64, error) {
	switch inst := k.Instance(ordinal); {
	case inst == nil || inst.List == nil:
		return 0, nil
	case k.Weights == nil:
		return float64(inst.List.Count), nil
	case inst.List.Weight != nil:
		return *inst.List.Weight, nil
	case inst.List.Count > 0:
		return 0, fmt.Errorf("weight of instance %d of kind %s: %w: the leader has not told it yet", ordinal, k.Name, ErrUnknown)
	}
	return 0, nil
}

func (w *Weights) usable(kind string, now time.Time) error {
	if w.At.IsZero() {
		return fmt.Errorf("weights of kind %s: %w: the leader has not read them from the catalogue yet", kind, ErrUnknown)
	}
	if age := now.Sub(w.At); age > WeightsMaxAge {
		return fmt.Errorf("weights of kind %s: %w: the leader told them %s ago", kind, ErrTooOld, config.Duration(age))
	}
	return nil
}

// sameWeights ignores when they were told: the same again is no news.
func sameWeights(a, b *Weights) bool {
	if a == nil || b == nil {
		return a == b
	}
	return a.Total == b.Total && a.At.IsZero() == b.At.IsZero()
}

package observed

import (
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestWeightAndImbalanceByWeight(t *testing.T) {
	now := time.Unix(1000, 0)
	weights := func(age time.Duration) *Weights { return &Weights{At: now.Add(-age), Total: 30} }
	kind := func(w *Weights) *Kind {
		five, fifteen := 5.0, 15.0
		return &Kind{
			Name: "Thing", Assigned: 11, Weights: w, Open: []int{0, 1, 2}, Sources: Sources{Store: Source{At: now}},
			Instances: []Instance{
				{Ordinal: 0, List: &List{Count: 10, Weight: &five}},
				{Ordinal: 1, List: &List{Count: 1, Weight: &fifteen}},
				{Ordinal: 2, List: &List{}},
				{Ordinal: 3, List: &List{Count: 1, Weight: &fifteen}}, // not open
			},
		}
	}
	read := func(k *Kind) (weight, imbalance float64, err error) {
		weight, err = Weight(k, now)
		imbalance, second := Imbalance(k, now)
		return weight, imbalance, errors.Join(err, second)
	}
	weight, imbalance, err := read(kind(weights(20 * time.Second)))
	require.NoError(t, err)
	require.InDelta(t, 30, weight, 0)
	require.InDelta(t, 15*3.0/20, imbalance, 1e-9)
	weight, imbalance, err = read(kind(nil))
	require.NoError(t, err)
	require.InDelta(t, 11, weight, 0, "by count each weighs 1")
	require.InDelta(t, 10*3.0/11, imbalance, 1e-9)
	_, _, err = read(kind(&Weights{}))
	require.ErrorIs(t, err, ErrUnknown, "what the leader does not know is no number")
	_, _, err = read(kind(weights(2 * time.Minute)))
	require.ErrorIs(t, err, ErrTooOld)
	untold := kind(weights(time.Second))
	untold.Instances[2].List.Count = 4
	_, err = Imbalance(untold, now)
	require.ErrorIs(t, err, ErrUnknown, "ids that the leader has not weighed yet do not weigh 0")
	blind := kind(weights(time.Second))
	blind.Sources.Store.At = now.Add(-time.Hour)
	_, _, err = read(blind)
	require.ErrorIs(t, err, ErrTooOld)
}

func TestTheSameWeightsToldAgainAreNoNews(t *testing.T) {
	s := New("iota", things())
	tell := func(at int64, total float64) {
		s.Apply(Assignment{Kind: "Thing", At: time.Unix(at, 0), Weights: &Weights{At: time.Unix(at, 0), Total: total}})
	}
	tell(10, 5)
	changed := s.Changed("Thing")
	tell(20, 5)
	select {
	case <-changed:
		t.Fatal("woken by the same weights")
	default:
	}
	require.Equal(t, time.Unix(20, 0), s.Snapshot(time.Unix(21, 0)).Kind("Thing").Weights.At)
	tell(30, 6)
	select {
	case <-changed:
	default:
		t.Fatal("not woken by other weights")
	}
}

package scaler

import (
	"io"
	"log/slog"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
)

// The delay is counted from when a decision is due, and ends with the decision.
func TestTheDelayOfADecision(t *testing.T) {
	w := newWorld(t, 2)
	w.place(100)
	reg := prometheus.NewRegistry()
	s := New(Config{Kind: "Thing", Now: func() time.Time { return w.now }}, w, w, slog.New(slog.NewTextHandler(io.Discard, nil)), reg)
	s.Every(5 * time.Second)
	value := func(name string) float64 {
		families, err := reg.Gather()
		require.NoError(t, err)
		for _, f := range families {
			if f.GetName() == name {
				return f.GetMetric()[0].GetGauge().GetValue()
			}
		}
		t.Fatalf("no %s", name)
		return 0
	}
	const delay = "shardscaler_decision_delay_seconds"
	require.Zero(t, value(delay), "no decision was made yet, and none is due")
	w.tick(s, time.Second)
	require.EqualValues(t, 5, value("shardscaler_sync_period_seconds"))
	require.Zero(t, value(delay))
	w.now = w.now.Add(5 * time.Second)
	require.Zero(t, value(delay), "it is due now")
	w.now = w.now.Add(7 * time.Second)
	require.EqualValues(t, 7, value(delay))
	w.tick(s, time.Second)
	require.Zero(t, value(delay))
}

package app

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/shardscaler/shardscaler/internal/config"
	"github.com/shardscaler/shardscaler/scaler/decide"
)

func TestALeaderThatHangsServesItsOwnDecisionForThreeTicksOnly(t *testing.T) {
	now, cfg := time.Now(), &config.Config{SyncPeriod: config.Duration(2 * time.Second)}
	r := &runner{decision: &decide.Decision{Kind: "Thing", At: now}}
	d, err := r.served(now.Add(6*time.Second), cfg)
	require.NoError(t, err)
	require.Same(t, r.decision, d)
	_, err = r.served(now.Add(7*time.Second), cfg)
	require.ErrorContains(t, err, "7s old, more than 6s")
}

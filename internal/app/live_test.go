package app

import (
	"errors"
	"log/slog"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"

	"github.com/shardscaler/shardscaler/internal/config"
)

const good = "kinds:\n- {name: Thing, statefulSet: iota-dac, capacity: 10, init: 1, max: 5}\n"

func newTestLive(refused func(error)) *live {
	m := newMetrics(prometheus.NewRegistry(), func() bool { return false })
	return newLive(slog.New(slog.DiscardHandler), m, config.ModeAct, refused)
}

func TestABadConfigurationIsRefusedOnceAndTheLastGoodOneStays(t *testing.T) {
	var told []string
	l := newTestLive(func(err error) { told = append(told, err.Error()) })
	l.offer(offered{text: []byte(good), version: "1"})
	before, changed := l.current()
	require.Equal(t, 5, before.Kinds[0].Max)

	bad := offered{text: []byte("kinds:\n- {name: Thing, statefulSet: iota-dac, capacity: 10, init: 6, max: 5}\n"), version: "2"}
	l.offer(bad)
	l.offer(bad)
	now, _ := l.current()
	require.Same(t, before, now)
	select {
	case <-changed:
		t.Fatal("a refused configuration is no change")
	default:
	}
	require.Len(t, told, 1, "the same refusal is told once")
	require.Contains(t, told[0], "kinds[0].init: Invalid value: 6: must be between 1 and 5")
	require.Zero(t, testutil.ToFloat64(l.metrics.configOK))
	ready, detail := l.check()
	require.True(t, ready, "the last good one still serves")
	require.Contains(t, detail, "version 1 stays in force")

	l.offer(offered{text: []byte(good + "syncPeriod: 3s\n"), version: "3"})
	<-changed
	require.EqualValues(t, 1, testutil.ToFloat64(l.metrics.configOK))
	ready, detail = l.check()
	require.True(t, ready)
	require.Empty(t, detail)
}

// The generation is the same on every replica: how often one of them has read does not count.
func TestTheGenerationIsTheConfigMaps(t *testing.T) {
	one, two := newTestLive(func(error) {}), newTestLive(func(error) {})
	one.offer(offered{text: []byte(good), version: "41"})
	for _, l := range []*live{one, two} {
		l.offer(offered{text: []byte(good), version: "57"})
		require.EqualValues(t, 57, l.loaded().generation)
		l.offer(offered{text: []byte("no"), version: "58"})
		require.EqualValues(t, 57, l.loaded().generation)
	}
	file := newTestLive(func(error) {})
	for i, text := range []string{good, good + "syncPeriod: 3s\n"} {
		file.offer(offered{text: []byte(text), version: "config.yaml"})
		file.offer(offered{text: []byte(text), version: "config.yaml"})
		require.EqualValues(t, i+1, file.loaded().generation)
	}
}

func TestNotReadyWithoutAnyConfiguration(t *testing.T) {
	l := newTestLive(func(error) {})
	ready, detail := l.check()
	require.False(t, ready)
	require.Equal(t, "not read yet", detail)
	l.offer(offered{err: errors.New("configmap iota/shardscaler does not exist")})
	ready, detail = l.check()
	require.False(t, ready)
	require.Contains(t, detail, "does not exist")
}

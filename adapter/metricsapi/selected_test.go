package metricsapi

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/shardscaler/shardscaler/adapter/observed"
)

func TestSelectedIsRememberedForTheSamePodsOnly(t *testing.T) {
	var s selected
	kind := newWorld(t).kind("Thing")
	dacs, others := mustSelector(t, "app=iota-dac"), mustSelector(t, "app=web")
	require.Equal(t, []bool{true, true, true}, s.of(kind, dacs))
	require.Equal(t, []bool{false, false, false}, s.of(kind, others))
	require.Same(t, &s.of(kind, dacs)[0], &s.of(kind, dacs)[0], "it is remembered")

	beaten := *kind // only a beat has come: other instances, the same pods
	beaten.Instances = append([]observed.Instance(nil), kind.Instances...)
	require.Same(t, &s.of(kind, dacs)[0], &s.of(&beaten, dacs)[0])

	relabelled := *kind
	relabelled.Instances = append([]observed.Instance(nil), kind.Instances...)
	pod := *kind.Instances[1].Pod
	pod.Labels = map[string]string{"app": "web"}
	relabelled.Instances[1].Pod = &pod
	require.Equal(t, []bool{true, false, true}, s.of(&relabelled, dacs))
	require.Equal(t, []bool{false, true, false}, s.of(&relabelled, others))

	fewer := relabelled
	fewer.Instances = fewer.Instances[:2]
	fewer.Instances[0].Pod = nil
	require.Equal(t, []bool{false, false}, s.of(&fewer, dacs))
}

func TestSelectedIsBounded(t *testing.T) {
	var s selected
	kind := newWorld(t).kind("Thing")
	for n := range 3 * maxSelections {
		s.of(kind, mustSelector(t, fmt.Sprintf("app=%d", n)))
		require.LessOrEqual(t, len(s.known), maxSelections)
	}
}

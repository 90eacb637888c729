package observed

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/shardscaler/shardscaler/internal/config"
)

// An ordinal whose pod is orphaned has that pod, and no pod of the StatefulSet's: nothing is read
// off it.
func TestAPodThatIsNotAdoptedIsShownApart(t *testing.T) {
	s := New("ns", []config.Kind{config.Default("Thing", "iota-dac")})
	s.Apply(Cluster{Kind: "Thing", At: at(1), Workload: &Workload{}, Pods: map[int]Pod{0: {UID: "u0"}, 1: {UID: "u1"}}})
	changed := s.Changed("Thing")
	s.Apply(Cluster{Kind: "Thing", At: at(2), Workload: &Workload{}, Pods: map[int]Pod{0: {UID: "u0"}}, Unadopted: map[int]Pod{1: {UID: "u1"}, 7: {UID: "u7"}}})
	<-changed
	k := s.Snapshot(at(3)).Kinds[0]
	require.Len(t, k.Instances, 3)
	require.Equal(t, "u0", k.Instance(0).Occupant().UID)
	require.Nil(t, k.Instance(1).Pod)
	require.Equal(t, "u1", k.Instance(1).Occupant().UID)
	require.Equal(t, "u7", k.Instance(7).Unadopted.UID)
	require.False(t, k.Instance(1).SessionLives())
	_, err := ResourcesPerInstance(&k, k.Instance(1), time.Time{})
	require.ErrorIs(t, err, ErrUnknown)

	changed = s.Changed("Thing")
	s.Apply(Cluster{Kind: "Thing", At: at(4), Workload: &Workload{}, Pods: map[int]Pod{0: {UID: "u0"}}, Unadopted: map[int]Pod{7: {UID: "u7"}}})
	<-changed
	k = s.Snapshot(at(5)).Kinds[0]
	require.Nil(t, k.Instance(1))
	require.Nil(t, (&Instance{}).Occupant())
}

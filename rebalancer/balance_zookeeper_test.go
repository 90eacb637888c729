package rebalancer

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/shardscaler/shardscaler/adapter/observed"
	"github.com/shardscaler/shardscaler/internal/config"
	"github.com/shardscaler/shardscaler/internal/pins"
	"github.com/shardscaler/shardscaler/internal/pins/pinstest"
	"github.com/shardscaler/shardscaler/internal/testbed/servers"
	"github.com/shardscaler/shardscaler/rebalancer/orders"
	"github.com/shardscaler/shardscaler/rebalancer/steps"
)

func (l *live) read(rows []observed.ResourceKnown) {
	l.t.Helper()
	l.e.BeginRead(time.Now())
	_, err := l.e.EndRead(l.t.Context(), rows)
	require.NoError(l.t, err)
}

// TestRealWeightsAndPins: a hot instance cools down within the band, pins are obeyed, a successor
// that knows neither waits for its first read, a follower tells the weights all the same, and
// nothing moves in the end.
func TestRealWeightsAndPins(t *testing.T) {
	z := servers.Require(t, servers.PartZooKeeper).ZooKeeper
	connect := z.Connect + z.Path(t)
	wanted := orders.Orders{
		Tick: time.Second, Capacity: 5000, HandOff: config.HandOffImmediate, Stay: []int{0, 1, 2, 3}, Ready: []int{0, 1, 2, 3},
		Balance: config.BalanceWeight, CatalogueMaxAge: 10 * time.Minute, Pins: []pins.Rule{pinstest.Selecting("lyon", "lyon", 1, 2)},
	}
	first := startLiveBy(t, connect, wanted)
	ids := uuids(2000)
	catalogue := make([]observed.ResourceKnown, len(ids))
	for i, id := range ids {
		catalogue[i] = pinstest.Row(id, float64(1+i%7), []string{"lyon", "metz", "", "nice"}[i%4])
	}
	first.read(catalogue)
	first.placed(len(ids))

	// What instance 0 holds becomes three times as heavy.
	st := first.e.State()
	hot := map[string]bool{}
	for _, id := range st.Instances[0].IDs.All() {
		hot[id] = true
	}
	for i := range catalogue {
		if hot[catalogue[i].ID] {
			catalogue[i].Weight *= 3
		}
	}
	require.Greater(t, heaviness(st, catalogue), 1.15)
	first.read(catalogue)
	even := func(l *live) func() bool {
		return func() bool {
			st := l.e.State()
			return st.InFlight()+st.Unassigned() == 0 && heaviness(st, catalogue) <= 1.05
		}
	}
	first.eventually("the hot instance cools down", even(first))
	first.end()
	st = reread(t, connect, ids)
	placedAsPinned(t, st, catalogue, "lyon", 1, 2)

	wanted.Stay, wanted.Ready = []int{0, 1, 2}, []int{0, 1, 2}
	second := startLiveBy(t, connect, wanted)
	require.NoError(t, second.e.Create(t.Context(), known([]string{"new"})))
	second.eventually("it waits for the labels", func() bool { return second.e.Progress().Blocked != "" })
	require.Equal(t, times(st), times(second.e.State()), "nothing was emptied by guess")
	catalogue = append(catalogue, pinstest.Row("new", 2, "lyon"))
	ids = append(ids, "new")
	second.read(catalogue)
	second.placed(len(ids))
	second.eventually("3 is empty", func() bool { return second.e.State().Instances[3].IDs.Len() == 0 })
	second.eventually("the rest is even", even(second))
	sum := 0.0
	for _, k := range catalogue {
		sum += k.Weight
	}
	second.eventually("the weights are accounted for", func() bool {
		w := steps.WeightsOf(second.e.State(), nil)
		return w != nil && w.Total == sum
	})
	before := times(second.e.State())
	second.read(catalogue)
	second.read(catalogue)
	// a pass has gone by since
	require.NoError(t, second.e.Keep(t.Context(), "mark", orders.Replace(nil)))
	require.Equal(t, before, times(second.e.State()), "a constant state makes no move")
	second.end()
	placedAsPinned(t, reread(t, connect, ids), catalogue, "lyon", 1, 2)
}

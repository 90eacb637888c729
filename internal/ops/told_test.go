package ops

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/shardscaler/shardscaler/adapter/observed"
	"github.com/shardscaler/shardscaler/rebalancer/inventory/resync"
	"github.com/shardscaler/shardscaler/rebalancer/orders"
	"github.com/shardscaler/shardscaler/rebalancer/plan"
	"github.com/shardscaler/shardscaler/rebalancer/protocol"
)

func TestWhatIsToldIsHeard(t *testing.T) {
	at := time.Date(2026, 3, 1, 12, 0, 0, 123456789, time.UTC)
	told := Told{
		Progress: orders.Progress{
			Draining: map[int]int{3: 40}, Unproven: map[int]string{7: "its node is silent"}, PlanID: "7-ab", Begun: at, Moves: 9, PerMinute: 1.5, Moved: 41365,
			Duplicates: []protocol.Duplicate{{ID: "a", Stayed: "3", Removed: "pool"}}, Parked: []plan.RefusedGroup{{From: -1, Why: "pin", Count: 2, Examples: []string{"b"}}},
		},
		Waiting: &resync.Waiting{Count: 3, Known: 9, Share: 1.0 / 3, Since: at, Sets: []resync.Set{{Set: 1, Count: 3, Known: 9, Since: at}}},
		Rows:    12, Catalogue: observed.Source{At: at}, Notify: observed.Source{At: at, Error: "refused", ErrorAt: at},
	}
	heard, err := ParseTold(told.Encode())
	require.NoError(t, err)
	require.Equal(t, &told, heard)
	none, err := ParseTold(nil)
	require.NoError(t, err)
	require.Nil(t, none, "a leader of an older version")
	newer, err := ParseTold([]byte(`{"rows":3,"newer":{}}`))
	require.NoError(t, err)
	require.Equal(t, 3, newer.Rows)
	_, err = ParseTold([]byte(`{"rows":"3"}`))
	require.Error(t, err)
}

func TestWhatIsToldIsBounded(t *testing.T) {
	var told Told
	for i := range 1000 {
		told.Progress.Duplicates = append(told.Progress.Duplicates, protocol.Duplicate{ID: fmt.Sprintf("%0256d", i)})
		told.Progress.Parked = append(told.Progress.Parked, plan.RefusedGroup{From: i, Meaning: strings.Repeat("<", 300)})
	}
	data := told.Encode()
	require.NotEmpty(t, data)
	require.LessOrEqual(t, len(data), MaxTold)
	heard, err := ParseTold(data)
	require.NoError(t, err)
	require.Equal(t, told.Progress.Duplicates[:10], heard.Progress.Duplicates)
	require.Len(t, told.Progress.Duplicates, 1000, "the leader's own list stays")
	told.Progress.Blocked = strings.Repeat("x", MaxTold)
	require.Nil(t, told.Encode())
}

package rebalancer

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/shardscaler/shardscaler/internal/config"
	"github.com/shardscaler/shardscaler/internal/pins"
	"github.com/shardscaler/shardscaler/rebalancer/orders"
)

// A drain that cannot end names what keeps it, for as long as that lasts and no longer. (A hold:
// the scaler, who gave it, says so.)
func TestWhatKeepsADrainIsNamed(t *testing.T) {
	for name, c := range map[string]struct {
		before, cure func(*orders.Orders)
		says         []string
	}{
		"a pin": {
			before: func(o *orders.Orders) { o.Pins = []pins.Rule{{Name: "two", IDs: names("a", 300), Ordinals: []int{2}}} },
			cure:   func(o *orders.Orders) { o.Pins = nil },
			says:   []string{"resources without a place", "pin-closed (two)"},
		},
		"no capacity elsewhere": {
			before: func(o *orders.Orders) { o.Capacity = 100 },
			cure:   func(o *orders.Orders) { o.Capacity = 150 },
			says:   []string{"resources without a place: 100", "full"},
		},
		"no other instance is open": {
			before: func(o *orders.Orders) { o.Stay = []int{7} },
			cure:   func(o *orders.Orders) { o.Stay, o.Ready = []int{0, 1, 7}, []int{7} },
			says:   []string{"resources without a place: 300", "no-open-instance"},
		},
		"an instance that has not acknowledged yet": {
			before: func(o *orders.Orders) { o.HandOff = config.HandOffAcknowledged },
			cure:   func(o *orders.Orders) { o.GonePods = map[string]bool{"p2": true} },
			says:   []string{"instance 2 has not released what was revoked (resources: 100): the instance has applied change 0, not yet change 2"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, newDouble())
				r.order(func(o *orders.Orders) { o.Capacity, o.Pods = 200, map[int]string{2: "p2"} })
				r.lead(0, 1, 2)
				ids := names("a", 300)
				r.create(ids...)
				r.wait(3 * time.Second)
				r.answering(2)
				require.Equal(t, map[int]int{0: 100, 1: 100, 2: 100}, counts(r.settled(ids)))
				r.order(func(o *orders.Orders) {
					o.Stay, o.Ready = []int{0, 1}, []int{0, 1}
					c.before(o)
				})
				r.wait(30 * time.Second)
				for _, text := range c.says {
					require.Contains(t, r.e.Progress().Blocked, text)
				}
				require.NotZero(t, counts(r.d.snapshot())[2]+r.d.snapshot().InFlight(), "it was not kept: this shows nothing")
				r.order(c.cure)
				r.wait(30 * time.Second)
				require.Zero(t, counts(r.settled(ids))[2])
				require.Empty(t, r.e.Progress().Blocked)
			})
		})
	}
}

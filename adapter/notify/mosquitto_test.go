package notify

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/shardscaler/shardscaler/internal/testbed/observedtest"
	"github.com/shardscaler/shardscaler/internal/testbed/servers"
)

// A mosquitto with its default limits hands out 20 messages, keeps 1,000 more while these are not
// acknowledged, and drops the rest: it tells neither the publisher nor us. The commit is held, so
// that it must drop.
func TestMosquittoDropsABurstWhileWeAreConnected(t *testing.T) {
	broker := servers.Require(t).NewMosquitto(t)
	cfg, s := configFor(t, broker), newStore()
	s.setFault(func(string) error { return errors.New("ZooKeeper is away") })
	publish := publisher(t, broker, cfg.Topic)
	r := run(t, cfg, s)
	const burst = 1500
	var messages, ids []string
	for n := range burst {
		ids = append(ids, fmt.Sprintf("%06d", n))
		messages = append(messages, create("Thing", ids[n]))
	}
	publish(messages...) // it acknowledges those that it drops, too
	require.EventuallyWithT(t, func(c *assert.CollectT) {
		assert.GreaterOrEqual(c, testutil.ToFloat64(r.metrics.messages.WithLabelValues("create")), 20.0)
	}, observedtest.Patience, 5*time.Millisecond)
	require.EqualValues(t, 20, testutil.ToFloat64(r.metrics.messages.WithLabelValues("create")))
	s.setFault(func(string) error { return nil })

	const kept = 1020
	s.await(t, "Thing", ids[:kept]...)
	publish(create("Thing", "later"))
	s.await(t, "Thing", append(ids[:kept:kept], "later")...)
	require.EventuallyWithT(t, func(c *assert.CollectT) {
		assert.Zero(c, testutil.ToFloat64(r.metrics.waiting.WithLabelValues("Thing")))
	}, observedtest.Patience, time.Millisecond)
	require.EqualValues(t, 1, testutil.ToFloat64(r.metrics.sessions), "nothing looks wrong")
	const asked = 2 // at the beginning of the session, and after the burst
	require.EventuallyWithT(t, func(c *assert.CollectT) { assert.GreaterOrEqual(c, s.reconciled("Thing"), asked) },
		observedtest.Patience, 5*time.Millisecond, "a read finds what was dropped")
}

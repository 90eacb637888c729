package e2e

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/shardscaler/shardscaler/internal/config"
	"github.com/shardscaler/shardscaler/internal/testbed/product"
	"github.com/shardscaler/shardscaler/internal/testbed/servers"
)

// atRest is how much one replica may ask of the API server a minute while nothing happens: a fifth
// of the 126 requests of before its watches lasted.
const atRest = 25.2

// TestAtRestTheAPIServerIsLeftAlone counts what two replicas ask of the API server while nothing
// happens. The Lease is left out: the length of a term says how often it is renewed. It has the
// APIServices: those of another test, which come and go, would be looked at.
func TestAtRestTheAPIServerIsLeftAlone(t *testing.T) {
	const replicas, rest = 2, time.Minute
	var api apiProxy
	w := start(t, func(_ *servers.Env, o *product.Options) {
		o.Before = func(_ context.Context, s *product.Stack) error { return api.lead(t, s) }
		o.Replicas, o.SelfManagedCert = replicas, true
	})
	things := product.IDs(1_000, 1)
	require.NoError(t, w.Platform.Import(t.Context(), thing, things, 1))
	w.settled(thing, thingSet, 2, len(things))
	time.Sleep(20 * time.Second) // what the beginning asked for is over

	before, began := api.Counts(), time.Now()
	time.Sleep(rest)
	asked, passed := api.Counts(), time.Since(began)
	total := 0
	for _, what := range slices.Sorted(maps.Keys(asked)) {
		n := asked[what] - before[what]
		t.Logf("%6.2f a minute and replica: %s", float64(n)/passed.Minutes()/replicas, what)
		if !strings.HasSuffix(what, " leases.coordination.k8s.io") {
			total += n
		}
	}
	perMinute := float64(total) / passed.Minutes() / replicas
	t.Logf("%6.2f a minute and replica in all, the Lease aside", perMinute)
	require.Positive(t, total)
	require.LessOrEqual(t, perMinute, atRest)
}

// TestAPodsWatchThatIsSilentBlinds cuts the watch of the pods without a word, and leaves those that
// are opened later unanswered: what it showed is not taken for fresh for long, and nothing is sized
// by it until it is back.
func TestAPodsWatchThatIsSilentBlinds(t *testing.T) {
	var api apiProxy
	w := startBeside(t, func(_ *servers.Env, o *product.Options) {
		o.Before = func(_ context.Context, s *product.Stack) error { return api.lead(t, s) }
	})
	things := product.IDs(2_700, 1)
	require.NoError(t, w.Platform.Import(t.Context(), thing, things[:1_800], 1))
	w.settled(thing, thingSet, 2, 1_800)

	require.Positive(t, api.Hold("pods"))
	w.until("the pods are not known any more", func(ctx context.Context) error {
		d, err := w.decision(thing)
		if err == nil && d.Blind == "" {
			err = errors.New("it decides")
		}
		return err
	})
	text, err := w.ready(t.Context())
	require.NoError(t, err)
	require.Contains(t, text, "thing-cluster degraded")
	writes, err := w.ScaleWrites()
	require.NoError(t, err)
	require.NoError(t, w.Platform.Import(t.Context(), thing, things[1_800:], 2))
	w.until("more is there than fits", func(ctx context.Context) error {
		if a := w.assignment(thing); a.Assigned()+len(a.Pool) != len(things) {
			return fmt.Errorf("%d assigned, %d in the pool", a.Assigned(), len(a.Pool))
		}
		return nil
	})
	still, err := w.ScaleWrites()
	require.NoError(t, err)
	require.Equal(t, writes, still)
	api.Release("pods")
	w.holds(w.settled(thing, thingSet, 3, len(things)), things)
}

// TestAPodIsSoughtWhenThatIsWanted has ticks so rare that none is due in this test. The pod of an
// instance that acknowledges nothing is deleted while something is in flight from it: that alone
// has the pods listed, and what was in flight arrives.
func TestAPodIsSoughtWhenThatIsWanted(t *testing.T) {
	var api apiProxy
	w := startBeside(t, func(_ *servers.Env, o *product.Options) {
		o.Before = func(_ context.Context, s *product.Stack) error { return api.lead(t, s) }
		o.WorkloadFlags = append(o.WorkloadFlags, "--hand-off", "acknowledged")
		o.Config.SyncPeriod = config.Duration(5 * time.Minute) // longer than any wait
		o.Config.Kinds[0].HandOff = config.HandOffAcknowledged
	})
	require.Less(t, product.Patience, w.Config.SyncPeriod.Std())
	things := product.IDs(1_000, 1)
	require.NoError(t, w.Platform.Import(t.Context(), thing, things, 1))
	a := w.settled(thing, thingSet, 2, len(things))

	require.NoError(t, w.Control.Fault(t.Context(), thing, 1, "stall", 0))
	gone := a.Instances[1].IDs[:100]
	require.NoError(t, w.Platform.Remove(t.Context(), thing, gone...))
	require.NoError(t, w.Platform.Publish(t.Context(), product.BulkDeleted(thing, gone)))
	w.until("something is in flight", func(ctx context.Context) error {
		if len(w.assignment(thing).Flight) == 0 {
			return errors.New("nothing is")
		}
		return nil
	})
	lists := api.Counts()["list pods"]
	require.NoError(t, w.Kube.CoreV1().Pods(w.Namespace).Delete(t.Context(), podName(thingSet, 1), metav1.DeleteOptions{}))
	w.until("the pods are listed", func(context.Context) error {
		if api.Counts()["list pods"] == lists {
			return errors.New("they are not")
		}
		return nil
	})
	left := slices.DeleteFunc(slices.Clone(things), func(id string) bool { return slices.Contains(gone, id) })
	w.holds(w.settled(thing, thingSet, 2, len(left)), left)
	w.lostNothing(thing, gone)
}

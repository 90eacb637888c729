package e2e

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/shardscaler/shardscaler/adapter/observed"
	"github.com/shardscaler/shardscaler/internal/api"
	"github.com/shardscaler/shardscaler/internal/config"
	"github.com/shardscaler/shardscaler/internal/pins"
	"github.com/shardscaler/shardscaler/internal/testbed/product"
	"github.com/shardscaler/shardscaler/internal/testbed/servers"
)

// TestWeightsAndPins balances Things by the weights of real catalogue rows and binds some by their
// labels: heavy Things are spread, a pin is obeyed from the first list on and after it changed, one
// that cannot be satisfied is told and holds up no other, and a constant state moves nothing.
func TestWeightsAndPins(t *testing.T) {
	w := startBeside(t, func(_ *servers.Env, o *product.Options) {
		o.Sizes[thingSet] = 3
		// from the start: what comes before the pins are in force is placed without them
		k := &o.Config.Kinds[0]
		k.Init, k.Balance, k.Catalogue.Query = 3, config.BalanceWeight, `SELECT id, weight, labels FROM "Thing"`
		k.Rebalance.Band = &config.Band{Enter: 1.15, Leave: 1.05}
		k.Pins = []pins.Rule{
			{Name: "lyon", Selector: &pins.Selector{MatchLabels: map[string]string{"site": "lyon"}}, Ordinals: []int{2}},
			{Name: "nowhere", Selector: &pins.Selector{MatchLabels: map[string]string{"site": "nowhere"}}, Ordinals: []int{29}},
		}
	})
	ids := product.IDs(900, 1)
	weight := func(i int) float64 { return []float64{1, 2, 15}[i%3] }
	site := func(i int) string {
		return map[bool]string{i%10 == 0: "lyon", i >= 890 && i%10 == 3: "nowhere"}[true]
	}
	rows := make([]observed.ResourceKnown, len(ids))
	for i, id := range ids {
		rows[i] = observed.ResourceKnown{ID: id, Weight: weight(i), Labels: map[string]string{"site": site(i)}}
	}
	require.NoError(t, w.Platform.InsertDescribed(t.Context(), thing, rows...))
	require.NoError(t, w.Platform.Publish(t.Context(), product.ImportMessages(thing, ids, 1)...))

	w.weighed("899 Things are placed by weight", func(a *product.Assignment) error {
		if len(a.Pool) != 1 || a.Assigned() != len(ids)-1 {
			return fmt.Errorf("%d assigned, %d wait", a.Assigned(), len(a.Pool))
		}
		load, owners := map[int]float64{}, a.Owners()
		for i, id := range ids {
			at, placed := owners[id]
			if placed {
				load[at] += weight(i)
			}
			if site(i) == "lyon" && at != 2 {
				return fmt.Errorf("%s of lyon is on %d", id, at)
			}
		}
		for n := range 3 {
			if mean := (load[0] + load[1] + load[2]) / 3; load[n] < mean*0.95 || load[n] > mean*1.05 {
				return fmt.Errorf("weights %v, want each within 5 %% of the mean", load)
			}
		}
		return nil
	})
	w.until("GET tells what has no place and why", func(ctx context.Context) error {
		var o api.Orchestration
		if err := w.Servers[0].REST(ctx, http.MethodGet, "/v1/api/orchestrations/Thing", "", nil, &o); err != nil {
			return err
		}
		p := o.Progress.Parked
		if len(p) != 1 || p[0].Why != "pin-closed" || p[0].Pin != "nowhere" || !slices.Equal(p[0].Examples, ids[893:894]) {
			return fmt.Errorf("parked: %+v", p)
		}
		return nil
	})

	// Two complete reads later nothing has moved.
	was := w.reloads(thing)
	w.readTwice()
	require.Equal(t, was, w.reloads(thing))

	w.change(thing, func(k *config.Kind) { k.Pins[0].Ordinals, k.Pins[1].Ordinals = []int{0}, []int{1} })
	w.weighed("the Things follow the changed pins", func(a *product.Assignment) error {
		owners := a.Owners()
		for i, id := range ids {
			at, placed := owners[id]
			if !placed || site(i) == "lyon" && at != 0 || site(i) == "nowhere" && at != 1 {
				return fmt.Errorf("%s of %q is on %d (placed: %v)", id, site(i), at, placed)
			}
		}
		return nil
	})
	w.holds(w.assignment(thing), ids)
	w.lostNothing(thing, nil)
}

// weighed waits until an assignment in which nothing is in flight is so.
func (w *world) weighed(what string, so func(a *product.Assignment) error) {
	w.t.Helper()
	w.until(what, func(ctx context.Context) error {
		a, err := w.Assignment(ctx, thing)
		if err != nil {
			return err
		}
		if a.InFlight() > 0 {
			return fmt.Errorf("%d are in flight", a.InFlight())
		}
		return so(a)
	})
}

// reloads is how often each list has changed.
func (w *world) reloads(kind string) map[int]int64 {
	times := map[int]int64{}
	for n, in := range w.assignment(kind).Instances {
		times[n] = in.Times
	}
	return times
}

// catalogueReads counts the complete reads of the Things' catalogue by the leader.
func (w *world) catalogueReads(ctx context.Context) (n int, err error) {
	leader, err := w.Leader(ctx)
	if err != nil {
		return 0, err
	}
	scrape, err := leader.Text(ctx, "/metrics")
	if err != nil {
		return 0, err
	}
	const series = `shardscaler_catalogue_read_duration_seconds_count{kind="Thing",outcome="complete"} `
	_, rest, found := strings.Cut(scrape, series)
	if !found {
		return 0, errors.New("no reads yet")
	}
	count, _, _ := strings.Cut(rest, "\n")
	return strconv.Atoi(count)
}

// readOnce waits until the Things' catalogue has been read completely.
func (w *world) readOnce() {
	w.t.Helper()
	w.until("the catalogue is read", func(ctx context.Context) error {
		_, err := w.catalogueReads(ctx)
		return err
	})
}

// readTwice waits until the Things' catalogue has been read completely twice more, the first time
// perhaps from before.
func (w *world) readTwice() {
	w.t.Helper()
	before, err := w.catalogueReads(w.t.Context())
	require.NoError(w.t, err)
	w.until("the catalogue is read twice more", func(ctx context.Context) error {
		switch n, err := w.catalogueReads(ctx); {
		case err != nil:
			return err
		case n < before+3:
			// of the first, the comparison may not be over when it is counted; the one after it
			// then is
			if err := w.Platform.Publish(ctx, product.DeletedWhere(thing)); err != nil {
				return err
			}
			return fmt.Errorf("%d reads, %d before", n, before)
		}
		return nil
	})
}

package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/shardscaler/shardscaler/dashboards"
	"github.com/shardscaler/shardscaler/internal/config"
	"github.com/shardscaler/shardscaler/internal/testbed/product"
)

// TestDashboardNamesOnlyWhatIsExported imports, scales up, holds a scale down and drains, and
// scrapes all the while: everything the dashboard draws has been seen by the end.
func TestDashboardNamesOnlyWhatIsExported(t *testing.T) {
	w := startBeside(t, nil)
	things := product.IDs(2_500, 1)
	var seen bytes.Buffer
	scrape := func(ctx context.Context) error {
		text, err := w.Servers[0].Text(ctx, "/metrics")
		if err != nil {
			return err
		}
		seen.WriteString(text)
		return nil
	}
	require.NoError(t, w.Platform.Import(t.Context(), thing, things, 1))
	w.settled(thing, thingSet, 3, len(things))
	// Nothing has been watched for so long yet, so a scale down is held for as long as this window
	// lasts.
	window := func(d time.Duration) {
		w.change(thing, func(k *config.Kind) { *k.Behavior.ScaleDown.StabilizationWindow = config.Duration(d) })
	}
	window(10 * time.Minute)
	w.until("a scale down is held", func(ctx context.Context) error {
		if err := scrape(ctx); err != nil {
			return err
		}
		if !bytes.Contains(seen.Bytes(), []byte("\nshardscaler_shrink_held{")) {
			return errors.New("no such series")
		}
		return nil
	})
	window(4 * time.Second)
	require.NoError(t, w.Platform.Remove(t.Context(), thing, things[1_000:]...))
	require.NoError(t, w.Platform.Publish(t.Context(), product.BulkDeleted(thing, things[1_000:])))
	w.until("every metric of the dashboard was in a scrape", func(ctx context.Context) error {
		if err := scrape(ctx); err != nil {
			return err
		}
		missing, err := dashboards.Missing(bytes.NewReader(seen.Bytes()))
		if err == nil && len(missing) > 0 {
			err = fmt.Errorf("missing %v", missing)
		}
		return err
	})
	w.settled(thing, thingSet, thingInit, 1_000)
}

package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/stretchr/testify/require"

	"github.com/shardscaler/shardscaler/internal/testbed/product"
	"github.com/shardscaler/shardscaler/scaler/decide"
)

// replays requires that the program, given the snapshot that this replica saves of itself, decides
// offline what the replica decided.
func (w *world) replays(v *product.Server, kinds ...string) {
	w.t.Helper()
	file := filepath.Join(w.t.TempDir(), "snapshot.json")
	w.until("a snapshot is decided again", func(ctx context.Context) error {
		text, err := v.Text(ctx, "/v1/api/snapshot")
		if err != nil {
			return err
		}
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			return err
		}
		var served []decide.Decision
		for _, kind := range kinds {
			var d decide.Decision
			if err := v.REST(ctx, http.MethodGet, "/v1/api/orchestrations/"+kind+"/decision", "", nil, &d); err != nil {
				return err
			}
			served = append(served, d)
		}
		again, err := decideOffline(ctx, file)
		if err != nil {
			return err
		}
		require.Len(w.t, again, len(kinds))
		for i := range again {
			if !again[i].At.Equal(served[i].At) {
				return fmt.Errorf("the snapshot is of another moment: %s, and %s", again[i].At, served[i].At)
			}
			require.Equal(w.t, served[i].String(), again[i].String())
			want, err := json.Marshal(served[i])
			require.NoError(w.t, err)
			got, err := json.Marshal(again[i])
			require.NoError(w.t, err)
			require.JSONEq(w.t, string(want), string(got))
		}
		return nil
	})
}

func decideOffline(ctx context.Context, file string) (ds []decide.Decision, err error) {
	out, err := exec.CommandContext(ctx, programs.Shardscaler, "decide", "-f", file, "-o", "json").Output()
	if err != nil {
		return nil, err
	}
	return ds, json.Unmarshal(out, &ds)
}

package kubectl

import (
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/shardscaler/shardscaler/internal/kubectl/show"
)

// Each call that changes something is in the history in words.
func TestWhatPersonsDidHasWords(t *testing.T) {
	text, err := os.ReadFile("../../docs/openapi.json")
	require.NoError(t, err)
	var document struct {
		Paths map[string]map[string]struct{ OperationID string }
	}
	require.NoError(t, json.Unmarshal(text, &document))
	changes := 0
	for path, methods := range document.Paths {
		for method, op := range methods {
			if method == "get" || op.OperationID == "preview-plan" || !strings.HasPrefix(path, "/v1/api/kinds/") && !strings.HasPrefix(path, "/v1/api/orchestrations/") {
				continue
			}
			changes++
			require.NotContains(t, show.Operation(op.OperationID), "-", "%s %s has no words", method, path)
			if strings.Contains(op.OperationID, "-") {
				require.NotEqual(t, op.OperationID, show.Operation(op.OperationID))
			}
		}
	}
	require.Greater(t, changes, 15)
	require.Equal(t, "of-a-newer-server", show.Operation("of-a-newer-server"))
}

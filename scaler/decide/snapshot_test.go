package decide

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestSnapshots decides again what servers saved (GET /v1/api/snapshot) and was copied into
// testdata/snapshots, and compares every word with the .want beside it; -rewrite writes that.
func TestSnapshots(t *testing.T) {
	files, err := filepath.Glob("testdata/snapshots/*")
	require.NoError(t, err)
	decided := 0
	for _, file := range files {
		if strings.HasSuffix(file, ".want") {
			continue
		}
		t.Run(filepath.Base(file), func(t *testing.T) {
			raw, err := os.ReadFile(file)
			require.NoError(t, err)
			saved, err := ParseSaved(raw)
			require.NoError(t, err)
			var got strings.Builder
			for _, in := range saved.Inputs {
				got.WriteString(Decide(in).String())
				decided++
			}
			want := file + ".want"
			if flag.Lookup("rewrite").Value.String() == "true" {
				require.NoError(t, os.WriteFile(want, []byte(got.String()), 0o600))
			}
			text, err := os.ReadFile(want)
			require.NoError(t, err, "read what is decided, and keep it: go test ./scaler/decide -run TestSnapshots -rewrite\n%s", &got)
			require.Equal(t, string(text), got.String())
		})
	}
	require.Positive(t, decided)
}

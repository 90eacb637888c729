package story

import (
	"context"
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/shardscaler/shardscaler/internal/testbed/servers"
)

// folderVar names the folder that the pictures go to; without it none are made.
const folderVar = "SHARDSCALER_SCREENSHOTS"

// `make screenshots` makes docs/images: the demonstration is played, and at its moments
// internal/ui/test/screenshots.mjs takes pictures of its page.
func TestScreenshots(t *testing.T) {
	folder := os.Getenv(folderVar)
	if folder == "" {
		t.Skip("pictures are made by make screenshots")
	}
	env := servers.RequireAlone(t, servers.AllParts...)
	d := newDemo(t.Output())
	seen := map[Moment]bool{}
	d.Look = func(_ context.Context, at Moment) {
		if !seen[at] {
			seen[at] = true
			servers.RunBrowser(t, "test/screenshots.mjs", "PAGE="+d.page, "MOMENT="+string(at), "FOLDER="+folder)
		}
	}
	require.NoError(t, d.run(t.Context(), env, true))
}

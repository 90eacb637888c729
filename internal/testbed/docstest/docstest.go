// Package docstest holds the tables of the documentation to the code that they describe.
package docstest

import (
	"flag"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

var rewrite = flag.Bool("rewrite", false, "write the table into the documentation")

// Table requires that a file has the table after the comment that names the command which writes
// it: `<!-- command -rewrite -->`, up to `<!-- end -->`. With -rewrite it writes the table there.
func Table(t *testing.T, file, command, want string) {
	t.Helper()
	begin, end := "<!-- "+command+" -rewrite -->\n", "<!-- end -->"
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	before, rest, ok := strings.Cut(string(text), begin)
	require.True(t, ok, "%s lacks %s", file, begin)
	written, after, ok := strings.Cut(rest, end)
	require.True(t, ok, "%s lacks %s", file, end)
	if *rewrite {
		require.NoError(t, os.WriteFile(file, []byte(before+begin+want+end+after), 0o644))
		return
	}
	require.Equal(t, want, written, "run: %s -rewrite", command)
}

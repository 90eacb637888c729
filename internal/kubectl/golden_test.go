package kubectl

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"
	"github.com/stretchr/testify/require"
	"k8s.io/cli-runtime/pkg/genericiooptions"
)

// kubeconfig writes one that leads to a server, with a namespace if it is not empty.
func kubeconfig(t testing.TB, server, namespace string) string {
	file := filepath.Join(t.TempDir(), "kubeconfig")
	text := fmt.Sprintf(`apiVersion: v1
kind: Config
current-context: test
clusters: [{name: test, cluster: {server: %q}}]
users: [{name: ann, user: {username: ann, password: secret}}]
contexts: [{name: test, context: {cluster: test, user: ann, namespace: %q}}]
`, server, namespace)
	require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
	return file
}

// ran is what a command line came to.
type ran struct {
	out, err string
	code     int
}

// runAt runs a command line at noon, without a terminal.
func runAt(t testing.TB, args ...string) ran {
	var out, errOut bytes.Buffer
	streams := genericiooptions.IOStreams{In: strings.NewReader("y\n"), Out: &out, ErrOut: &errOut}
	code := runWith(t.Context(), "v1.2.3", streams, func() time.Time { return noon }, args)
	return ran{out.String(), errOut.String(), code}
}

// TestCommands holds what each command prints, what it asks the server to do, and its exit status
// to testdata: go test ./internal/kubectl -run TestCommands -rewrite.
func TestCommands(t *testing.T) {
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	server := newFixed(t)
	config := kubeconfig(t, server.URL, "iota")
	datadriven.Walk(t, "testdata/commands", func(t *testing.T, path string) {
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			var all strings.Builder
			for line := range strings.Lines(d.Input) {
				args := strings.Fields(strings.ReplaceAll(line, "SERVER", server.URL))
				got := runAt(t, append(args, "--kubeconfig", config)...)
				for _, w := range server.wrote() {
					fmt.Fprintln(&all, ">", w)
				}
				all.WriteString(indent("", got.out) + indent("stderr: ", got.err))
				if got.code != 0 {
					fmt.Fprintln(&all, "exit", got.code)
				}
			}
			return strings.ReplaceAll(all.String(), server.URL, "SERVER")
		})
	})
}

// indent marks lines, and makes the blanks at their ends and empty ones visible to an editor.
func indent(mark, text string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, " \n")
		if line == "" {
			line = "."
		}
		b.WriteString(mark + line + "\n")
	}
	return b.String()
}

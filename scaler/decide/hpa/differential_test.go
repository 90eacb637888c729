package hpa_test

import (
	"bytes"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// differential is the module in which random worlds are decided by us and by the HPA's own calculator, side by side; it is one of its
// own, as only measuring and testing need Kubernetes' code.
const differential = "../../../tools/bars/decide"

func TestDifferential(t *testing.T) {
	if testing.Short() {
		t.Skip("-short: building the HPA's calculator takes a while")
	}
	cmd := exec.Command("go", "test", "-count=1", "-run", "Calculator|Comparison|Tolerances", "-v", ".")
	cmd.Dir = differential
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOWORK=off", "GOFLAGS=-mod=readonly")
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	require.NoError(t, cmd.Run(), "%s", &out)
	for line := range strings.Lines(out.String()) {
		if strings.HasPrefix(line, "against the HPA's calculator: ") {
			report(t, "differential.txt", line)
			return
		}
	}
	t.Fatalf("the comparison says nothing:\n%s", &out)
}

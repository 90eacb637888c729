package main

import (
	"os/exec"
	"testing"

	"github.com/stretchr/testify/require"
)

// The modules beside this one take packages from it, whose own needs must stand in their go.mod: nothing else builds them before the
// figures are measured.
func TestModulesBesideAreInOrder(t *testing.T) {
	for _, dir := range []string{"plan", "decide"} {
		list := exec.CommandContext(t.Context(), "go", "list", "-mod=readonly", "-deps", "./...")
		list.Dir = dir
		out, err := list.CombinedOutput()
		require.NoError(t, err, "%s: %s", dir, out)
	}
}

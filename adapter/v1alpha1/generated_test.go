package v1alpha1

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// What is shipped is what the generator makes of the types now.
func TestGenerated(t *testing.T) {
	dir := t.TempDir()
	out, err := exec.CommandContext(t.Context(), "go", "tool", "-modfile=../../tools/gen/go.mod", "controller-gen",
		"object", "crd", "paths=.", "output:crd:dir="+dir, "output:object:dir="+dir).CombinedOutput()
	require.NoError(t, err, string(out))
	for name, shipped := range map[string]string{
		"zz_generated.deepcopy.go":           "zz_generated.deepcopy.go",
		"shardscaler.io_instancegroups.yaml": "../../manifests/cluster/base/shardscaler.io_instancegroups.yaml",
	} {
		want, err := os.ReadFile(filepath.Join(dir, name))
		require.NoError(t, err)
		got, err := os.ReadFile(shipped)
		require.NoError(t, err)
		require.Equal(t, string(want), string(got), "%s is not what the types say: run make generate", shipped)
	}
}
